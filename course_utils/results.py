"""Recorded measurements in `results/`, and fingerprints that say what they were made with."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "results"


def read(topic: str) -> dict[str, Any]:
    """The record of a topic ("enhancement", "music"), empty where nothing was recorded yet.

    Raises:
        ValueError: the file is damaged.
    """
    path = FOLDER / f"{topic}.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} can not be read ({error}); restore it with `git checkout -- results/{topic}.json`"
        ) from error


def write(topic: str, document: dict[str, Any]) -> Path:
    """Write the record of a topic in one step; figures are rounded to five digits, so that a change is readable."""
    text = json.dumps(_rounded(document), indent=1, ensure_ascii=False)
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{topic}.json"
    temporary = target.with_suffix(".json.tmp")
    temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
    os.replace(temporary, target)
    return target


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    if isinstance(value, str | bool | int) or value is None:
        return value
    value = float(value)
    return float(f"{value:.5g}") if value == value else None  # JSON has no NaN


def digest(*parts: Any) -> str:
    """Twelve hexadecimal digits that change when any of `parts` (what JSON can hold) does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def code(module: str, *names: str) -> str:
    """Fingerprint of what a module of the course does, the same on every machine and Python version.

    Layout, comments, docstrings and type hints do not count.

    Args:
        module: below `course_utils`, for example "metrics" or "models.enhancement".
        names: only these definitions, and those of the module that they use; none: the whole module.

    Raises:
        ValueError: there is no such module or definition.
    """
    path = ROOT.joinpath("course_utils", *module.split(".")).with_suffix(".py")
    if not path.is_file():
        raise ValueError(f"there is no module {path.relative_to(ROOT)}")
    return _code(path.read_text(encoding="utf-8"), module, names)


@lru_cache(maxsize=256)
def _code(source: str, module: str, names: tuple[str, ...]) -> str:
    tree = ast.parse(source)
    if not names:
        return digest(_meaning(tree))
    defined: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _defines(statement):
            defined.setdefault(name, []).append(statement)
    wanted, found = list(names), {}
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        if name not in defined:
            raise ValueError(f"{module} does not define {name!r}")
        found[name] = [_meaning(statement) for statement in defined[name]]
        used = {
            node.id
            for statement in defined[name]
            for node in ast.walk(statement)
            if isinstance(node, ast.Name)
        }
        wanted += used & set(defined)
    return digest(found)


def _defines(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [
        node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)
    ]


def _meaning(node: Any) -> Any:
    """A syntax tree as plain lists, without what has no effect on the result."""
    if isinstance(node, list):
        return [_meaning(inner) for inner in node if not _is_text(inner)]
    if not isinstance(node, ast.AST):
        return repr(node)
    left_out = {"annotation", "returns", "type_comment", "kind", "ctx"}
    fields = (
        (name, value)
        for name, value in ast.iter_fields(node)
        if name not in left_out and value not in (None, [])
    )  # empty fields differ between versions of Python
    return [type(node).__name__, *([name, _meaning(value)] for name, value in fields)]


def _is_text(node: Any) -> bool:
    """Whether a statement is only a string: a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
