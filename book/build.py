"""The web edition: `make book` executes every notebook once and builds a static site with sound.

    python -m book.build [NUMBER ...] [--out FOLDER]

An executed notebook is kept in `book/_executed` and used again while it and the package stay as they are, so an
interrupted build goes on where it was. The site needs no server and asks no other machine for anything.
"""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import html
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import soundfile
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from book.vendor import MATHJAX, Unavailable

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
EXECUTED, OUT, VENDOR = BOOK / "_executed", BOOK / "_build", BOOK / "_build" / "vendor"

WIDGET, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
PAGES = {
    "results/README.md": "scoreboard.md",
    "data/README.md": "data.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""What is not a notebook and has a page all the same."""


class BookError(Exception):
    """The book can not be built; the message says what to do."""


# --- execute ---------------------------------------------------------------------------------------------


def fingerprint(notebook: Path) -> str:
    """A number that changes with the notebook, with the package it runs and with the data."""
    sources = sorted(
        path
        for path in (ROOT / "course_utils").rglob("*")
        if path.suffix in (".py", ".js", ".css", ".mplstyle")
    )
    digest = hashlib.sha256()
    for path in [notebook, *sources, ROOT / "data" / "manifest.json.xz"]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def execute(notebook: Path, executed: Path = EXECUTED) -> nbformat.NotebookNode:
    """The notebook with its outputs: as it was kept, or run now in a kernel of its own and kept.

    Raises:
        BookError: a cell failed.
    """
    kept, mark = executed / notebook.name, fingerprint(notebook)
    if kept.exists():
        found = nbformat.read(kept, as_version=4)
        if found.metadata.get("book") == mark:
            print(f"{notebook.stem}: as executed before", flush=True)
            return found
    nb = nbformat.read(notebook, as_version=4)
    last = len(nb.cells)
    started = time.monotonic()

    def say(cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell.cell_type == "code":
            spent = time.monotonic() - started
            print(f"\r{notebook.stem}: cell {cell_index + 1} of {last}, {spent:.0f} s", end="", flush=True)

    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    client = NotebookClient(
        nb,
        timeout=3600,
        kernel_name="python3",
        resources={"metadata": {"path": str(notebook.parent)}},
        on_cell_start=say,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise BookError(f"\n{notebook.name} failed; run it in JupyterLab to see why:\n{error}") from error
    print(flush=True)
    nb.metadata["book"] = mark
    _keep(kept, nbformat.writes(nb))
    return nb


def _keep(path: Path, text: str) -> None:
    """Write all of it or nothing, so that Ctrl-C leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


# --- from outputs to pages -------------------------------------------------------------------------------


class Media:
    """Sounds and pictures that stood in the pages, as files beside them, each once."""

    FOLDER = "media"
    INLINE = re.compile(r'src="data:(audio|image)/([\w.+-]+);base64,([^"]+)"')

    def __init__(self, folder: Path):
        self.folder = folder / self.FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)

    def out_of(self, text: str) -> str:
        """The same HTML with addresses of files; a sound is loaded when somebody presses play."""
        text = self.INLINE.sub(self._moved, text)
        return re.sub(r'(<audio\b[^>]*?)\spreload="\w+"', r'\1 preload="none"', text)

    def _moved(self, match: re.Match) -> str:
        sort, kind, encoded = match.groups()
        content = base64.b64decode(encoded)
        if sort == "audio" and kind in ("wav", "x-wav"):
            content, kind = _smaller(content), "mpeg"
        ending = {"mpeg": "mp3", "svg+xml": "svg"}.get(kind, kind)
        name = f"{hashlib.sha256(content).hexdigest()[:20]}.{ending}"
        (self.folder / name).write_bytes(content)
        # Pages that lie in no folder: the address is the same from each of them.
        return f'src="{self.FOLDER}/{name}"' + (' loading="lazy"' if sort == "image" else "")


def _smaller(wav: bytes) -> bytes:
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="MP3")
    return buffer.getvalue()


def page(nb: nbformat.NotebookNode, media: Media) -> nbformat.NotebookNode:
    """The executed notebook as Sphinx gets it: every output as HTML, sound and pictures in files."""
    nb = copy.deepcopy(nb)
    state = nb.metadata.pop("widgets", {}).get(STATE, {}).get("state", {})
    nb.metadata.pop("book", None)
    for cell in nb.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not _says_nothing(output)]
        for output in cell.get("outputs", []):
            bundle = output.get("data", {})
            view = bundle.pop(WIDGET, None)
            if view is not None and "text/html" not in bundle:
                bundle["text/html"] = _standing(view["model_id"], state)
            if "text/html" in bundle:
                output["data"] = {"text/html": media.out_of(bundle["text/html"])}
    return nb


def _says_nothing(output: nbformat.NotebookNode) -> bool:
    """The value at the end of a cell that only names a function."""
    bundle = output.get("data", {})
    return set(bundle) == {"text/plain"} and bundle["text/plain"].startswith("<function ")


def _standing(model_id: str, state: Mapping) -> str:
    """A plain widget of ipywidgets as it stands: its settings in words, its pictures and sounds."""
    inside = state.get(model_id, {}).get("state", {})
    parts = [_standing(child.removeprefix("IPY_MODEL_"), state) for child in inside.get("children", [])]
    for output in inside.get("outputs", []):
        bundle = output.get("data", {})
        words = output.get("text") or bundle.get("text/plain", "")
        parts.append(bundle.get("text/html") or f"<pre>{html.escape(words)}</pre>")
    kind = inside.get("_model_name", "")
    if kind == "HTMLModel":
        parts.append(inside.get("value", ""))
    elif "value" in inside and inside.get("description"):
        parts.append(
            f"<p>{html.escape(inside['description'])}: <b>{html.escape(str(inside['value']))}</b></p>"
        )
    return f'<div class="widget-static">{"".join(parts)}</div>' if any(parts) else ""


# --- look at it ------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """What a reader gets of a piece of HTML."""

    SHOWN = ("img", "audio", "svg", "canvas", "video")

    def __init__(self, text: str):
        super().__init__()
        self.words, self.shown, self.without_alt, self.outside, self._silent = "", 0, 0, [], 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        values = dict(attrs)
        self._silent += tag in ("script", "style")
        self.shown += tag in self.SHOWN
        self.without_alt += tag == "img" and not (values.get("alt") or "").strip()
        loaded = values.get("src") or (values.get("href") if tag == "link" else None) or ""
        if tag == "link" and values.get("rel") in ("canonical", "author", "license"):
            return
        if re.match(r"(https?:)?//", loaded):
            self.outside.append(loaded)

    def handle_endtag(self, tag: str) -> None:  # noqa: D102
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:  # noqa: D102
        if not self._silent:
            self.words += data

    @property
    def empty(self) -> bool:
        """Neither words nor anything to see or hear."""
        return not self.shown and not self.words.strip()


def faults(name: str, nb: nbformat.NotebookNode) -> list[str]:
    """Outputs of a page in which there is nothing, and pictures without words."""
    found = []
    for number, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            where = f"{name}, cell {number} ({cell.source.strip().splitlines()[-1][:60]})"
            bundle = output.get("data", {})
            if output.output_type in ("error", "stream"):
                continue
            if "text/html" not in bundle:
                if not any(bundle.values()):
                    found.append(f"{where}: the output is empty")
                if any(kind.startswith("image/") for kind in bundle):
                    found.append(f"{where}: a picture without alt text; show a plotting.Picture")
                continue
            seen = Seen(bundle["text/html"])
            if seen.empty:
                found.append(f"{where}: the output is empty; give the widget a fallback_html")
            if seen.without_alt:
                found.append(f"{where}: {seen.without_alt} picture(s) without alt text")
    return found


def look(site: Path) -> list[str]:
    """The same of the finished pages, and whatever they would load from elsewhere."""
    found = []
    for path in sorted(site.glob("*.html")):
        seen = Seen(path.read_text(encoding="utf-8"))
        if seen.without_alt:
            found.append(f"{path.name}: {seen.without_alt} picture(s) without alt text")
        found += [f"{path.name} loads {address}" for address in seen.outside]
    return found


# --- gather and build ------------------------------------------------------------------------------------


def linked(text: str, source: str, pages: Mapping[str, str] = PAGES) -> str:
    """Markdown with links between pages of the book; a link to any other file of the course becomes plain words."""

    def link(match: re.Match) -> str:
        words, target = match.groups()
        if re.match(r"(https?:|mailto:|#)", target):
            return match[0]
        name, _, anchor = target.partition("#")
        path = os.path.normpath(Path(source).parent / name).replace(os.sep, "/")
        address = {**pages, "README.md": "index.md"}.get(path)
        if path.startswith("notebooks/") and path.endswith(".ipynb"):
            address = Path(path).name
        return f"[{words}]({address}{'#' + anchor if anchor else ''})" if address else words

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", link, text).replace("```mermaid", "```text")


def front(pieces: Mapping[str, Callable[[], str]], mark: str, kept: Path) -> dict[str, str]:
    """What is to be seen and heard on the first page, as HTML by name; made once and kept."""
    if kept.exists() and (found := json.loads(kept.read_text(encoding="utf-8"))).get("book") == mark:
        return found
    made = {"book": mark}
    for name, make in pieces.items():
        print(f"first page: {name}", flush=True)
        made[name] = make()
    _keep(kept, json.dumps(made))
    return made


def build(
    notebooks: Iterable[nbformat.NotebookNode | tuple[Path, nbformat.NotebookNode]],
    out: Path,
    texts: Mapping[str, str],
    vendor: Path,
    live: Path | None = None,
    models: Callable[[Path], object] | None = None,
    pieces: Mapping[str, str] | None = None,
) -> Path:
    """Build the site from executed notebooks.

    Args:
        notebooks: (path of the notebook without outputs, the executed one).
        out: a folder for all that is made; the site is `html` in it.
        texts: Markdown by the name of its page; `{{ name }}` in it is replaced by a piece.
        vendor: a folder with `mathjax/`.
        live: a folder of pages that are written by hand.
        models: writes what those pages load into the folder that it is given.
        pieces: HTML by name.

    Returns:
        the folder of the site.

    Raises:
        BookError: an output is empty, a picture has no alt text, Sphinx warns, or a page loads from elsewhere.
    """
    from sphinx.application import Sphinx

    source, extra, site = out / "source", out / "extra", out / "html"
    for folder in (source, extra, site):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    media, wrong, notebooks = Media(extra), [], list(notebooks)
    for path, executed in notebooks:
        made = page(executed, media)
        wrong += faults(path.name, made)
        (source / path.name).write_text(nbformat.writes(made), encoding="utf-8")
    if wrong:
        raise BookError("\n".join(["the pages would have holes:", *wrong]))
    shown = {name: f'<div class="listen">{media.out_of(text)}</div>' for name, text in (pieces or {}).items()}
    have = {path.name for path, _ in notebooks}
    for name, text in texts.items():
        text = re.sub(r"\{\{ (\w+) \}\}", lambda match: _raw(shown[match[1]]), text)
        # A book of some notebooks has no links to the others.
        text = re.sub(
            r"\[([^\]]*)\]\((\w+\.ipynb)\)", lambda match: match[0] if match[2] in have else match[1], text
        )
        (source / name).write_text(text, encoding="utf-8")
    if live is not None and live.is_dir():
        shutil.copytree(live, source / "live", ignore=lambda _, names: [n for n in names if not _is_text(n)])
    if models is not None:
        models(extra / "_static")
    overrides = {"html_static_path": [str(BOOK / "_static"), str(vendor)], "html_extra_path": [str(extra)]}
    if not any((source / "live").glob("*.md")):  # Sphinx finds fault with a pattern that matches nothing
        index = source / "index.md"
        parts = re.split(r"(?m)^(?=```\{toctree\})", index.read_text(encoding="utf-8"))
        index.write_text("".join(part for part in parts if "live/*" not in part), encoding="utf-8")
    log = io.StringIO()
    app = Sphinx(
        source, BOOK, site, out / "doctrees", "html", overrides, status=None, warning=log, freshenv=True
    )
    app.build(force_all=True)
    if app.statuscode or log.getvalue():
        raise BookError(f"Sphinx is not content:\n{log.getvalue()}")
    for path, _ in notebooks:  # the download button gives the notebook as a learner starts with it
        shutil.copy(path, site / "_sources" / path.name)
    if wrong := look(site):
        raise BookError("\n".join(["the pages are not as they should be:", *wrong]))
    return site


def _is_text(name: str) -> bool:
    return name.endswith(".md") or "." not in name


def _raw(text: str) -> str:
    return "````{raw} html\n" + text + "\n````"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "numbers", nargs="*", metavar="NUMBER", help="only these notebooks, for example 00 06"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="where to build (default: book/_build)")
    chosen = parser.parse_args(arguments)
    paths = [
        path
        for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
        if not chosen.numbers or path.name[:2] in chosen.numbers
    ]
    try:
        MATHJAX.put(VENDOR / "mathjax")
        executed = [(path, execute(path)) for path in paths]
        from book.front import PIECES
        from book.live.build import build as models

        pieces = front(PIECES, fingerprint(BOOK / "front.py"), EXECUTED / "front.json")
        pieces.pop("book")
        texts = {"index.md": (BOOK / "index.md").read_text(encoding="utf-8")} | {
            name: linked((ROOT / source).read_text(encoding="utf-8"), source)
            for source, name in PAGES.items()
        }
        site = build(executed, chosen.out, texts, VENDOR, BOOK / "live", models, pieces)
    except (BookError, Unavailable) as error:
        print(f"book: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; what was executed is kept, and the same command goes on", file=sys.stderr)
        return 130
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    print(f"{site / 'index.html'}: {len(list(site.glob('*.html')))} pages, {size / 2**20:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
