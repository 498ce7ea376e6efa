"""Short spoken phrases from a small grammar: digit strings, numbers, times, dates, commands.

Every phrase has three words or more (the engine is weakest at single words). Which split a phrase belongs
to is decided by a hash of its text, so the splits are disjoint however many phrases are drawn.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

DIGITS = "zero one two three four five six seven eight nine".split()
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth".split()
    + [f"twenty {n}" for n in "first second third fourth fifth sixth seventh eighth ninth".split()]
    + ["thirtieth", "thirty first"]
)
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
ROOMS = "kitchen bedroom bathroom hallway garden office cellar garage".split()
DEVICES = "light lamp heater fan radio television speaker camera".split()
THINGS = "milk bread butter coffee apples soap paper rice onions candles".split()
MUSIC = (
    "some quiet music",
    "the next song",
    "the morning news",
    "some jazz",
    "my favorite song",
    "the last album",
)


def number(value: int) -> str:
    """Return a whole number from 0 to 9999 in words, with the "and" of British English."""
    if not 0 <= value <= 9999:
        raise ValueError(f"expected a number from 0 to 9999, got {value}")
    if value < 10:
        return DIGITS[value]
    if value < 20:
        return TEENS[value - 10]
    if value < 100:
        rest = value % 10
        return TENS[value // 10 - 2] + (f" {DIGITS[rest]}" if rest else "")
    unit, name = (1000, "thousand") if value >= 1000 else (100, "hundred")
    head, rest = divmod(value, unit)
    join = " and " if 0 < rest < 100 else " "
    return f"{number(head)} {name}" + (join + number(rest) if rest else "")


def _digits(draw: random.Random) -> str:
    count = draw.randint(4, 7)
    words = [draw.choice(DIGITS) for _ in range(count)]
    if count >= 6:
        words[2] += ","  # said in groups, as people read out a telephone number
    return " ".join(words)


def _number(draw: random.Random) -> str:
    return number(draw.randint(101, 999) if draw.random() < 0.5 else draw.randint(1001, 9999))


def _time(draw: random.Random) -> str:
    hour = number(draw.randint(1, 12))
    part = draw.choice(
        ["in the morning", "in the afternoon", "in the evening", "at night", "sharp", "tomorrow"]
    )
    kind = draw.randrange(4)
    if kind == 0:
        return f"{draw.choice(['half past', 'a quarter past', 'a quarter to'])} {hour} {part}"
    if kind == 1:
        return f"{number(draw.choice([5, 10, 20, 25]))} {draw.choice(['past', 'to'])} {hour} {part}"
    if kind == 2:
        return f"{hour} {number(draw.choice(range(11, 60)))} {part}"
    return f"at {hour} o'clock {part}"


def _date(draw: random.Random) -> str:
    month = draw.choice(MONTHS)
    day = draw.choice(ORDINALS[: 29 if month == "February" else 30])
    kind = draw.randrange(3)
    if kind == 0:
        return f"the {day} of {month}"
    if kind == 1:
        return f"{draw.choice(DAYS)}, the {day} of {month}"
    century, year = draw.choice(["eighteen", "nineteen", "twenty"]), draw.randint(10, 99)
    return f"{month} the {day}, {century} {number(year)}"


def _command(draw: random.Random) -> str:
    room, device, thing = draw.choice(ROOMS), draw.choice(DEVICES), draw.choice(THINGS)
    minutes = number(draw.choice([*range(2, 20), 25, 30, 40, 45, 50]))
    return draw.choice(
        [
            f"turn {draw.choice(['on', 'off'])} the {room} {device}",
            f"switch the {device} in the {room} {draw.choice(['on', 'off'])}",
            f"set a timer for {minutes} minutes",
            f"wake me at {number(draw.randint(5, 11))} {draw.choice(['fifteen', 'thirty', 'forty five'])}",
            f"play {draw.choice(MUSIC)} in the {room}",
            f"turn the volume {draw.choice(['up', 'down'])} to {minutes}",
            f"add {thing} and {draw.choice(THINGS)} to the list",
            f"how many {draw.choice(['minutes', 'hours', 'days'])} until {draw.choice(DAYS)}",
            f"what is the weather on {draw.choice(DAYS)}",
            f"open the {room} {draw.choice(['door', 'window', 'blinds'])}, please",
        ]
    )


KINDS = (_digits, _number, _time, _date, _command)


def split_of(phrase: str) -> str:
    """Return the split a phrase belongs to: 10 % valid, 25 % test, the rest train."""
    bucket = hashlib.sha256(phrase.lower().encode()).digest()[0]
    return "valid" if bucket < 26 else "test" if bucket < 90 else "train"


def phrases(split: str, seed: int = 0) -> Iterator[str]:
    """Yield different phrases of `split` without end, the five kinds in turn, as sentences."""
    if split not in ("train", "valid", "test"):
        raise ValueError(f"unknown split {split!r}; expected train, valid or test")
    draw = random.Random(f"{split} {seed}")
    said: set[str] = set()
    turn = 0
    while True:
        for _ in range(1000):
            phrase = KINDS[turn % len(KINDS)](draw)
            if phrase not in said and split_of(phrase) == split and len(phrase.split()) >= 3:
                said.add(phrase)
                yield phrase[0].upper() + phrase[1:] + ("?" if phrase.startswith(("how", "what")) else ".")
                break
        turn += 1
