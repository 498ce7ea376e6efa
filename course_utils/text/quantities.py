"""Quantities as words: money, units, ranges, powers and comparisons."""

from __future__ import annotations

import re

from course_utils.text.numbers import (
    AMOUNT,
    FRACTION,
    NUMBER,
    amount,
    digits,
    is_one,
    number,
    ordinal,
    plural,
    power,
    year,
)
from course_utils.text.rules import Rule, any_of, rule

# symbol, name, prefixes
_FAMILIES = (
    ("m", "meter", "n μ m c k"),
    ("g", "gram", "n μ m k"),
    ("L", "liter", "μ m c d"),
    ("l", "liter", "μ m c d"),
    ("s", "second", "n μ m"),
    ("Hz", "hertz", "k M G T"),
    ("V", "volt", "m k"),
    ("A", "amp", "m μ"),
    ("W", "watt", "m k M G T"),
    ("Wh", "watt hour", "k M G T"),
    ("Ah", "amp hour", "m"),
    ("J", "joule", "k M"),
    ("N", "newton", "k"),
    ("Pa", "pascal", "h k M"),
    ("F", "farad", "p n μ"),
    ("Ω", "ohm", "k M"),
    ("eV", "electron volt", "k M G T"),
    ("cal", "calorie", "k"),
    ("mol", "mole", "m μ"),
    ("B", "byte", "k K M G T P"),
    ("bit", "bit", "k M G"),
    ("b", "bit", "k M G"),
    ("bps", "bit per second", "k M G"),
    ("ton", "ton", "k M"),
)
_PREFIXES = dict(
    pair.split("=")
    for pair in "p=pico n=nano μ=micro m=milli c=centi d=deci h=hecto k=kilo K=kilo M=mega G=giga "
    "T=tera P=peta".split()
)
_BARE = {
    "A",
    "F",
    "B",
    "b",
    "ton",
    "cal",
    "bit",
}  # without a prefix these are letters, or words that stand for themselves
_UNITS = {symbol: name for symbol, name, _ in _FAMILIES if symbol not in _BARE}
_UNITS |= {
    prefix + symbol: _PREFIXES[prefix] + name
    for symbol, name, prefixes in _FAMILIES
    for prefix in prefixes.split()
}
_UNITS |= {
    "kΩ": "kilohm",
    "MΩ": "megohm",
    "°C": "degree celsius",
    "°F": "degree fahrenheit",
    "°N": "degree north",
    "°S": "degree south",
    "°E": "degree east",
    "°W": "degree west",
    "°": "degree",
    "%": "percent",
    "¢": "cent",
    "h": "hour",
    "dB": "decibel",
    "dBA": "decibel",
    "mmHg": "millimeter of mercury",
    "mph": "mile per hour",
    "kph": "kilometer per hour",
    "kmh": "kilometer per hour",
    "mpg": "mile per gallon",
    "bpm": "beat per minute",
    "fps": "frame per second",
    "ppm": "part per million",
    "ppb": "part per billion",
    "hp": "horsepower",
    "psi": "pound per square inch",
    "rpm": "revolution per minute",
    "RPM": "revolution per minute",
    "dpi": "dot per inch",
    "ppi": "pixel per inch",
    "mcg": "microgram",
    "cc": "cubic centimeter",
    "atm": "atmosphere",
    "mbar": "millibar",
    "lm": "lumen",
    "lx": "lux",
    "lux": "lux",
    "MP": "megapixel",
    "Nm": "newton meter",
    "KiB": "kibibyte",
    "MiB": "mebibyte",
    "GiB": "gibibyte",
    "TiB": "tebibyte",
    "mH": "millihenry",
    "μH": "microhenry",
    "doz": "dozen",
    "oct": "octave",
    "N∙m": "newton meter",
    "kg∙m": "kilogram meter",
    "rad": "radian",
    "deg": "degree",
    "px": "pixel",
    "ha": "hectare",
    "bps": "basis point",
    "sq ft": "square foot",
    "sq mi": "square mile",
    "sq m": "square meter",
    "sq km": "square kilometer",
    "cu ft": "cubic foot",
    "fl oz": "fluid ounce",
    "fl. oz": "fluid ounce",
    "sq. ft": "square foot",
}
# Shortened names: a dot may follow.
_SHORT = {
    **{short: name for name, shorts in {
        "foot": "ft", "inch": "inch", "yard": "yd yds", "mile": "mi", "pound": "lb lbs", "ounce": "oz", "gallon": "gal", "barrel": "bbl",
        "quart": "qt qts", "pint": "pt", "point": "pts", "teaspoon": "tsp", "tablespoon": "tbsp", "hour": "hr hrs", "minute": "min mins",
        "second": "sec secs", "year": "yr yrs", "week": "wk wks", "month": "mo mos",
    }.items() for short in shorts.split()},
    "in.": "inch",
    "in": "inch",
}  # fmt: skip
_UNITS |= _SHORT
_PER = (
    "second minute hour day night week month year person user student head share liter gallon pound ounce kilogram "
    "kilometer mile meter item unit piece page word pixel octave decade".split()
)
_LONE = "kHz MHz GHz Hz dB kg km cm mm mg mL kB MB GB TB kW kWh °C °F mph km/h m/s".split()

