"""Programs without a network that guess the next note of a chorale: copying, and counting what followed before."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from course_utils.music import STEPS_PER_BEAT, check_grid

KINDS = 47
"""How many notes there are to guess: 46 pitches and the rest."""
FACTS = (
    "place in the beat",
    "own last pitch",
    "voice above",
    "all voices above",
    "last chord",
    "chord a beat ago",
)
"""What an n-gram knows, from general to special; one of order 3 knows the first three."""

Piece = list[tuple[int, ...]]


def copy_nats(train: Sequence[np.ndarray], grids: Sequence[np.ndarray]) -> float:
    """Nats per note of a program that knows how often each voice holds its pitch, at each step of a beat.

    Args:
        train: grids (steps, 4) to count in.
        grids: grids (steps, 4) to be guessed; the first step of each does not count.
    """

    def repeats(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return grid[1:] == grid[:-1], np.arange(1, len(grid)) % STEPS_PER_BEAT

    known = [repeats(grid) for grid in train]
    hold = np.stack(
        [np.concatenate([s[p == beat] for s, p in known]).mean(0) for beat in range(STEPS_PER_BEAT)]
    )
    hold = np.clip(hold, 1e-3, 1 - 1e-3)  # (step of the beat, voice)
    costs = [
        -np.where(s, np.log(hold[p]), np.log((1 - hold[p]) / (KINDS - 1))) for s, p in map(repeats, grids)
    ]
    return float(np.concatenate(costs).mean())


class NGram:
    """Counts what followed each situation, with Witten-Bell smoothing (1991, method C).

    Args:
        train: grids (steps, 4) to count in.
        order: how many of `FACTS` it knows, 0 to 6.

    Raises:
        ValueError: another order.
        MusicError: not a grid.
    """

    def __init__(self, train: Sequence[np.ndarray], order: int):
        if not 0 <= order <= len(FACTS):
            raise ValueError(f"expected an order from 0 to {len(FACTS)}, got {order}")
        self.order = order
        self.counts: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)
        for piece in map(_rows, train):
            for t, v in np.ndindex(len(piece), 4):
                for key in self._situations(piece, t, v):
                    self.counts[key][piece[t][v]] += 1
        self._visits = {key: (counter.total(), len(counter)) for key, counter in self.counts.items()}

    def _situations(self, piece: Piece, t: int, v: int) -> Iterator[Hashable]:
        """What voice v may look at before its note at step t: keys from general to special."""
        last = piece[t - 1] if t else (0, 0, 0, 0)
        facts = (t % 4, last[v], piece[t][v - 1] if v else last[1], piece[t][:v], last, piece[max(t - 4, 0)])
        key: Hashable = v
        for fact in (None, *facts[: self.order]):
            key = (key, fact)
            yield key

    def _probability(self, piece: Piece, t: int, v: int) -> float:
        p = 1 / KINDS
        for key in self._situations(piece, t, v):
            if key not in self._visits:
                break
            visits, kinds = self._visits[key]
            p = (self.counts[key][piece[t][v]] + kinds * p) / (visits + kinds)
        return p

    def nats(self, grids: Sequence[np.ndarray]) -> float:
        """Mean nats per note of grids (steps, 4), all notes counted alike."""
        pieces = [_rows(grid) for grid in grids]
        costs = [-math.log(self._probability(p, t, v)) for p in pieces for t, v in np.ndindex(len(p), 4)]
        return float(np.mean(costs))

    def followers(self, grid: np.ndarray, t: int, v: int) -> dict[int, int]:
        """How often each pitch followed the situation of voice `v` at step `t` of a grid, the most frequent first."""
        *_, key = self._situations(_rows(grid), t, v)
        return dict(self.counts.get(key, Counter()).most_common())


def _rows(grid: np.ndarray) -> Piece:
    return [tuple(row) for row in check_grid(grid).tolist()]
