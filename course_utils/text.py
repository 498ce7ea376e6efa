"""From written English to sounds: normalised words, ARPAbet phonemes, and symbols as integers."""

from __future__ import annotations

import gzip
import os
from functools import cache
from pathlib import Path


def data_folder() -> Path:
    """Return the folder of the bundled data: `$COURSE_DATA`, or `data/` beside the package."""
    return Path(os.environ.get("COURSE_DATA") or Path(__file__).resolve().parents[1] / "data")


@cache
def lexicon() -> dict[str, list[tuple[str, ...]]]:
    """Return CMUdict: lower-case word -> its pronunciations, each a tuple of ARPAbet phones with stress.

    126,052 words, read once (about 0.4 s). The first pronunciation is the usual one. Raises
    FileNotFoundError when the dictionary is not there.
    """
    path = data_folder() / "lexicon" / "cmudict.txt.gz"
    if not path.exists():
        raise FileNotFoundError(
            f"no pronouncing dictionary at {path}: run from a complete copy of the course, "
            "or set COURSE_DATA to its data folder"
        )
    entries: dict[str, list[tuple[str, ...]]] = {}
    for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines():
        word, *phones = line.partition(" #")[0].split()
        # further pronunciations are written word(2), word(3)
        entries.setdefault(word.partition("(")[0], []).append(tuple(phones))
    return entries
