"""Abbreviations, Roman numerals, initialisms and names in mixed case as words."""

from __future__ import annotations

import re

from course_utils.text.dictionary import letter_name, lexicon, without_stress
from course_utils.text.numbers import cardinal, digits, ordinal, plural, roman, year
from course_utils.text.rules import OPENERS, Rule, any_of, closing_stop, rule

_ANYWHERE = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "ms",
    "messrs": "messieurs",
    "prof": "professor",
    "rev": "reverend",
    "capt": "captain",
    "sgt": "sergeant",
    "etc": "et cetera",
    "vs": "versus",
    "approx": "approximately",
    "e.g": "for example",
    "i.e": "that is",
    "cf": "compare",
    "viz": "namely",
    "et al": "et al",
    "ph.d": "p h d",
    "jr": "junior",
    "inc": "incorporated",
    "ltd": "limited",
    "corp": "corporation",
    "bros": "brothers",
    "dept": "department",
    "govt": "government",
    "assn": "association",
    "avg": "average",
    "blvd": "boulevard",
    "ave": "avenue",
    "pkwy": "parkway",
    "hwy": "highway",
    "apt": "apartment",
    "misc": "miscellaneous",
    "univ": "university",
    "asst": "assistant",
    "attn": "attention",
    "esq": "esquire",
}
_NEVER_LAST = set("mr mrs ms messrs prof rev capt sgt e.g i.e cf viz vs approx avg".split())
_BEFORE_A_NAME = {
    "Gen": "General",
    "Col": "Colonel",
    "Maj": "Major",
    "Brig": "Brigadier",
    "Adm": "Admiral",
    "Atty": "Attorney",
    "Msgr": "Monsignor",
    "Bro": "Brother",
    "Lt": "Lieutenant",
    "Cpl": "Corporal",
    "Cmdr": "Commander",
    "Gov": "Governor",
    "Sen": "Senator",
    "Rep": "Representative",
    "Pres": "President",
    "Hon": "Honorable",
    "Fr": "Father",
    "Supt": "Superintendent",
    "Mt": "Mount",
    "Ft": "Fort",
    "Pt": "Point",
}
_AFTER_A_NAME = {
    "Rd": "Road",
    "Ln": "Lane",
    "Ct": "Court",
    "Pl": "Place",
    "Sq": "Square",
    "Sr": "senior",
    "Co": "Company",
}
_BEFORE_A_NUMBER = {
    "p": "page",
    "pg": "page",
    "tel": "telephone",
    "ext": "extension",
    "bldg": "building",
    "rm": "room",
    "ste": "suite",
    "qty": "quantity",
    "pp": "pages",
    "fig": "figure",
    "pt": "part",
    "bk": "book",
    "figs": "figures",
    "eq": "equation",
    "eqs": "equations",
    "vol": "volume",
    "vols": "volumes",
    "sec": "section",
    "sc": "scene",
    "rev": "revision",
    "est": "established",
    "op": "opus",
    "ch": "chapter",
    "chap": "chapter",
    "art": "article",
    "rte": "route",
    "ver": "version",
    "tab": "table",
}

_NUMBERED = (
    "Chapter|Part|Volume|Section|Act|Scene|War|Book|Phase|Type|Article|Figure|Table|Appendix|Lesson|Stage|Class|Level|"
    "Grade|Title|Unit|Bowl|Mark|Division|Factor|Category|Step|Group|Tier|Wave|Season|Episode|Psalm|Fantasy|Quest|Amendment"
)
_RULERS = (
    "Henry|Louis|Elizabeth|George|Edward|Charles|Richard|William|James|John|Paul|Philip|Frederick|Napoleon|Catherine|Pius|"
    "Benedict|Leo|Alexander|Francis|Nicholas|Ivan|Peter|Gregory|Innocent|Clement|Urban|Boniface|Ramses|Ramesses|Ptolemy|"
    "Cleopatra|Umberto|Emmanuel|Carl|Gustav|Christian|Haakon|Harald|Olav|Alfonso|Felipe|Juan|Carlos|Pedro|Maximilian|Otto|"
    "Rudolf|Leopold|Albert|Wilhelm|Joseph|Mehmed|Mehmet|Suleiman|Selim|Murad|Darius|Xerxes|Theodosius|Constantine|Justinian|"
    "Robert|David|Stephen|Mary|Anne|Isabella|Ferdinand|Margrethe|Abdullah|Hussein|Mohammed|Rama|Amenhotep|Thutmose|"
    "Thomas|Franz|Karl|Michael|Eric|Erik|Baldwin|Sixtus|Julius|Adrian|Celestine|Victor|Ludwig|Friedrich|Henri|Philippe"
)
_TITLES = "King|Queen|Pope|Emperor|Empress|Tsar|Czar|Kaiser|Sultan|Prince|Pharaoh|Shah|Duke|Saint"
_I_AS_A_WORD = (
    "(?! (?:am|was|have|had|do|did|don|can|could|will|would|should|may|might|must|want|need|like|love|saw|see|know|think|"
    "thought|read|wrote|said|told|met|made|found|got|went|came|use|used|bought|gave|took|chose|never|always|really|just|also|"
    "fought|remember|mentioned|described|entered|played|left|knew|felt|hope|believe|understand|guess|mean|still)\\b|'[a-z])"
)
# In capitals these are letters, although the dictionary knows only a word written alike; and the other way round.
_SPELT = {
    "IT",
    "UN",
    "ADC",
    "USA",
    "OS",
    "EST",
    "PST",
    "CST",
    "MST",
    "ET",
    "PT",
    "SOS",
    "ID",
    "PO",
    "FYI",
    "AKA",
    "LAX",
}
_WINDS = {"N": "North", "S": "South", "E": "East", "W": "West"}
_SAID = {"COVID", "LIDAR", "RADAR", "SCUBA", "YOLO", "SAAS", "JPEG", "BERT", "LORA"}


