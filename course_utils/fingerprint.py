"""Fingerprints of what code does: they change when a figure could, and with nothing else.

A definition is followed into all that it uses, in its own module and in the other modules of the course. Layout,
comments, docstrings, type hints and the wording of errors do not count, and neither does where a definition
stands: a move from one module to another changes nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from course_utils import paths

PACKAGE = paths.PACKAGE
NOT_FOLLOWED = ("shipped",)


def digest(*parts: Any) -> str:
    """Twelve hexadecimal digits that change when any of `parts` (what JSON can hold) does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def code(module: str, *names: str) -> str:
    """Fingerprint of what a module of the course does, the same on every machine and Python version.

    Args:
        module: below `course_utils`, for example "metrics" or "models.enhancement".
        names: only these definitions, and all that they use; none: everything in the module.

    Raises:
        ValueError: there is no such module or definition.
    """
    start = _read(module)
    if start is None:
        raise ValueError(f"there is no module course_utils/{module.replace('.', '/')}.py")
    if unknown := [name for name in names if name not in start.defined]:
        raise ValueError(f"{module} does not define {unknown[0]!r}")
    wanted = [(module, name) for name in names or start.defined]
    found: dict[tuple[str, str], str] = {}
    while wanted:
        place = wanted.pop()
        if place in found or place[0] in NOT_FOLLOWED:
            continue
        home = _read(place[0])
        found[place], used = home.meaning(place[1])
        wanted += [target for name, attributes in used for target in _resolve(home, name, attributes)]
    return digest(sorted(found.values()))


@dataclass(frozen=True)
class _Module:
    name: str
    defined: dict[str, list[ast.stmt]]
    imported: dict[str, tuple[str, str | None]]  # name here: (module of the course, name there or None)
    known: dict[str, tuple[str, list]] = field(default_factory=dict, compare=False, repr=False)  # `meaning`

    def meaning(self, name: str) -> tuple[str, list[tuple[str, tuple[str, ...]]]]:
        """Digest of a definition, and the names that it uses, each with the attributes asked of it."""
        if name in self.known:
            return self.known[name]
        statements = self.defined[name]
        nodes = [node for statement in statements for node in _walk(statement)]
        used = {
            (node.id, tuple(_attributes(node.id, nodes)))
            for node in nodes
            if isinstance(node, ast.Name) and (node.id in self.defined or node.id in self.imported)
        }
        self.known[name] = digest([_meaning(statement) for statement in statements]), sorted(used)
        return self.known[name]


def _attributes(name: str, nodes: list[ast.AST]) -> list[str]:
    """What is asked of a name by a dot, and "" where it is used in another way, too."""
    owners = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    asked = {owner.attr for owner in owners if owner.value.id == name}
    dotted = sum(owner.value.id == name for owner in owners)
    plain = sum(isinstance(node, ast.Name) and node.id == name for node in nodes) > dotted
    return sorted(asked | ({""} if plain else set()))


