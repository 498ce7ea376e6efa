"""The letter-to-phone network that pronounces words outside the dictionary: `course train g2p`.

One thread and fixed seeds: the same machine gives the same weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import random
import re
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch.nn.functional import ctc_loss

from course_utils import checkpoints, metrics, text, training
from course_utils.text import letter_to_phone
from course_utils.text.dictionary import without_stress

SEED, EPOCHS, BATCH, PEAK_RATE = 0, 10, 256, 3e-3

Words = dict[str, list[tuple[str, ...]]]  # word: its pronunciations

SUFFIXES = re.compile(r"(ing|ings|ed|er|ers|es|s|ly|ness|ment|ments|able|ful|less|ish|est|in)$")


def stem(word: str) -> str:
    """Cut inflections off, so that all forms of a word fall into the same split (crude on purpose)."""
    word = re.sub(r"[^a-z]", "", word.replace("'s", ""))
    while len(short := SUFFIXES.sub("", word)) >= 3 and short != word:
        word = short
    word = re.sub(r"([^aeiou])\1$", r"\1", word)
    return re.sub(r"(?<=..)[eiy]+$", "", word)


def split_of(word: str) -> str:
    """Return "test" (5 % of the stems), "valid" (2 %) or "train", fixed by a hash of the stem."""
    place = int(hashlib.sha256(stem(word).encode()).hexdigest()[:8], 16) / 2**32
    return "test" if place < 0.05 else "valid" if place < 0.07 else "train"


def is_word(word: str, phones: tuple[str, ...]) -> bool:
    """Leave out what letters do not explain: abbreviations, initialisms, symbols, single letters."""
    return (
        re.fullmatch(r"[a-z']{2,24}", word) is not None
        and re.search(r"[aeiouy]", word) is not None
        and len(phones) <= len(word) + 1
    )


def splits() -> dict[str, Words]:
    """Return {"train" | "valid" | "test": {word: its pronunciations}}."""
    parts: dict[str, Words] = defaultdict(dict)
    for word, pronunciations in text.lexicon().items():
        fitting = [phones for phones in pronunciations if is_word(word, phones)]
        if fitting:
            parts[split_of(word)][word] = fitting
    return parts


def batches(words: Words, seed: int) -> list[list[tuple[str, tuple[str, ...]]]]:
    """Return shuffled batches; the words of one batch are equally long, so nothing is padded."""
    by_length: dict[int, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for word, pronunciations in words.items():
        by_length[len(word)] += [(word, phones) for phones in pronunciations]
    rng = random.Random(seed)
    result = []
    for group in by_length.values():
        rng.shuffle(group)
        result += [group[i : i + BATCH] for i in range(0, len(group), BATCH)]
    rng.shuffle(result)
    return result


def loss_of(
    network: letter_to_phone.LettersToPhones, batch: list[tuple[str, tuple[str, ...]]]
) -> torch.Tensor:
    """Return the mean CTC loss per word, of the upper answer plus 0.3 of the lower one."""
    letters = torch.tensor([letter_to_phone.encode(word) for word, _ in batch])
    targets = torch.tensor([letter_to_phone.SYMBOLS.index(phone) for _, phones in batch for phone in phones])
    target_lengths = torch.tensor([len(phones) for _, phones in batch])
    lower, upper = (
        ctc_loss(
            log_probs.transpose(0, 1),
            targets,
            torch.full((len(batch),), log_probs.shape[1]),
            target_lengths,
            reduction="sum",
            zero_infinity=True,
        )
        for log_probs in network(letters)
    )
    return (upper + 0.3 * lower) / len(batch)


def rate(epochs: int, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the learning rate by step: warm-up, a slow cosine, and a fall to zero in the last two epochs."""

    def of_step(step: int) -> float:
        slow = 0.5 + 0.5 * math.cos(math.pi * step / (20 * steps_per_epoch))
        return min((step + 1) / 500, slow * min(1, (epochs - step / steps_per_epoch) / 2)) + 1e-3

    return of_step


def fit(
    parts: dict[str, Words], epochs: int, state: Path | None
) -> tuple[letter_to_phone.LettersToPhones, dict]:
    """Train from the last saved state on; return the network and facts for the card."""
    torch.manual_seed(SEED)
    network = letter_to_phone.LettersToPhones()
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    plan = lru_cache(1)(lambda epoch: batches(parts["train"], SEED * 1000 + epoch))
    steps = epochs * (per_epoch := len(plan(0)))
    factor = rate(epochs, per_epoch)

    def batch(step: int) -> list[tuple[str, tuple[str, ...]]]:
        epoch, place = divmod(step, per_epoch)
        if place == 0:
            torch.manual_seed(SEED * 1000 + epoch)  # dropout; the shipped weights were made so
        return plan(epoch)[place]

    history = training.fit(
        network,
        batch,
        loss_of,
        steps,
        learning_rate=PEAK_RATE,
        schedule=lambda done: factor(round(done * steps) - 1),
        optimizer=optimizer,
        evaluate=lambda network: {"valid": measure(network, parts["valid"], 0)["words_without_stress"][0]},
        every=per_epoch,
        state=state,
        save_every=per_epoch,
        seed=SEED,
        title="g2p",
    )
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; the same command goes on
    valid = [scores["valid"] for _, scores in history.evaluations]
    return network, {"epochs": epochs, "steps": steps, "seconds": history.seconds, "valid": valid}


