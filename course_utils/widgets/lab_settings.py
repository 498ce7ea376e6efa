"""Put the course's JupyterLab settings where JupyterLab of this environment reads them.

Two settings: widget messages are handled in order on the kernel's main thread (otherwise "press Stop, run
the next cell" may see an unfinished recording), and JupyterLab does not ask the network for news. A wheel
brings the file by itself; an editable install does not, so it is copied:

    python -m course_utils.widgets.lab_settings
"""

from __future__ import annotations

import shutil
from pathlib import Path

SETTINGS = Path(__file__).with_name("audio-speech-course.json")


def target(prefix: str | Path | None = None) -> Path:
    """Where the settings belong: below `prefix`, by default where JupyterLab of this environment looks."""
    if prefix is None:
        from jupyterlab.commands import get_app_dir

        lab = Path(get_app_dir())
    else:
        lab = Path(prefix, "share", "jupyter", "lab")
    return lab / "settings" / "overrides.d" / SETTINGS.name


def install(prefix: str | Path | None = None) -> Path:
    """Copy the settings to `target(prefix)`, and return where they lie."""
    file = target(prefix)
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SETTINGS, file)
    return file


def installed(prefix: str | Path | None = None) -> bool:
    """Whether the settings of this version of the course lie at `target(prefix)`."""
    file = target(prefix)
    return file.is_file() and file.read_bytes() == SETTINGS.read_bytes()


if __name__ == "__main__":
    print(f"JupyterLab settings of the course: {install()}")