UNIT = (
    rf"(?:in(?=\^[23])|(?<=[0-9]-)in(?= [a-z])|in(?:\.(?=\s+[a-z(]|,|-)|(?=\.?\s*$|[,;)]| =))|{any_of(_UNITS.keys() - {'in', 'in.'})})"
    rf"(?:\^[23](?![0-9])|(?<=m)[23](?![0-9]))?"
    rf"(?:/(?:in(?=\^[23])|{any_of([*_UNITS.keys() - {'in', 'in.'}, *_PER])})(?:\^[23](?![0-9])|(?<=m)[23](?![0-9]))?)?"
)
SCALE = r"(?:thousand|million|billion|trillion)\b"
_SCALES = {
    "k": "thousand",
    "m": "million",
    "b": "billion",
    "bn": "billion",
    "tn": "trillion",
    "t": "trillion",
}


def _unit(symbol: str) -> str:
    """Return the singular name of a unit: "m^2" is a square meter, "m/s^2" a meter per second squared."""
    symbol, _, per = symbol.partition("/")
    symbol = re.sub(r"(?<=m)([23])$", r"^\1", symbol)
    symbol, _, power = symbol.partition("^")
    name = {"2": "square ", "3": "cubic "}.get(power, "") + _UNITS[symbol]
    if per:
        per = re.sub(r"(?<=m)([23])$", r"^\1", per)
        below, _, power = per.partition("^")
        below = _UNITS.get(below, below)
        if power:
            below = (
                f"{below} squared" if below == "second" else {"2": "square ", "3": "cubic "}[power] + below
            )
        name += f" per {below}"
    return name


# What is commonly named by its size: a 35 mm film, 5 kg bags.
_THING = re.compile(
    r" ?(?:(?:lens|film|dash|run|race|hike|bag|bottle|box|jar|cable|rope|screen|monitor|display|drive|SSD|battery|bulb|"
    r"resistor|capacitor|tablet|pill|frame|window|hop|zone|gap|step|segment|delay|pipe|hum|"
    r"motor|engine|charger|adapter|speaker|pole|ladder|fence|tank|truck|weight|dumbbell|steak|burger|tube|bullet|pistol|"
    r"cannon|camera|angle|signal|tone|ruler|pizza|bill|coin|wind|winds|lenses|batteries|boxes|speed limit)s?)\b"
)


def _describes(match: re.Match) -> bool:
    """Whether a quantity is used like an adjective: a 5 km run, a $5 bill."""
    before = match.string[max(0, match.start() - 20) : match.start()]
    return (
        re.search(r"\b[Aa]n? (?:\s*minus\s+)?$", before) is not None
        or _THING.match(match.string, match.end()) is not None
    )


def _measure(match: re.Match) -> str:
    unit = _unit(match["unit"])
    in_range = match.string.endswith(" to ", 0, match.start())  # half a liter to 1 liter: liters
    singular = (is_one(match["amount"]) and not in_range) or match["gap"] == "-" or _describes(match)
    return f" {amount(match['amount'])} {unit if singular else plural(unit)} "


