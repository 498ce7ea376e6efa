"""Times, dates, years and decades as words."""

from __future__ import annotations

import re

from course_utils.text.numbers import cardinal, number, ordinal, plural, year
from course_utils.text.rules import Rule, closing_stop, rule

_MONTHS = "January February March April May June July August September October November December".split()
_ANY_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|" + "|".join(_MONTHS) + r")\b"
_MONTH = _ANY_MONTH + r"(?:\.(?=,? ?[0-9]))?"
_DAYS = {
    short: day
    for day in "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    for short in {day, day[:3], "Tues", "Thur", "Thurs"}
    if day.startswith(short)
}
_DAY = "(?:" + "|".join(sorted(_DAYS, key=len, reverse=True)) + ")"
_HALF = r"(?P<half>[ap]m\b|[ap]\.\s?m\b\.?)(?!\w)"


def _time(match: re.Match) -> str:
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    half = match["half"] and f" {match['half'][0].lower()} m"
    if hour > 24 or minute > 59 or (half and not 1 <= hour <= 12):
        return f" {number(match['hour'])} {number(match['minute'] or '0')} {half or ''} "
    if minute:
        tail = f" oh {cardinal(minute)}" if minute < 10 else f" {cardinal(minute)}"
    else:
        tail = "" if half else " o'clock" if 1 <= hour <= 12 else " hundred"
    seconds = int(match.groupdict().get("second") or 0)
    if match.groupdict().get("second"):
        tail += f" and {cardinal(seconds)} second{'s' * (seconds != 1)}"
    if match.groupdict().get("several"):  # the 5:15s
        return f" {plural(cardinal(hour) + (tail or ' hundred'))} "
    return f" {cardinal(hour)}{tail}{half or ''}{closing_stop(match, may_close=True) if half else ''} "


def _full_month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name[:3]))


def _full_year(written: str) -> str:
    """Read the year of a date: "2026", or "26" and "99" of our time."""
    if len(written) == 2:
        return year(int(written) + (2000 if int(written) < 70 else 1900))
    return year(int(written))


def _date(day: int, month: str, written: str | None) -> str:
    return f" the {ordinal(day)} of {month} {_full_year(written) if written else ''} "


def _numeric_date(match: re.Match) -> str:
    """Read 3/4/2026 and 3.4.2026 day first; month first only where a day cannot be meant (4/22/2026)."""
    day, month = int(match[1]), int(match[3])
    if month > 12:
        day, month = month, day
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return " ".join(f" {number(part)} " for part in (match[1], match[3], match[4]))
    return _date(day, _MONTHS[month - 1], match[4])


def _iso_date(match: re.Match) -> str:
    if not (1 <= int(match[3]) <= 12 and 1 <= int(match[4]) <= 31):
        return " ".join(f" {number(part)} " for part in match.group(1, 3, 4))
    return _date(int(match[4]), _MONTHS[int(match[3]) - 1], match[1])


def _day_and_month(match: re.Match) -> str:
    """Read 22 November 2026 and 5-7 March."""
    first = f" the {ordinal(int(match[1]))} to" if match[1] else ""
    return f"{first}{_date(int(match[2]), _full_month(match[3]), match[4])}"


def _month_and_day(match: re.Match) -> str:
    """Read November 22, 2026 and March 3-5."""
    then = f" to {ordinal(int(match[3]))}" if match[3] else ""
    in_year = f"{match[4]} {_full_year(match[5])}" if match[5] else ""
    return f" {_full_month(match[1])} {ordinal(int(match[2]))}{then}{in_year} "


_OF_MONTH = r"(3[01]|[0-2]?[0-9])(?:st|nd|rd|th)?"

