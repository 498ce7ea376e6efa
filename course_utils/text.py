"""From written English to sounds: normalised words, ARPAbet phones, and symbols as integers.

>>> normalise("Dr. Smith paid $3.50 at 14:05.")
'doctor smith paid three dollars and fifty cents at fourteen oh five.'
>>> phonemes("Hello, GPU!")
['sil', 'HH', 'AH0', 'L', 'OW1', 'sil', 'JH', 'IY1', 'P', 'IY1', 'Y', 'UW1', 'sil']
"""

from __future__ import annotations

import gzip
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

LETTERS = "'abcdefghijklmnopqrstuvwxyz"
CHARACTERS = " " + LETTERS  # what a recogniser of letters writes: no punctuation
PUNCTUATION = ",.?!;"

_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
# The 39 phones of ARPAbet, vowels with their stress (0 none, 1 main, 2 secondary), and silence.
PHONES = ("sil", *_CONSONANTS, *(vowel + stress for vowel in _VOWELS for stress in "012"))


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


# --- numbers as words -------------------------------------------------------------------------------

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,6}(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
_MONTHS = "January February March April May June July August September October November December".split()
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|" + "|".join(_MONTHS) + r")\b\.?"
_DIGITS = "zero one two three four five six seven eight nine".split()


@cache
def _inflect():
    import inflect  # here, because its import takes two seconds of CPU time

    return inflect.engine()


@cache
def _cardinal(number: int) -> str:
    return _inflect().number_to_words(number, andword="").replace(",", "").replace("-", " ")


def _ordinal(number: int) -> str:
    return _inflect().ordinal(_cardinal(number))


def _digits(digits: str) -> str:
    return " ".join(_DIGITS[int(digit)] for digit in digits)


def _number(digits: str) -> str:
    """Read a number as written: "1,234", "3.14"; "007" and very long ones digit by digit."""
    whole, _, decimals = digits.replace(",", "").partition(".")
    run_together = len(whole) > 15 or (len(whole) > 1 and whole[0] == "0")
    spoken = _digits(whole) if run_together else _cardinal(int(whole))
    return spoken + (" point " + _digits(decimals) if decimals else "")


def _year(year: int) -> str:
    if year < 1010 or year > 2099 or 2000 <= year <= 2009 or year % 1000 == 0:
        return _cardinal(year)
    century, rest = divmod(year, 100)
    tail = "hundred" if rest == 0 else f"oh {_cardinal(rest)}" if rest < 10 else _cardinal(rest)
    return f"{_cardinal(century)} {tail}"


def _plural(word: str) -> str:
    return word[:-1] + "ies" if word.endswith("y") else word + ("es" if word.endswith("x") else "s")


def _time(match: re.Match) -> str:
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    half = match["half"] and f" {match['half'][0].lower()} m"
    if hour > 24 or minute > 59 or (half and not 1 <= hour <= 12):
        return f" {_number(match['hour'])} {_number(match['minute'] or '0')} {half or ''} "
    if minute:
        tail = f" oh {_cardinal(minute)}" if minute < 10 else f" {_cardinal(minute)}"
    else:
        tail = "" if half else " o'clock" if 1 <= hour <= 12 else " hundred"
    seconds = f" and {_count(str(int(match['second'])), 'second')}" if match["second"] else ""
    return f" {_cardinal(hour)}{tail}{half or ''}{seconds}{_closing_stop(match)} "


def _spoken_date(day: str, month: str | int, year: str | None) -> str:
    month = _MONTHS[month - 1] if isinstance(month, int) else _full_month(month)
    return f" the {_ordinal(int(day))} of {month} {_year(int(year)) if year else ''} "


def _full_month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name[:3]))


def _numeric_date(match: re.Match) -> str:
    """Read 3/4/2026 and 3.4.2026 day first; month first only where a day cannot be meant (4/22/2026)."""
    day, month = int(match[1]), int(match[3])
    if month > 12:
        day, month = month, day
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return " ".join(f" {_number(part)} " for part in (match[1], match[3], match[4]))
    return _spoken_date(str(day), month, match[4])


def _iso_date(match: re.Match) -> str:
    if not (1 <= int(match[2]) <= 12 and 1 <= int(match[3]) <= 31):
        return " ".join(f" {_number(part)} " for part in match.groups())
    return _spoken_date(match[3], int(match[2]), match[1])


