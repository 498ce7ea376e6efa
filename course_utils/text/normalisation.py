"""Written English as it is spoken: numbers, signs and abbreviations as words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from course_utils.text.dictionary import letter_name, lexicon, without_stress
from course_utils.text.numbers import cardinal, digits, number, ordinal, year

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,6}(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
_MONTHS = "January February March April May June July August September October November December".split()
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|" + "|".join(_MONTHS) + r")\b\.?"


def _plural(word: str) -> str:
    return word[:-1] + "ies" if word.endswith("y") else word + ("es" if word.endswith("x") else "s")


def _time(match: re.Match) -> str:
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    half = match["half"] and f" {match['half'][0].lower()} m"
    if hour > 24 or minute > 59 or (half and not 1 <= hour <= 12):
        return f" {number(match['hour'])} {number(match['minute'] or '0')} {half or ''} "
    if minute:
        tail = f" oh {cardinal(minute)}" if minute < 10 else f" {cardinal(minute)}"
    else:
        tail = "" if half else " o'clock" if 1 <= hour <= 12 else " hundred"
    seconds = f" and {_count(str(int(match['second'])), 'second')}" if match["second"] else ""
    return f" {cardinal(hour)}{tail}{half or ''}{seconds}{_closing_stop(match)} "


def _spoken_date(day: str, month: str | int, written: str | None) -> str:
    month = _MONTHS[month - 1] if isinstance(month, int) else _full_month(month)
    return f" the {ordinal(int(day))} of {month} {year(int(written)) if written else ''} "


def _full_month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name[:3]))


def _numeric_date(match: re.Match) -> str:
    """Read 3/4/2026 and 3.4.2026 day first; month first only where a day cannot be meant (4/22/2026)."""
    day, month = int(match[1]), int(match[3])
    if month > 12:
        day, month = month, day
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return " ".join(f" {number(part)} " for part in (match[1], match[3], match[4]))
    return _spoken_date(str(day), month, match[4])


def _iso_date(match: re.Match) -> str:
    if not (1 <= int(match[2]) <= 12 and 1 <= int(match[3]) <= 31):
        return " ".join(f" {number(part)} " for part in match.groups())
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
        return f" {number(amount)} {_SCALES.get(scale.lower(), scale.lower())} {_several(unit)} "
    whole, _, cents = amount.replace(",", "").partition(".")
    if small and len(cents) == 2:
        parts = [_count(whole, unit)] if int(whole) or not int(cents) else []
        parts += [_count(cents.lstrip("0"), small)] if int(cents) else []
        return f" {' and '.join(parts)} "
    return f" {_count(amount, unit)} "


def _several(unit: str) -> str:
    return {"yen": "yen", "penny": "pence"}.get(unit, _plural(unit))


def _count(amount: str, unit: str) -> str:
    return f"{number(amount)} {unit if amount == '1' else _several(unit)}"


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
    return f" {number(match['amount'])} {_UNITS[match['unit']][0 if singular else 1]} "


def _fraction(match: re.Match) -> str:
    over, under = int(match["over"]), int(match["under"])
    whole = f" {number(match['whole'])} and" if match["whole"] else ""
    if under not in (*range(2, 11), 12, 16, 20, 32, 64, 100) or not 0 < over < under:
        return f"{whole} {number(match['over'])} over {number(match['under'])} "
    name = {2: "half", 4: "quarter"}.get(under) or ordinal(under)
    if over > 1:
        name = "halves" if under == 2 else name + "s"
    return f"{whole} {cardinal(over)} {name} "


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
    names = tuple(phone for letter in word for phone in letter_name(letter))
    if re.search("[a-z]", match.string) or " " not in match.string.strip():
        as_word = word in lexicon() and match[1] not in _SPELT
        as_word = as_word and all(without_stress(p) != without_stress(names) for p in lexicon()[word])
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


_Rule = tuple[re.Pattern, Callable[[re.Match], str] | str]


def _rule(pattern: str, replace: Callable[[re.Match], str] | str, flags: int = 0) -> _Rule:
    return re.compile(pattern, flags), replace


_RULES: list[_Rule] = [
    # a run of digits that nobody reads as one number
    _rule(r"(\.?)([0-9]{16,})", lambda m: f" {'point' if m[1] else ''} {digits(m[2])} "),
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
    _rule(rf"\b({_NUMBERED}) ([IVXL]+)\b", lambda m: f"{m[1]} {cardinal(_roman(m[2]))} "),
    _rule(
        rf"\b({_NUMBERED_RULERS}) ([IVX]{{2,}}|[VX](?!\.))\b",
        lambda m: f"{m[1]} the {ordinal(_roman(m[2]))} ",
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
        lambda m: f" {_full_month(m[1])} {ordinal(int(m[2]))}{m[3] or ''} {year(int(m[4])) if m[4] else ''} ",
    ),
    _rule(rf"\b({_MONTH})(?=,? [0-9]{{4}}\b)", lambda m: _full_month(m[1])),
    # decades
    _rule(r"\b((?:1[1-9]|20)[0-9]0)'?s\b", lambda m: f" {_plural(year(int(m[1])))} "),
    _rule(r"(?:'|(?<=[Tt]he )'?)([2-9]0)'?s\b", lambda m: f" {_plural(cardinal(int(m[1])))} "),
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
        lambda m: f" {number(m[1])} times ten to the {'minus ' if m[2] == '-' else ''}{number(m[3])} ",
        re.I,
    ),
    _rule(r"\b([0-9]{1,15})(?:st|nd|rd|th)\b", lambda m: f" {ordinal(int(m[1]))} ", re.I),
    # plain numbers
    _rule(r"(?<=[0-9])\s?[x×*]\s?(?=[0-9])", " times "),
    _rule(r"(?<![0-9.,])((?:19|20)[0-9]{2})(?![0-9]|[.,][0-9])", lambda m: f" {year(int(m[1]))} "),
    _rule(
        r"\b([Ii]n|[Ss]ince|[Yy]ear|[Uu]ntil|[Bb]efore|[Aa]fter) (1[0-8][0-9]{2})(?![0-9]|[.,][0-9])",
        lambda m: f"{m[1]} {year(int(m[2]))} ",
    ),
    _rule(r"(?<![0-9])\.(?=[0-9])", " zero point "),
    _rule(r"(?<=[0-9])\.(?=[0-9]+\.[0-9])", " point "),  # 1.2.3
    _rule(_NUMBER, lambda m: f" {number(m[0])} "),
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
