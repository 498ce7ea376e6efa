"""One measurement of the scoreboard, and what measuring has in common: loading, resuming, comparing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from course_utils import checkpoints, fingerprint, paths

OURS = "this course"


@dataclass(frozen=True)
class Entry:
    """One measurement: of which `system`, on which `grid`, and the fingerprint of all it depends on.

    `measure()` gives the record. `sample(record)` measures a small part of it again, and returns one sentence for
    each figure that is another one now.
    """

    grid: str
    system: str
    fingerprint: str
    measure: Callable[[], dict[str, Any]]
    sample: Callable[[dict[str, Any]], list[str]]


def checkpoint_key(name: str) -> str:
    """Fingerprint of a checkpoint: its weights, and the class that holds them."""
    document, _ = checkpoints.read(name)
    module = document["module"].removeprefix("course_utils.")
    return fingerprint.digest(
        document["sha256"], document["config"], fingerprint.code(module, document["class"])
    )


@cache
def load(name: str) -> torch.nn.Module:
    """The model of a checkpoint; loaded once."""
    return checkpoints.load(name)


def differences(
    new: Mapping[str, Any], old: Mapping[str, Any], what: str, relative: float = 5e-3, absolute: float = 5e-3
) -> list[str]:
    """One sentence for each figure of `new` that is not the recorded one within a tolerance.

    The tolerance is what another processor may change: the same RNNoise moved by 0.01 dB between two of them.
    """
    found = []
    for name, value in new.items():
        recorded = old.get(name)
        if isinstance(value, int | float | np.number) and not isinstance(value, bool):
            both_missing = recorded is None and not math.isfinite(value)  # JSON has no NaN
            near = recorded is not None and math.isclose(value, recorded, rel_tol=relative, abs_tol=absolute)
            if not (both_missing or near):
                found.append(f"{name} of {what} is {value:.5g} now, {recorded} was recorded")
        elif value != recorded:
            found.append(f"{name} of {what} is {value!r} now, {recorded!r} was recorded")
    return found


class Unfinished:
    """Rows of a measurement that takes minutes, kept in the cache until it is complete, so that it can be stopped."""

    def __init__(self, key: str):
        self._path = paths.cache_folder() / "scoreboard" / f"{key}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = self._path.read_text().splitlines(keepends=True) if self._path.is_file() else []
        whole = [line for line in lines if line.endswith("\n")]  # the last one may have been cut off
        self._path.write_text("".join(whole))
        self.rows: dict[str, dict[str, Any]] = {row["id"]: row for row in map(json.loads, whole)}

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Keep finished rows."""
        for row in rows:
            self.rows[row["id"]] = row
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")

    def __enter__(self) -> Unfinished:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self._path.unlink(missing_ok=True)