def _resolve(home: _Module, name: str, attributes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Places (module, definition) that a name used in `home` stands for."""
    if name in home.defined:
        return [(home.name, name)]
    module, inside = home.imported[name]
    if inside is not None:
        return _find(module, inside)
    # A module: what is asked of it; all of it where it is handed on as a whole.
    wanted = attributes if "" not in attributes else tuple(_read(module).defined)
    return [place for attribute in wanted for place in _find(module, attribute)]


@lru_cache(maxsize=4096)
def _find_in(_key: tuple, module: str, name: str) -> tuple[tuple[str, str], ...]:
    there = _read(module)
    if there is None:
        return ()
    if name in there.defined:
        return ((module, name),)
    if name in there.imported:
        target, inside = there.imported[name]
        return tuple(_find(target, inside)) if inside is not None else _whole(target)
    if _file(f"{module}.{name}".lstrip(".")) is not None:
        return _whole(f"{module}.{name}".lstrip("."))
    # A package may load its parts when they are asked for.
    parts = sorted(_folder(module).glob("[a-z]*.py")) if _folder(module).is_dir() else []
    return tuple(
        (f"{module}.{part.stem}", name)
        for part in parts
        if name in (_read(f"{module}.{part.stem}") or there).defined
    )


def _whole(module: str) -> tuple[tuple[str, str], ...]:
    """A module reached through another (`data.corpus.clips`): which part is asked for is not followed."""
    folder = _folder(module)
    parts = [f"{module}.{path.stem}" for path in sorted(folder.glob("[a-z]*.py"))] if folder.is_dir() else []
    return tuple((part, name) for part in [module, *parts] for name in _read(part).defined)


def _find(module: str, name: str) -> list[tuple[str, str]]:
    return list(_find_in((str(PACKAGE), _stamp(module)), module, name))


def _folder(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")) if module else PACKAGE


def _file(module: str) -> Path | None:
    for path in (_folder(module).with_suffix(".py"), _folder(module) / "__init__.py"):
        if path.is_file():
            return path
    return None


def _stamp(module: str) -> int:
    path = _file(module)
    return path.stat().st_mtime_ns if path else 0


def _read(module: str) -> _Module | None:
    path = _file(module)
    if path is None:
        return None
    state = path.stat()
    return _parse(path, (state.st_mtime_ns, state.st_size), module)


@lru_cache(maxsize=1024)
def _parse(path: Path, _state: tuple[int, int], module: str) -> _Module:
    is_package = path.name == "__init__.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _defines(statement):
            defined.setdefault(name, []).append(statement)
    imported: dict[str, tuple[str, str | None]] = {}
    for node in ast.walk(tree):  # imports inside of functions, too
        if isinstance(node, ast.ImportFrom):
            base = _base(node, module, is_package)
            for alias in node.names if base is not None else ():
                inside = f"{base}.{alias.name}".lstrip(".")
                whole = _file(inside) is not None
                imported[alias.asname or alias.name] = (inside, None) if whole else (base, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("course_utils.") and alias.asname:
                    imported[alias.asname] = (alias.name.removeprefix("course_utils."), None)
                elif alias.name.partition(".")[0] == "course_utils":
                    imported[alias.asname or "course_utils"] = ("", None)
    return _Module(module, defined, {name: at for name, at in imported.items() if name not in defined})


def _base(node: ast.ImportFrom, module: str, is_package: bool) -> str | None:
    """The module of the course that `from ... import` names, "" for the package itself; None for others."""
    if node.level:
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        return ".".join([*parts, *([node.module] if node.module else [])])
    if node.module == "course_utils":
        return ""
    if node.module and node.module.startswith("course_utils."):
        return node.module.removeprefix("course_utils.")
    return None


def _defines(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [
        node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)
    ]


_NO_EFFECT = ("annotation", "returns", "type_comment", "kind", "ctx", "type_params")


def _parts(node: ast.AST) -> list[tuple[str, Any]]:
    """The fields of a node that have an effect; empty ones differ between versions of Python."""
    if isinstance(node, ast.Raise):  # what an error says is no figure
        return []
    return [
        (name, value)
        for name, value in ast.iter_fields(node)
        if name not in _NO_EFFECT and value not in (None, [])
    ]


def _walk(node: Any) -> list[ast.AST]:
    """All nodes that have an effect."""
    if isinstance(node, list):
        return [inner for item in node for inner in _walk(item)]
    if not isinstance(node, ast.AST):
        return []
    return [node, *(inner for _, value in _parts(node) for inner in _walk(value))]


def _meaning(node: Any) -> Any:
    """A syntax tree as plain lists, without what has no effect on the result."""
    if isinstance(node, list):
        return [_meaning(inner) for inner in node if not _is_text(inner)]
    if not isinstance(node, ast.AST):
        return repr(node)
    return [type(node).__name__, *([name, _meaning(value)] for name, value in _parts(node))]


def _is_text(node: Any) -> bool:
    """Whether a statement is only a string: a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
