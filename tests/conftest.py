"""Tests that need something optional say so with a marker: skipped with a reason here, failing in CI."""

import importlib.util
import os
from pathlib import Path

import pytest

from tests.places import ROOT, real_folder
from tests.small_corpus import corpus, mine, pristine  # noqa: F401 (fixtures)

IN_CI = os.environ.get("CI", "").lower() in ("1", "true")
JUDGES = (
    "pesq",
    "pystoi",
    "speechmos",
    "resemblyzer",
    "faster_whisper",
    "onnxruntime",
    "noisereduce",
    "pocketsphinx",
)


def _missing(marker: str) -> str | None:
    if marker == "real" and not (real_folder() / "librispeech").is_dir():
        return "needs real recordings: set COURSE_REAL_DATA to their folder"
    if marker == "judges":
        absent = [name for name in JUDGES if importlib.util.find_spec(name) is None]
        return f"needs {', '.join(absent)}: run `course install peers judges`" if absent else None
    return None


def pytest_runtest_setup(item):
    for marker in ("real", "judges"):
        if item.get_closest_marker(marker) and (reason := _missing(marker)):
            # In CI nothing may be left out quietly, except on platforms that have no such wheels.
            if IN_CI and os.environ.get("COURSE_CI_PARTIAL") != "1":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
