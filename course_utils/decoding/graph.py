"""A small vocabulary as a graph of phones, searched while somebody speaks (Viterbi)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from course_utils.decoding.partial import STEP_SECONDS, Partial, Word

NEVER = -1e9


class Spoken:
    """A word at the end of a path, and the path before it."""

    __slots__ = ("before", "end", "start", "word")

    def __init__(self, word: int, start: int, end: int, before: Spoken | None):
        self.word, self.start, self.end, self.before = word, start, end, before

    def path(self) -> list[Spoken]:
        """All words up to this one, the first first."""
        found, at = [], self
        while at is not None:
            found.append(at)
            at = at.before
        return found[::-1]


def lattice(pronunciations: Sequence[Sequence[int]]) -> tuple[np.ndarray, ...]:
    """The states of CTC for some words, one after another: blank, phone, blank, phone, ..., blank.

    Returns the class of each state (states,), where a phone may be reached from the phone before it (states,), and
    the first and last state of each word (words,).
    """
    classes, skip, first, last = [], [], [], []
    for phones in pronunciations:
        first.append(len(classes))
        for k, phone in enumerate(phones):
            classes += [0, phone]
            skip += [False, k > 0 and phones[k - 1] != phone]
        classes.append(0)
        skip.append(False)
        last.append(len(classes) - 1)
    return np.array(classes), np.array(skip), np.array(first), np.array(last)


def bigrams(sentences: Iterable[Sequence[str]], words: Sequence[str], trust: float = 8.0) -> np.ndarray:
    """log P(word | word before) (words + 1, words); the last row is the beginning.

    Counts of pairs are mixed with those of single words, which weigh as much as `trust` pairs (Dirichlet smoothing).
    """
    place, n = {word: i for i, word in enumerate(words)}, len(words)
    counts = np.zeros((n + 1, n))
    for sentence in sentences:
        before = n
        for word in sentence:
            counts[before, place[word]] += 1
            before = place[word]
    single = (counts.sum(0) + 1) / (counts.sum() + n)
    return np.log((counts + trust * single) / (counts.sum(1, keepdims=True) + trust)).astype(np.float32)


class WordGraph:
    """Viterbi search for the best row of words: the interface of `GreedyDecoder`.

    `pronunciations` holds the classes of the phones of each entry, `owner` which of `words` it is, `grammar`
    (words + 1, words) the log-probabilities of a word after another; they count `weight` times, and each word `bonus` more.
    A word is shown once it has been over for `patience` steps, or is certain: most that change, change at once.
    """

    def __init__(
        self, words: Sequence[str], pronunciations: Sequence[Sequence[int]], owner: Sequence[int],
        grammar: np.ndarray, weight: float = 0.5, bonus: float = 0.0, width: float = 30.0,
        patience: int = 0,
    ):  # fmt: skip
        self.width = width  # nats below the best path at which one is given up
        self.patience = patience
        self.texts, self.owner = tuple(words), np.array(owner)
        self.grammar = (weight * grammar + bonus)[np.append(self.owner, len(words))][:, self.owner]
        self.classes, self.skip, self.first, self.last = lattice(pronunciations)
        self.inner = np.ones(len(self.classes), bool)
        self.inner[self.first] = False
        self.score = np.full(len(self.classes), NEVER)
        self.since = np.zeros(len(self.classes), int)  # the step in which the word of a state began
        self.until = np.zeros(len(self.classes), int)  # and, of its last blank, the step after its last phone
        self.before = np.full(len(self.classes), None)  # the `Spoken` before the word of a state
        # The best path that has ended, by its last entry, in a phone and in the blank behind it; the last column is:
        # nothing but silence so far.
        self.exits = np.full((2, len(self.owner) + 1), NEVER)
        self.exits[1, -1] = 0.0
        self.exit_paths = np.full((2, len(self.owner) + 1), None)
        ends, begins = np.append(self.classes[self.last - 1], 0), self.classes[self.first + 1]
        self.touch = ends[:, None] == begins  # a blank must come between
        self.words: list[Word] = []  # those on which all paths agree
        self.step = 0

    def push(self, log_probs: np.ndarray) -> None:
        """Take log-probabilities of blank and phones (n, phones + 1) of the next n steps."""
        if np.isnan(log_probs).any():
            raise ValueError("log_probs: some are no numbers")
        for row in log_probs:
            self._advance(row)
            self._end_words(row)
            self.step += 1
        self._commit()

    def _advance(self, row: np.ndarray) -> None:
        """One step: each state is reached from itself, its neighbour, the phone before, or the end of a word."""
        reached = np.stack([self.score, np.roll(self.score, 1), np.roll(self.score, 2)])
        reached[1][~self.inner] = reached[2][~self.skip] = NEVER
        which = reached.argmax(0)
        origin = np.arange(len(which)) - which
        score, before, since = reached.max(0), self.before[origin], self.since[origin]
        since[self.first + 1] = np.where(which[self.first + 1] == 1, self.step, since[self.first + 1])
        until = self.until
        until[self.last] = np.where(which[self.last] > 0, self.step, until[self.last])
        in_phone, in_blank = self.exits[:, :, None] + self.grammar
        # the blank before the first phone after any end; the phone at once, but not after the same phone
        for state, ways in (
            (self.first, (in_phone, in_blank)),
            (self.first + 1, (np.where(self.touch, NEVER, in_phone), in_blank)),
        ):
            ways = np.concatenate(ways)
            best, enter = ways.argmax(0), ways.max(0)
            new = enter > score[state]
            at = state[new]
            score[at], before[at], since[at] = enter[new], self.exit_paths.ravel()[best[new]], self.step
        score += row[self.classes]
        score[score < score.max() - self.width] = NEVER  # hopeless
        self.score, self.before, self.since = score, before, since

    def _end_words(self, row: np.ndarray) -> None:
        """The best way to have ended each entry in this step, in its last phone and in the blank behind it."""
        silence = self.exits[1, -1] + row[0]
        self.exits, self.exit_paths = np.full(self.exits.shape, NEVER), np.full(self.exits.shape, None)
        if silence > self.score.max() - self.width:
            self.exits[1, -1] = silence
        for kind, ends in enumerate((self.last - 1, self.last)):
            for entry in np.flatnonzero(self.score[ends] > NEVER):
                state = ends[entry]
                end = self.until[state] - 1 if kind else self.step
                self.exits[kind, entry] = self.score[state]
                self.exit_paths[kind, entry] = Spoken(
                    self.owner[entry], self.since[state], end, self.before[state]
                )

    def _paths(self) -> list[Spoken | None]:
        """The rows of words that are still possible."""
        return [*self.before[self.score > NEVER], *self.exit_paths[self.exits > NEVER]]

    def _commit(self) -> None:
        """Words at the beginning of all possible paths are final: they move to `words` and out of the paths."""
        paths = [path.path() if path else [] for path in set(self._paths())]
        shared = 0
        while all(len(p) > shared and p[shared] is paths[0][shared] for p in paths):
            shared += 1
        if shared:
            self.words += [self._word(spoken) for spoken in paths[0][:shared]]
            for path in paths:
                if len(path) > shared:
                    path[shared].before = None
            done = paths[0][shared - 1]
            for row in (self.before, self.exit_paths.ravel()):
                row[np.equal(row, done)] = None

    def lead(self) -> np.ndarray:
        """How far the best path that is inside each word lies behind the best of all, in nats (words,); at least -30."""
        ends, behind = np.append(self.first[1:], len(self.score)), np.full(len(self.texts), -30.0)
        for begin, end, word in zip(self.first, ends, self.owner, strict=True):
            behind[word] = max(behind[word], self.score[begin + 1 : end].max() - self.score.max())
        return behind

    def _word(self, spoken: Spoken) -> Word:
        start, end = float(spoken.start * STEP_SECONDS), float((spoken.end + 1) * STEP_SECONDS)
        return Word(self.texts[spoken.word], start, end)

    def partial(self) -> Partial:
        """The best path so far, without the word that is being said, and without words that are over too shortly."""
        state = int(self.score.argmax())
        over = np.flatnonzero(self.last == state)
        best = self.exit_paths[1, over[0]] if len(over) else self.before[state]
        while best is not None and best.end + 1 > self.step - self.patience:
            best = best.before
        return self._partial(best if self.step else None)

    def _partial(self, best: Spoken | None) -> Partial:
        words = self.words + [self._word(spoken) for spoken in (best.path() if best else [])]
        text, stable = (" ".join(word.text for word in row) for row in (words, self.words))
        return Partial(text, stable, tuple(words), self.step * STEP_SECONDS)

    def finish(self) -> Partial:
        """The end of the utterance: the best path that ends here."""
        over = self.exits.max() > NEVER  # else a word was broken off: it is left out
        best = self.exit_paths.ravel()[self.exits.argmax()] if over else self.before[self.score.argmax()]
        found = self._partial(best)
        return replace(found, stable=found.text)
