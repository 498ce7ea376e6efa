"""Written English as it is spoken: numbers, signs and abbreviations as words.

The rules stand in the modules beside this one, by kind; here is the order in which they are applied.
"""

from __future__ import annotations

import re
import unicodedata

from course_utils.text.abbreviations import ABBREVIATIONS, CODES, LETTERS
from course_utils.text.addresses import ADDRESSES, TELEPHONES
from course_utils.text.dates import CALENDAR_RANGES, DATES, DECADES, TIMES, YEARS
from course_utils.text.numbers import NUMBER, digits, number
from course_utils.text.quantities import QUANTITIES, RANGES
from course_utils.text.rules import Rule, apply, rule

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛`´ʼ", "'"),
        **dict.fromkeys('“”„«»"″', " "),
        **dict.fromkeys("‐‑‒", "-"),
        **dict.fromkeys("–—―", " - "),
        **dict(zip("ßæÆœŒøØłŁđĐþÞð", "ss ae Ae oe Oe o O l L d D th Th d".split(), strict=True)),
        **dict.fromkeys("™®", ""),
        "′": "'",
        "…": ". ",
        "‰": " per thousand ",
        "√": " square root of ",
        "∞": " infinity ",
        "±": " plus or minus ",
        "∓": " minus or plus ",
        "→": " to ",
        "⇒": " implies ",
        "⇔": " if and only if ",
        "∛": " cube root of ",
        "∏": " product of ",
        "∫": " integral of ",
        "∂": " partial ",
        "∇": " gradient of ",
        "∅": " empty set ",
        "∴": " therefore ",
        "∵": " because ",
        "¬": " not ",
        "∀": " for all ",
        "∃": " there exists ",
        "∧": " and ",
        "∨": " or ",
        "∪": " union ",
        "∩": " intersection ",
        "⊂": " is a subset of ",
        "⊆": " is a subset of ",
        "⊥": " is perpendicular to ",
        "∥": " is parallel to ",
        "∉": " not in ",
        "≢": " is not equivalent to ",
        "≮": " is not less than ",
        "≯": " is not greater than ",
        "≰": " is not less than or equal to ",
        "≱": " is not greater than or equal to ",
        "⩽": "≤",
        "⩾": "≥",
        "⁄": "/",
        "←": " from ",
        "↔": " to and from ",
        "↑": " up ",
        "↓": " down ",
        "§": " section ",
        "¶": " paragraph ",
        "©": " copyright ",
        "∑": " sum of ",
        "∈": " in ",
        "∆": "Δ",
        "∼": "~",
        "≅": "≈",
        "≃": "≈",
        "≦": "≤",
        "≧": "≥",
        "\N{OHM SIGN}": "Ω",
        "\N{MICRO SIGN}": "μ",
    }
)
_KEPT = "€£¥₹₩₽₺₿¢°×μΩ≠≤≥≪≫≈≡∝∙⋅−÷♯♭№"
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_ASCII_SIGNS = {
    "+/-": "±",
    "<->": "↔",
    "-->": "→",
    "->": "→",
    "=>": "→",
    "<=": "≤",
    ">=": "≥",
    "!=": "≠",
    "==": "=",
    "~=": "≈",
}

_EAST = {"N": "north", "S": "south", "E": "east", "W": "west"}


def _arc(match: re.Match) -> str:
    """Read 40°26′46″N."""
    seconds = f"{match[2]} seconds " if match[2] else ""
    return f"° {match[1]} minutes {seconds}{_EAST[match[3]] if match[3] else ''} "


def _feet_and_inches(match: re.Match) -> str:
    """Read 5'10"."""
    feet, inches = match[1], match[2]
    return f"{feet} {'foot' if feet == '1' else 'feet'} {inches} {'inch' if inches == '1' else 'inches'} "


def _two_lengths(match: re.Match) -> str:
    """Read 5'-6' and 4' x 8'."""
    return f"{match[1]} ft {'by' if match[2].strip() in 'x×' else 'to'} {match[3]} ft"


_NOUN = re.compile(r" (?!(?:by|wide|long|tall|thick|deep|high|and|for|from|away|apart|per)\b)[a-z]{3}")


def _inch(match: re.Match) -> str:
    """Read 27" as inches, unless the sign closes a quotation."""
    quotes = re.findall(r"(?<![0-9])\"", match.string[max(0, match.start() - 500) : match.start()])
    if match[0] == '"' and len(quotes) % 2:
        return match[0]
    return "-inch " if _NOUN.match(match.string, match.end()) else " inch "


_VARIABLE = "[b-hj-z]"  # a letter that is no word

PLAIN: list[Rule] = [
    *CALENDAR_RANGES,
    rule(r"\+/-|<->|-->|[-=]>|[<>!=~]=", lambda m: _ASCII_SIGNS[m[0]]),
    rule(r"<-(?=[\sA-Za-z])", "←"),
    rule(r"(?<=\w) ?(&&|\|\|) ?(?=\w)", lambda m: " and " if m[1] == "&&" else " or "),
    rule(r"\(([A-Za-z]) ?\| ?([A-Za-z])\)", r"(\1 given \2)"),
    rule(r"\|(-?\w{1,6})\|", r" absolute value of \1 "),
    # -x
    rule(rf"(?:^|(?<=[=(,] )|(?<=[=(]))-(?=(?:{_VARIABLE}|[α-ω])(?![\w']))", "−"),
    rule(r"(?<=[0-9]) - (?=-[0-9])", " − "),
    # x - 5 and x*y, 5·3
    rule(rf"(?<![\w'])([0-9]*{_VARIABLE}) [-–] (?=[0-9]*{_VARIABLE}(?![\w'])|[0-9])", r"\1 − "),
    rule(rf"(?<!\w)({_VARIABLE}) ?[*·] ?(?={_VARIABLE}(?!\w))", r"\1 × "),
    rule(r"(?<=[0-9])\s?·\s?(?=[0-9])", " × "),
    rule(r"(?<=[Ng])[·⋅](?=m\b)", "∙"),
    # E = mc², y = mx + b, F = ma
    rule(r"(?<==)( ?)m([acx])(?![A-Za-z0-9_'])", r"\1m \2"),
    rule(r"([0-9.]+) ?[ÅÅ](?!\w)", lambda m: f"{m[1]} angstrom{'s' * (m[1] != '1')} "),
    rule(r"(?<=[0-9a-z])\*\*(?=-?[0-9])", "^"),
    rule(r"(?<=[0-9])\s?[°º]\s?(?=[CF]\b)|(?<=[0-9])º", "°"),
    # 40°26′46″, 5'10", 27″
    rule(r"(?<=[0-9])°\s?([0-9]{1,2})[′'’]\s?(?:([0-9]{1,2}(?:\.[0-9]+)?)[″\"”])?(?:\s?([NSEW])\b)?", _arc),
    rule(r"(?<![\w.'])([0-9]{1,2})[′'’]\s?([0-9]{1,2}(?:½|\.[0-9])?)(?:[″\"”]|'')", _feet_and_inches),
    rule(r"(?<=[0-9½¼¾⅓⅔⅛⅜⅝⅞])[″\"]", _inch),
    # 5'-6', 4' x 8', 6'
    rule(r"(?<![\w.'])([0-9]{1,3})['’](-|–| ?[x×] ?)([0-9]{1,3})['’](?!\w)", _two_lengths),
    rule(r"^([0-9]{1,3})['’]$", r"\1 ft"),
    rule(r"(?<=[0-9])′|(?<=[0-9])'(?= (?:tall|long|wide|high|deep|pole|ceiling|ladder|wall)\b)", " ft "),
    rule(r"(?:(?<= ft)|(?<= inch)) [-–](?=[0-9])", "-"),
    # x², 10⁻³
    rule(r"[⁺⁻]?[⁰¹²³⁴-⁹ⁿ]+", lambda m: f"^{m[0].translate(_SUPERSCRIPTS)}"),
    # a short dash between words joins them, before a number it is a minus
    rule(r"(?<=\S)–(?=\S)|(?<!\S)–(?=[0-9.$€£])|(?<=[0-9%])—(?=[0-9$€£])", "-"),
    # 1 000 000
    rule(r"(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))|(?<=[0-9]) (?=000(?: 000)*(?! ?[0-9]))", ""),
]

NUMBERS: list[Rule] = [
    rule(r"(?<=[0-9])\.(?=[0-9]+\.[0-9])", " point "),  # 1.2.3
    rule(NUMBER, lambda m: f" {number(m[0])} "),
]

_SIGNS = {
    "&": "and",
    "@": "at",
    "+": "plus",
    "=": "equals",
    "%": "percent",
    "°": "degrees",
    "×": "times",
    "∙": "times",
    "⋅": "times",
    "−": "minus",
    "€": "euros",
    "£": "pounds",
    "¥": "yen",
    "₹": "rupees",
    "₿": "bitcoin",
    "$": "dollars",
    "¢": "cents",
    "#": "number",
    "~": "about",
    "μ": "mu",
    "Ω": "omega",
    "♯": "sharp",
    "♭": "flat",
}

_RULES: list[Rule] = [
    # a run of digits that nobody reads as one number
    rule(r"(\.?)([0-9]{16,})", lambda m: f" {'point' if m[1] else ''} {digits(m[2])} "),
    rule(r"−(?=\s?[$€£¥]?\.?[0-9])(?<![0-9A-Za-z]−)(?<![0-9A-Za-z] −)", "-"),
    *ADDRESSES,
    rule(
        r"(?<![\w.,])([1-9][0-9]{0,2}(?:\.[0-9]{3}){2,})(?![\w.])", lambda m: m[1].replace(".", "")
    ),  # 1.000.000
    *ABBREVIATIONS,
    *TELEPHONES,
    *DATES,
    *RANGES,
    *TIMES,
    *CODES,
    *DECADES,
    *QUANTITIES,
    *YEARS,
    *NUMBERS,
    *LETTERS,
    rule(f"[{''.join(map(re.escape, _SIGNS))}]", lambda m: f" {_SIGNS[m[0]]} "),
]


def _plain(text: str) -> str:
    """Bring Unicode down to ASCII and a few signs that are read aloud; drop what has no sound."""
    result = []
    for character in apply(PLAIN, text).translate(_PLAIN):
        if character in _KEPT:
            result.append(character)
        elif unicodedata.decomposition(character).startswith("<fraction>"):
            after_digit = " " * (result[-1:] != [] and result[-1].isdigit())
            result.append(after_digit + unicodedata.normalize("NFKC", character).replace("⁄", "/"))
        else:
            result += map(_ascii, unicodedata.normalize("NFKD", character))
    text = re.sub(r"\s+", " ", "".join(result))
    # a dash between words is a pause, one that is left in the end part of a word
    return re.sub(r"(?<![0-9%] )(?<=\s)-+\s|(?<=\s)-+ (?![-+$€£¥.0-9])|--+(?!\.?[0-9])", ", ", text)


def _ascii(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else " "
    if character in _KEPT:
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if (name := unicodedata.name(character, "")).startswith("GREEK") and character.isalpha():
        return f" {name.split(' WITH ')[0].split()[-1].lower().replace('lamda', 'lambda')} "
    # accents join, others part
    return "" if unicodedata.category(character).startswith(("M", "Cf")) else " "


def _tidy(text: str) -> str:
    """Lower case, only LETTERS, spaces and PUNCTUATION; one mark at a time, none at the start."""
    text = re.sub(r"(?<=[a-z]) +'s\b", "'s", text.lower())  # of a number: the 1980 's
    text = re.sub(r"[:()\[\]{}]", ",", text)
    text = re.sub(r"[^a-z',.?!; ]", " ", text)
    text = re.sub(r"(?<![a-z])'+|'+(?![a-z])", " ", text)
    # of several marks in a row the strongest stays
    text = re.sub(
        r"\s*([,.?!;][,.?!;\s]*)", lambda m: min(m[1].replace(" ", ""), key="?!.;,".index) + " ", text
    )
    return re.sub(r" +", " ", text).lstrip(" ,.?!;").rstrip()


def _normalise_once(text: str) -> str:
    return _tidy(apply(_RULES, _plain(text)))


def normalise(text: str) -> str:
    """Write a text as it is spoken: lower-case words, the apostrophe, spaces and the marks , . ? ! ;

    Reads numbers, ordinals, years, dates, times, decades, ranges, money, units, fractions, powers, comparisons,
    telephone numbers, addresses of the web, abbreviations by what stands around them, Roman numerals after
    words that announce them, symbols, and spells initialisms, as a US speaker does; only dates in digits are
    read day first (3/4/2026 is the third of April). Accents are dropped, and so is whatever
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
