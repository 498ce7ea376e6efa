"""The sub-commands of `course`: one module per topic, found by being here.

A command is one function below `@command(...)`, which says who uses it, what it does and what it takes.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEARN = "for learning and using"
MAINTAIN = "for maintaining the course"
KEPT = "interrupted; what was finished is kept"


@dataclass(frozen=True)
class Command:
    """A sub-command: what `course --help` and its own help say, its arguments, and the function that runs it."""

    name: str
    audience: str
    about: str
    more: str
    arguments: tuple[tuple[tuple[str, ...], dict[str, Any]], ...]
    run: Callable[[argparse.Namespace], int]
    interrupted: str = "interrupted"


_COMMANDS: dict[str, Command] = {}


def argument(*names: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """An argument of a command, as `ArgumentParser.add_argument` takes it."""
    return names, options


def command(
    name: str, audience: str, about: str, *arguments, more: str = "", interrupted: str = "interrupted"
):
    """Make the function below a sub-command; `more` stands only in its own help.

    `interrupted` is what Ctrl-C says: what is kept, if anything is.
    """

    def register(run: Callable[[argparse.Namespace], int]):
        _COMMANDS[name] = Command(name, audience, about, more, arguments, run, interrupted)
        return run

    return register


def every() -> dict[str, Command]:
    """All commands by name, in the order of their modules."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        importlib.import_module(f"{__name__}.{path.stem}")
    return _COMMANDS
