"""Tests that need something optional say so with a marker: skipped with a reason here, failing in CI."""

import functools
import importlib.util
import os
from pathlib import Path

import pytest

from course_utils import data
from tests.places import ROOT
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


def _missing_judges() -> str | None:
    absent = [name for name in JUDGES if importlib.util.find_spec(name) is None]
    return f"needs {', '.join(absent)}: run `course install peers judges`" if absent else None


def pytest_runtest_setup(item):
    if item.get_closest_marker("judges") and (reason := _missing_judges()):
        # In CI nothing may be left out quietly, except on platforms that have no such wheels.
        if IN_CI and os.environ.get("COURSE_CI_PARTIAL") != "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    # The complete sets are too large to come with the course, so CI has only the small one in data/real.
    if item.get_closest_marker("real") and not _complete():
        pytest.skip("needs the complete sets of real recordings: set COURSE_REAL_DATA to their folder")


@functools.cache
def _complete() -> bool:
    try:
        return bool(
            data.real("librispeech", "test", complete=True) and data.real("esc10", "test", complete=True)
        )
    except data.DataError:
        return False


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="module")
def one_thread():
    """Small networks are faster on one thread, and give the same on every machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
