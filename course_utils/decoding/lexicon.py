"""A language model of words: a lexicon and its n-grams in 3 MB."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from course_utils.decoding.beam import NEVER


@dataclass
class LexiconConfig:
    """Sizes of the tables of a `LexiconModel`, and the weights of the search that were chosen with it."""

    words: int
    letters: int
    pairs: int
    triples: int
    alpha: float = 0.6
    bonus: float = 0.0
    width: int = 32


class NgramTables(nn.Module):
    """A lexicon and its n-grams in 3 MB: words are numbered in alphabetical order, 0 is the border of a sentence.

    The entries of an order stand sorted by what comes before them, so that they need no keys: `following` says how many
    entries of the next order begin with each. Log-probabilities are stored in steps of -0.1.
    """

    def __init__(self, config: LexiconConfig):
        super().__init__()
        self.config, sizes = config, (config.words, config.pairs, config.triples)
        self.register_buffer("text", torch.zeros(config.letters, dtype=torch.uint8))  # words, one a line
        for n, size in enumerate(sizes, 1):
            self.register_buffer(f"log{n}", torch.zeros(size, dtype=torch.uint8))
            if n > 1:
                self.register_buffer(f"word{n}", torch.zeros(size, dtype=torch.uint16))
            if n < 3:
                self.register_buffer(f"backoff{n}", torch.zeros(size, dtype=torch.uint8))
                kind = torch.uint16 if n == 1 else torch.uint8
                self.register_buffer(f"following{n}", torch.zeros(size, dtype=kind))
        self.register_load_state_dict_post_hook(lambda module, _: module.unpack())
        self.unpack()

    @classmethod
    def from_config(cls, config: dict):
        """Build the tables that a checkpoint describes."""
        return cls(LexiconConfig(**config))

    def unpack(self) -> None:
        """Make what is searched from what is stored."""
        stored = {name: buffer.cpu().numpy() for name, buffer in self.named_buffers()}
        self.lexicon = bytes(stored["text"]).decode("ascii").split("\n")
        self.log = [-0.1 * stored[f"log{n}"] for n in (1, 2, 3)]
        self.backoff = [-0.1 * stored[f"backoff{n}"] for n in (1, 2)]
        self.keys = []
        for n in (1, 2):
            before = np.repeat(np.arange(len(stored[f"following{n}"])), stored[f"following{n}"])
            self.keys.append(before << 16 | stored[f"word{n + 1}"][: len(before)])


class WordModel(NgramTables):
    """Words after words, and the best word that still can come of some letters."""

    def unpack(self) -> None:
        """Forget what was asked of other tables."""
        super().unpack()
        self.best_below = lru_cache(1 << 17)(self._best_below)
        self.word_after = lru_cache(1 << 16)(self._word_after)

    def find(self, gram: tuple[int, ...]) -> int | None:
        """Where the n-gram of these words stands among those of its order; None: it is not there."""
        at = gram[0]
        for keys, word in zip(self.keys, gram[1:], strict=False):
            key = at << 16 | word
            at = int(keys.searchsorted(key))
            if at == len(keys) or keys[at] != key:
                return None
        return at

    def _word_after(self, context: tuple[int, ...], word: int) -> float:
        """log p(word | context), backing off to a shorter context where the n-gram is not stored (Katz, 1987)."""
        at, total = self.find((*context, word)), 0.0
        if at is None:
            known = self.find(context)
            total = 0.0 if known is None else self.backoff[len(context) - 1][known]
            return total + self.word_after(context[1:], word)
        return self.log[len(context)][at]

    def _best_below(self, prefix: str) -> float:
        """log p of the most frequent word that begins with `prefix`."""
        if not prefix:
            return 0.0
        low, high = (
            bisect_left(self.lexicon, edge) for edge in (prefix, prefix + "{")
        )  # "{" comes after "z"
        return float(self.log[0][low:high].max()) if low < high else NEVER


class LexiconModel(WordModel):
    """Words of a lexicon, one letter at a time: each letter costs what it takes from the best word still possible.

    At the end of a word all its letters together have cost the probability of the word after the two before it.
    """

    def start(self) -> tuple[tuple[int, ...], str]:
        """The last words, and the letters of the one that has begun."""
        return (0,), ""

    def close(self, state: tuple) -> tuple[float, tuple]:
        """The word is over: what is left to pay for it, and the state after it; NEVER where it is not in the lexicon."""
        context, prefix = state
        word = bisect_left(self.lexicon, prefix) if prefix else 0
        if not word or word == len(self.lexicon) or self.lexicon[word] != prefix:
            return NEVER, state
        return self.word_after(context, word) - self.best_below(prefix), ((*context, word)[-2:], "")

    def score(self, state: tuple, unit: str) -> tuple[float, tuple]:
        """The log-probability of a letter or a space, and the state after it."""
        if unit == " ":
            return self.close(state)
        context, prefix = state
        best = self.best_below(prefix + unit)
        return best - self.best_below(prefix) if best > NEVER else NEVER, (context, prefix + unit)

    def end(self, state: tuple) -> float:
        """The log-probability that the word and the sentence end here."""
        p, (context, _) = self.close(state) if state[1] else (0.0, state)
        return p + self.word_after(context, 0) if p > NEVER else NEVER