_MONEY = {
    "$": ("dollar", "cent"),
    "€": ("euro", "cent"),
    "£": ("pound", "penny"),
    "¥": ("yen", ""),
}
_SCALES = {"k": "thousand", "m": "million", "bn": "billion", "b": "billion"}


def _money(match: re.Match) -> str:
    unit, small = _MONEY[match["sign"]]
    amount, scale = match["amount"], match["scale"]
    if scale:
        return f" {_number(amount)} {_SCALES.get(scale.lower(), scale.lower())} {_several(unit)} "
    whole, _, cents = amount.replace(",", "").partition(".")
    if small and len(cents) == 2:
        parts = [_count(whole, unit)] if int(whole) or not int(cents) else []
        parts += [_count(cents.lstrip("0"), small)] if int(cents) else []
        return f" {' and '.join(parts)} "
    return f" {_count(amount, unit)} "


def _several(unit: str) -> str:
    return {"yen": "yen", "penny": "pence"}.get(unit, _plural(unit))


def _count(number: str, unit: str) -> str:
    return f"{_number(number)} {unit if number == '1' else _several(unit)}"


_UNITS = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "kbit/s": ("kilobit per second", "kilobits per second"),
    "Mbit/s": ("megabit per second", "megabits per second"),
    "°C": ("degree celsius", "degrees celsius"),
    "°F": ("degree fahrenheit", "degrees fahrenheit"),
    "°": ("degree", "degrees"),
    "%": ("percent", "percent"),
    "¢": ("cent", "cents"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "ft": ("foot", "feet"),
    "lbs": ("pound", "pounds"),
    **{
        sign: (name, name + "s")
        for sign, name in (
            pair.split("=")
            for pair in "km=kilometer m=meter cm=centimeter mm=millimeter kg=kilogram g=gram mg=milligram "
            "l=liter ml=milliliter h=hour min=minute s=second ms=millisecond μs=microsecond dB=decibel "
            "kB=kilobyte KB=kilobyte MB=megabyte GB=gigabyte TB=terabyte V=volt W=watt kW=kilowatt "
            "lb=pound oz=ounce".split()
        )
    },
}


def _measure(match: re.Match) -> str:
    # "a 16-kHz signal" has no plural
    singular = match["amount"] == "1" or match["gap"] == "-"
    return f" {_number(match['amount'])} {_UNITS[match['unit']][0 if singular else 1]} "


def _fraction(match: re.Match) -> str:
    over, under = int(match["over"]), int(match["under"])
    whole = f" {_number(match['whole'])} and" if match["whole"] else ""
    if under not in (*range(2, 11), 12, 16, 20, 32, 64, 100) or not 0 < over < under:
        return f"{whole} {_number(match['over'])} over {_number(match['under'])} "
    name = {2: "half", 4: "quarter"}.get(under) or _ordinal(under)
    if over > 1:
        name = "halves" if under == 2 else name + "s"
    return f"{whole} {_cardinal(over)} {name} "


# --- the rules of normalise, in the order in which they are applied -----------------------------------

_ABBREVIATIONS = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "ms",
    "dr": "doctor",
    "prof": "professor",
    "rev": "reverend",
    "capt": "captain",
    "sgt": "sergeant",
    "etc": "et cetera",
    "vs": "versus",
    "approx": "approximately",
    "e.g": "for example",
    "i.e": "that is",
    "ph.d": "p h d",
    "jr": "junior",
    "inc": "incorporated",
    "ltd": "limited",
    "corp": "corporation",
}
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50}
_NUMBERED = "Chapter|Part|Volume|Section|Act|Scene|War|Book|Phase|Type|Article|Figure|Table|Appendix|Lesson"
_NUMBERED_RULERS = (
    "Henry|Louis|Elizabeth|George|Edward|Charles|Richard|William|James|John|Paul|Philip|Frederick|"
    "Napoleon|Catherine|Pius|Benedict|Leo|Alexander|Francis|Nicholas|Ivan|Peter"
)
# In capitals these are letters, although the dictionary knows only a word written alike.
_SPELT = {"IT", "UN", "ADC", "USA"}


def _abbreviation(match: re.Match) -> str:
    return f" {_ABBREVIATIONS[match[1].lower()]}{_closing_stop(match)} "


