"""The rungs between the naive model and the final one of a notebook, trained again with several seeds.

The recipe of a topic has `RUNGS` (name: what it adds, first of a tuple) and `train_rung(rung, seed, steps)`; its
topic in `record/topics` has `rung_figures(model)`. The rows stand under "ladder" in `results/`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from course_utils import fingerprint, recipes, tables
from course_utils.record import results, topics

_NOT_FIGURES = ("rung", "seed", "steps", "asked", "fingerprint", "seconds", "parameters")


def _name(topic: str) -> str:
    """The recipe that has the rungs of a topic: `LADDER` of the topic, or the one of its name."""
    known = topics.every().get(topic)
    return getattr(known, "LADDER", topic)


def _recipe(topic: str) -> ModuleType:
    recipe = recipes.find(_name(topic))
    if not hasattr(recipe, "RUNGS"):
        raise ValueError(f"{topic} has no ladder; there are those of {', '.join(with_ladder())}")
    return recipe


def with_ladder() -> list[str]:
    """Names of the topics that have a ladder."""
    known = recipes.names()
    return [
        name
        for name in topics.every()
        if _name(name) in known and hasattr(recipes.find(_name(name)), "RUNGS")
    ]


def made_with(topic: str) -> str:
    """Fingerprint of all that the rows of a ladder are made with."""
    return fingerprint.digest(
        fingerprint.code(f"recipes.{_name(topic)}", "train_rung"),
        fingerprint.code(f"record.topics.{topic}", "rung_figures"),
        topics.find(topic).material(),
    )


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
        topic: name of a recipe with rungs.
        rungs: some of its `RUNGS`; None: all.
        seeds: how many, from 0.
        steps: training steps; None: as many as the recipe says.
        again: train also what is recorded with these steps and this code.

    Raises:
        ValueError: no such topic or rung.
        DataError: what the rungs are measured on is not here.
    """
    recipe, key = _recipe(topic), made_with(topic)
    if unknown := [rung for rung in rungs or () if rung not in recipe.RUNGS]:
        raise ValueError(f"{topic} has no rung {unknown[0]!r}; there are {', '.join(recipe.RUNGS)}")
    if seeds < 1:
        raise ValueError(f"seeds: expected at least 1, got {seeds}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}; leave it out for those of the recipe")
    topics.find(topic).require()
    # Seed by seed, so that a run that is stopped has compared all rungs.
    for seed in range(seeds):
        for rung in rungs or recipe.RUNGS:
            known = [row for row in rows(topic) if (row["rung"], row["seed"]) == (rung, seed)]
            if not again and any(row["fingerprint"] == key and row["asked"] == steps for row in known):
                continue
            print(f"{topic}: {rung}, seed {seed} ...", flush=True)
            row = {**_measure(topic, rung, seed, steps), "asked": steps, "fingerprint": key}
            _record(topic, row, list(recipe.RUNGS))
    return rows(topic)


def _measure(topic: str, rung: str, seed: int, steps: int | None) -> dict[str, Any]:
    """Train one rung with one seed, and measure it."""
    model, history = _recipe(topic).train_rung(rung, seed, steps)
    return {
        "rung": rung,
        "seed": seed,
        "steps": len(history.losses),
        "seconds": history.seconds,
        "parameters": sum(p.numel() for p in model.parameters()),
        **topics.find(topic).rung_figures(model),
    }


def _record(topic: str, row: dict[str, Any], rungs: list[str]) -> None:
    document = results.read(topic)  # read anew: another run may have written meanwhile
    kept = [
        old
        for old in document.get("ladder", [])
        if (old["rung"], old["seed"]) != (row["rung"], row["seed"]) and old["rung"] in rungs
    ]
    document["ladder"] = sorted([*kept, row], key=lambda one: (rungs.index(one["rung"]), one["seed"]))
    results.write(topic, document)


def summary(topic: str) -> dict[str, dict[str, Any]]:
    """Recorded figures by rung: {"about", "seeds", "steps", "parameters", "figures": {name: (mean, standard deviation)}}."""
    found, rungs = {}, _recipe(topic).RUNGS
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
            "about": rungs[rung][0] if rung in rungs else rung,
            "seeds": len(of_rung),
            "steps": of_rung[0]["steps"],
            "parameters": of_rung[0]["parameters"],
            "figures": figures,
        }
    return found


def table(topic: str, digits: int = 3, figures: Collection[str] | None = None) -> tables.MarkdownTable:
    """The recorded ladder: mean and standard deviation over the seeds of each figure, or of some `figures`."""
    found = [
        {
            "rung": rung,
            "what it adds": entry["about"],
            "parameters": f"{entry['parameters']:,}",
            "seeds": entry["seeds"],
            **{
                name: tables.spread(*spread, digits)
                for name, spread in entry["figures"].items()
                if figures is None or name in figures
            },
        }
        for rung, entry in summary(topic).items()
    ]
    return tables.table(found or [{"rung": f"nothing recorded yet: course ladder {topic}"}])


def _stale(topic: str) -> list[str]:
    recorded, key = rows(topic), made_with(topic)
    return list(dict.fromkeys(row["rung"] for row in recorded if row["fingerprint"] != key))


def problems(topic: str) -> list[str]:
    """What is stale among the recorded rows, one sentence, or nothing."""
    if topic not in with_ladder() or not (old := _stale(topic)):
        return []
    return [
        f"{topic}: the ladder's rows {', '.join(old)} are stale (code that they were made with changed since); "
        f"run `course scoreboard {topic} --restamp`, and `course ladder {topic}` if that finds another figure"
    ]


def restamp(topic: str) -> list[str]:
    """Train the quickest stale rung once more; where its figures are still the recorded ones, mark all rows fresh.

    Returns:
        what differs, one sentence, or nothing. Figures may differ by three standard deviations of the seeds.
    """
    if topic not in with_ladder() or not (old := _stale(topic)):
        return []
    document = results.read(topic)
    row = min(
        (r for r in document["ladder"] if r["rung"] in old),
        key=lambda r: (r.get("seconds", 0.0), r["parameters"]),
    )
    print(f"{topic}: {row['rung']}, seed {row['seed']} again ...", flush=True)
    measured = _measure(topic, row["rung"], row["seed"], row["asked"])
    allowed = summary(topic)[row["rung"]]["figures"]
    for name, value in measured.items():
        if name in _NOT_FIGURES or not isinstance(value, int | float):
            continue
        deviation = allowed.get(name, (0.0, 0.0))[1]
        tolerance = 3 * deviation if deviation == deviation else 0.0
        if abs(value - row.get(name, float("inf"))) > tolerance + 1e-4 * abs(value):
            return [
                f"{topic}: {name} of the rung {row['rung']} is {value:.5g} now, {row.get(name)} was recorded; "
                f"run `course ladder {topic}`"
            ]
    for one in document["ladder"]:
        one["fingerprint"] = made_with(topic)
    results.write(topic, document)
    return []
