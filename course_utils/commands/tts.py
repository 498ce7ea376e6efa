"""Notebook 04 in a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from course_utils.commands import LEARN, argument, command

_LONGEST = 20_000_000
"""Characters of a text file: a hundred novels."""


@command(
    "say",
    LEARN,
    "read a text aloud, into a sound file",
    argument("text", metavar="TEXT", help="what to say, in English; with --text-file the file that it is in"),
    argument(
        "target", metavar="OUT.WAV", help="its ending says the format: .wav, .flac, .ogg, .opus or .mp3"
    ),
    argument(
        "--text-file", action="store_true", help="TEXT names a file, of any length; - is standard input"
    ),
    argument("--speaker", metavar="NAME", help="one of the course's voices (the first)"),
    argument(
        "--mix",
        nargs=3,
        metavar=("NAME", "NAME", "SHARE"),
        help="a voice between two: share 0 is the first, 1 the second",
    ),
    argument("--speed", type=float, default=1.0, help="0.25 to 4 times as fast (1)"),
    argument("--pitch", type=float, default=0.0, help="-24 to 24 semitones higher (0)"),
    argument("--seed", type=int, default=0, help="the same words said another time (0)"),
    more="The text is said sentence by sentence, so that memory stays constant. The file says in its metadata that it is "
    "synthetic speech, and by which voice. An existing OUT.WAV is replaced at the end.",
    interrupted="interrupted; what was said up to there is in the file, and if nothing was, nothing is changed",
)
def _say(arguments: argparse.Namespace) -> int:
    from course_utils import checkpoints
    from course_utils.audio_files import SoundWriter
    from course_utils.paths import SAMPLE_RATE
    from course_utils.synthesis.sentences import blocks

    text = _text(arguments)
    model = checkpoints.load("tts")
    name, voice = _voice(arguments, model)
    with tqdm(total=len(text.split()), desc="speaking", unit=" words", delay=1) as bar:

        def counted() -> Iterator[str]:
            for block in blocks(text):
                yield block
                bar.update(len(block.split()))  # asked for the next one: this one is said

        sound = model.stream(
            counted(), spk_emb=voice, seed=arguments.seed, speed=arguments.speed, pitch=arguments.pitch
        )
        comment = f"synthetic speech: voice {name} of the course's text-to-speech model"
        with SoundWriter(arguments.target, SAMPLE_RATE, comment=comment) as writer:
            said, loud, stopped = _write(sound, writer)
    if loud:
        print(f"course: {loud} samples were above full scale and are cut", file=sys.stderr)
    if stopped:
        raise KeyboardInterrupt  # the file is complete by now
    print(f"{arguments.target}: {said / SAMPLE_RATE:.1f} s")
    return 0


def _write(sound: Iterator[np.ndarray], writer: Any) -> tuple[int, int, bool]:
    """Samples written, samples that were too loud, and whether Ctrl-C ended it."""
    said = loud = 0
    try:
        for waveform in sound:
            loud += int((np.abs(waveform) > 1).sum())
            writer.write(np.clip(waveform, -1, 1))
            said += len(waveform)
    except KeyboardInterrupt:
        if not said:
            raise
        return said, loud, True
    return said, loud, False


def _text(arguments: argparse.Namespace) -> str:
    name = arguments.text
    if not arguments.text_file:
        return name
    try:
        if name == "-":
            text = sys.stdin.read(_LONGEST + 1)
        else:
            with Path(name).open(encoding="utf-8-sig") as file:
                text = file.read(_LONGEST + 1)
    except FileNotFoundError as error:
        raise ValueError(f"--text-file: there is no file {name} (looked in {Path.cwd()})") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--text-file: {name} is no text in UTF-8 (byte {error.start}); save it as one"
        ) from error
    except OSError as error:
        raise ValueError(f"--text-file: {name} can not be read: {error.strerror}") from error
    if len(text) > _LONGEST:
        raise ValueError(f"--text-file: more than {_LONGEST} characters; cut it into several files")
    return text


def _voice(arguments: argparse.Namespace, model: Any) -> tuple[str, np.ndarray]:
    """The name and the numbers of the voice that is meant."""
    if arguments.mix is None:
        name = arguments.speaker or model.speakers[0]
        return name, model.voice(name)
    if arguments.speaker is not None:
        raise ValueError("give --speaker or --mix, not both")
    first, second, share = arguments.mix
    try:
        part = float(share)
    except ValueError as error:
        raise ValueError(f"--mix: expected two voices and a share from 0 to 1, got {share!r}") from error
    return f"{first} and {second}, {share}", model.mix(model.voice(first), model.voice(second), part)