def _closing_stop(match: re.Match) -> str:
    """Return "." where the dot of an abbreviation also ends the sentence (not after "Mr.")."""
    rest = _REST.match(match.string, match.end())
    may_close = re.search(r"\b(etc|inc|ltd|corp|jr|[ap]\.m)\.$", match[0], re.I)
    return "." if match[0].endswith(".") and rest and (rest["end"] is not None or may_close) else ""


_REST = re.compile(r"(?P<end>\s*$)|\s+[A-Z]")


def _letters(match: re.Match) -> str:
    return " " + " ".join(re.sub("[^a-z]", "", match[0].lower())) + _closing_stop(match) + " "


def _roman(numeral: str) -> int:
    values = [_ROMAN[letter] for letter in numeral]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < after else value for value, after in pairs)


def _initialism(match: re.Match) -> str:
    """Spell GPU, CTC and IBM out; leave NASA and texts all in capitals as words."""
    word, ending = match[1].lower(), "'s" if match[2] else ""
    names = tuple(phone for letter in word for phone in _letter(letter))
    if re.search("[a-z]", match.string) or " " not in match.string.strip():
        as_word = word in lexicon() and match[1] not in _SPELT
        as_word = as_word and all(_bare(p) != _bare(names) for p in lexicon()[word])
        as_word = as_word or len(word) > 5
    else:
        as_word = True
    as_word = as_word and (re.search("[aeiouy]", word) or word in lexicon())
    return match[0] if as_word else f" {' '.join(word)}{ending} "


def _camel_case(match: re.Match) -> str:
    """Part LibriSpeech into its words; McDonald and what the dictionary knows stay whole."""
    if match[0].lower() in lexicon() or match[0].startswith(("Mc", "Mac")):
        return match[0]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", match[0])


def _bare(phones: Iterable[str]) -> tuple[str, ...]:
    return tuple(phone.rstrip("012") for phone in phones)


_Rule = tuple[re.Pattern, Callable[[re.Match], str] | str]


def _rule(pattern: str, replace: Callable[[re.Match], str] | str, flags: int = 0) -> _Rule:
    return re.compile(pattern, flags), replace


