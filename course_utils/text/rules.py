"""What a rule of `normalise` is: a pattern, and what is written in its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Rule = tuple[re.Pattern, Callable[[re.Match], str] | str]


def rule(pattern: str, reading: Callable[[re.Match], str] | str, flags: int = 0) -> Rule:
    """Make a rule of a pattern and its reading, a text or a function of the match."""
    return re.compile(pattern, flags), reading


def apply(rules: Iterable[Rule], text: str) -> str:
    """Apply the rules in their order, each to what the one before has left."""
    for pattern, reading in rules:
        text = pattern.sub(reading, text)
    return text


def any_of(words: Iterable[str]) -> str:
    """Return a pattern for one of the words, the longest that fits."""
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"


# Words that open a sentence more often than they are a name: "on Elm St. She left".
OPENERS = (
    "He|She|It|We|They|You|I|A|An|The|This|That|These|There|Then|His|Her|Our|Their|My|In|On|At|By|For|From|But|"
    "And|So|If|When|What|Where|Who|Why|How|Is|Are|Was|Do|Did|Please|No|Yes|Now|Today|After|Before|As|One|Some"
)
_ENDS = re.compile(rf"\s*$|\s+(?:{OPENERS})\b")
# not "5 p.m. ET" or "5 p.m. Monday"
_BEFORE_CAPITAL = re.compile(
    r"\s+(?![A-Z]{2}|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|Eastern|Central|Pacific)[A-Z]"
)


def closing_stop(match: re.Match, may_close: bool = False) -> str:
    """Return "." where the dot of an abbreviation also ends the sentence (not after "Mr.").

    With `may_close` a capital letter is enough ("at 11 a.m. Then").
    """
    ends = _ENDS.match(match.string, match.end())
    ends = ends or (may_close and _BEFORE_CAPITAL.match(match.string, match.end()))
    return "." if match[0].endswith(".") and ends else ""
