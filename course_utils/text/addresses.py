"""Addresses as words: telephone numbers, e-mail, the web, files, postal codes."""

from __future__ import annotations

import re

from course_utils.text.dictionary import lexicon
from course_utils.text.numbers import digits, number
from course_utils.text.rules import Rule, any_of, rule

_SIGNS = {
    ".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", "?": "question mark", "=": "equals",
    "&": "and", "#": "hash", ":": "colon", "%": "percent", "~": "tilde", "+": "plus",
}  # fmt: skip
_SPELT = set("csv ai io js ts py rs md us uk tv de ps eu".split())
_TOP = any_of("com org net edu gov io ai co uk de eu info dev app tv me fm us".split())


def _name(word: str) -> str:
    """Return a part of an address: a word, or its letters where nobody can say it (js, html, csv)."""
    known = word.lower() not in _SPELT and (
        word.lower() in lexicon() or (len(word) > 4 and re.search("[aeiouy]", word, re.I))
    )
    return word if known else " ".join(word)


def _address(match: re.Match) -> str:
    written = re.sub(r"^[A-Za-z]+://(www\.)?", "", match[0]).rstrip("/")
    written = re.sub(r"^(mailto|tel):", "", written)
    tokens = re.findall(r"[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]", written)
    last = max((i for i, token in enumerate(tokens) if token == "."), default=0)
    spoken = []
    for i, token in enumerate(tokens):
        if token.isalpha():
            spoken.append(
                _name(token) if i > last or (i and tokens[i - 1] == ".") or len(token) < 4 else token
            )
        elif token.isdigit():
            spoken.append(number(token) if len(token) < 4 else digits(token))
        else:
            spoken.append(_SIGNS.get(token, ""))
    return f" {' '.join(spoken).lower()} "


def _ending(match: re.Match) -> str:
    """Read .py, .mp3 or .com after a name."""
    parts = re.findall("[a-z]+|[0-9]+", match[1])
    return " dot " + " ".join(_name(part) if part.isalpha() else number(part) for part in parts) + " "


_HUNDREDS = {"800": "eight hundred", "900": "nine hundred"}  # area codes that are said so


def _telephone(match: re.Match) -> str:
    found = match.groupdict()
    groups = [match["area"] or found.get("code"), match["exchange"], match["line"]]
    spoken = [
        _HUNDREDS.get(group, digits(group)) if i == 0 else digits(group)
        for i, group in enumerate(groups)
        if group
    ]
    if country := match["country"]:
        spoken.insert(0, country.replace("+", "plus ").replace("1", "one"))
    if extension := found.get("extension"):
        spoken.append(f"extension {digits(extension)}")
    if other := found.get("other"):
        spoken.append(digits(other))
    return f" {', '.join(spoken)} "


def _international(match: re.Match) -> str:
    groups = re.findall("[0-9]+", match[0])
    if not 8 <= sum(map(len, groups)) <= 15:
        return match[0]
    return f" plus {', '.join(map(digits, groups))} "


def _local(match: re.Match) -> str:
    """Read 555-0199 as a number to call, 500-1000 as a range."""
    if match[1].endswith("0") and match[2].endswith("0"):
        return match[0]
    return f" {digits(match[1])}, {digits(match[2])} "


def _groups(match: re.Match) -> str:
    return f" {', '.join(map(digits, re.findall('[0-9]+', match[0])))} "


ADDRESSES: list[Rule] = [
    rule(r"\b(?:https?|ftp)://[^\s,;()<>\"]*[\w/]", _address, re.I),
    rule(r"\bwww\.[^\s,;()<>\"]*[\w/]", _address, re.I),
    rule(r"(?<![\w.+-])(?:mailto:)?[\w.+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", _address),
    rule(
        rf"(?<![\w.@-])(?:[a-z0-9-]{{1,63}}\.){{1,4}}{_TOP}(?:/[\w./?=&%#~+-]*[\w/])?(?![\w-]|\.\w)", _address
    ),
    # 192.168.0.1
    rule(
        r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w.]*[0-9])",
        lambda m: f" {' dot '.join(map(number, m[0].split('.')))} ",
    ),
    # .NET, ASP.NET, Node.js, model.py
    rule(r"(?<![.\w])\.(?=[A-Z]{2,})|(?<=[A-Z])\.(?=[A-Z]{2,}\b)|(?<![.\w'])\.(?=[a-z]{2})", " dot "),
    rule(r"(?<=[A-Za-z_]\w)\.([a-z]+[0-9]?)\b(?![.]\w)", _ending),
    # @name, #name, #1
    rule(r"#(?=[A-Za-z_])(?<![A-Za-z]#)", " hashtag "),
]