_RULES: list[_Rule] = [
    # a run of digits that nobody reads as one number
    _rule(r"(\.?)([0-9]{16,})", lambda m: f" {'point' if m[1] else ''} {_digits(m[2])} "),
    # abbreviations
    _rule(
        r"(?<![\w.])(?<![0-9] )(" + "|".join(map(re.escape, _ABBREVIATIONS)) + r")\.(?!\w)",
        _abbreviation,
        re.I,
    ),
    _rule(r"\b(Mr|Mrs|Ms|Dr|Prof)(?=\s+[A-Z])", lambda m: _ABBREVIATIONS[m[1].lower()]),
    _rule(r"(?<=[a-z])( St\.)(?=\s*$)", " Street."),
    _rule(r"(?<=[a-z])( St\.)(?!\s+[A-Z])", " Street "),
    _rule(r"\bSt\.(?=\s)", "Saint"),
    _rule(r"\b(No\.\s*|no\.)(?=[0-9])", "number "),
    _rule(r"\b(p|Fig|Eq|Vol|Sec|Ch)\.\s*(?=[0-9])", lambda m: _FULL[m[1].lower()] + " ", re.I),
    _rule(r"(^|[.!?] |[A-Z][a-z]+ )((?:[A-HJ-Z]\. )+)(?=[A-Z][a-z])", lambda m: m[1] + m[2].replace(".", "")),
    # Roman numerals, only after words that announce them
    _rule(rf"\b({_NUMBERED}) ([IVXL]+)\b", lambda m: f"{m[1]} {_cardinal(_roman(m[2]))} "),
    _rule(
        rf"\b({_NUMBERED_RULERS}) ([IVX]{{2,}}|[VX](?!\.))\b",
        lambda m: f"{m[1]} the {_ordinal(_roman(m[2]))} ",
    ),
    # times
    _rule(
        r"(?<![\w:.])(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2}))?(?P<second>)\s?(?P<half>[ap](?:m\b|\.m\.))(?!\w)",
        _time,
        re.I,
    ),
    _rule(
        r"(?<![\w:.])(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-5][0-9]))?(?P<half>)(?![\w:])",
        _time,
    ),
    _rule(r"(?<=[0-9]):(?=[0-9])", " to "),
    _rule(r"\b(?:[A-Za-z]\.){2,}(?!\w)", _letters),
    # dates
    _rule(r"(?<![\w-])([0-9]{4})-([0-9]{2})-([0-9]{2})(?![\w-])", _iso_date),
    _rule(r"(?<![\w/.])([0-9]{1,2})([/.])([0-9]{1,2})\2([0-9]{4})(?!\w)", _numeric_date),
    _rule(
        rf"(?:\b[Tt]he )?(?<![\w.,])([0-2]?[0-9]|3[01])(?:st|nd|rd|th)?(?: of)? ({_MONTH})(?:,? ([0-9]{{4}})\b)?",
        lambda m: _spoken_date(m[1], m[2], m[3]),
    ),
    _rule(
        rf"\b({_MONTH}) ([0-9]{{1,2}})(?:st|nd|rd|th)?(?![\w:])(?:(,?) ([0-9]{{4}})\b)?",
        lambda m: (
            f" {_full_month(m[1])} {_ordinal(int(m[2]))}{m[3] or ''} {_year(int(m[4])) if m[4] else ''} "
        ),
    ),
    _rule(rf"\b({_MONTH})(?=,? [0-9]{{4}}\b)", lambda m: _full_month(m[1])),
    # decades
    _rule(r"\b((?:1[1-9]|20)[0-9]0)'?s\b", lambda m: f" {_plural(_year(int(m[1])))} "),
    _rule(r"(?:'|(?<=[Tt]he )'?)([2-9]0)'?s\b", lambda m: f" {_plural(_cardinal(int(m[1])))} "),
    _rule(r"(?<=[0-9])\s?-\s?(?=[0-9])", " to "),
    # money, measures, fractions, scientific notation, ordinals
    _rule(
        rf"(?P<sign>[$€£¥])\s?(?P<amount>{_NUMBER})(?:\s?(?P<scale>thousand|million|billion|trillion|bn|[kmb])\b)?",
        _money,
        re.I,
    ),
    _rule(rf"(?P<amount>{_NUMBER})\s?(?P<sign>[€£¥])(?P<scale>)", _money),
    _rule(r"(?<![\w.])-(?=\.?[0-9])", " minus "),
    _rule(
        rf"(?P<amount>{_NUMBER})(?P<gap>[ -]?)(?P<unit>"
        + "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
        + r")(?![\w/])",
        _measure,
    ),
    _rule(
        r"(?<![\w/.,])(?:(?P<whole>[0-9]+) )?(?P<over>[0-9]+)/(?P<under>[0-9]+)(?![\w/])",
        _fraction,
    ),
    _rule(
        rf"({_NUMBER})e([+-]?)([0-9]+)\b",
        lambda m: f" {_number(m[1])} times ten to the {'minus ' if m[2] == '-' else ''}{_number(m[3])} ",
        re.I,
    ),
    _rule(r"\b([0-9]{1,15})(?:st|nd|rd|th)\b", lambda m: f" {_ordinal(int(m[1]))} ", re.I),
    # plain numbers
    _rule(r"(?<=[0-9])\s?[x×*]\s?(?=[0-9])", " times "),
    _rule(r"(?<![0-9.,])((?:19|20)[0-9]{2})(?![0-9]|[.,][0-9])", lambda m: f" {_year(int(m[1]))} "),
    _rule(
        r"\b([Ii]n|[Ss]ince|[Yy]ear|[Uu]ntil|[Bb]efore|[Aa]fter) (1[0-8][0-9]{2})(?![0-9]|[.,][0-9])",
        lambda m: f"{m[1]} {_year(int(m[2]))} ",
    ),
    _rule(r"(?<![0-9])\.(?=[0-9])", " zero point "),
    _rule(r"(?<=[0-9])\.(?=[0-9]+\.[0-9])", " point "),  # 1.2.3
    _rule(_NUMBER, lambda m: f" {_number(m[0])} "),
    # letters and symbols
    _rule(r"(?<![A-Za-z'])([A-Z]{2,})('?s)?(?![A-Za-z'])", _initialism),
    _rule(r"\b[A-Za-z]*[a-z][A-Z][A-Za-z]*", _camel_case),
    _rule(r"\bhttps?://(?:www\.)?", " ", re.I),
    _rule(r"(?<=[A-Za-z])\.(?=[a-z])", " dot "),
    _rule("[&@+=%€£¥$°×#<>~μ]", lambda m: f" {_SYMBOLS[m[0]]} "),
]
_FULL = {"p": "page", "fig": "figure", "eq": "equation", "vol": "volume", "sec": "section", "ch": "chapter"}
_SYMBOLS = {
    "&": "and",
    "@": "at",
    "+": "plus",
    "=": "equals",
    "%": "percent",
    "°": "degrees",
    "×": "times",
    "€": "euros",
    "£": "pounds",
    "¥": "yen",
    "$": "dollars",
    "#": "number",
    "<": "less than",
    ">": "greater than",
    "~": "about",
    "μ": "mu",
}
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛`´ʼ′", "'"),
        **dict.fromkeys('“”„«»"″', " "),
        **dict.fromkeys("‐‑‒−", "-"),
        **dict.fromkeys("–—―", " - "),
        **dict(zip("ßæÆœŒøØłŁđĐþÞð", "ss ae Ae oe Oe o O l L d D th Th d".split(), strict=True)),
        "…": ". ",
        "²": " squared ",
        "³": " cubed ",
    }
)


def _plain(text: str) -> str:
    """Bring Unicode down to ASCII (and a few signs that are read aloud); drop what has no sound."""
    text = re.sub(r"(?<=[0-9])[–—](?=[0-9])", "-", text).translate(_PLAIN)
    text = re.sub(r"(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))", "", text)  # 1 000 000
    kept = []
    for character in text:
        if unicodedata.decomposition(character).startswith("<fraction>"):
            character = " " + unicodedata.normalize("NFKC", character).replace("⁄", "/")
        kept.append(character)
    result = []
    for character in unicodedata.normalize("NFKD", "".join(kept)):
        if character.isascii():
            result.append(character if character.isprintable() else " ")
        elif character in "€£¥¢°×μ":
            result.append(character)
        elif character.isdecimal():
            result.append(str(unicodedata.decimal(character)))
        elif (name := unicodedata.name(character, "")).startswith("GREEK") and character.isalpha():
            result.append(f" {name.split(' WITH ')[0].split()[-1].lower().replace('lamda', 'lambda')} ")
        elif not unicodedata.category(character).startswith(("M", "Cf")):  # accents join, others part
            result.append(" ")
    return re.sub(r"\s+", " ", "".join(result))


def _tidy(text: str) -> str:
    """Lower case, only LETTERS, spaces and PUNCTUATION; one mark at a time, none at the start."""
    text = text.lower()
    text = re.sub(r"\s-+\s|--+|[:()\[\]{}]", ",", text)
    text = re.sub(r"[^a-z',.?!; ]", " ", text)
    text = re.sub(r"(?<![a-z])'+|'+(?![a-z])", " ", text)
    # of several marks in a row the strongest stays
    text = re.sub(
        r"\s*([,.?!;][,.?!;\s]*)", lambda m: min(m[1].replace(" ", ""), key="?!.;,".index) + " ", text
    )
    return re.sub(r" +", " ", text).lstrip(" ,.?!;").rstrip()


def _normalise_once(text: str) -> str:
    text = _plain(text)
    for pattern, replace in _RULES:
        text = pattern.sub(replace, text)
    return _tidy(text)


def normalise(text: str) -> str:
    """Write a text as it is spoken: lower-case words, the apostrophe, spaces and the marks , . ? ! ;

    Reads integers, decimals, ordinals, years, dates, times, money, percent, fractions, units, common
    abbreviations, Roman numerals after words that announce them, symbols, and spells initialisms. Dates in
    digits are read day first (3/4/2026 is the third of April). Accents are dropped, and so is whatever
    has no English sound (emoji, other scripts): nothing to say gives "". Applying it twice changes
    nothing. Raises TypeError unless given a string.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected a text (str), got {type(text).__name__}")
    for _ in range(4):  # what one pass writes may be read by the next: go on until nothing changes
        before, text = text, _normalise_once(text)
        if text == before:
            break
    return text


def words(text: str) -> list[str]:
    """Return the spoken words of a text, normalised, without punctuation."""
    return re.findall(r"[a-z']+", normalise(text))


# --- pronunciation ------------------------------------------------------------------------------------

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


def _by_rule(word: str) -> tuple[str, ...] | None:
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
    hyphen compound of words in it, and otherwise asks the letter-to-phone network (`course_utils.g2p`).
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
    if rule := _by_rule(word):
        return rule
    if not re.search("[aeiouy]", word):  # "mp", "xz": nobody can say it, so spell it
        return tuple(phone for letter in word if letter != "'" for phone in _letter(letter))
    from course_utils import g2p  # here, because it needs torch

    return g2p.predict([word])[0] or tuple(p for letter in word if letter != "'" for p in _letter(letter))


def _letter(letter: str) -> tuple[str, ...]:
    return ("EY1",) if letter == "a" else lexicon()[letter][0]


def phonemes(text: str, pauses: bool = True) -> list[str]:
    """Return the phones of a text, with "sil" at both ends and at every punctuation mark.

    `pauses=False` leaves "sil" out. A text without words gives ["sil"] (or nothing).
    """
    tokens = re.findall(r"[a-z']+|[,.?!;]", normalise(text))
    result = ["sil"]
    for i, token in enumerate(tokens):
        if token in PUNCTUATION:
            result += ["sil"] if result[-1] != "sil" else []
        elif token == "a" and any(_is_letter_name(tokens, j) for j in (i - 1, i + 1)):
            result += _letter("a")  # A I: the letter, not the article
        else:
            result += pronounce(token)
    result += ["sil"] if result[-1] != "sil" else []
    return result if pauses else [phone for phone in result if phone != "sil"]


def _is_letter_name(tokens: Sequence[str], i: int) -> bool:
    return 0 <= i < len(tokens) and len(tokens[i]) == 1 and tokens[i].isalpha()


# --- symbols as integers ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vocabulary:
    """Symbols as integers and back: `Vocabulary(PHONES)`, or `Vocabulary(CHARACTERS, blank=True)`.

    With `blank` number 0 is the CTC blank, and `decode(..., ctc=True)` merges repeats and drops it. With
    `pad` the next free number fills up batches; `decode` always drops it. `names` lists all of them.
    """

    symbols: tuple[str, ...]
    blank: bool = False
    pad: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", tuple(self.symbols))
        if len(set(self.names)) != len(self.names):
            raise ValueError("symbols must differ from each other and from <blank> and <pad>")
        object.__setattr__(self, "_numbers", {name: i for i, name in enumerate(self.names)})

    @property
    def names(self) -> tuple[str, ...]:
        """All symbols in the order of their numbers, the special ones first."""
        return ("<blank>",) * self.blank + ("<pad>",) * self.pad + self.symbols

    @property
    def blank_id(self) -> int:
        """Number of the CTC blank (0); KeyError when there is none."""
        return self._numbers["<blank>"]

    @property
    def pad_id(self) -> int:
        """Number of the padding symbol; KeyError when there is none."""
        return self._numbers["<pad>"]

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.symbols

    def encode(self, symbols: Iterable[str]) -> list[int]:
        """Return the numbers of a list of symbols (or of the characters of a string)."""
        numbers = []
        for position, symbol in enumerate(symbols):
            if symbol not in self._numbers:
                raise ValueError(
                    f"symbol {symbol!r} at position {position} is not in the vocabulary of {len(self)}; "
                    "run the text through course_utils.text.normalise, words or phonemes first"
                )
            numbers.append(self._numbers[symbol])
        return numbers

    def decode(self, numbers: Iterable[int], ctc: bool = False) -> list[str]:
        """Return the symbols of a list of integers; `ctc` merges repeats, then drops blanks."""
        numbers = [int(number) for number in numbers]
        for number in numbers:
            if not 0 <= number < len(self):
                raise ValueError(f"number {number} is outside the vocabulary: expected 0 to {len(self) - 1}")
        if ctc:
            numbers = [n for i, n in enumerate(numbers) if i == 0 or n != numbers[i - 1]]
        names = [self.names[number] for number in numbers]
        return [name for name in names if name != "<pad>" and not (ctc and name == "<blank>")]

    def to_json(self) -> str:
        """Return the vocabulary as JSON text, for a checkpoint's config."""
        return json.dumps({"symbols": self.symbols, "blank": self.blank, "pad": self.pad}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Read what `to_json` wrote."""
        content = json.loads(text)
        return cls(tuple(content["symbols"]), content["blank"], content["pad"])
