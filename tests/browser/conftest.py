"""One JupyterLab and one Chromium for all browser tests.

Without Chromium or playwright they are skipped, and fail where CI=true: there they have to run.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lab import CHROMIUM_OPTIONS, SPOKEN_RATE, close_notebook, open_notebook, serve

from course_utils import doctor


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def _missing(reason: str):
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def playwright():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("playwright is not installed (pip install playwright)")
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def launch(playwright):
    """Start a Chromium with more options."""
    executable = doctor.chromium()
    if executable is None:
        _missing("Chromium is not installed (apt-get install chromium, or set COURSE_CHROMIUM to its path)")
    started = []

    def start(*options: str):
        browser = playwright.chromium.launch(executable_path=executable, args=[*CHROMIUM_OPTIONS, *options])
        started.append(browser)
        return browser

    yield start
    for browser in started:
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory, launch):
    with serve(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def spoken(tmp_path_factory):
    """What the fake microphone hears: silence, then a chirp that gets louder and softer. (path, samples at 48 kHz)"""
    seconds = np.arange(int(2.0 * SPOKEN_RATE)) / SPOKEN_RATE
    chirp = np.sin(2 * np.pi * (150 * seconds + 0.5 * 2500 * seconds**2))
    sound = 0.4 * chirp * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * seconds))
    samples = np.concatenate([np.zeros(SPOKEN_RATE // 2), sound, np.zeros(SPOKEN_RATE // 2)])
    path = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    soundfile.write(path, samples, SPOKEN_RATE, subtype="PCM_16")
    return path, samples.astype(np.float32)


@pytest.fixture(scope="session")
def browser(launch, spoken):
    """Chromium whose microphone plays `spoken` once for each recording; permission is up to the context."""
    return launch(
        "--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={spoken[0]}%noloop"
    )


@contextmanager
def _notebooks(browser, server):
    pages = []

    def start(name: str, *cells: str, host: str = "127.0.0.1", microphone: bool = True, in_browser=None):
        if cells:
            server.write(f"{name}.ipynb", *cells)
        context = (in_browser or browser).new_context(
            permissions=["microphone"] if microphone else [], viewport={"width": 1100, "height": 1000}
        )
        pages.append(open_notebook(context, server, f"{name}.ipynb", host))
        return pages[-1]

    yield start
    for page in pages:
        close_notebook(page)


@pytest.fixture
def lab(browser, server):
    """Write cells to a notebook and open it: `lab("name", "cell", "cell")`; closed after the test."""
    with _notebooks(browser, server) as start:
        yield start


@pytest.fixture(scope="module")
def shared_lab(browser, server):
    """The same for a notebook that the tests of one file share, as opening one takes seconds."""
    with _notebooks(browser, server) as start:
        yield start
