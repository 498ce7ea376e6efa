"""Check the sentences of the corpus: `python -m data.build.check_texts [DICTIONARY]`.

Prints the counts and the phoneme-pair coverage of `data/build/texts/{train,valid,test}.txt` and ends with status 1
if a sentence could not be read aloud with a known pronunciation, or if the splits overlap.
"""

import lzma
import re
import sys
from itertools import pairwise
from pathlib import Path

from course_utils.shipped import content

TEXTS = Path(__file__).parent / "texts"
DICTIONARY = Path(__file__).parents[1] / "lexicon" / "cmudict.txt.xz"
SPLITS = ("train", "valid", "test")
MIN_WORDS, MAX_WORDS = 3, 16
MIN_COVERAGE = 0.95
SHARED_WORDS = 5  # this many words in a row may not occur in two splits

# Words written alike and spoken differently (or whose first pronunciation in the dictionary is the rarer one):
# a look-up cannot choose, so the label would not be what a listener expects.
HETERONYMS = frozenset(
    """
    absent abstract abuse abuses address addresses advocate affect affects aged agape alternate appropriate
    approximate articulate associate associates attribute attributes august axes bases bass blessed bow bowed
    bowing bows buffet close combine combines commune compact complex compound compress conduct confines conflict
    conflicts console consoles consort construct consummate content contents contest contests contract contracts
    contrast contrasts converse convert converts convict convicts coordinate decrease defect defects delegate
    deliberate desert deserts desolate diffuse digest discard discharge discount discounts dove dove's
    duplicate elaborate entrance entrances escort escorts estimate estimates excuse excuses exploit exploits
    export exports extract extracts frequent graduate graduates impact implant implants import imports imprint
    incense incline increase increases initiate insert inserts insult insults intern interns intimate invalid
    invite invites lather lead leads lineage live lives minute misuse mobile moderate moped mow multiply object
    objects offset overthrow pasty pate perfect perfume permit permits pervert polish prayer precipitate predicate
    present presents primer proceeds process processes produce progress project projects protest protests
    putting read reading rebel rebels recall recap record records refill refund refuse refuses reject rejects
    replay reprint research resign resume retake rewrite row rows rowing rowed segment separate separates sewer
    sewers skied slough sow sows sowing subject subjects survey surveys suspect suspects syndicate tear tearing
    tears torment transfer transfers transplant transport transports update upgrade uplift upset use used uses wind
    winding winds wound wounds
    """.split()
)


class TextError(ValueError):
    """A dictionary or text file that cannot be used."""


def words(sentence: str) -> list[str]:
    """The words of a sentence in lower case, apostrophes kept, punctuation dropped."""
    return re.findall(r"[a-z']+", sentence.lower())


def read_dictionary(path: Path) -> dict[str, list[str]]:
    """First pronunciation of each word, as ARPAbet phonemes without stress marks.

    The file is CMUdict's own text, plain or packed: one word and its phonemes a line, alternatives marked `word(2)`.
    """
    if not path.is_file():
        raise TextError(
            f"no pronouncing dictionary at {path}: give the path of CMUdict's text file as argument"
        )
    data = path.read_bytes()
    if data[:6] == b"\xfd7zXZ\0":
        data = lzma.decompress(data)
    pronunciations: dict[str, list[str]] = {}
    for line in data.decode("utf-8").splitlines():
        fields = line.split("#")[0].split()
        if len(fields) < 2 or fields[0].startswith(";;;"):
            continue
        word = fields[0].lower()
        if not re.search(r"\(\d+\)$", word):
            pronunciations.setdefault(word, [phone.rstrip("012") for phone in fields[1:]])
    if not pronunciations:
        raise TextError(f"{path} holds no pronunciations: expected lines such as 'hello HH AH0 L OW1'")
    return pronunciations


def read_sentences(split: str, folder: Path = TEXTS) -> list[str]:
    """The sentences of one split, in the order of the file."""
    try:
        return content(folder, f"{split}.txt").decode("utf-8").splitlines()
    except FileNotFoundError as error:
        raise TextError(f"no sentences for {split!r}: expected the file {folder / split}.txt") from error


def common_diphones(folder: Path = TEXTS) -> set[tuple[str, str]]:
    """The phoneme pairs that the training sentences should hold (how they were chosen: head of the file)."""
    lines = (folder / "diphones.txt").read_text(encoding="utf-8").splitlines()
    return {tuple(line.split()[:2]) for line in lines if not line.startswith("#")}