def _lone_unit(match: re.Match) -> str:
    unit = _unit(match["unit"])
    return f"{match['before']} {unit if match['before'].lower() in ('per', 'a', 'the', 'each') else plural(unit)}"


_MONEY = {
    "$": ("dollar", "cent"),
    "€": ("euro", "cent"),
    "£": ("pound", "penny"),
    "¥": ("yen", ""),
    "₹": ("rupee", ""),
    "₩": ("won", ""),
    "₽": ("ruble", ""),
    "₺": ("lira", ""),
    "₿": ("bitcoin", ""),
    "₣": ("swiss franc", ""),
}
CURRENCY = any_of(_MONEY)
_LANDS = {
    "US": "u s",
    "C": "canadian",
    "CA": "canadian",
    "A": "australian",
    "AU": "australian",
    "NZ": "new zealand",
    "HK": "hong kong",
}


def _scale(written: str | None) -> str:
    return _SCALES.get(written.lower(), written.lower()) if written else ""


def _money(match: re.Match) -> str:
    unit, small = _MONEY[match["sign"]]
    found = match.groupdict()
    value, scale, to, per = match["amount"], found.get("scale"), found.get("to"), found.get("per")
    if land := found.get("land"):
        unit = f"{_LANDS[land.upper()]} {unit}"
    minus = " minus " if found.get("minus") else ""
    per = f" per {_UNITS.get(per, per)} " if per else ""
    adjective = _describes(match) or found.get("gap") == "-"
    several = unit if adjective else plural(unit)
    if scale or to:
        spoken = f"{number(value)} {_scale(found.get('first'))}" + (f" to {number(to)}" if to else "")
        return f" {minus}{spoken} {_scale(scale)} {several} {per}"
    whole, _, cents = value.replace(",", "").partition(".")
    if small and len(cents) == 2:
        parts = [_count(whole, unit)] if int(whole or 0) or not int(cents) else []
        parts += [_count(cents.lstrip("0"), small)] if int(cents) else []
        return f" {minus}{' and '.join(parts)} {per}"
    return f" {minus}{number(value)} {unit if value == '1' else several} {per}"


def _count(written: str, unit: str) -> str:
    return f"{number(written)} {unit if written == '1' else plural(unit)}"


def _range(match: re.Match) -> str:
    # "$5-10" and "$5k-10k" are left to the reading of money
    own = re.match(rf"[-+]?{CURRENCY}", match["left"]) and not match["sign"]
    return match[0] if own else f"{match['left']} to "


def _pair(match: re.Match) -> str:
    first, sign, then = int(match[1]), match[2], int(match[3])
    slash = first == then > 1 or first + then == 100 or (first, then) in ((24, 7), (9, 11), (7, 11))
    return (
        f" {number(match[1])} {number(match[3])} "
        if (slash if sign == "/" else first == then == 50)
        else match[0]
    )


def _divided(match: re.Match) -> str:
    """Read 6/2 = 3 as a division, 1/2 = 0.5 as a fraction."""
    return f"{match[1]} divided by {match[2]}" if int(match[1]) >= int(match[2]) else match[0]


def _by(match: re.Match) -> str:
    """Read 1920×1080 and 3 x 5 cards as sizes."""
    return f"{match[1]}x" if match[1] else f"{match[2]} by"


def _chain(match: re.Match) -> str:
    """Read 4-4-2 as numbers, 123-45-6789 digit by digit."""
    groups = match[0].split("-")
    if all(len(group) == 4 and group[:2] in ("18", "19", "20") for group in groups):
        return f" {' to '.join(year(int(group)) for group in groups)} "
    if sum(map(len, groups)) >= 9:
        return f" {', '.join(map(digits, groups))} "
    return f" {' '.join(map(number, groups))} "


def _years(match: re.Match) -> str:
    """Read 1990-95 and 1914-1918 as years, whatever else stays a range of numbers."""
    first, then = int(match[1]), match[2]
    if first == 1999 and then == "00":
        then = "2000"
    if len(then) == 2 and int(then) <= first % 100:
        return f" {year(first)} to {number(then)} "
    return f" {year(first)} to {year(int(then)) if len(then) == 4 else number(then).replace('zero', 'oh')} "


