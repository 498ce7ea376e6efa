"""Notebook 02: nats per note of the chorale models, and the table beside published figures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from course_utils import checkpoints, data, fingerprint, metrics, shipped, tables
from course_utils.recipes import music as recipe
from course_utils.record import ladder, results
from course_utils.record.entry import OURS, Entry, checkpoint_key, differences, load

NOTEBOOK = "02"
LIBRARIES = ("numpy", "torch")

PROTOCOLS = {
    "metre given": {"metre_given": True},
    "grid alone": {},
    "metre given, twelve keys averaged": {"metre_given": True, "keys": tuple(range(-6, 6))},
}
# Huang et al., Music Transformer (ICLR 2019), table of JSB Chorales, 16th notes, validation.
CITED = {"Transformer": 0.417, "relative Transformer": 0.357, "relative pitch and time": 0.335}
_SPLITS = ("valid", "test")
_SAMPLE = 5
"""How many pieces are measured again before a record is stamped anew."""


def require() -> None:
    """Nothing: the chorales come with the course."""


def material() -> str:
    """Fingerprint of the chorales."""
    return shipped.manifest().files["music/chorales.npz"]["sha256"]


def rung_figures(model: torch.nn.Module) -> dict[str, float]:
    """Nats per note of a rung of the ladder."""
    return {split: recipe.nats(model, data.chorales(split)) for split in _SPLITS}


def card_figures(model: torch.nn.Module) -> dict[str, str]:
    """Nats per note with 95 % intervals over pieces, as they stand in the card."""
    return {
        f"nats per note, {split}, {name}": tables.with_interval(record["mean"], 4)
        for split in _SPLITS
        for name, record in _nats(split, model).items()
    }


def entries() -> Iterator[Entry]:
    """The checkpoint on both splits."""
    if "music" not in checkpoints.available():
        return
    key = fingerprint.digest(
        checkpoint_key("music"),
        fingerprint.code("record.topics.music", "_nats"),
        material(),
    )
    for split in _SPLITS:
        yield Entry(
            split, OURS, key, lambda split=split: _nats(split, load("music")), partial(_sample, split)
        )


def _nats(split: str, model: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """By protocol: the mean over notes with its 95 % interval over pieces, and the nats of each piece."""
    chorales = data.chorales(split)
    notes = np.array([chorale.pitches.size for chorale in chorales])
    found = {}
    for name, options in PROTOCOLS.items():
        each = recipe.evaluate(model, chorales, **options)
        found[name] = {"mean": metrics.bootstrap_ci(each, weights=notes), "each": each.tolist()}
    return found


def _sample(split: str, record: dict[str, Any]) -> list[str]:
    found, chorales = [], data.chorales(split)
    for name, options in PROTOCOLS.items():
        chosen = range(0, len(chorales), len(chorales) // _SAMPLE)
        nats = recipe.evaluate(load("music"), [chorales[i] for i in chosen], **options)
        recorded = record[name]["each"]
        new, old = ({f"piece {i}": float(x) for i, x in zip(chosen, xs, strict=True)}
                    for xs in (nats, [recorded[i] for i in chosen]))  # fmt: skip
        found += differences(new, old, f"{split}, {name},")
    return found


def recorded_nats(split: str, protocol: str = "metre given") -> tuple[float, float, float]:
    """The recorded nats per note of the checkpoint with their interval.

    Raises:
        ValueError: nothing was recorded.
    """
    record = results.read("music").get("systems", {}).get(split, {}).get(OURS, {}).get(protocol)
    if record is None:
        raise ValueError(f"no record of {protocol!r} on {split!r}; run `course scoreboard music`")
    return tuple(record["mean"])


def table() -> tables.MarkdownTable:
    """Recorded nats per note on validation and test: checkpoint, ladder, and the figures of the paper."""
    systems, rows = results.read("music").get("systems", {}), []
    for name in PROTOCOLS:
        if all(name in systems.get(split, {}).get(OURS, {}) for split in _SPLITS):
            valid, test = (tables.with_interval(recorded_nats(split, name), 3) for split in _SPLITS)
            how = "mean with 95 % interval over pieces"
            rows.append({"system": f"checkpoint, {name}", "validation": valid, "test": test, "how": how})
    for figures in ladder.summary("music").values():
        valid, test = (tables.spread(*figures["figures"][split]) for split in _SPLITS)
        how = f"recorded, {figures['seeds']} seeds, {figures['steps']} steps"
        rows.append({"system": f"ladder: {figures['about']}", "validation": valid, "test": test, "how": how})
    how = "as cited; other split by content, not measured here"
    rows += [
        {"system": f"Music Transformer paper: {name}", "validation": f"{nats:.3f}", "how": how}
        for name, nats in CITED.items()
    ]
    return tables.table(rows)


def headline() -> list[dict[str, str]]:
    """Nats per note on validation pieces; there is no model of chorales to install, so the cited figure stands beside."""
    if not results.read("music").get("systems"):
        return []
    best = min(CITED, key=CITED.get)
    return [
        {
            "task": "chorales",
            "measured on": "validation pieces",
            "measure": "nats per note (lower is better)",
            OURS: tables.with_interval(recorded_nats("valid"), 3),
            "best of the others": f"Music Transformer ({best}), as cited, other split: {CITED[best]}",
        }
    ]


def text() -> str:
    """All recorded tables in Markdown."""
    return (
        "### Chorales\n\n"
        "Nats per note (lower is better) on pieces not heard in training, four voices on a grid of 16th notes.\n\n"
        f"{table()}"
    )
