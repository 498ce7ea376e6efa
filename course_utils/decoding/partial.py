"""What a recogniser has understood so far."""

from __future__ import annotations

from dataclasses import dataclass

STEP_SECONDS = 0.032
"""Between two rows of log-probabilities: two frames of the log-mel."""


@dataclass(frozen=True)
class Word:
    """A word, and when its first and last unit came out, in seconds of the stream."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Partial:
    """What was understood so far.

    `text` is the best guess, `stable` the part at its beginning that will not change any more, `words` are those of
    `text` with times, `seconds` how much was heard, `silence` for how many of the last ones no unit came out;
    `endpoint`: the speaker seems to have finished.
    """

    text: str = ""
    stable: str = ""
    words: tuple[Word, ...] = ()
    seconds: float = 0.0
    endpoint: bool = False
    silence: float = 0.0