_COMPARED = {
    "<": "less than",
    ">": "greater than",
    "≤": "less than or equal to",
    "≥": "greater than or equal to",
    "≪": "much less than",
    "≫": "much greater than",
    "≠": "not equal to",
    "≈": "approximately equal to",
    "≡": "equivalent to",
    "∝": "proportional to",
}
_NO_SUBJECT = re.compile(r"(?:^|[(,;:.!?]|\b(?:is|are|was|were|be|of|with|to|at|in|for|by|and|or|if|than))$")


def _comparison(match: re.Match) -> str:
    """Read "a < b" as "is less than", and the sign alone where it only says how many: "<5 minutes"."""
    alone = (match[1] and not match[3]) or _NO_SUBJECT.search(
        match.string[max(0, match.start() - 12) : match.start()]
    )
    name = "about" if alone and match[2] == "≈" else _COMPARED[match[2]]
    return f" {'' if alone else 'is '}{name} "


_TIME_OR_NUMBER = rf"(?:[0-9]{{1,2}}(?::[0-5][0-9]){{1,2}}|{AMOUNT})"
_LEFT = (
    rf"(?<![\w.,/:^])(?<![A-Za-z]-)(?P<left>[-+]?{CURRENCY}?{_TIME_OR_NUMBER}"
    rf"(?:\s?(?:[aApP]\.?[mM]\b\.?|[kKMB]\b|bn\b|{SCALE}|{UNIT}(?!\w)|{CURRENCY}|'?s\b|st\b|nd\b|rd\b|th\b))?)"
)

RANGES: list[Rule] = [
    # 2024/25
    rule(
        r"(?<![\w.,/])((?:19|20)[0-9]{2})/([0-9]{2})(?![\w/])",
        lambda m: f" {year(int(m[1]))} {number(m[2])} ",
    ),
    # 4/5 stars, 6/2 = 3
    rule(r"(?<![\w/.])([0-9]{1,2})/(5|10)(?= stars?\b)", r"\1 out of \2"),
    rule(r"(?<![\w/.])([0-9]+)/([0-9]+)(?= ?= ?[0-9])(?! ?= ?[0-9.]+/)", _divided),
    # 24/7, 9/11, 50/50, 60/40 are no fractions, and 4.5/5 and 95/100 are points
    rule(r"(?<![\w/.,$-])([0-9]{1,2})([/-])([0-9]{1,2})(?![\w/%-]|[.,][0-9]| [0-9])", _pair),
    rule(r"(?<![\w/.,])([0-9]{1,3}\.[0-9]+(?=/[0-9]{1,3}\b)|[1-9][0-9](?=/100\b))/", r"\1 out of "),
    rule(r"(?<![\w/.,])([2-9]|12)/([248]|16)(?= time\b)", lambda m: f" {number(m[1])} {number(m[2])} "),
    # 2019-20, 1914-1918
    rule(
        r"(?<![\w.,/:$€£-])((?:1[0-9]|20)[0-9]{2})\s?-\s?((?:1[0-9]|20)[0-9]{2}|[0-9]{2})(?![\w%-]|[.,][0-9]| ?(?:%|\$))",
        _years,
    ),
    # 3-2-1, 4-4-2
    rule(r"(?<![\w.,/:$€£-])[0-9]+(?:-[0-9]+){2,}(?![\w/:-])", _chain),
    # 1-1/2 is a number, and 5 - 3 = 2 a subtraction
    rule(r"(?<![\w.,/-])([0-9]+)-([1-9]/(?:[2-9]|1[0-9]|32|64))(?![\w/])", r"\1 \2"),
    rule(rf"(?<=[0-9])\s?-\s?(?={NUMBER}(?:\s?[-+*/×÷]\s?{NUMBER}){{0,4}}\s?=)", " minus "),
    # 27 BC-AD 14
    rule(r"(?<=[0-9] )(BCE?|AD|CE)\s?-\s?(?=AD\b|[0-9])", r"\1 to "),
    # 5%-10%, $5-$10, 9:30-10:15, 5 kg-10 kg, 9am-5pm
    rule(rf"{_LEFT}(?:-| - )(?=[-+]?(?P<sign>{CURRENCY})?'?\.?[0-9])", _range),
]
# The second amount of a range of money: not a share, a percentage or anything with a unit.
_TO = rf"(?:(?: ?(?P<first>{SCALE}|(?:bn|[kmbt])\b))?-(?P<to>{NUMBER}))?"
_PER_WORD = any_of(
    [*_PER, "hr", "mo", "yr", "lb", "kg", "oz", "gal", "bbl", "L", "sq ft", "min", "wk", "kWh", "mi", "km"]
)

