"""Letters to phones for words outside the dictionary: a small recurrent network with CTC.

Each letter gets two output slots, a slot holds a phone or nothing, and CTC finds out in training which
letter makes which sound. Trained by `course_utils/recipes/g2p.py`; use it through `course_utils.text.pronounce`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

from course_utils import checkpoints
from course_utils.text.symbols import LETTERS, PHONES

SLOTS = 2  # output slots per letter: "x" needs two (K S); three bring nothing
SYMBOLS = ("", *(phone for phone in PHONES if phone != "sil"))  # symbol 0 is the CTC blank


class LettersToPhones(nn.Module):
    """Two bidirectional GRU layers; the second also sees what the first one would answer.

    That feedback ("self-conditioned CTC", Nozaki and Komatsu 2021) lets the slots agree with each other,
    for instance on which syllable carries the stress.
    """

    def __init__(self, width: int = 120, embedding: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(LETTERS), embedding)
        self.lower = nn.GRU(embedding, width, bidirectional=True, batch_first=True)
        self.upper = nn.GRU(2 * width, width, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * width, SLOTS * len(SYMBOLS))
        self.feedback = nn.Linear(SLOTS * len(SYMBOLS), 2 * width)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def from_config(cls, config: dict) -> LettersToPhones:
        """Build the network that a checkpoint describes."""
        return cls(**config)

    def forward(self, letters: Tensor) -> tuple[Tensor, Tensor]:
        """Letters (batch, length) -> log probabilities (batch, 2 length, symbols), lower and upper."""
        hidden = self.dropout(self.lower(self.embed(letters))[0])
        first = self._log_probs(hidden)
        answer = first.exp().reshape(*letters.shape, -1)
        hidden = self.dropout(self.upper(hidden + self.feedback(answer))[0])
        return first, self._log_probs(hidden)

    def _log_probs(self, hidden: Tensor) -> Tensor:
        batch, length, _ = hidden.shape
        return self.head(hidden).view(batch, length * SLOTS, len(SYMBOLS)).log_softmax(-1)


def encode(word: str) -> list[int]:
    """Return the numbers of the letters of `word` (a to z and the apostrophe); others are left out."""
    return [LETTERS.index(letter) for letter in word.lower() if letter in LETTERS]


def decode(symbols: Sequence[int]) -> tuple[str, ...]:
    """Turn one best symbol per slot into phones: merge repeats, drop blanks, make sure of a main stress."""
    merged = [b for a, b in zip([0, *symbols], symbols, strict=False) if b and b != a]
    phones = [SYMBOLS[symbol] for symbol in merged]
    if not any(phone.endswith("1") for phone in phones):
        vowels = [i for i, phone in enumerate(phones) if phone[-1].isdigit()]
        # a secondary stress without a main one is the main one; else the first vowel gets it
        vowels.sort(key=lambda i: (phones[i][-1] != "2", i))
        for i in vowels[:1]:
            phones[i] = phones[i][:-1] + "1"
    return tuple(phones)


@cache
def load() -> LettersToPhones:
    """Load the shipped network.

    Raises:
        CheckpointError: it is missing, damaged, or was made for other symbols.
    """
    document, _ = checkpoints.read("g2p")
    if document["letters"] != LETTERS or document["symbols"] != list(SYMBOLS):
        raise checkpoints.CheckpointError(
            "the g2p checkpoint was made for other symbols: run `course train g2p`"
        )
    return checkpoints.load("g2p")


@torch.inference_mode()
def predict(words: Sequence[str], network: LettersToPhones | None = None) -> list[tuple[str, ...]]:
    """Guess a pronunciation for each word; words without any letter a to z give an empty one."""
    network = network or load()
    by_length: dict[int, list[int]] = defaultdict(list)
    letters = [encode(word) for word in words]
    for i, word in enumerate(letters):
        by_length[len(word)].append(i)
    phones: list[tuple[str, ...]] = [()] * len(letters)
    for length, group in by_length.items():
        if length:  # words of one length need no padding
            best = network(torch.tensor([letters[i] for i in group]))[1].argmax(-1).tolist()
            for i, symbols in zip(group, best, strict=True):
                phones[i] = decode(symbols)
    return phones
