"""Big public data sets, fetched when you ask for them and never before.

`download("librispeech-dev-clean")` says what it fetches and under which licence, goes on where a broken
connection stopped, checks the published checksum, and unpacks only what stays inside its own folder.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from course_utils import paths
from course_utils.data.datasets import REGISTRY, Dataset, DownloadError, human
from course_utils.data.unpack import unpack

_MARKER = ".complete.json"


def is_downloaded(name: str) -> bool:
    """Whether `name` has been fetched and unpacked completely."""
    return (paths.downloads_folder() / name / _MARKER).is_file()


def download(
    name: str,
    folder: str | os.PathLike | None = None,
    accept_licence: bool = False,
    timeout: float = 30.0,
    attempts: int = 5,
) -> Path:
    """Fetch and unpack a public data set, and return its folder; a second call returns at once.

    Stop it at any time (Ctrl-C): the next call goes on from there. While another process fetches the same set,
    this call waits for it.

    Args:
        name: a key of `REGISTRY`, such as "librispeech-dev-clean".
        folder: where to unpack (default: a folder of that name in the cache).
        accept_licence: must be True for sets whose licence forbids commercial use.
        timeout: seconds without a single byte after which the connection counts as broken.
        attempts: how often to try again without any progress.

    Raises:
        DownloadError: unknown name, licence not accepted, no network, not enough space, a wrong checksum,
            or an archive that tries to write outside of its folder. The message says what to do.
    """
    if name not in REGISTRY:
        raise DownloadError(f"unknown data set {name!r}; there are: {', '.join(sorted(REGISTRY))}")
    dataset = REGISTRY[name]
    target = Path(folder).expanduser() if folder is not None else paths.downloads_folder() / name
    try:
        if (target / _MARKER).is_file():
            return target
        _check_free(target)
        print(f"{dataset.about}\n{human(dataset.size)} from {dataset.home}\nlicence: {dataset.licence}")
        if dataset.must_accept and not accept_licence:
            raise DownloadError(
                f"{name} is under {dataset.licence}. Read it at {dataset.home}; if you accept it, "
                f"call download({name!r}, accept_licence=True) or: course download {name} --accept-licence"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(name):
            if not (target / _MARKER).is_file():  # else another process has fetched it meanwhile
                _check_free(target)
                _download(dataset, target, timeout, attempts)
    except OSError as error:
        raise DownloadError(
            f"{name} can not be kept in {target}: {error.strerror or error}. Make room, or set COURSE_CACHE to a "
            "folder that can be written; what was fetched is kept, and the next call goes on from there"
        ) from error
    print(f"ready in {target}")
    return target


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Hold the only right to fetch the data set `name`; waits, and says so, while another process has it."""
    folder = paths.downloads_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(
            f"another process is fetching {name}; waiting until it is ready (Ctrl-C stops only the waiting)"
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_free(target: Path) -> None:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DownloadError(
            f"{target} exists and is not empty, but was not filled by a complete download; move it away"
        )


def _download(dataset: Dataset, target: Path, timeout: float, attempts: int) -> None:
    from course_utils.data.fetch import fetch, need_space  # and with it the network library

    parts = paths.downloads_folder() / ".parts" / dataset.name
    parts.mkdir(parents=True, exist_ok=True)
    waiting = sum(f.stat().st_size for f in parts.iterdir() if f.suffix == ".part")
    # Speech hardly shrinks, so what is unpacked needs about the same space once more, and some to spare.
    need_space(parts, 2.2 * dataset.size - waiting)

    record = [fetch(archive, parts / archive.name, timeout, attempts) for archive in dataset.archives]

    unpacked = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for archive in dataset.archives:
            unpack(parts / archive.name, unpacked)
        (unpacked / _MARKER).write_text(json.dumps({"name": dataset.name, "archives": record}, indent=1))
        unpacked.chmod(0o755)
        if target.exists():
            target.rmdir()  # empty, as seen above
        unpacked.rename(target)  # all or nothing
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    shutil.rmtree(parts, ignore_errors=True)
