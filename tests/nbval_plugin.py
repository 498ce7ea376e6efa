"""What nbval lacks, for `pytest -p tests.nbval_plugin --nbval-lax notebooks`.

- After a cell has failed the rest of that notebook is skipped, so that one mistake is one failure.
- A dead kernel (out of memory, say) is noticed within a second and not at the cell's time limit.
- Kernels start with `tests/offline` on their path: a connection to anywhere but this machine fails, so a
  notebook that needs a network can not pass.
- A wrong exercise answer is an error (COURSE_STRICT).
"""

import os
import time
from pathlib import Path
from queue import Empty

import pytest
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell

OFFLINE = Path(__file__).parent / "offline"
_get_message = RunningKernel.get_message


def _get_message_while_alive(self, stream, timeout=None):
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = 1.0 if end is None else min(1.0, max(0.0, end - time.monotonic()))
        try:
            return _get_message(self, stream, timeout=left)
        except Empty:
            if not self.is_alive():
                raise RuntimeError(
                    "the kernel died while this cell ran (out of memory, or a crash)"
                ) from None
            if end is not None and time.monotonic() >= end:
                raise


def pytest_configure(config):
    RunningKernel.get_message = _get_message_while_alive
    os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    os.environ["COURSE_STRICT"] = "1"


def pytest_runtest_setup(item):
    failed = getattr(item.parent, "first_failure", None)
    if isinstance(item, IPyNbCell) and failed:
        pytest.skip(f"{failed} failed before")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if isinstance(item, IPyNbCell):
        if report.failed and not getattr(item.parent, "first_failure", None):
            item.parent.first_failure = item.name
        seconds = item.config.stash.setdefault(_SECONDS, {})
        seconds[item.path.name] = seconds.get(item.path.name, 0.0) + report.duration


_SECONDS = pytest.StashKey[dict]()


def pytest_terminal_summary(terminalreporter, config):
    seconds = config.stash.get(_SECONDS, {})
    if seconds:
        terminalreporter.section("time of each notebook")
        for name, value in sorted(seconds.items()):
            terminalreporter.write_line(f"{value:7.1f} s  {name}")
