"""`course export`: write the models of the notebooks to `course_utils/models`, or check that they are fresh.

The notebook owns its model: cells that start with `#| export` are written to the module that the cell
`#| default_exp name` names, and cells that start with `#| export other` to a second module, by nbdev's exporter.
nbdev is needed only here.
"""

from __future__ import annotations

import ast
import os
import re
import tempfile
import warnings
from functools import partial
from pathlib import Path

import nbformat

from course_utils import paths

NOTEBOOKS = paths.notebooks_folder()
MODELS = paths.PACKAGE / "models"
LONGEST = 300
"""Lines of a model file that one reads in one sitting."""

HEADER = "# Written from notebooks/{} by `course export`: edit the notebook, not this file.\n"


def _name(notebook: Path) -> str | None:
    """The module that a notebook exports, or None; every exported cell must be whole Python.

    Raises:
        ValueError: no notebook, or a cell that can not be exported.
    """
    try:
        content = nbformat.read(notebook, as_version=4)
        cells = [cell.source for cell in content.cells]
        code = {i: source for i, source in enumerate(cells, 1) if content.cells[i - 1].cell_type == "code"}
    except Exception as error:  # nbformat gives a parser's, a validator's or a key's error
        raise ValueError(f"{notebook.name} can not be read as a notebook ({error})") from error
    names = re.findall(r"^#\|\s*default_exp\s+(\S+)", "\n".join(code.values()), flags=re.M)
    exported = {
        i: source for i, source in code.items() if re.search(r"^\s*#\|\s*export[is]?\b", source, re.M)
    }
    if len(names) > 1 or (exported and not names):
        raise ValueError(f"{notebook.name} needs one cell `#| default_exp name`, it has {len(names)}")
    if names and not re.fullmatch(r"[a-z]\w*", names[0]):
        raise ValueError(f"{notebook.name}: {names[0]!r} is no name of a module: small letters, digits and _")
    for number, source in exported.items():
        try:
            ast.parse(source)
        except (SyntaxError, ValueError) as error:
            line = (getattr(error, "text", None) or "").strip()
            raise ValueError(
                f"{notebook.name}, cell {number}, line {getattr(error, 'lineno', None) or 1}: an exported cell must be "
                f"Python without magics ({getattr(error, 'msg', error)}): {line}"
            ) from error
    return names[0] if names else None


def _sources() -> dict[str, Path]:
    """Notebook by module name, for the notebooks that export one."""
    found: dict[str, Path] = {}
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        name = _name(notebook)
        if name in found:
            raise ValueError(f"{found[name].name} and {notebook.name} both export {name!r}; rename one")
        if name:
            found[name] = notebook
    if not found:
        raise ValueError(f"no notebook in {NOTEBOOKS} exports a model; is this the folder of the course?")
    return found


def _render(main: str, notebook: Path) -> dict[str, str]:
    """The modules of a notebook, by name: `main`, and those named in `#| export name`."""
    from nbdev.export import nb_export
    from nbdev.maker import ModuleMaker

    with tempfile.TemporaryDirectory() as folder:
        nb_export(str(notebook), lib_path=folder, mod_maker=partial(_maker, ModuleMaker))
        texts = {path.stem: path.read_text(encoding="utf-8") for path in Path(folder).glob("*.py")}
    joined = {
        name: text if name == main else _joined(text, main, texts[main]) for name, text in texts.items()
    }
    return {name: _clean(text, notebook) for name, text in joined.items()}


def _maker(maker: type, **options) -> object:
    return maker(**{**options, "is_new": True})  # nbdev would append to a second module


def _joined(text: str, main: str, main_text: str) -> str:
    """A second module of a notebook, with the imports that the first has and it needs; in the notebook all is there."""
    used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    lines = []
    for node in ast.parse(main_text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in used]
            lines += [ast.unparse(node)] if node.names else []
    defined = used & set(re.findall(r"'(\w+)'", _all(main_text)))
    if defined:
        lines.append(f"from course_utils.models.{main} import {', '.join(sorted(defined))}")
    head, names, rest = text.partition(_all(text))
    return f"{head}{names}\n\n\n" + "\n".join(lines) + rest


def _all(text: str) -> str:
    """The assignment of `__all__`."""
    return re.search(r"^__all__ = \[.*?\]", text, re.M | re.S)[0]


def _clean(text: str, notebook: Path) -> str:
    # nbdev writes the path from its output folder, which is a temporary one; cell ids change with every edit.
    text = re.sub(r"^# AUTOGENERATED!.*$", "", text, flags=re.M)
    text = re.sub(r"^# %% .*$", "", text, flags=re.M)
    about = re.search(r'^""".*?"""$', text, flags=re.M | re.S)  # where Python looks for it: at the top
    if about:
        text = text.replace(about[0], "", 1)
    body = re.sub(r"\n{4,}", "\n\n\n", text.strip()) + "\n"
    return HEADER.format(notebook.name) + (f"{about[0]}\n\n" if about else "\n") + body


def export(check: bool = False) -> list[str]:
    """Write every exported module, or with `check` only compare; names those that were stale.

    Modules that no notebook owns any more are stale too, and are removed. Nothing is written or removed unless
    every notebook can be exported. Warns of a module that is longer than `LONGEST` lines.

    Raises:
        ValueError: a notebook or exported cell that can not be read, or a file among the models that was not
            written by this command.
    """
    texts: dict[str, str] = {}
    for main, notebook in _sources().items():
        modules = _render(main, notebook)
        if twice := sorted(set(modules) & set(texts)):
            raise ValueError(
                f"{notebook.name} exports {twice[0]!r}, and another notebook does, too; rename one"
            )
        texts |= modules
    orphans = [file for file in MODELS.glob("*.py") if file.stem not in {"__init__", *texts}]
    for file in orphans:
        if not file.read_text(encoding="utf-8").startswith(HEADER.partition("{")[0]):
            raise ValueError(f"{file.name} in {MODELS} comes from no notebook; move it out of this folder")
    stale = []
    for name, text in texts.items():
        target = MODELS / f"{name}.py"
        if (lines := text.count("\n")) > LONGEST:
            warnings.warn(f"{target.name} has {lines} lines; one sitting is {LONGEST}", stacklevel=2)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                temporary = target.with_suffix(".part")
                temporary.write_text(text, encoding="utf-8")
                os.replace(temporary, target)
    for file in orphans:
        stale.append(file.stem)
        if not check:
            file.unlink()
    return stale
