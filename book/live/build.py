"""What the living pages of the book load: the models as ONNX, ONNX Runtime Web, sounds, and the JavaScript.

    python -m book.live.build FOLDER      # then: cd FOLDER; python -m http.server

writes a folder with plain pages, for trying them out without Sphinx. The book itself calls `build` with its folder
of static files. Nothing of what is written is committed: the models come from the checkpoints that the course ships,
the runtime from npm, by version and checksum.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import shutil
import warnings
from pathlib import Path

import numpy as np

from book.live import networks
from book.vendor import RUNTIME
from course_utils import audio, checkpoints, data, recognition_onnx, text, tts_onnx
from course_utils.enhancement_onnx import to_onnx as enhancement_to_onnx
from course_utils.text import letter_to_phone
from course_utils.text.dictionary import lexicon

HERE = Path(__file__).parent


def build(static: Path) -> Path:
    """Write everything that the living pages load into `static`/live, and return that folder.

    Raises:
        vendor.Unavailable: npm or the network is missing, or the runtime is another one.
    """
    target = Path(static) / "live"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(HERE / "js", target / "js")
    shutil.copy(HERE / "live.css", target / "live.css")
    RUNTIME.put(target / "ort")
    add_models(target / "models")
    clips = add_sounds(target / "sounds")
    files = {
        file.relative_to(target).as_posix(): file.stat().st_size
        for folder in ("ort", "models", "sounds")
        for file in sorted((target / folder).iterdir())
    }
    # A page says how much it is going to load before it asks for anything, so the sizes are part of the code.
    facts = f"export const SIZES = {json.dumps(files)};\nexport const CLIPS = {json.dumps(clips)};\n"
    (target / "js" / "facts.js").write_text(facts, "utf-8")
    return target


# --- the models ------------------------------------------------------------------------------------------


def add_models(folder: Path) -> None:
    """The networks of the shipped checkpoints, the dictionary, and what the pages must know of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its successor
        enhancement_to_onnx(checkpoints.load("enhancement"), folder / "enhancement.onnx")
        for name in ("phrases", "recognition"):
            recogniser = checkpoints.load(name)
            recognition_onnx.to_onnx(recogniser, folder / f"{name}.onnx")
            (folder / f"{name}.json").write_text(json.dumps(recogniser_facts(recogniser)), "utf-8")
        add_speaker(checkpoints.load("tts"), folder)
        networks.g2p_to_onnx(letter_to_phone.load(), folder / "g2p.onnx")
        composer = checkpoints.load("music")
        networks.music_to_onnx(composer, folder)
        (folder / "music.json").write_text(json.dumps(networks.music_facts(composer)), "utf-8")
    for path in folder.glob("*.onnx"):
        networks.pack(path)
    (folder / "lexicon.txt.gz").write_bytes(packed_lexicon())


def add_speaker(model, folder: Path) -> None:
    """The synthesiser and the vocoder, and in speaker.json also what the vocoder's stream needs around a sample."""
    path, c = tts_onnx.to_onnx(model, folder) / "speaker.json", model.vocoder.config
    facts = json.loads(path.read_text("utf-8"))
    facts["vocoder"] |= {"look_ahead": c.look_ahead, "look_back": c.look_back}
    path.write_text(json.dumps(facts), "utf-8")


def recogniser_facts(recogniser) -> dict:
    """What turns the probabilities of a recogniser into text: its units, of a vocabulary also words and grammar."""
    facts = {"units": recogniser.config.units, "chunk": 5}
    if hasattr(recogniser, "phrases"):
        c = recogniser.phrases
        grammar = [[round(value, 3) for value in row] for row in recogniser.grammar.tolist()]
        facts |= {"words": c.words, "pronunciations": c.pronunciations, "grammar": grammar}
        facts |= {"weight": c.weight, "bonus": c.bonus, "patience": c.patience}
    return facts


def packed_lexicon() -> bytes:
    """The usual pronunciation of every word of CMUdict, gzipped: a browser unpacks that by itself.

    The first line is the licence, the others are words in order. A letter says how many letters a word shares with the
    one before (a: none), then come the others, a space, and a character for each phone: 33 and its number.
    """
    lines, before = [], ""
    characters = {phone: chr(33 + number) for number, phone in enumerate(text.PHONES)}
    for word in sorted(lexicon()):
        shared = next(
            (i for i, (a, b) in enumerate(zip(before, word, strict=False)) if a != b),
            min(len(before), len(word)),
        )
        shared = min(shared, 25)
        lines.append(
            f"{chr(97 + shared)}{word[shared:]} {''.join(characters[p] for p in lexicon()[word][0])}"
        )
        before = word
    licence = (
        "CMUdict, Copyright (C) 1993-2015 Carnegie Mellon University; BSD licence, see the course's data"
    )
    return gzip.compress("\n".join([licence, *lines]).encode(), 9, mtime=0)


# --- sounds ----------------------------------------------------------------------------------------------


def add_sounds(folder: Path) -> dict[str, dict[str, str]]:
    """Real recordings of the course, for readers without a microphone; by name what is said, and who made them."""
    folder.mkdir(parents=True, exist_ok=True)
    reading = recording("librispeech", "8419-286667-0000")
    helicopter = recording("esc10", "1-172649-C")
    digits = recording("digits", "27186")
    noisy, _ = audio.mix(reading.audio, helicopter.audio, snr_db=3, seed=0)
    facts = {}
    for name, waveform, made_of in (
        ("noisy", noisy, (reading, helicopter)),
        ("reading", reading.audio, (reading,)),
        ("digits", digits.audio, (digits,)),
    ):
        write_flac(folder / f"{name}.flac", waveform)
        facts[name] = {
            "text": made_of[0].text,
            "credit": "; ".join(f"{one.label or 'speech'}: {one.author}, {one.licence}" for one in made_of),
        }
    return facts


def recording(collection: str, name: str) -> data.Recording:
    """A real recording that comes with the course."""
    return next(one for one in data.real(collection, "test") if one.id == name)


def write_flac(path: Path, waveform: np.ndarray) -> None:
    """A waveform (time,) as FLAC, which every browser decodes."""
    import soundfile

    packed = io.BytesIO()
    peak = max(1.0, float(np.abs(waveform).max()) / 0.99)  # a mixture may reach beyond 1
    soundfile.write(packed, waveform / peak, audio.SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    path.write_bytes(packed.getvalue())


# --- without Sphinx --------------------------------------------------------------------------------------

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 760px; margin: 0 auto; padding: 16px; font: 16px/1.55 system-ui, sans-serif; }}
</style></head><body><main>
{body}
</main></body></html>
"""


def write_pages(folder: Path) -> None:
    """The pages as plain HTML in `folder`/live."""
    from markdown_it import MarkdownIt  # comes with myst-parser, as the book needs it

    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(HERE.glob("*.md")):
        written = source.read_text("utf-8")
        title = written.partition("\n")[0].lstrip("# ")
        body = MarkdownIt("commonmark").render(written).replace('.md"', '.html"')
        (folder / f"{source.stem}.html").write_text(PAGE.format(title=title, body=body), "utf-8")


def main() -> None:
    """`python -m book.live.build FOLDER`."""
    parser = argparse.ArgumentParser(
        description="Write the living pages of the book as a folder of their own."
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    build(folder / "_static")
    write_pages(folder / "live")
    print(f"cd {folder}; python -m http.server    # then open http://localhost:8000/live/index.html")


if __name__ == "__main__":
    main()
