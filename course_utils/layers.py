"""The order in which modules may import each other, read off the code: imports run one way.

`problems()` says what breaks the order, `picture()` draws it for CONTRIBUTING.md, and a test runs both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from course_utils import paths

LAYERS = (
    ("paths",),
    ("shipped", "fingerprint", "checkpoints"),
    ("waveform", "buffers", "audio_files"),
    ("audio", "features", "text", "metrics", "noise", "music", "ngram", "decoding", "pitch", "synthesis"),
    ("data",),
    ("plotting", "tables", "training", "streaming", "device"),
    ("models",),
    ("recipes", "enhancement_onnx", "recognition_onnx", "references", "speaker_onnx", "tts_onnx", "cloning"),
    ("peers", "checks", "widgets"),
    ("record",),
    ("commands", "cli", "doctor", "install", "export", "layers"),
)
"""A module imports from boxes before its own, or from its own without a circle."""

APART = ("peers", "checks", "widgets")
"""Never imported by each other."""

MODELS_USE = ("models", "waveform", "features", "text", "music", "decoding", "synthesis")
"""A model file runs with torch and numpy alone, so it imports nothing else of the course."""

BEGIN, END = "<!-- imports:begin -->", "<!-- imports:end -->"


def modules() -> dict[str, Path]:
    """All modules of the package by name, for example "record.topics.music"; a package by its own name."""
    found = {}
    for path in sorted(paths.PACKAGE.rglob("*.py")):
        parts = path.relative_to(paths.PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found.pop("")
    return found


def imports() -> dict[str, set[str]]:
    """For each module the modules of the course that it imports, inside of functions, too."""
    known = modules()
    return {name: {module for module, _, _ in _imported(name, path, known)} for name, path in known.items()}


@lru_cache(maxsize=256)
def _nodes(source: str) -> tuple[ast.AST, ...]:
    kinds = (ast.Import, ast.ImportFrom, ast.Attribute)
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))


def _imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, str | None, str]]:
    """(module, name taken from it or None, what it is called here)."""
    for node in _nodes(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name.removeprefix("course_utils.")
                if alias.name.startswith("course_utils.") and module in known:
                    yield module, None, alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                parts = parts[: len(parts) - node.level + (path.name == "__init__.py")]
                base = ".".join(["course_utils", *parts, *([node.module] if node.module else [])])
            if base != "course_utils" and not base.startswith("course_utils."):
                continue
            base = base.removeprefix("course_utils").removeprefix(".")
            for alias in node.names:
                inside = f"{base}.{alias.name}".removeprefix(".")
                called = alias.asname or alias.name
                if inside in known:
                    yield inside, None, called
                elif base in known:
                    yield base, alias.name, called


def _box(module: str) -> int:
    top = module.partition(".")[0]
    return next((index for index, layer in enumerate(LAYERS) if top in layer), len(LAYERS))


def problems() -> list[str]:
    """What breaks the order, one sentence each: arrows that go up, circles, private names that cross a module."""
    graph = imports()
    homeless = sorted({name.partition(".")[0] for name in graph if _box(name) == len(LAYERS)})
    found = [
        f"{name} stands in no layer: add it to LAYERS in course_utils/layers.py, or move it"
        for name in homeless
    ]
    for name, targets in graph.items():
        top = name.partition(".")[0]
        for target in sorted(targets):
            other = target.partition(".")[0]
            if _box(target) > _box(name):
                found.append(f"{name} imports {target}, which stands above it")
            elif top in APART and other in APART and top != other:
                found.append(f"{name} imports {target}: {top} and {other} stand apart")
            elif top == "models" and other not in MODELS_USE:
                found.append(f"{name} imports {target}: a model uses {', '.join(MODELS_USE[1:])} at most")
    found += [f"a circle: {' -> '.join([*circle, circle[0]])}" for circle in _circles(graph)]
    return found + [sentence for name in graph for sentence in _private(name)]


def _circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """One circle for each group of modules that import each other, found by walking along the arrows."""
    found, done = [], set()

    def walk(name: str, trail: list[str]) -> None:
        if name in trail:
            found.append(trail[trail.index(name) :])
        elif name not in done:
            for target in sorted(graph[name]):
                # A package and its parts: the package collects the names of its parts, they never ask it.
                walk(target, [*trail, name])
            done.add(name)

    for name in graph:
        walk(name, [])
    return found


def _private(name: str) -> Iterator[str]:
    known = modules()
    path = known[name]
    aliases = {}
    for module, taken, called in _imported(name, path, known):
        if taken is None:
            aliases[called] = module
        elif taken.startswith("_") and not taken.startswith("__"):
            yield f"{name} takes {taken} from {module}: what crosses a module has no leading underscore"
    for node in _nodes(path.read_text(encoding="utf-8")):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in aliases
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
        ):
            yield f"{name} uses {aliases[node.value.id]}.{node.attr}: what crosses a module has no leading underscore"


def picture() -> str:
    """The layers and the arrows between their members, as a Mermaid diagram in Markdown."""
    arrows = {
        (name.partition(".")[0], target.partition(".")[0])
        for name, targets in imports().items()
        for target in targets
    }
    lines = ["```mermaid", "flowchart BT"]
    for index, layer in enumerate(LAYERS):
        present = [name for name in layer if name in {module.partition(".")[0] for module in modules()}]
        lines += [f"  subgraph layer{index}[ ]", *(f"    {name}" for name in present), "  end"]
    # An arrow that other arrows already imply would only hide them.
    reach = {name: {b for a, b in arrows if a == name and b != name} for name, _ in arrows}

    def implied(name: str, target: str) -> bool:
        todo, seen = list(reach.get(name, set()) - {target}), set()
        while todo:
            step = todo.pop()
            if step == target:
                return True
            if step not in seen:
                seen.add(step)
                todo += reach.get(step, set())
        return False

    lines += [f"  {a} --> {b}" for a, b in sorted(arrows) if a != b and not implied(a, b)]
    return "\n".join([*lines, "```"])


def write(check: bool = False) -> bool:
    """Draw the picture in CONTRIBUTING.md, or with `check` only compare; returns whether it was another one."""
    page = paths.ROOT / "CONTRIBUTING.md"
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    between, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} lacks the markers {BEGIN} and {END}; the picture stands between them")
    wanted = f"\n{picture()}\n"
    if between != wanted and not check:
        page.write_text(before + begin + wanted + end + after, encoding="utf-8", newline="\n")
    return between != wanted