def _abbreviation(match: re.Match) -> str:
    name = match[1].lower()
    stop = "" if name in _NEVER_LAST else closing_stop(match, name in ("etc", "inc", "ltd", "corp"))
    return f" {_ANYWHERE[name]}{stop} "


def _saint_or_street(match: re.Match) -> str:
    """Read "St. James St." as saint and street, "Dr. Smith" and "Elm Dr." as doctor and drive."""
    before, after = match.string[max(0, match.start() - 40) : match.start()], match.string[match.end() :]
    title, way = ("saint", "street") if match[1] == "St" else ("doctor", "drive")
    named = re.search(r"(?:^|[\s'])[A-Z][a-z']+ $|[0-9](?:st|nd|rd|th) $|junior $", before)
    known = re.search(r"\b(?:Wall|Main|High|Fleet|Baker|Broad|Elm|Oak|Maple|Market|Church|Park) $", before)
    named = named and not re.search(rf"(?:^|[.!?] )(?:{OPENERS}) $", before)
    # a name follows, and no word that opens a sentence or a part of an address
    name_after = re.match(rf" (?!(?:{OPENERS}|Apt|Suite|Ste|Unit|Floor|NW|NE|SW|SE|and)\b)[A-Z]", after)
    if (
        name_after
        and not known
        and not (named and re.search(r"[0-9] ?(?:[NSEW]\.? )?(?:[A-Z][a-z]+ )+$", before))
    ):
        return f" {title} "
    if not named:
        return f" {title}{closing_stop(match)} " if re.match(r"\s*\w", after) else match[0]
    return f" {way}{closing_stop(match) if match[0].endswith('.') else ''} "


def _letters(match: re.Match) -> str:
    may_close = re.search(r"(?:[ap]\.m|[A-Z]\.[A-Z])\.$", match[0]) is None
    return " " + " ".join(re.sub("[^a-z]", "", match[0].lower())) + closing_stop(match, may_close) + " "


def _numbered(match: re.Match) -> str:
    value = 0 if match[2] in "LC" else roman(match[2].upper())
    return f"{match[1]} {cardinal(value)} " if value else match[0]


def _ruler(match: re.Match) -> str:
    value = roman(match[2])
    return f"{match[1]} the {ordinal(value)} " if value else match[0]


def _initialism(match: re.Match) -> str:
    """Spell GPU, CTC and IBM out; leave NASA and texts all in capitals as words."""
    word, ending = match[1].lower(), "'s" if match[2] else ""
    names = tuple(phone for letter in word for phone in letter_name(letter))
    if re.search("[a-z]", match.string) or " " not in match.string.strip():
        as_word = word in lexicon() and match[1] not in _SPELT and re.search("[aeiouy]", word)
        as_word = as_word and all(without_stress(p) != without_stress(names) for p in lexicon()[word])
        as_word = as_word or len(word) > 5 or match[1] in _SAID
    else:
        as_word = True
    as_word = as_word and (re.search("[aeiouy]", word) or word in lexicon())
    return match[0] if as_word else f" {' '.join(word)}{ending} "


