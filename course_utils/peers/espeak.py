"""espeak-ng: speech by rules, resonances and a pulse for each period; the synthesiser that is everywhere."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np

from course_utils.peers.base import Synthesiser, package_file

PACKAGE = "espeakng-loader"
LIBRARY = {"darwin": "libespeak-ng.dylib", "win32": "espeak-ng.dll"}.get(sys.platform, "libespeak-ng.so")
PROGRAM = Path(__file__).with_name("espeak_program.py")
SECONDS = 600
"""How long a text may take; it is a thousand times as fast as speech."""


def _run(library: Path, text: str, voice: str) -> bytes:
    command = [
        sys.executable,
        "-I",
        str(PROGRAM),
        str(library),
        str(library.parent / "espeak-ng-data"),
        voice,
    ]
    done = subprocess.run(command, input=text.encode(errors="replace"), capture_output=True, timeout=SECONDS)
    if done.returncode or len(done.stdout) < 4:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise OSError(f"espeak-ng can not be run: {said[-1] if said else f'it ended with {done.returncode}'}")
    return done.stdout


@functools.cache
def _library() -> Path:
    """The library, after it was found to be the known one and to run here."""
    library = package_file(PACKAGE, f"espeakng_loader/{LIBRARY}")
    _run(library, "", "en-us")
    return library


class Espeak(Synthesiser):
    """espeak-ng 1.52 (formant synthesis after Klatt, 1980, and hand-written rules).

    Its licence is the GPL: it is installed only on request, as a package of its own, runs in a process of its own,
    and is no part of the course.

    Args:
        voice: of espeak-ng, for example "en-us" or "en-gb".
        threads: has no effect, it uses one.
    """

    name = "espeak-ng"
    licence = "GPL-3.0-or-later"
    what = "Rules turn letters into phones and phones into resonances; no recording and no training."

    def __init__(self, voice: str = "en-us", threads: int = 1):
        super().__init__(threads)
        self.voice = voice

    def _find(self) -> None:
        _library()

    def files(self) -> list[Path]:
        """Its library, and the rules and sounds of English."""
        data = _library().parent / "espeak-ng-data"
        return [
            _library(),
            *(data / name for name in ("phondata", "phonindex", "phontab", "intonations", "en_dict")),
        ]

    def _say(self, text: str) -> tuple[np.ndarray, int]:
        found = _run(_library(), text, self.voice)
        return np.frombuffer(found[4:], "<i2").astype(np.float32) / 32768, int.from_bytes(found[:4], "little")
