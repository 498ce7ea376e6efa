"""Notebook 03 in a terminal."""

from __future__ import annotations

import argparse
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import chain
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from course_utils.commands import LEARN, argument, command

_REWRITE = "\r\x1b[K"  # to the beginning of the line, and clear it
_LONGEST, _BREATH = 60.0, 0.2
"""An utterance of more seconds than the first ends at the next silence of the second, which no word holds; of twice as
many, wherever its text stands for good: so memory stays constant."""


@command(
    "transcribe",
    LEARN,
    "write down what is said in a sound file of any length",
    argument("file", metavar="FILE", help="any sample rate; channels are averaged"),
    argument("--stream", action="store_true", help="show partial results, with times, as the file is read"),
    argument("--model", choices=["recognition", "phrases"], default="recognition", help="(recognition)"),
    argument("--chunk-ms", type=int, default=160, metavar="MS", help="decide every 32, 64, ... 640 ms (160)"),
    more="Text goes to stdout, one line for each utterance, which ends with a pause. 'recognition' knows any word, "
    "'phrases' digits, numbers, dates and commands. With --stream a terminal shows one line that changes; into a "
    "file or a pipe each change is a line with its time in seconds.",
    interrupted="interrupted; what was understood up to there is written",
)
def _transcribe(arguments: argparse.Namespace) -> int:
    from course_utils import audio, checkpoints, streaming

    chunk_ms = arguments.chunk_ms
    if chunk_ms % 32 or not 32 <= chunk_ms <= 640:
        raise ValueError(f"--chunk-ms: expected a multiple of 32 from 32 to 640, got {chunk_ms}")
    screen = _Screen(arguments.stream)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", audio.AudioWarning)
        # A bar and a line that is rewritten would write over each other.
        blocks = streaming.mono_blocks(
            arguments.file, "listening", not (arguments.stream and screen.terminal)
        )
        first = next(blocks)  # what is wrong with the file is said before a model is loaded
        stream = checkpoints.load(arguments.model).stream(chunk_ms=chunk_ms)
        try:
            for samples in _pieces(chain([first], blocks), chunk_ms * audio.SAMPLE_RATE // 1000):
                screen.hear(stream, stream.push(samples))
            screen.final(stream.finish())
        except (KeyboardInterrupt, ValueError):
            screen.final(stream.next_utterance())  # not `finish`: nothing more is computed
            raise
    for note in dict.fromkeys(str(note.message) for note in notes):
        print(f"course: {note}", file=sys.stderr)
    if not screen.lines:
        print("course: no words were understood", file=sys.stderr)
    return 0


def _pieces(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Blocks cut anew into chunks of `size` samples, as a microphone would deliver them; the last may be shorter."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // size * size
        yield from rest[:whole].reshape(-1, size)
        rest = rest[whole:]
    if len(rest):
        yield rest


class _Screen:
    """Utterances as lines on stdout, and with `partials` also what is understood so far."""

    def __init__(self, partials: bool):
        self.partials, self.terminal = partials, sys.stdout.isatty()
        self.shown, self.begin, self.lines = "", 0.0, 0

    def hear(self, stream: Any, partial: Any) -> None:
        """Show what `push` gave, and end the utterance where the speaker did."""
        if self.partials and partial.text != self.shown:
            self.shown = partial.text
            self._partial(f"{partial.seconds:8.2f}  {partial.text}")
        lasted = partial.seconds - self.begin
        too_long = lasted > 2 * _LONGEST or (lasted > _LONGEST and partial.silence >= _BREATH)
        if partial.endpoint or (too_long and partial.text == partial.stable):
            self.final(stream.next_utterance())
            self.begin = partial.seconds

    def _partial(self, line: str) -> None:
        if not self.terminal:
            print(line, flush=True)
            return
        room = shutil.get_terminal_size().columns - 1
        if len(line) > room:  # what is new stands at the end
            line = f"{line[:10]}…{line[11 - room :]}"
        print(f"{_REWRITE}{line}", end="", flush=True)

    def final(self, partial: Any) -> None:
        """A line for an utterance that is over."""
        if self.partials and self.terminal and self.shown:
            print(_REWRITE, end="")
        self.shown = ""
        if partial.text:
            times = f"{partial.words[0].start:8.2f} to {partial.words[-1].end:.2f}  " if self.partials else ""
            with (
                tqdm.external_write_mode(sys.stdout) if self.terminal else nullcontext()
            ):  # above a bar, not into it
                print(f"{times}{partial.text}", flush=True)
            self.lines += 1
