"""JupyterLab in headless Chromium, driven by its own commands rather than by keys that may get lost."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

from course_utils.widgets import lab_settings

REPOSITORY = Path(__file__).parents[2]
OUTSIDE = "lab.test"  # a name of this machine that browsers do not trust as they trust localhost

SPOKEN_RATE = 48000
"""Sample rate in Hz of what the fake microphone hears."""

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    f"--host-resolver-rules=MAP {OUTSIDE} 127.0.0.1",
]


# --- server ----------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A running JupyterLab and its files."""

    port: int
    folder: Path

    @property
    def root(self) -> Path:
        """Where the notebooks are."""
        return self.folder / "root"

    def setting(self, plugin: str, **values: object) -> None:
        """What the user would set in JupyterLab's settings; nothing: back to the default. Open a page after it."""
        package, name = plugin.split(":")
        path = self.folder / "settings" / package / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")

    def address(self, notebook: str, host: str = "127.0.0.1") -> str:
        # A workspace of its own: JupyterLab would open the notebooks of the page before, too.
        workspace = re.sub(r"\W", "_", notebook.removesuffix(".ipynb"))
        return f"http://{host}:{self.port}/lab/workspaces/{workspace}/tree/{quote(notebook)}"

    def write(self, name: str, *cells: str) -> str:
        """Save a notebook with these code cells and return its name."""
        notebook = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell{number}",
                    "metadata": {},
                    "execution_count": None,
                    "outputs": [],
                    "source": source,
                }
                for number, source in enumerate(cells)
            ],
        }
        (self.root / name).write_text(json.dumps(notebook), encoding="utf-8")
        return name


@contextmanager
def serve(folder: Path):
    """Start JupyterLab with settings of its own below `folder`, and the course's, as `make lab` has them."""
    root = folder / "root"
    root.mkdir(parents=True)
    lab_settings.install(folder)
    own = {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *("--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={root}"),
        *("--ServerApp.allow_remote_access=True", "--LabApp.expose_app_in_browser=True"),
        f"--LabApp.app_settings_dir={folder / 'share' / 'jupyter' / 'lab' / 'settings'}",
    ]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | own, cwd=root)
        try:
            deadline = time.monotonic() + 90
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}"
                    )
                time.sleep(0.2)
            yield Server(port, folder)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/api", timeout=2) as reply:
            return reply.status == 200
    except (URLError, OSError):
        return False


# --- page ------------------------------------------------------------------------------------------------

READY = """async (path) => {
  const late = Date.now() + 90000;
  const until = async (condition) => {
    while (!condition()) {
      if (Date.now() > late) throw new Error(`${path} did not open at ${location.href}: ${condition}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  };
  await until(() => window.jupyterapp?.shell);
  const app = window.jupyterapp;
  await app.restored;
  await until(() => app.shell.currentWidget?.context?.path === path);
  const panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.revealed;
  await until(() => panel.sessionContext.session?.kernel);
  await panel.sessionContext.session.kernel.info;
}"""

RUN_CELL = """async ([index, seconds]) => {
  const app = window.jupyterapp, notebook = app.shell.currentWidget.content;
  const cell = notebook.widgets[index];
  if (cell.model.type !== "code") return null;
  notebook.activeCellIndex = index;
  notebook.deselectAll();
  const late = new Promise((done) => setTimeout(() => done("late"), seconds * 1000));
  if ((await Promise.race([app.commands.execute("notebook:run-cell"), late])) === "late")
    return `still running after ${seconds} s`;
  for (const output of cell.model.outputs.toJSON())
    if (output.output_type === "error")
      return `${output.ename}: ${output.evalue}\\n${output.traceback.join("\\n")}`;
  return null;
}"""

IN_KERNEL = """async (code) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  let text = "";
  const future = kernel.requestExecute({ code, store_history: false });
  future.onIOPub = ({ header, content }) => {
    if (header.msg_type === "stream") text += content.text;
    if (header.msg_type === "error") text += `${content.ename}: ${content.evalue}`;
  };
  await future.done;
  return text;
}"""


@dataclass
class Watch:
    """What a page should not do: console errors and requests to other machines."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def attach(self, page) -> None:
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        page.on("request", self._request)

    def _request(self, request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname not in ("127.0.0.1", OUTSIDE):
            self.outside.append(request.url)


def open_notebook(context, server: Server, notebook: str, host: str = "127.0.0.1"):
    """A page of the browser context with the notebook open and its kernel ready; `page.watch` listens."""
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.watch = Watch()
    page.watch.attach(page)
    page.goto(server.address(notebook, host))
    page.evaluate(READY, notebook)
    return page


def close_notebook(page) -> None:
    """Close the page and its kernel."""
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.context.close()


def run_cell(page, index: int, timeout: float = 120) -> str | None:
    """Run one cell; returns its error with traceback, or None."""
    error = page.evaluate(RUN_CELL, [index, timeout])
    return error and re.sub(r"\x1b\[[0-9;]*m", "", error)  # without colours


def run_notebook(page, timeout: float = 120, all_cells: bool = False) -> dict[int, str]:
    """Run the cells of the open notebook one by one; returns errors by cell number, {} if all went well.

    Args:
        page: as `open_notebook` returns it.
        timeout: for each cell, in seconds.
        all_cells: go on after an error, which is mostly followed by more of the same cause.
    """
    errors = {}
    for index in range(page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")):
        error = run_cell(page, index, timeout)
        if error:
            errors[index] = error
            if not all_cells:
                break
    return errors


def in_kernel(page, expression: str) -> object:
    """The value of a Python expression in the kernel of the open notebook, passed on as JSON."""
    text = page.evaluate(IN_KERNEL, f"import json as _json; print(_json.dumps({expression}))")
    try:
        return json.loads(text)
    except ValueError:
        raise AssertionError(f"{expression} gave: {text}") from None


def wait_in_kernel(page, expression: str, seconds: float = 15) -> object:
    """Wait until the expression is true in the kernel, and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := in_kernel(page, expression)):
        assert time.monotonic() < deadline, f"{expression} is still {value!r} after {seconds} s"
        time.sleep(0.1)
    return value


def output_of(page, index: int, ready: str = ".player"):
    """Run a cell, wait for what its widget shows, and return its output."""
    assert run_cell(page, index) is None
    output = page.locator(".jp-CodeCell").nth(index).locator(".jp-OutputArea-output").first
    output.locator(ready).first.wait_for()
    output.scroll_into_view_if_needed()
    return output


def assert_quiet(page) -> None:
    """Nothing went wrong on the page, and nothing was asked of other machines."""
    assert page.watch.errors == []
    assert page.watch.outside == []


def screenshot(target, name: str) -> None:
    """Save a picture of a page or element below the folder COURSE_SCREENSHOTS, if that is set."""
    folder = os.environ.get("COURSE_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        target.screenshot(path=str(Path(folder, f"{name}.png")))
