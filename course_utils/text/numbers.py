"""Numbers as words."""

from __future__ import annotations

from functools import cache

_DIGITS = "zero one two three four five six seven eight nine".split()


@cache
def _inflect():
    import inflect  # here, because its import takes two seconds of CPU time

    return inflect.engine()


@cache
def cardinal(number: int) -> str:
    """Read 123 as "one hundred twenty three"."""
    return _inflect().number_to_words(number, andword="").replace(",", "").replace("-", " ")


def ordinal(number: int) -> str:
    """Read 3 as "third"."""
    return _inflect().ordinal(cardinal(number))


def digits(written: str) -> str:
    """Read digits one by one."""
    return " ".join(_DIGITS[int(digit)] for digit in written)


def number(written: str) -> str:
    """Read a number as written: "1,234", "3.14"; "007" and very long ones digit by digit."""
    whole, _, decimals = written.replace(",", "").partition(".")
    run_together = len(whole) > 15 or (len(whole) > 1 and whole[0] == "0")
    spoken = digits(whole) if run_together else cardinal(int(whole))
    return spoken + (" point " + digits(decimals) if decimals else "")


def year(value: int) -> str:
    """Read 1984 as "nineteen eighty four"."""
    if value < 1010 or value > 2099 or 2000 <= value <= 2009 or value % 1000 == 0:
        return cardinal(value)
    century, rest = divmod(value, 100)
    tail = "hundred" if rest == 0 else f"oh {cardinal(rest)}" if rest < 10 else cardinal(rest)
    return f"{cardinal(century)} {tail}"