def diphones(sentences: list[str], dictionary: dict[str, list[str]]) -> set[tuple[str, str]]:
    """The phoneme pairs of the sentences, within words and across their borders, but not across punctuation."""
    pairs: set[tuple[str, str]] = set()
    for sentence in sentences:
        for clause in re.split(r"[.,?!]", sentence):
            phones = [phone for word in words(clause) for phone in dictionary.get(word, ["?"])]
            pairs.update(pairwise(phones))
    return pairs


def problems_of(sentence: str, dictionary: dict[str, list[str]]) -> list[str]:
    """What is wrong with one sentence taken alone; empty if nothing is."""
    found = []
    spoken = words(sentence)
    if not MIN_WORDS <= len(spoken) <= MAX_WORDS:
        found.append(f"{len(spoken)} words, expected {MIN_WORDS} to {MAX_WORDS}")
    if not re.fullmatch(r"[A-Z][A-Za-z' ,]*[.?!]", sentence) or re.search(r"  | ,|,(?! )", sentence):
        found.append(
            "expected a capital, then letters, apostrophes, commas and single spaces, then one of . ? !"
        )
    unknown = [word for word in spoken if word not in dictionary]
    if unknown:
        found.append(f"not in the dictionary: {', '.join(unknown)}")
    ambiguous = [word for word in spoken if word in HETERONYMS or word.removesuffix("'s") in HETERONYMS]
    if ambiguous:
        found.append(f"more than one reading: {', '.join(ambiguous)}")
    return found


def overlaps(texts: dict[str, list[str]]) -> list[str]:
    """Sentences that occur twice, and runs of SHARED_WORDS words that occur in two splits."""
    found = []
    owner: dict[tuple[str, ...], str] = {}
    runs: dict[tuple[str, ...], str] = {}
    for split, sentences in texts.items():
        for sentence in sentences:
            spoken = tuple(words(sentence))
            if spoken in owner:
                found.append(f"{split}: occurs already in {owner[spoken]}: {sentence}")
            owner[spoken] = split
            for start in range(len(spoken) - SHARED_WORDS + 1):
                run = spoken[start : start + SHARED_WORDS]
                if runs.setdefault(run, split) != split:
                    found.append(f"{split}: '{' '.join(run)}' occurs already in {runs[run]}: {sentence}")
    return found


def check(dictionary: dict[str, list[str]], folder: Path = TEXTS) -> tuple[list[str], list[str]]:
    """Problems found (empty if all is well) and the lines of the report."""
    texts = {split: read_sentences(split, folder) for split in SPLITS}
    problems = [
        f"{split} line {number}: {problem}: {sentence}"
        for split, sentences in texts.items()
        for number, sentence in enumerate(sentences, 1)
        for problem in problems_of(sentence, dictionary)
    ]
    problems += overlaps(texts)
    expected = common_diphones(folder)
    report = []
    for split, sentences in texts.items():
        if not sentences:
            problems.append(f"{split}: no sentences")
            continue
        lengths = [len(words(sentence)) for sentence in sentences]
        vocabulary = {word for sentence in sentences for word in words(sentence)}
        covered = len(expected & diphones(sentences, dictionary)) / len(expected)
        questions, exclamations, commas = (
            100 * sum(mark in sentence for sentence in sentences) / len(sentences) for mark in "?!,"
        )
        report.append(
            f"{split}: {len(sentences)} sentences, {sum(lengths)} words ({min(lengths)} to {max(lengths)} a sentence, "
            f"mean {sum(lengths) / len(lengths):.1f}), {len(vocabulary)} different; {questions:.0f} % questions, "
            f"{exclamations:.0f} % exclamations, {commas:.0f} % with a comma; "
            f"{100 * covered:.1f} % of {len(expected)} common phoneme pairs"
        )
        if split == "train" and covered < MIN_COVERAGE:
            missing = sorted(expected - diphones(sentences, dictionary))
            problems.append(
                f"train covers {100 * covered:.1f} % of the common phoneme pairs, expected {100 * MIN_COVERAGE:.0f} %; "
                f"missing: {', '.join('-'.join(pair) for pair in missing)}"
            )
    return problems, report


def main(arguments: list[str] | None = None) -> int:
    """Print the report and the problems; 0 if there are none."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        problems, report = check(read_dictionary(Path(arguments[0]) if arguments else DICTIONARY))
    except TextError as error:
        print(f"error: {error}")
        return 1
    print("\n".join(report + problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
