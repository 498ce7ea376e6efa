"""More texts for the recogniser: the synthesiser says them, as log-mels: `python -m data.build.spoken OUT`.

What `course build-speech` makes is a few thousand sentences, and a recogniser that has heard each of them a hundred times
knows them by heart. The synthesiser of notebook 04 says any number, forty times as fast as time passes where no sound is
made of its log-mels, and it knows when each phone begins.

Half of the voices are virtual, half come from readers of LibriSpeech: for them the synthesiser first learns from the
training readers too (`learn_readers`). That copy of it is kept in OUT and used for nothing else. Sentences are those of
`texts/books.txt.bz2`, one in eight a training phrase; none is of the validation or test texts.

OUT gets parts of `LINES` lines each, `course_utils.recipes.recognition` reads them. Parts that are there are kept, so a
run that was stopped goes on. `--parts 4` prepares both kinds of voices; only after it may two runs share the work
(`--share 0 2` and `--share 1 2`), or both would teach the copy at once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm

from course_utils import checkpoints, features, paths, text, training
from course_utils.data.corpus import UNIT_SAMPLES
from course_utils.decoding.alignment import align_words
from course_utils.models.tts_speech import TextToSpeech
from course_utils.recipes import recognition, tts
from data.build import more_speech, phrases

LINES = 250  # of a part
READERS_STEPS = 1_000
EULER_STEPS = 3
BOOKS = Path(__file__).with_name("texts") / "books.txt.bz2"


def reader_clips(least: float = 0.5) -> list[tts.Clip]:
    """What the training readers of LibriSpeech say, with the times of its phones as the recogniser finds them.

    `least`: the mean probability of the phones; below it, what was heard is not what is said.
    """
    ears, found = checkpoints.load("recognition"), []
    pieces = list(recognition.readers("train"))
    for name, piece, decode in tqdm(pieces, "readers", unit="clips", delay=2):
        waveform = decode()
        waveform = waveform[: len(waveform) // UNIT_SAMPLES * UNIT_SAMPLES]
        try:
            one = align_words(ears, waveform, " ".join(piece.words))
        except ValueError:  # more phones than there is time for: the words are wrong
            continue
        if one.score >= least:
            words = tuple(tuple(word) for word in one.words)
            found.append(tts.Clip(name, tuple(one.phones), tuple(one.durations), words, lambda w=waveform: w))
    return found


def learn_readers(
    model: TextToSpeech, clips: Sequence[tts.Clip], steps: int, state: Path
) -> training.History:
    """Teach the synthesiser the voices of readers by ear: two of three steps are theirs, one is of all virtual voices."""
    own, known = tts.Speech.of(list(clips)), tts.Speech("train", paths.cache_folder() / "speech")
    of_readers, of_known = (tts.Batches(one, model, tts.NAMED_FRAMES) for one in (own, known))
    return training.fit(
        model, training.ahead(lambda step: (of_readers if step % 3 else of_known)(step)), tts.loss_fn, steps,
        learning_rate=4e-4, schedule=training.plateau, ema=0.995, state=state, save_every=100, title="readers",
    )  # fmt: skip


def voices_of(model: TextToSpeech, clips: Sequence[tts.Clip], each: int = 4) -> np.ndarray:
    """The numbers (voices, voice) of whoever says `clips`, heard in up to `each` of them; of length 1."""
    of_voice: dict[str, list[tts.Clip]] = {}
    for clip in clips:
        of_voice.setdefault(clip.voice, []).append(clip)
    heard = []
    for own in tqdm(of_voice.values(), "voices", delay=2):
        long = [w for clip in own[:each] if len(w := clip.decode()) >= 8000]
        if long:
            heard.append(np.mean([model.embed(waveform) for waveform in long], 0))
    return np.stack([one / np.linalg.norm(one) for one in heard])


def lines(seed: int = 0) -> Iterator[tuple[str, str]]:
    """(kind, text): sentences of the books in a drawn order, and in the place of every eighth a training phrase."""
    sentences, _ = more_speech.read_text(BOOKS)
    random.Random(seed).shuffle(sentences)
    others = phrases.phrases("train", seed + 1)
    for i, sentence in enumerate(sentences):
        yield ("phrase", next(others)) if i % 8 == 7 else ("sentence", sentence)


def say(
    model: TextToSpeech, sentence: str, voice: np.ndarray, draw: random.Random
) -> tuple[np.ndarray, dict]:
    """Log-mel (frames, 80) of a sentence at a drawn speed and pitch, and its words and phones with their frames."""
    plan = model.plan(sentence, voice, draw.uniform(0.8, 1.25), draw.uniform(-2, 2), guided=False)
    chance = torch.Generator().manual_seed(draw.getrandbits(60))
    noise = draw.uniform(0.7, 1.0) * torch.randn(plan.n_frames, features.N_MELS, generator=chance)
    ends = plan.bounds[0, 1:].tolist()
    words = text.spoken(sentence)[1]
    row = {"words": words, "phones": plan.phones, "ends": ends}
    return model.decode(plan, noise, steps=EULER_STEPS, guidance=0).astype(np.float16), row


def make(out: Path, parts: int, share: tuple[int, int] = (0, 1), readers_steps: int = READERS_STEPS) -> None:
    """Write the parts of OUT whose number is `share[0]` modulo `share[1]`; of four, two are in virtual voices, two in readers'."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    said = list(itertools.islice(lines(), parts * LINES))
    prepared: dict[bool, tuple[TextToSpeech, np.ndarray]] = {}
    for number in range(share[0], parts, share[1]):
        file = out / f"{number:04d}.npy"
        if file.exists():
            continue
        real = number % 4 >= 2
        if real not in prepared:
            prepared[real] = _readers(out, readers_steps) if real else _virtual(out)
        model, known = prepared[real]
        draw, mels, rows = random.Random(f"spoken {number}"), [], []
        own = said[number * LINES : (number + 1) * LINES]
        for kind, sentence in tqdm(own, f"part {number}", unit="lines", leave=False):
            first, second = (known[draw.randrange(len(known))] for _ in range(2))
            mel, row = say(model, sentence, model.mix(first, second, draw.uniform(0, 0.5)), draw)
            mels.append(mel), rows.append({"kind": kind, **row})
        file.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        np.save(file.with_suffix(".part.npy"), np.concatenate(mels))
        file.with_suffix(".part.npy").replace(file)


