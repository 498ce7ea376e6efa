"""From probabilities to the likeliest text: prefix beam search as sound arrives, and a language model of letters."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from course_utils.decoding.partial import STEP_SECONDS, Partial, Word

LETTERS = tuple(" 'abcdefghijklmnopqrstuvwxyz")

NEVER = -math.inf  # the logarithm of zero


def add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)), where both may be the logarithm of zero."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + math.log1p(math.exp(b - a))


@dataclass(slots=True)
class Hypothesis:
    """A text in the beam. Its key there is the tuple of its units' classes."""

    blank: float  # log-probability of all its paths that end with the blank ...
    unit: float  # ... and of those that end with its last unit
    steps: tuple[int, ...] = ()  # when each unit came
    state: Any = None  # of the language model
    score: float = 0.0  # of language model and bonus, weighted


def grow(beam: dict, row: list[float], step: int, gain, cut: float, margin: float) -> dict:
    """One step of prefix beam search (Hannun et al., 2014): all that the texts of the beam can become.

    Args:
        beam: {prefix: Hypothesis}, where a prefix is the tuple of the classes of its units.
        row: log-probabilities (units + 1,) of this step; units below `cut` are passed by.
        gain: gain(prefix, state, class) -> (score of language model and bonus, state after it).
        margin: what falls so far behind the best that stays as it is, before its gain, is not tried.
    """
    new, likely = {}, [c for c in range(1, len(row)) if row[c] > cut]
    worst = max(max(h.blank, h.unit) + h.score for h in beam.values()) + row[0] - margin

    def put(prefix, blank, unit, *rest):
        old = new.get(prefix)
        if old is None:
            new[prefix] = Hypothesis(blank, unit, *rest)
            return
        if max(blank, unit) > max(old.blank, old.unit):
            old.steps = rest[0]  # the likelier way to this text says when its units came
        old.blank, old.unit = add(old.blank, blank), add(old.unit, unit)

    for prefix, h in beam.items():
        last, both = prefix[-1] if prefix else 0, add(h.blank, h.unit)
        put(prefix, both + row[0], h.unit + row[last] if last else NEVER, h.steps, h.state, h.score)
        for c in likely:
            p = (h.blank if c == last else both) + row[c]  # the same unit again needs a blank between
            extra, state = gain(prefix, h.state, c) if p + h.score > worst else (NEVER, None)
            if extra > NEVER:
                put((*prefix, c), NEVER, p, (*h.steps, step), state, h.score + extra)
    return new


def words_of(units: list[str], steps: tuple[int, ...], letters: bool, after: int) -> list[Word]:
    """Words with times from units and their steps; none begins before the step `after`, or the end of the one before."""
    words, begun = [], []
    for unit, step in [*zip(units, steps, strict=True), (" ", 0)]:
        if unit != " ":
            begun.append((unit, step))
        if begun and (unit == " " or not letters):
            start = max(begun[0][1], after)
            after = max(begun[-1][1], start) + 1
            text = "".join(unit for unit, _ in begun)
            words.append(Word(text, start * STEP_SECONDS, after * STEP_SECONDS))
            begun = []
    return words


class Search:
    """What `PrefixBeam` does in a step: grow, keep the best, write down what is certain."""

    LONGEST = 150  # units that may stay undecided; then the best hypothesis decides

    def gain(self, prefix: tuple[int, ...], state: Any, c: int) -> tuple[float, Any]:
        """What language model and bonus say to class c after a hypothesis."""
        p, state = self.lm.score(state, self.units[c - 1]) if self.lm else (0.0, None)
        return self.alpha * p + self.bonus * (
            self.inside(prefix) if c == self.space else not self.space
        ), state

    def inside(self, prefix: tuple[int, ...]) -> bool:
        """Whether the last word of a hypothesis is still open."""
        return bool(self.space and prefix) and prefix[-1] != self.space

    def take(self, row: list[float]) -> None:
        """Go on by one step."""
        new = grow(self.beam, row, self.step, self.gain, self.cut, self.margin)
        ranked = sorted(((add(h.blank, h.unit) + h.score, prefix) for prefix, h in new.items()), reverse=True)
        worst, self.best = ranked[0][0] - self.margin, ranked[0][1]
        self.beam = {prefix: new[prefix] for total, prefix in ranked[: self.width] if total >= worst}
        self.step += 1
        self.commit()
        if len(self.best) > self.LONGEST:
            self.beam = {self.best: self.beam[self.best]}

    def commit(self) -> None:
        """Write down the words on which all hypotheses agree. Their last unit stays, as it may be repeated."""
        first, last = min(self.beam), max(self.beam)  # in the order of tuples, all others lie between them
        n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
        while self.inside(first[:n]):
            n -= 1
        if n > self.kept:
            self.words += self.read(self.best, n)
            for h in self.beam.values():
                h.steps = h.steps[n - 1 :]
            self.beam = {prefix[n - 1 :]: h for prefix, h in self.beam.items()}
            self.best, self.kept = self.best[n - 1 :], 1

    def read(self, prefix: tuple[int, ...], n: int | None = None) -> list[Word]:
        """The words in the first n units of a hypothesis that are not written down yet."""
        units, steps = (
            [self.units[c - 1] for c in prefix[self.kept : n]],
            self.beam[prefix].steps[self.kept : n],
        )
        after = round(self.words[-1].end / STEP_SECONDS) if self.words else 0
        return words_of(units, steps, self.space > 0, after)