def _camel_case(match: re.Match) -> str:
    """Part LibriSpeech into its words; McDonald and what the dictionary knows stay whole."""
    if (match[0].lower() in lexicon() and match[0] != "iOS") or match[0].startswith(("Mc", "Mac")):
        return match[0]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", match[0])


def _flight(match: re.Match) -> str:
    """Read Boeing 747 as "seven forty seven"."""
    return f"{match[1]} {_hundreds(match[2], match[3], match[4])} "


def _hundreds(hundreds: str, rest: str, several: str) -> str:
    """Read 747 as "seven forty seven", 101 as "one oh one"."""
    tail = "hundred" if rest == "00" else ("oh " if rest[0] == "0" else "") + cardinal(int(rest))
    return f"{cardinal(int(hundreds))} {plural(tail) if several else tail}"


ABBREVIATIONS: list[Rule] = [
    rule(r"\b([Ee]q|[Ff]ig|[Ss]ec)\. ?\(([0-9]{1,3})\)", r"\1. \2"),
    rule(r"\bW/O\b|\bw/o\b", "without "),
    rule(r"\bc/o\b", "care of"),
    rule(r"\bb/c\b", "because"),
    rule(r"\ba\.?k\.?a(?:\.|\b)", "a k a"),
    rule(r"\b([Ee])tc\b(?!\.)", r"\1t cetera"),
    rule(r"\b[Ee]st\.(?= [a-z$])", "estimated"),
    rule(r"(?<=[0-9](?:st|nd|rd|th) )ed\.", "edition"),
    rule(r"\bHwy\.?(?= [0-9])", "Highway"),
    rule(r"\bSq\.(?= (?:Park|Garden))", "Square"),
    # N. Main St., W. 42nd St., S. Dakota
    rule(
        r"\b([NSEW])\.? (?=(?:(?:[A-Z][a-z]+ ){1,2}|[0-9]+(?:st|nd|rd|th) )(?:St|Ave|Rd|Blvd|Dr|Ln|Ct|Pl|Way|Street|Avenue|"
        r"Road|Drive)\b)|\b([NSEW])\. (?=(?:Korea|Dakota|Carolina|Virginia|Africa|America|Ireland|Europe|Asia)\b)",
        lambda m: _WINDS[m[1] or m[2]] + " ",
    ),
    rule(r"\bw/(?= ?[a-z0-9])", "with "),
    rule(
        rf"\b({any_of(_BEFORE_A_NUMBER)})\. ?(?=\(?[0-9]|(?-i:[IVX]+\b))",
        lambda m: _BEFORE_A_NUMBER[m[1].lower()] + " ",
        re.I,
    ),
    rule(rf"(?<![\w.])(?!(?<=[0-9] )ms)({any_of(_ANYWHERE)})\.(?!\w)", _abbreviation, re.I),
    rule(r"\b(Mr|Mrs|Ms|Prof)(?=\s+[A-Z])", lambda m: _ANYWHERE[m[1].lower()]),
    rule(r"\bvs\b", "versus"),
    rule(rf"\b({any_of(_BEFORE_A_NAME)})\. ?(?=[A-Z])", lambda m: _BEFORE_A_NAME[m[1]] + " "),
    rule(r"(?<=[a-z] )v\. (?=[A-Z])", "versus "),
    rule(r"(?<=[\w'] )(Ave|Blvd|Pkwy|Hwy)\b", lambda m: _ANYWHERE[m[1].lower()]),
    rule(r"\b(Dr|St)(?:\.(?!\w)|(?= [A-Z])|(?<=[a-z] St)(?=,|$))", _saint_or_street),
    rule(
        rf"(?<=[\w&'] )({any_of(_AFTER_A_NAME)})\.(?!\w)",
        lambda m: _AFTER_A_NAME[m[1]] + closing_stop(m, True),
    ),
    rule(rf"\b({any_of(_AFTER_A_NAME.keys() - {'Co', 'Sr'})})(?=$|,)", lambda m: _AFTER_A_NAME[m[1]]),
    # No. 5, the no. 1 song; "no. 5" may be an answer
    rule(
        r"(?<![\w.])(?:No(s?)\. ?|no(s?)\.)(?=[0-9])|(?:(?<=\b[Tt]he )no|\bno(s))\. (?=[0-9])|№ ?",
        lambda m: f"number{m[1] or m[2] or m[3] or ''} ",
    ),
    rule(r"\bca?\. ?(?=[0-9]{3,4}\b)", "circa "),
    rule(r"\bb\. ?(?=[0-9]{4}\b)", "born "),
    rule(r"\bd\. ?(?=[0-9]{4}\b)", "died "),
    rule(r"\bno\.(?= of\b)", "number"),
    rule(r"(?<![0-9][ -])\b(min|max)\.(?= [a-z0-9])", lambda m: m[1] + "imum"),
    rule(r"\bv(?=[0-9]+\.[0-9])", "version "),
    rule(r"\b401 ?\(?k\)?(?!\w)", " four oh one k "),
    rule(
        r"\b([45])0([13]) ?\(([a-z])\)(?:\(([0-9])\))?(?!\w)",
        lambda m: f" {digits(m[1])} oh {digits(m[2])} {m[3]} {digits(m[4] or '')} ",
    ),
    rule(
        r"\b802\.([0-9]{1,2})([a-z]{0,2})(?!\w)",
        lambda m: f" eight oh two dot {cardinal(int(m[1]))} {' '.join(m[2])} ",
    ),
    rule(
        r"(^|[.!?,] |[A-Z][a-z]+ |(?:mister|missus|ms|doctor|professor) +)((?:[A-HJ-Z]\. )+)(?=[A-Z][a-z]|[0-9]+(?:st|nd|rd|th))",
        lambda m: m[1] + m[2].replace(".", ""),
    ),
    rule(r"\bPhD(s?)\b", lambda m: f" p h d{'' if not m[1] else chr(39) + 's'} "),
    # Roman numerals, only after words that announce them or after names
    rule(r"\bWW ?(I{1,2}|[12])\b", lambda m: f" world war {'one' if m[1] in 'I1' else 'two'} "),
    # World Wars I and II, Chapters IV-VI
    rule(
        rf"\b((?:{_NUMBERED})s) ([IVXLC]+)(-| and | to )([IVXLC]+)\b",
        lambda m: (
            f"{m[1]} {cardinal(roman(m[2]))}{' to ' if m[3] == '-' else m[3]}{cardinal(roman(m[4]))} "
            if roman(m[2]) and roman(m[4])
            else m[0]
        ),
    ),
    rule(r"\b([Ss]cene) i(?=[.,;)]|$)", r"\1 one"),
    rule(r"(?<=Super Bowl )L(?![A-Za-z])", "fifty"),
    rule(r"\b([A-Z]\.? [A-Z][a-z]+) (I{2,3}|IV|V)\b(?!\.[A-Z])", _ruler),
    rule(rf"\b({_NUMBERED}) ((?!I\b)[IVXLC]+\b|I\b(?!'){_I_AS_A_WORD})", _numbered),
    rule(rf"\b({_NUMBERED.lower()}) ((?!I\b)(?:[IVX]+|[ivx]{{2,}})\b|I\b(?!'){_I_AS_A_WORD})", _numbered),
    rule(rf"\b((?:{_RULERS})(?: [A-Z][a-z]+){{0,2}}) ([IVX]{{2,}}|[VX](?!\.(?! *$)))(?![A-Za-z.])", _ruler),
    rule(rf"\b((?:{_TITLES}) [A-Z][a-z]+) ([IVX]+)\b(?!\.[A-Z])", _ruler),
    rule(rf"\b({_RULERS}) the ([IVX]+)\b", _ruler),
    rule(
        r"\b([XVI]{1,5})(?=(?:th)? [Cc]entur)", lambda m: f"{ordinal(roman(m[1]))} " if roman(m[1]) else m[0]
    ),
    rule(
        rf"\b({_RULERS}) (I)(?='s\b|[,;.)]|$| (?:of|ruled|reigned|died|was crowned|became)\b| and [A-Z])",
        _ruler,
    ),
    rule(
        r"\b([A-Z][a-z]+) (I{2,3}|IV(?! (?:fluid|drip|line|bag|antibiotic|therapy|infusion|drug|pole|access|push))|"
        r"VI{0,3}|IX|XI{1,3}|XI?[VX]|XVI{1,3}|XXI{0,3})\b(?!\.[A-Z])",
        _numbered,
    ),
    rule(r"\b(M{1,2}[CDXLVIM]{3,})\b", lambda m: f" {year(roman(m[1]))} " if roman(m[1]) else m[0]),
    # 2x4s, 747-400
    rule(r"\b([0-9])x([0-9])s\b", lambda m: f"{m[1]} by {plural(cardinal(int(m[2])))} "),
    rule(
        r"(?<![\w.,])7([0-8])7(?:(s)|-([1-9]00|[89]|10))(?!\w)",
        lambda m: f" {_hundreds('7', m[1] + '7', m[2])} {cardinal(int(m[3])) if m[3] else ''} ",
    ),
    rule(r"\((i{1,3}|i?v|vi{1,3}|ix)\)", lambda m: f", {cardinal(roman(m[1].upper()))}, "),
]