TIMES: list[Rule] = [
    # John 3:16, Psalm 23:1-4
    rule(
        r"\b(Genesis|Exodus|Psalms?|Proverbs|Isaiah|Matthew|Mark|Luke|John|Acts|Romans|Corinthians|Revelation|"
        r"Kings|Samuel|Chronicles|Peter|Timothy|Hebrews|Ephesians|Galatians|Philippians|Deuteronomy|Leviticus|Joshua) "
        r"([0-9]{1,3}):([0-9]{1,3})(?:-([0-9]{1,3}))?\b",
        lambda m: f"{m[1]} {number(m[2])} {number(m[3])} {f'to {number(m[4])}' if m[4] else ''} ",
    ),
    # at 5.30
    rule(
        r"(?<=\b[Aa]t )([0-9]{1,2})\.(00|15|30|45)(?=$|[,;!?]|\.(?![0-9])| (?:he|she|it|we|they|i|you|the|and|in|on|to|"
        r"for|sharp|today|tomorrow|every)\b)",
        r"\1:\2",
        re.I,
    ),
    rule(r"(?<=[0-9ap]m)-(?=(?:noon|midnight)\b)|\b(?<=noon)-(?=[0-9])", " to "),
    # a ratio of 1:10
    rule(
        r"\b([Rr]atio(?: of)?|[Oo]dds(?: of)?|[Dd]iluted?|[Ss]cale(?: of)?) ([0-9]+):(?=[0-9])", r"\1 \2 to "
    ),
    # 9-11am: the first has no half of the day of its own
    rule(
        rf"(?<![\w:.,/$€£-])([0-9]{{1,2}}(?:[:.][0-5][0-9])?)\s?-\s?(?=[0-9]{{1,2}}(?:[:.][0-5][0-9])?\s?{_HALF})",
        lambda m: f"{m[1].replace('.', ':')} to ",
        re.I,
    ),
    rule(r"\b12:00 (?=noon|midnight)", "twelve "),
    # 5pm, 5:30 p.m., 5.30pm
    rule(
        rf"(?<![\w:.,])(?P<hour>[0-9]{{1,2}})(?:[:.](?P<minute>[0-5][0-9]))?(?::(?P<second>[0-5][0-9]))?\s?{_HALF}",
        _time,
        re.I,
    ),
    # 2h30m, 17h30
    rule(r"(?<![\w:.,])([0-9]{1,2})h ?([0-9]{1,2})m(?:in)?(?!\w)", r"\1 hr \2 min"),
    rule(r"(?<![\w:.,])([01]?[0-9]|2[0-3])h([0-5][0-9])(?!\w)", r"\1:\2"),
    # 17:30, 17:30:05
    rule(
        r"(?<![\w:.,])(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-5][0-9]))?(?P<half>)"
        r"(?:h\b|(?P<several>s\b)| ?o'clock)?(?![0-9:]|[.,][0-9])",
        _time,
    ),
    # 4:33.5
    rule(r"\b([0-9]{1,2}):([0-5][0-9]\.[0-9]+)\b", lambda m: f" {number(m[1])} {number(m[2])} "),
    rule(r"(?<=[0-9])\s?:\s?(?=[0-9])", " to "),
]

CALENDAR_RANGES: list[Rule] = [
    # Mon-Fri, Monday - Friday
    rule(
        rf"\b({_DAY})\.?\s?[-–—]\s?({_DAY})\b(?:\.(?=,| [a-z0-9]))?",
        lambda m: f"{_DAYS[m[1]]} to {_DAYS[m[2]]}",
    ),
    # Jan.-Mar., May 5-June 7
    rule(
        rf"\b({_ANY_MONTH})\.?( [0-9]{{1,2}})?\s?[-–—]\s?({_ANY_MONTH})(?:\.(?=,| [a-z0-9]))?",
        lambda m: f"{_full_month(m[1])}{m[2] or ''} to {_full_month(m[3])}",
    ),
]

DATES: list[Rule] = [
    # Sat. night, Sat. 5, Tues.
    rule(
        r"\b(Sat|Sun)\.(?= (?:morning|afternoon|evening|night|at|and|or)\b)|^(Sat|Sun)(?=\.$)|(?:(?<=\b[Oo]n )|(?<=\bevery )|(?<=\beach )|(?<=\bnext )|(?<=\blast ))(Sat|Sun)\.",
        lambda m: _DAYS[m[1] or m[2] or m[3]] + closing_stop(m),
    ),
    rule(rf"\b({_DAY})\b(?:\.,?|,)(?= (?:{_MONTH}|[0-9]))", lambda m: f"{_DAYS[m[1]]},"),
    rule(
        r"\b(Mon|Tues?|Wed|Thu(?:rs?)?|Fri)\.(?!\w)", lambda m: _DAYS[m[1]] + closing_stop(m, may_close=True)
    ),
    # 2026-11-22, 2026-11-22T14:05
    rule(r"(?<![\w/-])([0-9]{4})([-/])([0-9]{1,2})\2([0-9]{1,2})(?:(?=[^\w/-]|$)|T(?=[0-9]))", _iso_date),
    # 22/11/2026, 22.11.2026, 22/11/26
    rule(r"(?<![\w/.,-])([0-9]{1,2})([/.])([0-9]{1,2})\2([0-9]{4})(?!\w)", _numeric_date),
    rule(r"(?<![\w/.,-])([0-9]{1,2})(/)([0-9]{1,2})/([0-9]{2})(?![\w/])", _numeric_date),
    rule(
        rf"(?:\b[Tt]he )?(?<![\w.,$€£/:-])(?:{_OF_MONTH}\s?-\s?)?{_OF_MONTH}(?:-| of | )({_MONTH})"
        rf"(?:(?:, | |-)'?([0-9]{{4}}|(?<=')[0-9]{{2}})\b)?",
        _day_and_month,
    ),
    rule(
        rf"\b({_MONTH}) ?{_OF_MONTH}(?![\w:%/]|[.,][0-9])"
        rf"(?:\s?-\s?{_OF_MONTH}(?![\w:%]|[.,][0-9]))?(?:(,?) '?([0-9]{{4}}|(?<=')[0-9]{{2}})\b)?",
        _month_and_day,
    ),
    rule(rf"\b({_MONTH})(?=,? [0-9]{{4}}\b)", lambda m: _full_month(m[1])),
    rule(rf"\b({_MONTH}) '([0-9]{{2}})\b", lambda m: f"{_full_month(m[1])} {_full_year(m[2])} "),
    rule(
        r"\b(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.(?= [a-z]|[,;:)]|$)",
        lambda m: _full_month(m[1]) + closing_stop(m),
    ),
]