_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "CHF": "₣", "CAD": "C$", "AUD": "A$"}

QUANTITIES: list[Rule] = [
    # dB(A), 7 L/100 km
    rule(r"(?<=dB)\(A\)", "A"),
    rule(r"(?<=[0-9] )(L|kWh|k?g|mg)/(?=100? ?(?:k?m|m?L|k?g)\b)", lambda m: f"{plural(_UNITS[m[1]])} per "),
    # USD 5, 5 EUR, 1,50 €
    rule(rf"\b({any_of(_CODES)}) ?(?={NUMBER})", lambda m: _CODES[m[1]]),
    rule(rf"(?<![\w.,$])({NUMBER}) ?({any_of(_CODES)})\b", lambda m: f"{_CODES[m[2]]}{m[1]}"),
    rule(r"(?<=[0-9]),(?=[0-9]{2} ?€)|(?<=€[0-9]),(?=[0-9]{2}\b)", "."),
    rule(rf"(?<![\w.)^$€£¥])(?<![$€£¥] )-(?={CURRENCY}?\.?[0-9])", " minus "),
    rule(
        rf"(?:\b(?P<land>{any_of(_LANDS)}))?(?P<sign>{CURRENCY})\s?(?P<minus>-?)(?P<amount>{NUMBER}){_TO}"
        rf"(?:(?P<gap>[ -]?)(?P<scale>{SCALE}|(?:bn|[kmbt])\b))?(?:/(?P<per>{_PER_WORD})\b)?",
        _money,
        re.I,
    ),
    rule(
        rf"(?P<amount>{NUMBER})\s?(?P<sign>[€£¥₹₽₣])(?:/(?P<per>{_PER_WORD})\b)?",
        _money,
    ),
    # 3-5x
    rule(rf"(?<= to )({NUMBER})x(?!\w)", r"\1 times"),
    rule(
        r"(?<![\w.])([0-9]{3,4})×(?=[0-9]{3,4}(?![\w.]))|(?<![\w.])([0-9])(?= x [0-9] (?:cards?|inch)\b) x",
        _by,
    ),
    # 4x4 and 8.5 x 11 inches are sizes, 3 x 4 a product, 10x faster a multiple
    rule(
        r"(?<=[0-9])x(?=[0-9])|(?<=[0-9]) ?[x×] ?(?=[0-9.]+ ?(?:inch|feet|foot|cm|mm|px|pixel|meter|m\b|ft\b))"
        r"|(?<=inch )x ?(?=[0-9])",
        " by ",
    ),
    rule(r"(?<=[0-9])\s?[x×*∙⋅]\s?(?=[0-9])|(?<=[0-9])[xX](?=/| [a-z])", " times "),
    rule(rf"(?<=times )/(?={any_of(_PER)}\b)", " per "),
    # 3 ft 2 in
    rule(r"(?:(?<=\bft )|(?<=\bft\. ))([0-9]+) in\b(?!\.? (?:the|a)\b)", r"\1 inch"),
    # 10s of thousands, 100s of people
    rule(
        r"\b(1(?:,?000|00?))s(?= of\b)",
        lambda m: f" {plural({'10': 'ten', '100': 'hundred'}.get(m[1], 'thousand'))} ",
    ),
    rule(r"(?<=[0-9])B(?= (?:parameters|params|people|users|tokens|years|views|dollars)\b)", " billion"),
    # 300 K is a temperature, 300K and 5M are many, 4K a picture and 10K a run
    rule(rf"(?<![\w.-])({NUMBER}) K(?![\w-])", lambda m: f" {number(m[1])} kelvin "),
    rule(r"(?<![\w.,-])([2458]|10(?=[kK] (?:run|race)))[kK](?!\w)", lambda m: f" {number(m[1])} k "),
    rule(
        rf"(?<![\w-])({NUMBER})([kKM]|bn|tn|(?<=\.[0-9])B)(?![\w/^])",
        lambda m: f" {number(m[1])} {_SCALES[m[2].lower()]} ",
    ),
    rule(
        rf"(?<![A-Za-z0-9])(?<![A-Z]-)(?<![0-9][.,])(?P<amount>{AMOUNT})(?P<gap>[ -]?)(?P<unit>{UNIT})"
        r"(?:(?<=[a-z])\.(?=\s+[a-z0-9(]|[,)]))?(?![\w^]|/[A-Za-z]|(?<!%)-[A-Za-z])",
        _measure,
    ),
    rule(rf"(?<![A-Za-z])(?P<amount>{AMOUNT})(?P<gap>-)(?P<unit>{UNIT})(?=-[a-z])", _measure),
    rule(
        rf"\b(?P<before>in|of|per|a|the|to|and|or|each) (?P<unit>{any_of(_LONE)}|ms(?=\s*(?:$|[,.;:!?)])))(?![\w/])",
        _lone_unit,
    ),
    rule(
        r"(?<![\w/.^])(?P<before>)(?P<unit>km/h|m/s(?:\^2)?|mg/d?L|g/m?L|kg/m\^?[23]|g/cm\^?3|[ckm]?m\^[23])(?![\w/^])(?! [+=-])(?<!^m\^2)",
        _lone_unit,
    ),
    rule(r"\bper (min|hr|sec|yr|wk|lb|oz|gal|mi)(?!\w)", lambda m: f"per {_UNITS[m[1]]}"),
    # 60 beats/min, N A for amps
    rule(
        rf"(?<=[0-9] )([a-z]{{3,12}})/({_PER_WORD})(?!\w)", lambda m: f"{m[1]} per {_UNITS.get(m[2], m[2])} "
    ),
    rule(
        rf"(?<![\w.,-])({NUMBER})(?: |-(?=A fuse)|(?<=[0-9]\.[0-9])(?=A))A(?=[.,;]?$|[,;)]| (?:fuse|current|circuit|breaker|charger|outlet|max)\b)",
        lambda m: (
            f" {number(m[1])} {'amp' if m[1] == '1' or re.match(' (?:f|ci|b|ch|o)', m.string[m.end() :]) else 'amps'} "
        ),
    ),
    # x/2, 1/x
    rule(
        r"(?<![\w/])([abcdmnxyzk])/(?=[0-9]{1,3}(?![\w/]))|(?<![\w/.])([0-9]{1,2})/(?=[nxyk](?![\w/]))",
        r"\1\2 over ",
    ),
    rule(rf"(?<![\w/.,])({FRACTION})(?:ths?|rds?|nds?)?(?![\w/])", lambda m: f" {amount(m[1])} "),
    # 6.02e23, 1e-4
    rule(
        rf"({NUMBER})e([+-]?)([0-9]+)\b",
        lambda m: f" {number(m[1])} times ten to the {'minus ' if m[2] == '-' else ''}{number(m[3])} ",
        re.I,
    ),
    rule(
        rf"(?<![\w.])({NUMBER})(?:st|nd|rd|th)(s?)\b",
        lambda m: f" {ordinal(int(float(m[1].replace(',', ''))))}{m[2].lower()} ",
        re.I,
    ),
    # 10^-3, x^2, x^n
    rule(
        r"(?<=[\w)])\s?\^(?:[({]([+-]?(?:[0-9]+|[a-z]))[)}]|([+-]?(?:[0-9]+|[a-z]\b)))",
        lambda m: f" {power(m[1] or m[2])} ",
    ),
    rule(r"(?<=[0-9a-z])\s?/\s?(?=[0-9]+\s?=)|÷", " divided by "),
    rule(r"(\s*)([<>≤≥≪≫≠≈≡∝])(\s*)", _comparison),
]
