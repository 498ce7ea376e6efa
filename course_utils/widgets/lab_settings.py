"""Put the course's JupyterLab settings where JupyterLab of this environment reads them.

Two settings: widget messages are handled in order on the kernel's main thread (otherwise "press Stop, run
the next cell" may see an unfinished recording), and JupyterLab does not ask the network for news. A wheel
brings the file by itself; an editable install does not, so it is copied:

    python -m course_utils.widgets.lab_settings
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

SETTINGS = Path(__file__).with_name("audio-speech-course.json")


def install(prefix: str | Path = sys.prefix) -> Path:
    """Copy the settings below `prefix` (default: this environment) and return where they lie."""
    target = Path(prefix, "share", "jupyter", "lab", "settings", "overrides.d", SETTINGS.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SETTINGS, target)
    return target


if __name__ == "__main__":
    print(f"JupyterLab settings of the course: {install()}")
