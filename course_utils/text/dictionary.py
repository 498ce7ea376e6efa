"""CMUdict, the pronouncing dictionary."""

from __future__ import annotations

import lzma
from collections.abc import Iterable
from functools import cache

from course_utils import paths


@cache
def lexicon() -> dict[str, list[tuple[str, ...]]]:
    """Return CMUdict: lower-case word -> its pronunciations, each a tuple of ARPAbet phones with stress.

    126,052 words, read once (about 0.4 s). The first pronunciation is the usual one. Raises
    FileNotFoundError when the dictionary is not there.
    """
    path = paths.data_folder() / "lexicon" / "cmudict.txt.xz"
    if not path.exists():
        raise FileNotFoundError(
            f"no pronouncing dictionary at {path}: run from a complete copy of the course, "
            "or set COURSE_DATA to its data folder"
        )
    entries: dict[str, list[tuple[str, ...]]] = {}
    for line in lzma.decompress(path.read_bytes()).decode("utf-8").splitlines():
        word, *phones = line.partition(" #")[0].split()
        # further pronunciations are written word(2), word(3)
        entries.setdefault(word.partition("(")[0], []).append(tuple(phones))
    return entries


def letter_name(letter: str) -> tuple[str, ...]:
    """Return how the name of a letter a to z is said; "a" is the letter, not the article."""
    return ("EY1",) if letter == "a" else lexicon()[letter][0]


def without_stress(phones: Iterable[str]) -> tuple[str, ...]:
    """Return the phones without their stress digits."""
    return tuple(phone.rstrip("012") for phone in phones)
