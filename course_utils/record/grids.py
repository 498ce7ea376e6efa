"""Fixed test material: the same on every machine, balanced in every prefix; and means with intervals."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np

from course_utils import metrics


def seed_of(*names: Hashable) -> int:
    """A seed that depends on names only, the same on every machine."""
    return zlib.crc32("/".join(map(str, names)).encode())


def balanced(count: int, *factors: Sequence[Hashable]) -> list[tuple]:
    """`count` combinations of one value per factor, so that every prefix is as even as can be.

    Single values come first, then pairs of values, then whole combinations: the next one is always that which
    was seen least.
    """
    groups = [
        tuple(combinations(range(len(factors)), size)) for size in range(1, len(factors) + 1)
    ]  # of one factor, of two, ...
    share = {group: np.prod([len(factors[i]) for i in group]) for size in groups for group in size}
    seen: Counter = Counter()

    def often(cell: tuple) -> list[float]:
        return [sum(seen[g, tuple(cell[i] for i in g)] * share[g] for g in size) for size in groups]

    chosen = []
    for _ in range(count):
        cell = min(product(*factors), key=often)
        seen.update((group, tuple(cell[i] for i in group)) for group in share)
        chosen.append(cell)
    return chosen


def in_turn(items: Iterable, *names: Hashable) -> Callable[[], Any]:
    """A function that deals out `items` in a shuffled order that depends on `names` only, again and again."""
    items = list(items)
    order = np.random.default_rng(seed_of(*names)).permutation(len(items))
    position = iter(range(10**9))
    return lambda: items[order[next(position) % len(items)]]


def summarise(rows: Sequence[dict[str, Any]], measures: Sequence[str], by: str | None = None) -> dict:
    """Mean of each measure with its 95 % interval; the interval draws whole voices, not single clips.

    A figure that is not finite (PESQ of silence) is left out of its mean. A word error rate is that of all
    words together.

    Args:
        rows: dicts with "voice", the measures, and "words" beside "wer".
        measures: names of columns; those that are not there are passed over.
        by: a column, for example "sex", "noise_type" or "snr_db".

    Returns:
        {measure: (mean, low, high)}, or with `by` {value: {measure: (mean, low, high)}}.
    """
    if not rows:
        raise ValueError("no rows, so there is nothing to summarise")
    if by is not None:
        if by not in rows[0]:
            raise ValueError(f"there is no column {by!r}; there are {', '.join(rows[0])}")
        values = sorted({row[by] for row in rows})
        return {value: summarise([row for row in rows if row[by] == value], measures) for value in values}
    summary = {}
    for measure in (name for name in measures if name in rows[0]):
        judged = [row for row in rows if np.isfinite(row[measure])]
        if len({row["voice"] for row in judged}) < 2:
            mean = float(np.mean([row[measure] for row in judged])) if judged else float("nan")
            summary[measure] = (mean, float("nan"), float("nan"))  # one voice tells no spread
            continue
        summary[measure] = metrics.bootstrap_ci(
            np.array([row[measure] for row in judged]),
            groups=[row["voice"] for row in judged],
            weights=np.array([row["words"] for row in judged]) if measure == "wer" else None,
        )
    return summary
