"""One measurement of the scoreboard, and what measuring has in common: loading, resuming, comparing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

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


@lru_cache
def _document(folder: Path, _state: tuple[int, ...]) -> dict[str, Any]:
    return checkpoints.read(folder)[0]  # all weights are read for their checksum, so once is enough


def checkpoint_key(name: str) -> str:
    """Fingerprint of a checkpoint: its weights, and the class that holds them."""
    folder = paths.checkpoints_folder() / name
    files = folder / "config.json", folder / "model.safetensors"
    document = _document(folder, tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files))
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


def rows_of(every: Sequence[Any], row: Callable[[Any], dict[str, Any]], key: str, title: str) -> list[dict]:
    """`row(item)` of every item, with its `id`; what was stopped goes on where it was."""
    with Unfinished(key) as unfinished:
        for item in tqdm(every, title, delay=2):
            if item.id not in unfinished.rows:
                unfinished.add([{"id": item.id, **row(item)}])
        return [unfinished.rows[item.id] for item in every]


def by_column(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> dict[str, list]:
    """Rows as a list for each of `columns`, all of the first row's if None: what a record keeps under "each"."""
    return {column: [row[column] for row in rows] for column in columns or rows[0]}


def sample_of(
    every: Sequence[Any],
    row: Callable[[Any], dict[str, Any]],
    record: Mapping[str, Any],
    count: int,
    grid: str,
    system: str,
) -> list[str]:
    """What `row` gives now for `count` of the items of a record with "each", where it is not what was recorded."""
    if record["each"]["id"] != [item.id for item in every]:
        return [f"the items of {grid} are others"]
    found = []
    for i in range(0, len(every), -(-len(every) // count)):
        old = {column: values[i] for column, values in record["each"].items()}
        found += differences(row(every[i]), old, f"{system} on {grid}, {every[i].id},")
    return found
