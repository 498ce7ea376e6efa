"""The naive streaming recogniser, which decodes everything again, and LocalAgreement, which makes it calm."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise

import numpy as np

from course_utils.buffers import whole_number
from course_utils.decoding.partial import Partial
from course_utils.paths import SAMPLE_RATE
from course_utils.waveform import check


def agreed(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """The words at the beginning of both, up to the first that differs."""
    same = [a == b for a, b in zip(first, second, strict=False)]
    return list(first[: [*same, False].index(False)])


class GrowingBuffer:
    """The naive streaming recogniser: every `every_s` seconds (or a chunk later) it decodes all that it has heard.

    `transcribe` makes text of a waveform (time,), so words have no times. `decoded` counts the seconds of sound that
    went through it. With `agreement`, some words are stable before the end.
    """

    def __init__(self, transcribe: Callable, every_s: float = 1.0, agreement: LocalAgreement | None = None):
        if not 0 < every_s < np.inf:
            raise ValueError(f"every_s: expected seconds above 0, got {every_s!r}")
        self.transcribe, self.every, self.agreement = transcribe, every_s * SAMPLE_RATE, agreement
        self.heard, self.fresh, self.decoded = [], 0, 0.0  # chunks, samples that are new, seconds
        self.latest, self.finished = Partial(), False

    def push(self, chunk: np.ndarray) -> Partial:
        """Take samples (time,) at 16 kHz; returns what the last decoding understood. AudioError: no mono sound."""
        if self.finished:
            raise RuntimeError("this stream is finished; begin another one")
        self.heard.append(check(chunk, "chunk").copy())
        self.fresh += len(chunk)
        if self.fresh >= self.every:
            self._decode()
        return self.latest

    def _decode(self) -> None:
        self.heard, self.fresh = [np.concatenate(self.heard)], 0
        seconds = len(self.heard[0]) / SAMPLE_RATE
        self.decoded += seconds
        stable, rest = [], self.transcribe(self.heard[0]).split()
        if self.agreement:
            stable, rest = self.agreement.push(rest)
        self.latest = Partial(" ".join(stable + rest), " ".join(stable), seconds=seconds)

    def finish(self) -> Partial:
        """No more sound comes: the final text, all of it stable. The stream is used up."""
        if self.fresh:
            self._decode()
        self.finished = True
        return Partial(self.latest.text, self.latest.text, seconds=self.latest.seconds)


class LocalAgreement:
    """Words are stable once n hypotheses in a row agree on them (Liu et al., 2020), and are never taken back.

    Where a later hypothesis changes a stable word, the word stays, and what follows is taken by its place.
    """

    def __init__(self, n: int = 2):
        self.n, self.stable = whole_number(n, "n", 1), []
        self.recent: deque[list[str]] = deque(maxlen=self.n)

    def push(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """Take the words of a new hypothesis; returns all stable words, and what the hypothesis has after them."""
        if isinstance(words, str):
            raise ValueError(f"words: expected a list of words, got the text {words!r}; use words.split()")
        self.recent.append(list(words))
        if len(self.recent) == self.n:
            self.stable += reduce(agreed, [one[len(self.stable) :] for one in self.recent])
        return list(self.stable), list(words[len(self.stable) :])


def hypotheses(
    transcribe: Callable[[np.ndarray], str], waveform: np.ndarray, every_s: float = 1.0
) -> list[list[str]]:
    """The words that a `GrowingBuffer` shows after each `every_s` of a waveform (time,), and at its end."""
    stream, size = GrowingBuffer(transcribe, every_s), round(every_s * SAMPLE_RATE)
    shown = [stream.push(waveform[i : i + size]).text.split() for i in range(0, len(waveform), size)]
    return [*shown, stream.finish().text.split()]


def flicker(shown: Sequence[Sequence[str]]) -> float:
    """Words that changed with the next hypothesis, per word of the last."""
    return sum(len(a) - len(agreed(a, b)) for a, b in pairwise(shown)) / max(1, len(shown[-1]))


def first_shown(shown: Sequence[Sequence[str]]) -> list[int]:
    """For each word of the last hypothesis the number of the first that has it, with all words before it."""
    last = list(shown[-1])
    return [
        next(i for i, row in enumerate(shown) if list(row[: k + 1]) == last[: k + 1])
        for k in range(len(last))
    ]