class PrefixBeam(Search):
    """Prefix beam search as sound arrives: as `GreedyDecoder`, with the likeliest text instead of the best path.

    Args:
        units: what the classes 1, 2, ... write.
        lm: language model with `start() -> state`, `score(state, unit) -> (log p, state)` and `end(state) -> log p`.
        alpha, bonus: weight of the language model, and what each word gets, because a model likes few of them.
        width: hypotheses that are kept at most; none is `margin` worse than the best.
        cut: units with a lower log-probability are not tried.
    """

    def __init__(self, units, lm=None, alpha=0.6, bonus=0.0, width=32, margin=8.0, cut=-7.0):
        if width < 1 or not alpha > 0:
            raise ValueError(f"expected a width of at least 1 and alpha > 0, got {width} and {alpha}")
        self.units, self.lm, self.alpha, self.bonus = units, lm, alpha, bonus
        self.width, self.margin, self.cut = width, margin, cut
        self.space = units.index(" ") + 1 if " " in units else 0  # 0: each unit is a word
        self.words, self.step, self.best, self.kept = (
            [],
            0,
            (),
            0,
        )  # kept: units in front that are written down
        self.beam = {(): Hypothesis(0.0, NEVER, state=lm and lm.start())}

    def push(self, log_probs: np.ndarray) -> None:
        """Take log-probabilities (n, units + 1) of the next n steps."""
        for row in log_probs.tolist():
            self.take(row)

    def partial(self) -> Partial:
        """The best hypothesis now; `stable` is what all of them share."""
        words = [*self.words, *self.read(self.best)]
        stable, text = (" ".join(word.text for word in row) for row in (self.words, words))
        return Partial(text, stable, tuple(words), self.step * STEP_SECONDS)

    def finish(self) -> Partial:
        """The end of the utterance: the text that is likeliest as a whole."""
        totals = {}
        for prefix, h in self.beam.items():
            end = self.alpha * self.lm.end(h.state) if self.lm else 0.0
            totals[prefix] = add(h.blank, h.unit) + h.score + end + self.bonus * self.inside(prefix)
        best = max(totals, key=totals.get)
        broken = (
            totals[best] == NEVER
        )  # no hypothesis ends with a word of the model: the best goes without its last
        best = self.best if broken else best
        words = self.read(best)
        self.words += words[:-1] if broken else words
        self.beam, self.best, self.kept = {best: self.beam[best]}, best, len(best)
        return self.partial()


class CharacterModel:
    """How likely a letter is after those before it, counted: all orders mixed as Witten and Bell (1991) do."""

    END = "\n"  # before and after each sentence

    def __init__(self, sentences, units: tuple[str, ...] = LETTERS, order: int = 5):
        self.order, self.units = order, (*units, self.END)
        self.count, self.seen, self.kinds = Counter(), Counter(), Counter()
        for sentence in sentences:
            if not set(sentence) <= set(units):
                raise ValueError(
                    f"expected letters of {''.join(units)!r}, got {sentence!r}: normalise it first"
                )
            text = self.END + sentence + self.END
            spans = ((i - n, i) for i in range(1, len(text)) for n in range(min(order, i + 1)))
            self.count.update((text[begin:i], text[i]) for begin, i in spans)
        for (history, _), count in self.count.items():
            self.seen[history] += count
            self.kinds[history] += 1  # how many different letters follow
        self.probability = lru_cache(1 << 16)(self.probability)

    def probability(self, history: str, letter: str) -> float:
        """p(letter | history): each order trusts its counts the more, the fewer different letters it saw."""
        p = 1 / len(self.units)
        for n in range(len(history) + 1):
            h = history[len(history) - n :]
            if h in self.seen:
                p = (self.count[h, letter] + self.kinds[h] * p) / (self.seen[h] + self.kinds[h])
        return p

    def start(self) -> str:
        """Before the first letter: the end of the sentence before."""
        return self.END[: self.order - 1]

    def score(self, state: str, unit: str) -> tuple[float, str]:
        """log p(unit | state), and the letters that matter from then on."""
        return math.log(self.probability(state, unit)), (state + unit)[max(0, len(state) + 2 - self.order) :]

    def end(self, state: str) -> float:
        """log p(the sentence ends | state)."""
        return math.log(self.probability(state, self.END))
