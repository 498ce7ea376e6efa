"""Words to phones: the dictionary, inflected forms of what is in it, and the letter-to-phone network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from course_utils.text.dictionary import letter_name, lexicon
from course_utils.text.normalisation import normalise, words
from course_utils.text.symbols import PHONES, PUNCTUATION

_VOICELESS, _HISSING = {"P", "T", "K", "F", "TH"}, {"S", "Z", "SH", "ZH", "CH", "JH"}


def _with_s(phones: tuple[str, ...]) -> tuple[str, ...]:
    if phones[-1] in _HISSING:
        return (*phones, "IH0", "Z")
    return (*phones, "S" if phones[-1] in _VOICELESS else "Z")


def _with_ed(phones: tuple[str, ...]) -> tuple[str, ...]:
    if phones[-1] in {"T", "D"}:
        return (*phones, "IH0", "D")
    return (*phones, "T" if phones[-1] in _VOICELESS | _HISSING - {"Z", "ZH", "JH"} else "D")


def _with_ly(phones: tuple[str, ...]) -> tuple[str, ...]:
    if phones[-3:] == ("K", "AH0", "L"):  # practical, practically
        phones = phones[:-2]
    return (*phones, "IY0") if phones[-1] == "L" else (*phones, "L", "IY0")


def _plus(*ending: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    return lambda phones: (*phones, *ending)


# ending, what the base may end with in writing, and what the ending adds in sound
_INFLECTIONS = [
    ("'s", [""], _with_s),
    ("s'", ["s", ""], lambda phones: phones),
    ("ies", ["y"], _with_s),
    ("es", ["e", ""], _with_s),
    ("s", [""], _with_s),
    ("ied", ["y"], _with_ed),
    ("ed", ["e", "", "double"], _with_ed),
    ("ing", ["", "e", "double"], _plus("IH0", "NG")),
    ("ness", [""], _plus("N", "AH0", "S")),
    ("less", [""], _plus("L", "AH0", "S")),
    ("ly", [""], _with_ly),
]


def inflected(word: str) -> tuple[str, ...] | None:
    """Pronounce an inflected form of a word in the dictionary, or return None."""
    for ending, bases, add in _INFLECTIONS:
        if ending == "s" and word.endswith("ss"):
            continue
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            start = word[: -len(ending)]
            for base in bases:
                if base == "double":
                    whole = start[:-1] if len(start) > 2 and start[-1] == start[-2] else ""
                else:
                    whole = start + base
                if len(whole) >= 3 and whole in lexicon():
                    return add(lexicon()[whole][0])
    return None


@lru_cache(maxsize=100_000)
def pronounce(word: str) -> tuple[str, ...]:
    """Return the usual pronunciation of a word in ARPAbet with stress: ("HH", "AH0", "L", "OW1").

    Looks in the dictionary, then for an inflected form (`'s`, plurals, -ed, -ing, -ness, -less, -ly) or a
    hyphen compound of words in it, and otherwise asks the letter-to-phone network (`course_utils.text.letter_to_phone`).
    Words that are written alike (read, lead) get the first entry. Raises ValueError when there is
    nothing to pronounce.
    """
    if not isinstance(word, str):
        raise TypeError(f"expected a word (str), got {type(word).__name__}")
    key = word.lower().replace("’", "'")
    if key in lexicon():
        return lexicon()[key][0]
    parts = words(word)
    if not parts:
        raise ValueError(f"nothing to pronounce in {word!r}: expected a word with letters a to z")
    return tuple(phone for part in parts for phone in _pronounce_part(part))


def _pronounce_part(word: str) -> tuple[str, ...]:
    if word in lexicon():
        return lexicon()[word][0]
    if rule := inflected(word):
        return rule
    if not re.search("[aeiouy]", word):  # "mp", "xz": nobody can say it, so spell it
        return tuple(phone for letter in word if letter != "'" for phone in letter_name(letter))
    from course_utils.text import letter_to_phone  # here, because it needs torch

    return letter_to_phone.predict([word])[0] or tuple(
        p for letter in word if letter != "'" for p in letter_name(letter)
    )


Own = Mapping[str, Sequence[str]]


def spoken(text: str, own: Own | None = None) -> tuple[list[str], list[tuple[str, int, int]]]:
    """Phones of a text with "sil" at both ends and at every punctuation mark, and its words: (word, first phone, end).

    A text without words gives ["sil"] and no words. `own` holds pronunciations that come before the dictionary's:
    {"siobhan": ("SH", "IH0", "V", "AO1", "N")}, each word as `normalise` leaves it, in capitals or not.

    Raises:
        ValueError: `own` has a word that can not occur, or phones that are not among `PHONES`.
    """
    corrected = {word.lower(): _checked(word, phones) for word, phones in (own or {}).items()}
    tokens = re.findall(r"[a-z']+|[,.?!;]", normalise(text))
    phones, words = ["sil"], []
    for i, token in enumerate(tokens):
        if token in PUNCTUATION:
            phones += ["sil"] if phones[-1] != "sil" else []
            continue
        letter = token == "a" and any(_is_letter_name(tokens, j) for j in (i - 1, i + 1))
        first = len(phones)
        phones += corrected.get(token) or (
            letter_name("a") if letter else pronounce(token)
        )  # A I: the letter, not the article
        words.append((token, first, len(phones)))
    phones += ["sil"] if phones[-1] != "sil" else []
    return phones, words


def _checked(word: str, phones: Sequence[str]) -> tuple[str, ...]:
    if not re.fullmatch("[a-z']+", word.lower()):
        raise ValueError(f"own: expected single words of the letters a to z, got {word!r}")
    if (
        isinstance(phones, str)
        or not phones
        or (unknown := [p for p in phones if p == "sil" or p not in PHONES])
    ):
        wrong = phones if isinstance(phones, str) or not phones else unknown
        raise ValueError(
            f"own: {word!r} needs a list of phones of text.PHONES, vowels with 0, 1 or 2, got {wrong!r}"
        )
    return tuple(phones)


def phonemes(text: str, pauses: bool = True, own: Own | None = None) -> list[str]:
    """Return the phones of a text, with "sil" at both ends and at every punctuation mark.

    `pauses=False` leaves "sil" out. A text without words gives ["sil"] (or nothing). `own` as in `spoken`.
    """
    phones, _ = spoken(text, own)
    return phones if pauses else [phone for phone in phones if phone != "sil"]


def _is_letter_name(tokens: Sequence[str], i: int) -> bool:
    return 0 <= i < len(tokens) and len(tokens[i]) == 1 and tokens[i].isalpha()