_ROAD = "Boeing|Airbus|Flight|Room|Route|Highway|Interstate|Suite|Area|Bus|Porsche|RTX|GTX|HTTP|Xbox|Form"

_CURRENCIES = "USD|EUR|GBP|JPY|INR|CHF|CAD|AUD"

CODES: list[Rule] = [
    # U.S., J.K., the a.m.
    rule(r"\b(?:[A-Za-z]\.){2,}(?!\w)", _letters),
    # C++, C#, B-flat
    rule(r"(?<=\w)\+\+(?!\w)", " plus plus "),
    rule(r"\b([A-GJQ])[#♯](?!\w)", r"\1 sharp "),
    rule(r"\b([A-G])[#♯]m(?!\w)", r"\1 sharp minor "),
    rule(r"\b([A-G])♭", r"\1 flat "),
    # H.264, G.722.1, x264; BA.5
    rule(
        r"\b(?:([A-Z])\.|([hHx])(?=26))([0-9]{2,3})(?![0-9%])(?:\.([0-9])\b)?",
        lambda m: f" {m[1] or m[2]} {digits(m[3])} {'point ' + digits(m[4]) if m[4] else ''} ",
    ),
    rule(r"(?<=[A-Za-z])\.(?=[0-9])", " "),
    rule(r"\b0x(?=[0-9A-Fa-f])", " zero x "),
    # 1080p
    rule(
        r"\b([0-9]{1,2})([0-9]{2})([pi])\b",
        lambda m: f" {cardinal(int(m[1]))} {cardinal(int(m[2]))} {m[3]} " if m[2] != "00" else m[0],
    ),
    # RTX 4090, F-150, A320
    rule(rf"\b({_ROAD}) ([1-9][0-9]?)([0-9]{{2}})(s?)\b(?![-.,][0-9])", _flight),
    rule(
        rf"(?<![\w.-])(?!{_CURRENCIES})([A-Z]{{1,4}})(-?)([1-9])((?!00)[0-9]{{2}})(s?)(?![\w%]|[.,/-][0-9])",
        lambda m: f" {' '.join(m[1]) if not m[2] else m[1]} {_hundreds(m[3], m[4], m[5])} ",
    ),
    rule(r"\bPCIe\b", " p c i e "),
    rule(r"\bA([RH])-(?=[0-9])", r" a \1-"),
    rule(r"\bIEEE\b", " i triple e "),
    rule(r"\b([A-Z])&([A-Z])s\b", r" \1 and \2's "),
    # B- in math
    rule(r"(?<![\w.-])([A-DF])-(?=[.,;!?)]|$| (?:in|on|grade|average|student|for)\b)", r"\1 minus"),
    # dBm, dBu
    rule(r"\bdB([mu])\b", r" d b \1 "),
    # A-Z
    rule(r"\b([Aa])-([Zz])\b", r"\1 to \2"),
    # MP3s, F-16s
    rule(r"(?<=[A-Za-z])(-?)([0-9]{1,3})s\b", lambda m: f" {plural(cardinal(int(m[2])))} "),
    # MP3, CO2, IPv6
    rule(
        rf"(?<![A-Za-z])(?!(?:CAT|{_CURRENCIES})[0-9])([A-Z]{{2,3}}|[A-Z]{{2}}v|mp)(?=[0-9])",
        lambda m: f" {' '.join(m[1].lower())} ",
    ),
    rule(r"(?<=[A-Z]{2})v(?=[0-9])", " v "),
    # Q1-Q3
    rule(r"\b([A-Z])([0-9]+)-(?=\1[0-9])", r"\1\2 to "),
    rule(r"\bpH\b", " p h "),
]

LETTERS: list[Rule] = [
    # iOS, macOS, LibriSpeech
    rule(r"\b[A-Za-z]*[a-z][A-Z][A-Za-z]*", _camel_case),
    rule(r"\b(BCE?)\b", lambda m: f" {' '.join(m[1].lower())} "),
    rule(r"(?<![A-Za-z'])([A-Z]{2,})('?s)?(?![A-Za-z'])", _initialism),
    # f(x), file(s)
    rule(r"\b([A-Za-z])\(([^()]{1,20})\)", r"\1 of \2 "),
    rule(r"(?<=[a-z])\((e?s)\)", r"\1"),
]
