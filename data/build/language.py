"""Put a language model of words into a trained recogniser: `python -m data.build.language NETWORK OUT`.

NETWORK is the folder of a checkpoint of `Recogniser`, OUT where the same network is written with the language model
inside (`LexiconRecogniser`), for example `data/checkpoints/recognition`.

Three sources are mixed, with weights that fit the validation sentences best:

- books: sentences of novels in the public domain (`texts/books.txt.bz2`, or the file that `--books` names) and
- corpus: the training sentences of the speech corpus (`texts/train.txt.xz`), each as word trigrams (interpolated Kneser-Ney);
- general: how often words and pairs of words occur in present-day English, from the PyPI package `symspellpy`, which
  carries counts of the Google Books n-grams (CC BY 3.0; fetched with pip, only its two lists are taken).

The vocabulary are words of the pronouncing dictionary. Sentences of the validation and test splits, and any text
that holds one, are refused. `--tune` chooses the weights of the search on validation clips.
"""

from __future__ import annotations

import argparse
import bz2
import hashlib
import lzma
import math
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from course_utils import checkpoints, data, metrics, text
from course_utils.decoding.beam import PrefixBeam
from course_utils.decoding.lexicon import LexiconConfig, LexiconModel
from course_utils.models.recognition_words import LexiconRecogniser

TEXTS = Path(__file__).parent / "texts"
PACKAGE = "symspellpy==6.10.1"
# name in the wheel -> sha256
LISTS = {
    "symspellpy/frequency_dictionary_en_82_765.txt": "68e9dc81c7e73bd7310b57e516ecaea0d8b6387ff71344a57c04174650a407a7",
    "symspellpy/frequency_bigramdictionary_en_243_342.txt": "fd892a160184101dd7ae807ac5a302d01fcea1c47304181a8ed7ed9c94545bcd",
}
VOCABULARY = 60_000
SIZE = 2_650_000  # bytes of all tables, so that the repository stays below 50 MiB
BORDER = ""  # before and after a sentence; the first word in alphabetical order
STEP = 0.1  # of the stored log-probabilities