def measure(
    network: letter_to_phone.LettersToPhones, words: Words, resamples: int = 1000
) -> dict[str, list[float]]:
    """Return word accuracy and phone error rate in percent, with and without stress.

    The nearest of the listed pronunciations counts. Each value is [mean, low, high]: a 95 % bootstrap
    interval over stems, because the forms of one word fail together (only [mean] without resamples).
    """
    stems = [stem(word) for word in words]
    scores = {}
    guesses = letter_to_phone.predict(list(words), network)
    for name, change in (("without_stress", without_stress), ("with_stress", tuple)):
        errors, lengths = [], []
        for guess, pronunciations in zip(guesses, words.values(), strict=True):
            options = [(Levenshtein.distance(change(guess), change(p)), len(p)) for p in pronunciations]
            distance, length = min(options, key=lambda option: option[0] / option[1])
            errors.append(distance)
            lengths.append(length)
        errors, lengths = np.array(errors), np.array(lengths)
        for label, values, weights in (
            ("words", errors == 0, np.ones_like(lengths)),
            ("phone_errors", errors / lengths, lengths),
        ):
            interval = (
                metrics.bootstrap_ci(values, stems, resamples=resamples, seed=SEED, weights=weights)
                if resamples
                else [np.average(values, weights=weights)]
            )
            scores[f"{label}_{name}"] = [round(100 * float(value), 2) for value in interval]
    return scores


CARD = """# g2p: letters to phones

Pronounces English words that are not in CMUdict: letters in, ARPAbet phones with stress out. Used by
`course_utils.text.pronounce`; the network is `course_utils.text.letter_to_phone.LettersToPhones`.

| | |
| --- | --- |
| method | two bidirectional GRU layers of width {width}, two output slots per letter, CTC, the lower layer's answer fed into the upper one (self-conditioned CTC, Nozaki and Komatsu 2021); greedy decoding |
| size | {parameters:,} parameters, 8 bits each, {kilobytes:.0f} KB |
| data | CMUdict (BSD licence, `data/lexicon`), without abbreviations and words with other signs than letters and the apostrophe; {train:,} words for training, {valid:,} for validation, {test:,} for the test |
| split | by word stem (a hash of the stem decides), so no inflected form of a training word is held out |
| training | seed {seed}, {epochs} epochs, {steps:,} steps of up to {batch} words, AdamW, peak rate {rate}, falling to zero in the last two epochs |
| machine, time | {machine}; {minutes:.0f} min |
| rebuild | `course train g2p` |
| licence | CC BY 4.0 |

## Measured on the held-out words

Per cent, 95 % bootstrap intervals over {stems:,} stems (1,000 resamples). The nearest pronunciation in the
dictionary counts.

| | without stress | with stress |
| --- | --- | --- |
| words right | {words_without_stress} | {words_with_stress} |
| phone error rate | {phone_errors_without_stress} | {phone_errors_with_stress} |

## Limits

- Many entries of CMUdict are names; their spelling explains their sound only in part.
- Sees one word: no part of speech, no language of origin, no heteronyms (read, lead).
- American English only. Other alphabets, digits and abbreviations are the business of `text.normalise`.
- Compounds of known words (book + case) can be in the held-out part while their parts were trained on.
- Parting an unknown word into two known ones of four letters or more was tried instead and is worse: 56 %
  right without stress, this network 70 % on the same 662 held-out words.
"""


def train(steps: int | None = None, state: Path | None = None, name: str | Path = "g2p") -> None:
    """Train, measure and write the checkpoint.

    Args:
        steps: epochs, 10 for the shipped checkpoint.
        state: file to resume from and to write after each epoch.
        name: of the checkpoint, or a folder to write it to.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        parts = splits()
        network, facts = fit(parts, EPOCHS if steps is None else steps, state)
        facts["machine"] = (
            f"{platform.system()} {platform.machine()}, 1 CPU thread, torch {torch.__version__}"
        )
        write(network, facts, parts, name)
    finally:
        torch.set_num_threads(threads)


def write(
    network: letter_to_phone.LettersToPhones, facts: dict, parts: dict[str, Words], name: str | Path
) -> None:
    """Measure the weights as they are stored (8 bits), and write them with config and card."""
    config = {"width": network.lower.hidden_size, "embedding": network.embed.embedding_dim}
    about = {"letters": text.LETTERS, "symbols": list(letter_to_phone.SYMBOLS)}
    checkpoints.save(name, network, config, "# g2p", bits=8, **about)
    network = checkpoints.load(name)
    scores = measure(network, parts["test"])
    parameters = sum(value.numel() for value in network.parameters())
    shown = {k: f"{v[0]:.1f} ({v[1]:.1f} to {v[2]:.1f})" for k, v in scores.items()}
    card = CARD.format(
        width=config["width"],
        parameters=parameters,
        kilobytes=parameters / 1024,
        stems=len({stem(word) for word in parts["test"]}),
        **{name: len(words) for name, words in parts.items()},
        seed=SEED,
        batch=BATCH,
        rate=PEAK_RATE,
        epochs=facts["epochs"],
        steps=facts["steps"],
        machine=facts["machine"],
        minutes=facts["seconds"] / 60,
        **shown,
    )
    checkpoints.save(
        name,
        network,
        config,
        card,
        bits=8,
        **about,
        training={"seed": SEED, "batch": BATCH, "peak_rate": PEAK_RATE, **facts},
        test=scores,
    )
    print(json.dumps(scores))