def _virtual(out: Path) -> tuple[TextToSpeech, np.ndarray]:
    model, file = checkpoints.load("tts"), out / "virtual.safetensors"
    if not file.exists():
        known = voices_of(model, list(tts.clips("train", paths.cache_folder() / "speech")))
        save_file({"voices": torch.from_numpy(known)}, file)
    return model, load_file(file)["voices"].numpy()


def _readers(out: Path, steps: int) -> tuple[TextToSpeech, np.ndarray]:
    model, file = checkpoints.load("tts"), out / "readers.safetensors"
    if not file.exists():
        clips = reader_clips()
        history = learn_readers(model, clips, steps, out / "state.safetensors")
        if history.interrupted:
            raise KeyboardInterrupt  # it goes on from its state
        model.eval()
        save_file({**model.state_dict(), "of_readers": torch.from_numpy(voices_of(model, clips))}, file)
    tensors = load_file(file)
    known = tensors.pop("of_readers").numpy()
    model.load_state_dict({**model.state_dict(), **tensors})
    return model.eval(), known


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m data.build.spoken", description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="the folder for log-mels, in the cache or anywhere")
    parser.add_argument(
        "--parts", type=int, default=40, help=f"how many parts of {LINES} lines (a quarter of an hour each)"
    )
    parser.add_argument(
        "--share",
        type=int,
        nargs=2,
        default=(0, 1),
        metavar=("I", "N"),
        help="make the parts I, I + N, ..., once `--parts 4` is done",
    )
    options = parser.parse_args(arguments)
    make(options.out, options.parts, tuple(options.share))


if __name__ == "__main__":
    main()