def _decade(match: re.Match) -> str:
    written = match["decade"]
    return f" {plural(year(int(written)) if len(written) == 4 else cardinal(int(written)))} "


_AGES = (
    r"\b(?:[Tt]he|[Hh]is|[Hh]er|[Tt]heir|[Mm]y|[Yy]our|[Oo]ur|[Mm]id|[Ll]ate|[Ee]arly|[Ll]ow|[Hh]igh|[Uu]pper|"
    r"[0-9]{2}s (?:and|or|to))[ -]"
)
_SECONDS = re.compile(
    r"\b(?:for|in|after|within|every|of|about|under|over|only|last|takes?|took|lasts|than|to|wait|first|next|at|by) $"
)

DECADES: list[Rule] = [
    # 1920s-30s
    rule(
        r"(?<![\w.,])((?:1[1-9]|20)[0-9]0)'?s ?(?:-|to|and) ?'?([1-9]0)'?s\b",
        lambda m: (
            f" {plural(year(int(m[1])))} {'and' if 'and' in m[0] else 'to'} {plural(cardinal(int(m[2])))} "
        ),
    ),
    # the 50s-60s, $20s, 747s
    rule(
        r"(?<![\w.,])([2-9]0)s ?- ?([2-9]0)s\b",
        lambda m: f" {plural(cardinal(int(m[1])))} to {plural(cardinal(int(m[2])))} ",
    ),
    rule(r"\$([1-9]0)s\b", lambda m: f" {plural(cardinal(int(m[1])))} "),
    rule(r"(?<=\b[Tt]he )00s\b", " two thousands "),
    # 1980s, the 1900s
    rule(r"(?<![\w.,])(?P<decade>(?:1[1-9]|20)[0-9]0)'?s\b", _decade),
    # '80s, the 80s, in her 30s, mid-80s, 80s music; "20s" alone may be seconds
    rule(r"(?<!\w)'(?P<decade>[1-9]0)'?s\b", _decade),
    rule(r"(?<!\w)'00s\b", " two thousands "),
    rule(rf"(?P<before>{_AGES})'?(?P<decade>[1-9]0)'?s\b", lambda m: m["before"] + _decade(m)),
    rule(
        r"(?<![\w.,:/=])(?P<decade>[2-9]0)'?s\b(?! (?:later|delay|timeout|ago|interval|timer|per|clip)\b)",
        lambda m: m[0] if _SECONDS.search(m.string[max(0, m.start() - 12) : m.start()]) else _decade(m),
    ),
    # class of '99
    rule(
        r"(?<!\w)'([0-9])([0-9])\b(?!')",
        lambda m: f" {'oh' if m[1] == '0' else ''} {cardinal(int(m[1] + m[2]))} ",
    ),
]

_YEAR_WORDS = (
    "in|since|year|until|till|before|after|from|by|circa|around|about|of|to|between|during|early|late|mid|spring|summer|"
    "autumn|fall|winter|born|died|versus|" + "|".join(_MONTHS)
)
_AFTER = r"(?![0-9]|[.,:][0-9]|%)"

YEARS: list[Rule] = [
    # 44 BC, AD 79
    rule(
        r"(?<![\w.,])([0-9]{1,4}) ?(BCE?|AD|CE)\b", lambda m: f" {year(int(m[1]))} {' '.join(m[2].lower())} "
    ),
    rule(r"\bAD ([0-9]{1,4})\b", lambda m: f" a d {year(int(m[1]))} "),
    rule(r"\b([BF])Y ?((?:20)?[0-9]{2})\b", lambda m: f" {m[1]} y {_full_year(m[2])} "),
    rule(rf"(?<![0-9.,])((?:19|20)[0-9]{{2}}){_AFTER}", lambda m: f" {year(int(m[1]))} "),
    rule(rf"\b({_YEAR_WORDS})([ -])(1[0-8][0-9]{{2}}){_AFTER}", lambda m: f"{m[1]} {year(int(m[3]))} ", re.I),
    rule(rf"(?<=\()(1[0-8][0-9]{{2}})(?=\)){_AFTER}", lambda m: f"{year(int(m[1]))} "),
]