def general_counts() -> tuple[Counter, Counter]:
    """How often words, and pairs of words, occur in present-day English.

    Raises SystemExit where a list is not the one that was recorded.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, PACKAGE]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            for name, expected in LISTS.items():
                content = wheel.read(name)
                if (got := hashlib.sha256(content).hexdigest()) != expected:
                    raise SystemExit(f"{name}: sha256 is {got}, expected {expected}")
                rows = (line.split() for line in content.decode("utf-8-sig").splitlines())
                found.append(Counter({tuple(words): int(count) for *words, count in rows}))
    return found[0], found[1]


def read(path: Path) -> list[list[str]]:
    """The sentences of a text file, one a line, as words; it may be packed (.xz, .bz2)."""
    unpack = {".xz": lzma.decompress, ".bz2": bz2.decompress}.get(path.suffix, bytes)
    content = unpack(path.read_bytes())
    return [words for line in content.decode("utf-8").splitlines() if (words := text.words(line))]


def refuse_held_out(sentences: Iterable[list[str]], held_out: Iterable[list[str]]) -> None:
    """Raise ValueError where a text is, or holds, one of those that are kept for measuring."""
    kept = {tuple(words) for words in held_out}
    lengths = sorted({len(words) for words in kept})
    for words in sentences:
        for n in lengths:
            for i in range(len(words) - n + 1):
                if tuple(words[i : i + n]) in kept:
                    raise ValueError(
                        f"kept for measuring, so not for the language model: {' '.join(words)!r}"
                    )


def vocabulary(
    lexicon: Iterable[str], sources: Iterable[list[list[str]]], general: Counter, size: int
) -> list[str]:
    """At most `size` words of the lexicon in alphabetical order: those of the sources, then the most frequent ones."""
    usable = {word for word in lexicon if re.fullmatch(r"[a-z][a-z']*", word)}
    ours = Counter(word for sentences in sources for words in sentences for word in words)
    ranked = sorted(
        usable & (ours.keys() | {word for (word,) in general}), key=lambda w: (-ours[w], -general[w,], w)
    )
    return sorted(ranked[:size])


class KneserNey:
    """Word trigrams, interpolated Kneser-Ney (Chen and Goodman, 1999), as probabilities."""

    def __init__(self, sentences: Iterable[list[str]], known: set[str], discount: float = 0.75):
        raw = [Counter() for _ in range(3)]
        for words in sentences:
            line = [BORDER, *words, BORDER]
            for i in range(1, len(line)):
                for n in range(min(3, i + 1)):
                    gram = tuple(line[i - n : i + 1])
                    if all(word in known for word in gram):
                        raw[n][gram] += 1
        self.grams, self.discount = raw, discount
        counts = [Counter(), Counter(), raw[2]]
        for n in (1, 2):  # below the highest order: in how many contexts ...
            counts[n - 1].update(gram[1:] for gram in raw[n])
        # ... but at the beginning of a sentence, before which nothing differs: how often
        counts[1].update({gram: count for gram, count in raw[1].items() if gram[0] == BORDER})
        self.counts, self.total, self.kinds = counts, Counter(), Counter()
        for level in counts:
            for gram, count in level.items():
                self.total[gram[:-1], len(gram)] += count
                self.kinds[gram[:-1], len(gram)] += 1

    def p(self, gram: tuple[str, ...]) -> float:
        """p(last word | the words before it)."""
        if not gram:
            return 0.0
        lower = self.p(gram[1:]) if len(gram) > 1 else 0.0
        total = self.total[gram[:-1], len(gram)]
        if not total:
            return lower
        count, kinds = self.counts[len(gram) - 1][gram], self.kinds[gram[:-1], len(gram)]
        d = self.discount if len(gram) > 1 else 0.0
        return (max(count - d, 0) + d * kinds * lower) / total


class General:
    """Word pairs from lists that hold the frequent ones alone: what a list lacks is left to the single words.

    `trust`: a word after which k pairs are listed leaves trust / (trust + k) to single words.
    """

    def __init__(self, single: Counter, pairs: Counter, known: set[str], trust: float, floor: float = 1e-8):
        self.single = {word: float(single[word,]) for word in known if word != BORDER}
        total = sum(self.single.values())
        self.single = {
            word: (count / total + floor) / (1 + floor * len(known)) for word, count in self.single.items()
        }
        self.pairs = {gram: count for gram, count in pairs.items() if set(gram) <= known}
        self.total, self.kinds, self.trust = Counter(), Counter(), trust
        for (before, _), count in self.pairs.items():
            self.total[before] += count
            self.kinds[before] += 1

    def p(self, gram: tuple[str, ...]) -> float:
        """p(last word | the word before it)."""
        lower = self.single.get(gram[-1], 0.0)
        before = gram[-2] if len(gram) > 1 else BORDER
        if not self.kinds[before]:
            return lower
        rest = self.trust / (self.trust + self.kinds[before])
        return (1 - rest) * self.pairs.get(gram[-2:], 0) / self.total[before] + rest * lower


def grams_of(sentences: Iterable[list[str]], known: set[str]) -> Iterator[tuple[str, ...]]:
    """(word before last, last word, word) for each word and the end of each sentence; unknown words are left out."""
    for words in sentences:
        line = [BORDER, *words, BORDER]
        for i in range(1, len(line)):
            gram = tuple(line[max(0, i - 2) : i + 1])
            if all(word in known for word in gram):
                yield gram


def mix(models: list, grams: list[tuple[str, ...]], rounds: int = 40) -> tuple[np.ndarray, float]:
    """Weights of the models under which `grams` are likeliest (expectation maximisation), and the perplexity."""
    p = np.array([[model.p(gram) for model in models] for gram in grams])
    weights = np.full(len(models), 1 / len(models))
    for _ in range(rounds):
        share = p * weights + 1e-12
        weights = (share / share.sum(1, keepdims=True)).mean(0)
    return weights, float(np.exp(-np.log(p @ weights + 1e-12).mean()))


class Mixture:
    """Models with weights, as one."""

    def __init__(self, models: list, weights: Iterable[float]):
        self.models, self.weights = models, [float(weight) for weight in weights]

    def p(self, gram: tuple[str, ...]) -> float:
        """p(last word | the words before it)."""
        return sum(weight * model.p(gram) for model, weight in zip(self.models, self.weights, strict=True))


def stored(p: float) -> int:
    """A probability as it is stored: its logarithm in steps of -0.1, from 0 to 255."""
    return min(255, max(0, round(-math.log(max(p, 1e-12)) / STEP)))


def left_over(listed: dict[str, float], lower: dict[str, float]) -> float:
    """By what the lower order is multiplied for the words that are not listed, so that all sum to one."""
    return min(1.0, max(1e-9, 1 - sum(listed.values())) / max(1e-9, 1 - sum(lower[word] for word in listed)))


def tables(words: list[str], mixture: Mixture, pairs: set, triples: set, size: int = SIZE) -> LexiconModel:
    """The mixture as a model that backs off: its probabilities for the pairs and triples listed.

    Args:
        words: the vocabulary in alphabetical order, without the border.
        pairs, triples: tuples of words; triples begin with one of the pairs.
        size: bytes that the tables may have; the triples that say least beyond their pair are left out.
    """
    words = [BORDER, *words]
    number = {word: i for i, word in enumerate(words)}
    single = {word: mixture.p((word,)) for word in words}
    after = defaultdict(dict)
    for gram in sorted(pairs, key=lambda gram: [number[word] for word in gram]):
        after[gram[:1]][gram[1]] = mixture.p(gram)
    rest = {before: left_over(listed, single) for before, listed in after.items()}

    def lower(before: str, word: str) -> float:
        return after[before,].get(word, rest.get((before,), 1.0) * single[word])

    room = (size - len("\n".join(words)) - 4 * len(words) - 5 * len(pairs)) // 3
    said = {gram: (p := mixture.p(gram)) * abs(math.log(p / lower(*gram[1:]))) for gram in triples}
    taken, count = [], Counter()
    for gram in sorted(triples, key=lambda gram: (-said[gram] * single[gram[0]] * lower(*gram[:2]), gram)):
        if count[gram[:2]] < 255 and len(taken) < room:
            taken.append(gram)
            count[gram[:2]] += 1
    for gram in sorted(taken, key=lambda gram: [number[word] for word in gram]):
        after[gram[:2]][gram[2]] = mixture.p(gram)
    ordered = [(word, second) for word in words for second in after.get((word,), {})]
    for pair in ordered:
        if listed := after.get(pair):
            rest[pair] = left_over(listed, {word: lower(pair[1], word) for word in listed})
    content = "\n".join(words).encode("ascii")
    model = LexiconModel(LexiconConfig(len(words), len(content), len(ordered), len(taken)))
    arrays = {"text": np.frombuffer(content, np.uint8), "log1": [stored(single[word]) for word in words]}
    for n, befores in ((1, [(word,) for word in words]), (2, ordered)):
        entries = [entry for before in befores for entry in after.get(before, {}).items()]
        arrays[f"following{n}"] = [len(after.get(before, {})) for before in befores]
        arrays[f"backoff{n}"] = [stored(rest.get(before, 1.0)) for before in befores]
        arrays[f"word{n + 1}"] = [number[word] for word, _ in entries]
        arrays[f"log{n + 1}"] = [stored(p) for _, p in entries]
    buffers = dict(model.named_buffers())
    model.load_state_dict(
        {name: torch.from_numpy(np.array(array)).to(buffers[name].dtype) for name, array in arrays.items()}
    )
    return model


@cache
def texts_of(split: str, kind: str) -> list[list[str]]:
    """The different texts that the voices of a split speak, as words."""
    return [text.words(line) for line in sorted({clip.text for clip in data.speech(split, kind=kind)})]


def build(books: Path, size: int = SIZE) -> tuple[LexiconModel, dict]:
    """The language model, and what is to be told of it."""
    single, pairs = general_counts()
    sources = {
        "books": read(books),
        "corpus": read(TEXTS / "train.txt.xz"),
        "phrases": texts_of("train", "phrase"),
    }
    valid = [*read(TEXTS / "valid.txt.xz"), *texts_of("valid", "phrase")]
    refuse_held_out(sources["books"], [*read(TEXTS / "valid.txt.xz"), *read(TEXTS / "test.txt.xz")])
    refuse_held_out(sources["corpus"], [*read(TEXTS / "valid.txt.xz"), *read(TEXTS / "test.txt.xz")])
    # Phrases are so short that one may be a part of another: of these no whole one may be known.
    held_out = [*texts_of("valid", "phrase"), *texts_of("test", "phrase")]
    if shared := [words for words in sources["phrases"] if words in held_out]:
        raise ValueError(f"kept for measuring, so not for the language model: {shared[:3]}")
    words = vocabulary(text.lexicon(), sources.values(), single, VOCABULARY)
    known = {*words, BORDER}
    counted = [KneserNey(sentences, known) for sentences in sources.values()]
    grams, best = list(grams_of(valid, known)), (math.inf,)
    for trust in (3, 10, 30, 100):
        models = [*counted, General(single, pairs, known, trust)]
        weights, perplexity = mix(models, grams)
        best = min(best, (perplexity, trust, [round(float(w), 4) for w in weights], models))
    perplexity, trust, weights, models = best
    listed = {gram for gram in pairs if set(gram) <= known}.union(*(model.grams[1] for model in counted))
    model = tables(words, Mixture(models, weights), listed, set().union(*(m.grams[2] for m in counted)), size)
    config = model.config
    return model, {
        "words": config.words - 1,
        "word_pairs": config.pairs,
        "word_triples": config.triples,
        "weights": dict(zip([*sources, "general"], weights, strict=True)),
        "trust": trust,
        "perplexity_valid": round(perplexity, 1),
        "perplexity_valid_stored": round(perplexity_of(model, valid), 1),
    }


def perplexity_of(model: LexiconModel, sentences: Iterable[list[str]]) -> float:
    """Per word and end of sentence, as the tables store it; words that are not in the lexicon are left out."""
    number = {word: i for i, word in enumerate(model.lexicon)}
    grams = grams_of(sentences, set(number))
    ids = [tuple(number[word] for word in gram) for gram in grams]
    return math.exp(-np.mean([model.word_after(gram[:-1], gram[-1]) for gram in ids]))


def tune(network, language: LexiconModel, clips: list) -> dict:
    """The weights of the search with the fewest wrong words on `clips`: alpha and bonus, and the error rate."""
    heard = [network.hear(clip.audio, 320).units[0].numpy() for clip in clips]
    wanted, rates = [" ".join(text.words(clip.text)) for clip in clips], {}

    def rate(alpha: float, bonus: float) -> float:
        decoders = [PrefixBeam(network.config.units, language, alpha, bonus) for _ in clips]
        for decoder, log_probs in zip(decoders, heard, strict=True):
            decoder.push(log_probs)
        return metrics.wer(wanted, [decoder.finish().text for decoder in decoders])

    for alpha in (0.4, 0.5, 0.6, 0.7, 0.8):
        for bonus in (0.0, 0.5, 1.0, 2.0):
            rates[alpha, bonus] = rate(alpha, bonus)
    alpha, bonus = min(rates, key=rates.get)
    return {"alpha": alpha, "bonus": bonus, "wer_valid": round(rates[alpha, bonus], 4)}


def main(arguments: list[str] | None = None) -> None:
    """Build the tables, put them into the recogniser, save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", type=Path, help="folder of a trained recogniser")
    parser.add_argument("out", type=Path, help="folder of the checkpoint to write")
    parser.add_argument(
        "--books",
        type=Path,
        default=TEXTS / "books.txt.bz2",
        help="sentences, one a line; .bz2, .xz or plain",
    )
    parser.add_argument(
        "--clips", type=int, default=0, help="tune on so many validation clips; 0: keep alpha and bonus"
    )
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    network, (document, _) = checkpoints.load(asked.network), checkpoints.read(asked.network)
    language, facts = build(asked.books)
    if asked.clips:
        clips = data.speech("valid")
        facts |= tune(network, language, clips[:: max(1, len(clips) // asked.clips)])
        language.config = replace(language.config, alpha=facts["alpha"], bonus=facts["bonus"])
    config = {"network": asdict(network.config), "language": asdict(language.config)}
    model = LexiconRecogniser.from_config(config)
    own = {key: value for key, value in network.state_dict().items() if not key.startswith("language.")}
    model.load_state_dict(
        {**own, **{f"language.{key}": value for key, value in language.state_dict().items()}}
    )
    others = {
        key: value
        for key, value in document.items()
        if key not in {*checkpoints.ENTRIES, "stored", "language"}
    }
    card = (asked.network / "README.md").read_text(encoding="utf-8")
    rows = "".join(f"| {key} | {value} |\n" for key, value in facts.items())
    card = f"{card.rstrip()}\n\n## Language model\n\n{__doc__.partition(chr(10))[2].strip()}\n\n| | |\n| --- | --- |\n{rows}"
    checkpoints.save(asked.out, model, config, card, bits=8, **others, language=facts)
    print(f"{asked.out}: {facts}")


if __name__ == "__main__":
    main()
