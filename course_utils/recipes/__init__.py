"""How the shipped checkpoints are made: one module per checkpoint, found by being here.

A recipe has `train(steps=None, state=None, name=...)`, which trains, and saves as `name` (a checkpoint, or the
folder of a trial) with a card. That of a topic takes `measure` too, a function of the model that gives figures for
the card: what measures stands above the recipes. A recipe with a ladder has `RUNGS` (name: what it adds, and how)
and `train_rung(rung, seed, steps)`, which gives the model and its `training.History`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from course_utils import checkpoints, fingerprint, paths


def names() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def find(name: str) -> ModuleType:
    """The module of one recipe.

    Raises:
        ValueError: there is no such recipe.
    """
    if name not in names():
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")


def run(name: str, steps: int | None = None, measure: Callable | None = None, **options: Any) -> Path:
    """Train a checkpoint by its recipe, or go on where the same call was stopped; returns the folder written.

    The whole recipe replaces the shipped checkpoint. With another number of `steps` or other `options` it is a
    trial, and goes to a folder of its own.

    Raises:
        ValueError: no such recipe, not a number of steps, or an option that the recipe does not have.
        CheckpointError: what was stopped was trained by another version of the recipe.
    """
    recipe = find(name)
    if steps is not None and steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}; leave it out for the whole recipe")
    if unknown := set(options) - set(inspect.signature(recipe.train).parameters):
        raise ValueError(f"the recipe of {name} has no option {unknown.pop()!r}; leave it out")
    label = "-".join([name, *(f"{key}={value}" for key, value in options.items()), str(steps or "all")])
    target = paths.checkpoints_folder() / name
    if steps is not None or options:
        target = paths.training_folder() / "trials" / label
        print(f"a trial, which replaces nothing: its checkpoint goes to {target}", flush=True)
    # A folder of its own: it holds the states of all stages, and goes as a whole when the checkpoint is written.
    folder = paths.training_folder() / "states" / label
    _same_recipe(folder, name)
    if measure is not None:
        options["measure"] = measure
    recipe.train(steps=steps, state=folder / "state.safetensors", name=target, **options)
    shutil.rmtree(folder)
    if target.parent == paths.checkpoints_folder():
        print(
            "now run `python -m data.build.manifest`: the manifest names every file of data/ with its checksum"
        )
    return target


def _same_recipe(folder: Path, name: str) -> None:
    """Mark a folder of states with the fingerprint of the recipe, or compare it with the mark that is there."""
    key, mark = fingerprint.code(f"recipes.{name}", "train"), folder / "recipe.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise checkpoints.CheckpointError(
            f"no state can be kept in {folder} ({error}): set COURSE_CACHE to a folder where you may write"
        ) from error
    try:
        known = json.loads(mark.read_text())["fingerprint"] if mark.exists() else None
    except (ValueError, KeyError, TypeError):
        known = "damaged"
    if known is None and not any(folder.iterdir()):
        mark.write_text(json.dumps({"fingerprint": key}))
    elif known != key:
        raise checkpoints.CheckpointError(
            f"the training in {folder} was begun by another version of the recipe {name!r}, so it can not go on; "
            "delete that folder to begin anew, or go back to the version that began it"
        )
