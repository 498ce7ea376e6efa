"""The rungs between the naive model and the final one of a notebook, trained again with several seeds.

Each exported model module has `RUNGS` (what each rung adds) and `ladder(rung, seed, steps=...)`, which trains one
and returns its figures. The rows stand under "ladder" in `results/`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from course_utils import peers, results

_NOT_FIGURES = ("rung", "seed", "steps", "asked", "fingerprint")


def _module(topic: str) -> ModuleType:
    name = f"course_utils.models.{topic}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ValueError(
            f"there is no ladder {topic!r}: {name} does not exist (its notebook exports it)"
        ) from error
    if not hasattr(module, "ladder"):
        raise ValueError(f"{name} has no ladder")
    return module


def _fingerprint(topic: str) -> str:
    return results.code(f"models.{topic}", "ladder")


def rows(topic: str) -> list[dict[str, Any]]:
    """The recorded rows of a topic: rung, seed, steps and figures."""
    return results.read(topic).get("ladder", [])


def run(
    topic: str,
    rungs: Sequence[str] | None = None,
    seeds: int = 3,
    steps: int | None = None,
    again: bool = False,
) -> list[dict[str, Any]]:
    """Train every rung with every seed; each row is recorded as soon as it is there, and found again next time.

    Args:
        topic: name of the module in `course_utils/models`.
        rungs: some of its `RUNGS`; None: all.
        seeds: how many, from 0.
        steps: training steps; None: as many as the module says.
        again: train also what is recorded with these steps and this code.

    Raises:
        ValueError: no such topic or rung.
    """
    module, fingerprint = _module(topic), _fingerprint(topic)
    if unknown := [rung for rung in rungs or () if rung not in module.RUNGS]:
        raise ValueError(f"{topic} has no rung {unknown[0]!r}; there are {', '.join(module.RUNGS)}")
    if seeds < 1:
        raise ValueError(f"seeds: expected at least 1, got {seeds}")
    # A module may leave it to each rung how many steps it takes; then its default is None.
    default = steps or inspect.signature(module.ladder).parameters["steps"].default
    # Seed by seed, so that a run that is stopped has compared all rungs.
    for seed in range(seeds):
        for rung in rungs or module.RUNGS:
            known = [row for row in rows(topic) if (row["rung"], row["seed"]) == (rung, seed)]
            if not again and any(
                row["fingerprint"] == fingerprint and (row.get("asked") == steps or row["steps"] == default)
                for row in known
            ):
                continue
            print(f"{topic}: {rung}, seed {seed} ...", flush=True)
            figures = module.ladder(rung, seed, **({} if steps is None else {"steps": steps}))
            row = {"rung": rung, "seed": seed, "steps": figures.get("steps", default), "asked": steps}
            _record(topic, {**figures, **row, "fingerprint": fingerprint}, list(module.RUNGS))
    return rows(topic)


def _record(topic: str, row: dict[str, Any], rungs: list[str]) -> None:
    document = results.read(topic)  # read anew: another run may have written meanwhile
    kept = [
        old
        for old in document.get("ladder", [])
        if (old["rung"], old["seed"]) != (row["rung"], row["seed"]) and old["rung"] in rungs
    ]
    document["ladder"] = sorted([*kept, row], key=lambda one: (rungs.index(one["rung"]), one["seed"]))
    results.write(topic, document)


def _about(topic: str, rung: str) -> str:
    """What a rung adds, as its module says: the text itself, or the first one of a tuple."""
    described = _module(topic).RUNGS.get(rung, "")
    if isinstance(described, str):
        return described
    return next((part for part in described if isinstance(part, str)), "") if described else ""


def summary(topic: str) -> dict[str, dict[str, Any]]:
    """Recorded figures by rung: {"about", "seeds", "steps", "figures": {name: (mean, standard deviation)}}."""
    found = {}
    recorded = rows(topic)
    for rung in dict.fromkeys(row["rung"] for row in recorded):
        of_rung = [row for row in recorded if row["rung"] == rung]
        figures = {}
        for name in (key for key in of_rung[0] if key not in _NOT_FIGURES):
            values = [row[name] for row in of_rung if isinstance(row.get(name), int | float)]
            if values:
                deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
                figures[name] = (float(np.mean(values)), deviation)
        found[rung] = {
            "about": _about(topic, rung),
            "seeds": len(of_rung),
            "steps": of_rung[0]["steps"],
            "figures": figures,
        }
    return found


def spread(mean: float, deviation: float, digits: int = 3) -> str:
    """A mean with its standard deviation as text; one seed has none."""
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation == deviation else "")


def table(topic: str, digits: int = 3) -> peers.MarkdownTable:
    """The recorded ladder: mean and standard deviation over the seeds of each figure."""
    rows = [
        {
            "rung": rung,
            "what it adds": entry["about"],
            "seeds": entry["seeds"],
            **{name: spread(*figures, digits) for name, figures in entry["figures"].items()},
        }
        for rung, entry in summary(topic).items()
    ]
    return peers.table(rows or [{"rung": f"nothing recorded yet: course ladder {topic}"}])


def problems(topic: str) -> list[str]:
    """What is stale among the recorded rows, one sentence, or nothing."""
    recorded = rows(topic)
    if not recorded:
        return []
    fingerprint = _fingerprint(topic)
    old = sorted({row["rung"] for row in recorded if row["fingerprint"] != fingerprint})
    return (
        [
            f"{topic}: the ladder's rows {', '.join(old)} are stale (the code of the model changed since); "
            f"run `course ladder {topic}`"
        ]
        if old
        else []
    )
