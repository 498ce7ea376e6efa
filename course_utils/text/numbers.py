"""Numbers as words."""

from __future__ import annotations

import re
from functools import cache

# "12", "1,234", "3.14", ".5"
NUMBER = r"(?:(?:[0-9]{1,3}(?:,[0-9]{3}){1,6}(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<![0-9])\.[0-9]+)"
FRACTION = (
    r"(?:(?:(?<![0-9.,/])[0-9]{1,4}(?: |-| and ))?(?<![0-9.,/])[0-9]{1,4}/[0-9]{1,4}(?![0-9/]|,[0-9]{3}))"
)
AMOUNT = rf"(?:{FRACTION}|{NUMBER}(?:\^-?[0-9]{{1,3}})?)"  # also "10^-3"

_DIGITS = "zero one two three four five six seven eight nine".split()
_PARTS = (*range(2, 11), 12, 15, 16, 32, 48, 64, *range(20, 101, 10), 1000)  # denominators one says
_ROMAN = re.compile("M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


@cache
def _inflect():
    import inflect  # here, because its import takes two seconds of CPU time

    engine = inflect.engine()
    for word in (
        *(f"{size}hertz" for size in ("", "kilo", "mega", "giga", "tera")),
        "yen",
        "lux",
        "dozen",
        "won",
        "yuan",
        "percent",
        "horsepower",
        "kelvin",
    ):
        engine.defnoun(word, word)
    return engine


@cache
def cardinal(value: int) -> str:
    """Read 123 as "one hundred twenty three"."""
    return _inflect().number_to_words(value, andword="").replace(",", "").replace("-", " ")


@cache
def ordinal(value: int) -> str:
    """Read 3 as "third"."""
    return _inflect().ordinal(cardinal(value))


@cache
def plural(noun: str) -> str:
    """Return the plural: "square feet", "meters per second", "nineteen eighties"."""
    if noun == "penny" or noun.endswith("two"):
        return "pence" if noun == "penny" else noun + "s"
    return _inflect().plural_noun(noun)


def digits(written: str) -> str:
    """Read digits one by one."""
    return " ".join(_DIGITS[int(digit)] for digit in written)


def number(written: str) -> str:
    """Read a number as written: "1,234", "3.14", ".5"; "007" and very long ones digit by digit."""
    whole, _, decimals = written.replace(",", "").partition(".")
    run_together = len(whole) > 15 or (len(whole) > 1 and whole[0] == "0")
    spoken = digits(whole) if run_together else cardinal(int(whole or 0))
    return spoken + (" point " + digits(decimals) if decimals else "")


def fraction(over: int, under: int) -> str:
    """Read 3/4 as "three quarters", 22/7 as "twenty two over seven"."""
    if over == 1 and 20 < under <= 1000 and (under < 100 or under % 10 == 0):
        return f"one {'hundredth' if under == 100 else 'thousandth' if under == 1000 else ordinal(under)}"
    if not (under in _PARTS or (over == 1 and 1 < under < 20)) or not (
        0 < over < under or (under < 10 and over <= 10)
    ):
        return f"{cardinal(over)} over {cardinal(under)}"
    name = {2: "half", 4: "quarter", 100: "hundredth", 1000: "thousandth"}.get(under) or ordinal(under)
    return f"{cardinal(over)} {name if over == 1 else plural(name)}"


def power(exponent: str) -> str:
    """Read what follows "^": "2" as "squared", "-3" as "to the minus three"."""
    if exponent in ("2", "3"):
        return "squared" if exponent == "2" else "cubed"
    sign, exponent = ("minus " if exponent[0] == "-" else ""), exponent.lstrip("+-")
    return f"to the {sign}{number(exponent) if exponent.isdigit() else exponent}"


def amount(written: str) -> str:
    """Read a number, a fraction, both, or a power: "2", "1/2", "3 1/2", "10^-3"."""
    if "^" in written:
        base, exponent = written.split("^")
        return f"{number(base)} {power(exponent)}"
    if "/" not in written:
        return number(written)
    *whole, over, under = map(int, re.findall("[0-9]+", written))
    return f"{number(str(whole[0]))} and {fraction(over, under)}" if whole else fraction(over, under)


def is_one(written: str) -> bool:
    """Whether the noun after an amount stays singular: 1 pound, 1/2 pound."""
    over, _, under = written.partition("/")
    return written == "1" or (over.isdigit() and under.isdigit() and int(over) < int(under))


def year(value: int) -> str:
    """Read 1984 as "nineteen eighty four"."""
    if value < 1010 or value > 2099 or 2000 <= value <= 2009 or value % 1000 == 0:
        return cardinal(value)
    century, rest = divmod(value, 100)
    tail = "hundred" if rest == 0 else f"oh {cardinal(rest)}" if rest < 10 else cardinal(rest)
    return f"{cardinal(century)} {tail}"


def roman(numeral: str) -> int:
    """Return the value of a Roman numeral in capitals, 0 when it is none."""
    if not _ROMAN.fullmatch(numeral):
        return 0
    values = [_VALUES[letter] for letter in numeral]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return sum(-value if value < after else value for value, after in pairs)