_CALL = r"\b([Cc]all(?:ed|ing|s)?|[Dd]ial(?:ed|ing|s)?|[Pp]hone|[Tt]el\.?|[Tt]ext|[Ff]ax):? "

TELEPHONES: list[Rule] = [
    # 919-696-3901, (919) 696-3901, 919.696.3901, +1 919 696 3901, 1-800-555-0199 x12
    rule(
        r"(?<![\w.+$-])(?:(?P<country>\+?1)[-. ]?)?(?:\((?P<area>[0-9]{3})\)[-. ]?|(?P<code>[0-9]{3})[-. ])(?P<exchange>[0-9]{3})"
        r"[-. ](?P<line>[0-9]{4})(?:,? ?(?:x|ext\.?|extension) ?(?P<extension>[0-9]{1,6})|[/-](?P<other>[0-9]{1,4}))?"
        r"(?![\w%]|[-.,][0-9])",
        _telephone,
    ),
    rule(
        r"(?<![\w.+-])(?P<country>\+1)(?P<area>[0-9]{3})(?P<exchange>[0-9]{3})(?P<line>[0-9]{4})(?![\w-])",
        _telephone,
    ),
    rule(
        rf"{_CALL}(?P<country>1?)(?P<area>[0-9]{{3}})(?P<exchange>[0-9]{{3}})(?P<line>[0-9]{{4}})(?![\w-])",
        lambda m: m[1] + _telephone(m),
    ),
    rule(r"(?<![\w.+-])\+[0-9]{1,3}(?:[ .-]?\(?[0-9]{1,4}\)?){2,5}(?![\w-])", _international),
    rule(
        r"\b(?:(1)-)?(8(?:00|33|44|55|66|77|88))-(?=[A-Z]{2})",
        lambda m: f" {'one, ' if m[1] else ''}{_HUNDREDS.get(m[2], digits(m[2]))}, ",
    ),
    rule(r"(?<![\w.,$€£+-])([0-9]{3})-([0-9]{4})(?![\w%-]|[.,][0-9]| ?(?:%|k?m\b|k?Hz|m?s\b))", _local),
    rule(rf"{_CALL}([0-9]{{3}})\b(?![-.,][0-9])", lambda m: f"{m[1]} {digits(m[2])} "),
    # 1-800-273-TALK, a ZIP code
    rule(
        r"\b(?:(1)-)?(8(?:00|33|44|55|66|77|88))-([0-9]{3})-(?=[A-Z]{2})",
        lambda m: f" {'one, ' if m[1] else ''}{_HUNDREDS.get(m[2], digits(m[2]))}, {digits(m[3])}, ",
    ),
    rule(r"\b((?:ZIP|zip)(?: code)?(?: is)?) ([0-9]{5})(?![\w-])", lambda m: f"{m[1]} {digits(m[2])} "),
    # 212/555-0187, 555 0100; 911 where it is dialed
    rule(
        r"(?<![\w./-])(?P<country>)(?P<area>[2-9][0-9]{2})/(?P<exchange>[2-9][0-9]{2})-(?P<line>[0-9]{4})(?![\w-])",
        _telephone,
    ),
    rule(r"(?<![\w.,$€£+-])(?<![0-9] )([2-9][0-9]{2}) (0[0-9]{3})(?![\w%-]|[.,][0-9]| [0-9])", _local),
    rule(
        r"^911(?=[.!?]?$)|\b911(?= (?:calls?|callers?|operators?|dispatch\w*|emergenc\w+|center|system|service)\b)"
        r"|(?<=\bnumber )911\b",
        "nine one one",
    ),
    rule(r"\(0[0-9]{2,4}\) ?[0-9]{3,4}[ -]?[0-9]{3,4}(?![\w-])", _groups),
    rule(r"(?<![\w.+,-])0[0-9]{2,4}(?: [0-9]{2,4}){2,4}(?![\w-]|[.,][0-9])", _groups),
    # numbers of cards, postal codes
    rule(r"(?<![\w.-])[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?![\w-])", _groups),
    rule(r"(?<=\b[A-Z]{2} )[0-9]{5}(?:-[0-9]{4})?(?![\w-])", _groups),
]
