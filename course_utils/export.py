"""`course export`: write the models of the notebooks to `course_utils/models`, or check that they are fresh.

The notebook owns its model: cells that start with `#| export` are written to the module that the cell
`#| default_exp name` names, and cells that start with `#| export other` to another module, by nbdev's exporter.
What a module uses of the others is imported for it. nbdev is needed only here.
"""

from __future__ import annotations

import ast
import os
import re
import symtable
import tempfile
import warnings
from functools import partial
from graphlib import CycleError, TopologicalSorter
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
    parts = {main: texts.pop(main), **dict(sorted(texts.items()))}
    joined, uses = {}, {}
    for name in parts:
        joined[name], uses[name] = _joined(name, parts)
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ValueError(
            f"{notebook.name}: its modules use each other in a circle ({circle}); export what they share to one of them"
        ) from error
    return {name: _clean(text, notebook) for name, text in joined.items()}


def _maker(maker: type, **options) -> object:
    return maker(**{**options, "is_new": True})  # nbdev would append to other modules


def _joined(name: str, parts: dict[str, str]) -> tuple[str, set[str]]:
    """A module of a notebook with what it needs of the others, imports and names, and which ones it imports from.

    In the notebook all is there. `parts` are all modules of the notebook, by name, the main one first.
    """
    missing, imports, names, uses = _missing(parts[name]), [], [], set()
    others = {other: text for other, text in parts.items() if other != name}
    for node in (node for text in others.values() for node in ast.parse(text).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if _bound(alias) in missing]
            missing -= {_bound(alias) for alias in node.names}
            imports += [ast.unparse(node)] if node.names else []
    for other, text in others.items():
        if defined := missing & set(re.findall(r"'(\w+)'", _all(text))):
            names.append(f"from course_utils.models.{other} import {', '.join(sorted(defined))}")
            missing -= defined
            uses.add(other)
    if not imports and not names:
        return parts[name], uses
    head, defines, rest = parts[name].partition(_all(parts[name]))
    return f"{head}{defines}\n\n\n" + "\n".join(imports + names) + rest, uses


def _missing(text: str) -> set[str]:
    """Names that a module uses without making or importing them; the local ones of its functions do not count."""
    module = symtable.symtable(text, "module", "exec")
    used = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_referenced()}
    tables = module.get_children()
    for table in tables:  # grows while it is read
        used |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        tables.extend(table.get_children())
    made = {s.get_name() for s in module.get_symbols() if s.is_assigned() or s.is_imported()}
    return used - made


def _bound(alias: ast.alias) -> str:
    """The name that an import makes."""
    return (alias.asname or alias.name).split(".")[0]


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
