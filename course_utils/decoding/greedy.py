"""The simplest decoding, and the end of an utterance."""

from __future__ import annotations

import numpy as np

from course_utils.decoding.partial import STEP_SECONDS, Partial, Word


class GreedyDecoder:
    """The best class of every step: repetitions merge, blanks go. What is written is never taken back."""

    def __init__(self, units: tuple[str, ...]):
        self.units, self.letters = units, " " in units
        self.words: list[Word] = []  # complete ones
        self.open: list[tuple[str, int]] = []  # letters of the word that is coming, and their steps
        self.last = self.step = 0

    def push(self, log_probs: np.ndarray) -> None:
        """Take log-probabilities (n, units + 1) of the next n steps."""
        for best in log_probs.argmax(-1).tolist():
            if best and best != self.last:
                self._unit(self.units[best - 1])
            self.last, self.step = best, self.step + 1

    def _unit(self, unit: str) -> None:
        if unit != " ":
            self.open.append((unit, self.step))
        if unit == " " or not self.letters:
            self._close()

    def _close(self) -> None:
        if self.open:
            self.words.append(self._word())
            self.open = []

    def _word(self) -> Word:
        text = "".join(unit for unit, _ in self.open)
        return Word(text, self.open[0][1] * STEP_SECONDS, (self.open[-1][1] + 1) * STEP_SECONDS)

    def partial(self) -> Partial:
        """What stands there now."""
        words = [*self.words, self._word()] if self.open else self.words
        stable, text = (" ".join(word.text for word in row) for row in (self.words, words))
        return Partial(text, stable, tuple(words), self.step * STEP_SECONDS)

    def finish(self) -> Partial:
        """The end of the utterance: the last word is complete."""
        self._close()
        return self.partial()


class Endpointer:
    """Says that an utterance is over: something was said, and then nothing for `pause` seconds."""

    def __init__(self, pause: float = 0.8):
        self.pause = round(pause / STEP_SECONDS)
        self.silent, self.spoken = 0, False

    def push(self, log_probs: np.ndarray) -> bool:
        """Take log-probabilities (n, units + 1); True once the pause is long enough."""
        for blank in log_probs[:, 0] > np.log(0.5):
            self.silent, self.spoken = (self.silent + 1, self.spoken) if blank else (0, True)
        return self.spoken and self.silent >= self.pause
