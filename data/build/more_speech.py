"""More speech to train on: new voices, mixed from the training voices alone, read lines of books or your own.

    course build-speech --voices 300 --mixtures wide --out DIR

A voice lies in DIR/<voice>/: 16-bit FLAC, `index.jsonl` with text, phones, durations in 25 ms and words, and F0.
The index is written when all its clips are there, so what was stopped in the middle is no voice, and is made again.
Who reads what is drawn from seeds: more voices, asked for later, are added to the same ones. No recogniser checks
what was said, so a few words in a hundred may be wrong.
"""

from __future__ import annotations

import bz2
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from course_utils import paths
from course_utils.paths import SAMPLE_RATE
from data.build import engine, phrases, speech, voices
from data.build.speech import Item

BOOKS = speech.TEXTS / "books.txt.bz2"


# ----------------------------------------------------------------------------- who reads what
@dataclass(frozen=True)
class NewVoice:
    """A training voice: timbre and prosody are mixtures of style tables, weights that sum to one.

    sex: "f" or "m" where all parents are of one, "?" where they are of both.
    """

    name: str
    sex: str
    timbre: dict[str, float]
    prosody: dict[str, float]
    speed: float


def narrow() -> Iterator[NewVoice]:
    """Voices mixed as those of the corpus, without end: two or three parents of one sex, weights 0 to 1."""
    draw = np.random.default_rng(99)
    for k in itertools.count():
        sex = "fm"[k % 2]
        parents = voices.PARENTS["train"][sex]
        timbre, prosody = (voices.propose(parents, 1, seed=first + k)[0] for first in (10_000, 20_000))
        yield NewVoice(f"x{k + 1:03d}", sex, timbre, prosody, _speed(draw, 0.88, 1.15))


def wide(letter: str = "y", seed: int = 77) -> Iterator[NewVoice]:
    """Voices further apart, without end: weights below 0 and above 1, every second one of parents of both sexes."""
    draw = np.random.default_rng(seed)
    women, men = (voices.PARENTS["train"][sex] for sex in "fm")
    for k in itertools.count():
        parents = (women, men, women + men, women + men)[k % 4]
        timbre, prosody = _beyond(draw, parents), _beyond(draw, parents)
        yield NewVoice(f"{letter}{k + 1:03d}", "fm??"[k % 4], timbre, prosody, _speed(draw, 0.85, 1.18))


def _beyond(draw: np.random.Generator, parents: list[str]) -> dict[str, float]:
    """A mixture of two or three parents that may lie outside of all of them."""
    size = int(draw.choice([2, 3], p=[0.6, 0.4]))
    names = draw.choice(parents, size, replace=False).tolist()
    weights = np.round(draw.dirichlet([1.2] * size) * 1.5 - 0.5 / size, 3)
    weights[-1] = round(1 - weights[:-1].sum(), 3)
    return dict(zip(names, weights.tolist(), strict=True))


def _speed(draw: np.random.Generator, low: float, high: float) -> float:
    return float(np.round(draw.uniform(low, high), 3))


@dataclass(frozen=True)
class Kind:
    """Voices, how many lines each reads, the share of them that are phrases, and where in the books it begins."""

    voices: Callable[[], Iterator[NewVoice]]
    lines: int
    phrases: float
    begin: int
    seed: int  # of the phrases


MIXTURES = {
    "narrow": Kind(narrow, 24, 1 / 8, 0, 7),
    "wide": Kind(wide, 9, 2 / 9, 4000, 8),
    "phrases": Kind(lambda: wide("z", 78), 12, 1, 0, 9),  # wide, and nothing but phrases
}


