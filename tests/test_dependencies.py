"""What the course imports is declared where those who run it have it, and nothing else is declared."""

import ast
import functools
import sys
import tomllib

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.places import ROOT

OURS = {"course_utils", "data", "tests", "lab", "conftest", "book"}
# file or folder: the extras that whoever runs it has beside the dependencies
WHO_HAS_WHAT = {
    "course_utils": set(),
    "course_utils/export.py": {"dev"},
    "notebooks": set(),
    "book": {"book"},
    "data/build": {"judges"},
    "tests": {"peers", "judges", "dev"},
}
ELSEWHERE = {"music21": "data/build/chorales.py is run in an environment of its own"}
OTHER_NAMES = {"PIL": "pillow", "markdown_it": "markdown-it-py", "sklearn": "scikit-learn", "yaml": "pyyaml"}
NEVER_IMPORTED = {
    "ipykernel": "JupyterLab starts it",
    "av": "faster-whisper needs it, and is installed without what it needs",
    "pytest-timeout": "the setting `timeout` of pytest",
    "ruff": "make check",
    "uv": "make lock",
    "myst-nb": "the web edition",
    "sphinx-book-theme": "the web edition",
}


def declared():
    """Names of distributions by group; the dependencies are the group ""."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        group: {canonicalize_name(Requirement(line).name) for line in lines}
        for group, lines in groups.items()
    }


@functools.cache
def trees():
    """The syntax tree of every module and of every code cell, by the path of its file."""
    found = {}
    for folder in ("course_utils", "data/build", "tests", "book"):
        for path in (ROOT / folder).rglob("*.py"):
            found[path.relative_to(ROOT).as_posix()] = [ast.parse(path.read_text(encoding="utf-8"))]
    transform = TransformerManager().transform_cell
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        found[path.relative_to(ROOT).as_posix()] = [ast.parse(transform(cell.source)) for cell in cells]
    return found


def imported(tree):
    """Top-level names of what a tree imports of others, inside functions as well."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        for name in (n.partition(".")[0] for n in names):
            if name not in sys.stdlib_module_names and name not in OURS:
                yield name


def distribution(name):
    """What to install for `import name`."""
    return OTHER_NAMES.get(name, canonicalize_name(name))


def owner(path):
    """The longest of the names in WHO_HAS_WHAT that the path lies in."""
    return max((key for key in WHO_HAS_WHAT if path == key or path.startswith(f"{key}/")), key=len)


@pytest.mark.parametrize("place", WHO_HAS_WHAT)
def test_who_runs_it_has_what_it_imports(place):
    groups = declared()
    there = groups[""].union(*(groups[extra] for extra in WHO_HAS_WHAT[place]))
    wrong = [
        f"{path} imports {name}"
        for path, parts in trees().items()
        if owner(path) == place
        for name in {name for tree in parts for name in imported(tree)}
        if name not in ELSEWHERE and distribution(name) not in there
    ]
    assert not wrong, f"not among the dependencies {WHO_HAS_WHAT[place] or ''}: {'; '.join(sorted(wrong))}"


def test_every_dependency_is_imported_or_there_for_a_reason():
    used = {distribution(name) for parts in trees().values() for tree in parts for name in imported(tree)}
    # Optional packages are imported by a name in a string, and found by the name of the package.
    strings = {
        node.value
        for path, parts in trees().items()
        if path.startswith("course_utils/")
        for tree in parts
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 40
    }
    optional = declared()["peers"] | declared()["judges"]
    used |= {each for each in optional if each in strings or each.replace("-", "_") in strings}
    every = set().union(*declared().values())
    assert every - used == set(NEVER_IMPORTED), "declared and used nowhere (or the list of reasons is old)"
