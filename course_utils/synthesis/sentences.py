"""What is said in one go, and how."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from numbers import Integral, Real

from course_utils import text

LONGEST = 40
"""Words that are said in one go."""
LETTERS = 60
"""Letters of the longest word: what is longer is cut, because no English word is."""
BLOCK = 1000
"""Characters that are normalised at once where a text has no clear ends of sentences."""
LIMITS = {"speed": (0.25, 4.0), "pitch": (-24.0, 24.0), "steps": (1, 64), "guidance": (0.0, 5.0)}

# A new paragraph, or the end of a sentence: a mark after a word that is too long to be an abbreviation, before a capital.
_END = re.compile(
    r"\n\s*\n|(?<=[a-z]{6})[.?!;]['\")”’]*\s+(?=['\"(“‘]?[A-Z])|(?<=[a-z])[?!]['\")”’]*\s+(?=[A-Z])"
)


def blocks(written: str) -> Iterator[str]:
    """A text cut where a paragraph or a sentence clearly ends, else at a space, into at most `BLOCK` characters.

    Joined they are the text again. Numbers and abbreviations are read by what stands around them, so a sentence stays
    whole; a text is not normalised as a whole, because its beginning is to be heard before its end is looked at.
    """
    at = 0
    while at < len(written):
        limit = at + BLOCK
        found = _END.search(written, at, limit + 1)
        end = found.end() if found else limit
        if not found and limit < len(written):
            space = max(written.rfind(" ", at, limit), written.rfind("\n", at, limit))
            end = space + 1 if space > at else limit
        yield written[at:end]
        at = end


def _cut(word: str) -> list[str]:
    return [word[at : at + LETTERS] for at in range(0, len(word), LETTERS)]


def _pieces(written: str) -> Iterator[str]:
    for block in blocks(written):
        for piece in re.findall(r"[^.?!;]+[.?!;]*", text.normalise(block)):
            words = [part for word in piece.split() for part in _cut(word)]
            for at in range(0, len(words), LONGEST):
                said = " ".join(words[at : at + LONGEST])
                if re.search("[a-z]", said):
                    yield said


def _checked(written: object) -> str:
    if not isinstance(written, str):
        raise TypeError(f"expected a text (str), got {type(written).__name__}")
    return written


def sentences(written: str | Iterable[str]) -> Iterator[str]:
    """The pieces of a text that are said one after the other: up to a mark, or `LONGEST` words.

    They are made one at a time. A text may also come in parts, for example lines, each of whole sentences.

    Raises:
        TypeError, ValueError: no text, or nothing in it that can be said.
    """
    if isinstance(written, str) or not isinstance(written, Iterable):
        said = _pieces(_checked(written))
        shown = written[:40]
    else:
        said, shown = (
            (piece for part in written for piece in _pieces(_checked(part))),
            "the parts of the text",
        )
    first = next(said, None)
    if first is None:
        raise ValueError(f"there is nothing to say in {shown!r}: expected words with letters, or numbers")
    return chain([first], said)


def settings(speed: float = 1.0, pitch: float = 0.0, steps: int = 4, guidance: float = 0.5) -> dict:
    """How to say something, checked: speed, pitch in semitones, steps of the flow, strength of the guidance.

    Raises:
        ValueError: a number out of `LIMITS`, or none.
    """
    how = {"speed": speed, "pitch": pitch, "steps": steps, "guidance": guidance}
    for name, (low, high) in LIMITS.items():
        kind = Integral if name == "steps" else Real
        if isinstance(how[name], bool) or not isinstance(how[name], kind) or not low <= how[name] <= high:
            whole = "a whole number" if kind is Integral else "a number"
            raise ValueError(f"{name}: expected {whole} from {low:g} to {high:g}, got {how[name]!r}")
    return {name: int(value) if name == "steps" else float(value) for name, value in how.items()}