def plan(
    count: int, mixtures: str = "wide", lines: int | None = None, sentences: list[str] | None = None
) -> list[tuple[NewVoice, list[Item]]]:
    """The first `count` voices of a kind and what each reads: sentences, dealt out in order, then phrases.

    lines: per voice; None: as many as the kind has. sentences: None are those of the packed books; they begin
    again when they run out.
    """
    kind = MIXTURES[mixtures]
    each = kind.lines if lines is None else lines
    begin = kind.begin if sentences is None else 0
    sentences = _lines(BOOKS) if sentences is None else sentences
    n_phrases = round(each * kind.phrases)
    n = min(each - n_phrases, len(sentences))
    spoken = phrases.phrases("train", kind.seed)
    result = []
    for k, voice in enumerate(itertools.islice(kind.voices(), count)):
        own = [sentences[(begin + i) % len(sentences)] for i in range(k * n, (k + 1) * n)]
        texts = [("sentence", text) for text in own]
        texts += [("phrase", text) for text in itertools.islice(spoken, n_phrases)]
        items = [Item(f"{voice.name}_{i:03d}", what, text) for i, (what, text) in enumerate(texts, 1)]
        result.append((voice, items))
    return result


def read_text(path: Path) -> tuple[list[str], list[str]]:
    """The sentences of a text file that can be read aloud, and for each other one what is wrong with it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no text, or no line of it can be read aloud.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no text at {path}; expected a file with one sentence a line")
    sentences, faults = [], []
    for line in _lines(path):
        try:
            engine.script(line)
            sentences.append(line)
        except ValueError as fault:
            faults.append(str(fault))
    if not sentences:
        why = f"none of its {len(faults)} lines can be read aloud: {faults[0]}" if faults else "it is empty"
        raise ValueError(f"{path}: {why}; expected one sentence a line, every word of it in CMUdict")
    return sentences, faults


def _lines(path: Path) -> list[str]:
    """The lines of a text file, plain or packed (.bz2), that are not blank."""
    content = path.read_bytes()
    try:
        content = bz2.decompress(content) if path.suffix == ".bz2" else content
        return [line.strip() for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{path} can not be read ({error}); expected text in UTF-8, plain or .bz2"
        ) from error


# ----------------------------------------------------------------------------- one voice
def make_voice(voice: NewVoice, items: list[Item], out: Path) -> tuple[list[dict], dict[str, str]]:
    """Read and store the lines of a voice; return the rows of its index and why other lines were left out.

    Without one good clip nothing is stored.
    """
    speaker, takes, refused = speech.speaker(), [], {}
    timbre, prosody = voices.blend(voice.timbre), voices.blend(voice.prosody)
    for item in items:
        try:
            take = speech.read(speaker, item, timbre, voice.speed, prosody)
            wrong = "; ".join(speech.faults(take.waveform, take.timing))
        except (RuntimeError, ValueError) as fault:
            wrong = str(fault)
        if wrong:
            refused[item.id] = wrong
        else:
            takes.append(take)
    return (_store(voice, takes, out / voice.name) if takes else []), refused


def _store(voice: NewVoice, takes: list[speech.Take], folder: Path) -> list[dict]:
    """Write the clips of a voice, and when all are there its index; return the rows of it."""
    folder.mkdir(exist_ok=True)
    gain, rows = speech.voice_gain(takes), []
    for take in takes:
        item, timing = take.item, take.timing
        audio = speech.finish(take.waveform, gain, item.id)
        sf.write(folder / f"{item.id}.flac", audio, SAMPLE_RATE, subtype="PCM_16")
        rows.append({"id": item.id, "voice": voice.name, "kind": item.kind, "text": item.text,
                     "phones": timing.phones, "durations": timing.durations,
                     "words": [list(word) for word in timing.words], "start": take.start})  # fmt: skip
    np.savez(folder / "f0.npz", **{take.item.id: take.f0.astype(np.float16) for take in takes})
    speech.write_lines(folder / "index.jsonl", rows)
    speech.write_text(folder / "done", json.dumps(asdict(voice)) + "\n")
    return rows


def finished(folder: Path, items: list[Item]) -> list[dict]:
    """The rows of a voice that is there already; none where it is not, or only in part.

    Raises:
        ValueError: it has read other lines.
    """
    if not (folder / "done").exists() or not (folder / "index.jsonl").exists():
        return []
    rows = speech.read_lines(folder / "index.jsonl")
    if not {(row["id"], row["text"]) for row in rows} <= {(item.id, item.text) for item in items}:
        raise ValueError(
            f"{folder} holds a voice that reads other lines than those asked for; give the same number of lines "
            "and the same text to go on there, or another folder"
        )
    return rows


# ----------------------------------------------------------------------------- all of them
def build(
    count: int, mixtures: str = "wide", lines: int | None = None, text: str | Path | None = None,
    out: str | Path | None = None, workers: int = 2, report: Callable[[str], None] = tqdm.write,
) -> Path:  # fmt: skip
    """Make `count` voices in the folder `out`, except those that are there; return the folder.

    Args:
        count: number of voices, those that are there among them.
        mixtures: one of `MIXTURES`.
        lines: how many lines each voice reads; None: 24 ("narrow"), 9 ("wide"), 12 ("phrases").
        text: file with one sentence a line; None: the packed books.
        out: None: `speech` in the cache, where training looks for it.
        workers: processes; each takes one core and 0.4 GB.
        report: what takes a line about what was left out, and the sums at the end.

    Raises:
        ValueError: a number below one, an unknown kind, a text that can not be used, other lines in `out`.
        OSError: no such text, or `out` can not be written to.
        RuntimeError: not one clip came out well.
    """
    for name, value in {"voices": count, "lines": 1 if lines is None else lines, "workers": workers}.items():
        if value < 1:
            raise ValueError(f"expected at least one of {name}, got {value}")
    if mixtures not in MIXTURES:
        raise ValueError(f"unknown mixtures {mixtures!r}; there are {', '.join(MIXTURES)}")
    sentences = None
    if text is not None:
        if MIXTURES[mixtures].phrases == 1:
            raise ValueError(
                f"{mixtures!r} reads no text, its phrases come from a grammar; use wide or narrow"
            )
        sentences, faults = read_text(Path(text))
        if faults:
            report(
                f"{text}: {len(faults)} of {len(faults) + len(sentences)} lines left out ({faults[0]}, ...)"
            )
    out = paths.cache_folder() / "speech" if out is None else Path(out)
    _writable(out)
    planned = plan(count, mixtures, lines, sentences)
    there = {voice.name: finished(out / voice.name, items) for voice, items in planned}
    engine.fetch()  # once, before every worker asks for it
    jobs = [delayed(make_voice)(voice, items, out) for voice, items in planned if not there[voice.name]]
    made = _run(jobs, workers, len(planned), report)
    rows = [row for voice in (*there.values(), *made) for row in voice]
    if not rows:
        raise RuntimeError("not one clip came out well; what is wrong with each stands above")
    hours = sum(sum(row["durations"]) for row in rows) * engine.UNIT_SECONDS / 3600
    report(f"{len({row['voice'] for row in rows})} voices, {len(rows)} clips, {hours:.2f} hours in {out}")
    return out


def _run(jobs: list, workers: int, total: int, report: Callable[[str], None]) -> list[list[dict]]:
    """Make voices with a bar that shows the time left; return the rows of each."""
    made, units = [], 0
    run = Parallel(min(workers, max(1, len(jobs))), return_as="generator_unordered", batch_size=1)
    with tqdm(total=total, initial=total - len(jobs), desc="speech", unit="voice") as bar:
        for rows, refused in run(jobs):
            for name, wrong in refused.items():
                report(f"{name} left out: {wrong}")
            made.append(rows)
            units += sum(sum(row["durations"]) for row in rows)
            bar.set_postfix_str(f"{units * engine.UNIT_SECONDS / 60:.1f} min of speech", refresh=False)
            bar.update()
    return made


def _writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OSError(f"{out} can not be written to ({error.strerror}); name another folder") from error
