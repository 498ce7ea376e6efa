"""Archives from the network: unpacked only inside of their folder, plain files and folders only."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm.auto import tqdm

from course_utils.data.datasets import DownloadError


def unpack(path: Path, folder: Path) -> None:
    """Unpack a tar or zip archive into `folder`: plain files and folders only, and only inside of it."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _unpack_members(_zip_members(archive), folder)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                _unpack_members(_tar_members(archive), folder)
        else:
            raise _BadArchive("it is neither a zip nor a tar archive")
    except (_BadArchive, tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, ValueError) as error:
        path.unlink()  # the next call shall not find it again
        raise DownloadError(f"{path.name} can not be unpacked: {error}; nothing was kept") from error


class _BadArchive(Exception):
    """An archive that is damaged, or that tries what no data set needs."""


_Member = tuple[str, int, bool, Callable[[Path], object]]  # name, bytes, plain file or folder, how to extract


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
        yield info.filename, info.file_size, plain, partial(archive.extract, info)


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    if not hasattr(tarfile, "data_filter"):
        raise DownloadError("this Python unpacks tar archives without protection; use Python 3.11.4 or newer")
    for info in archive:
        plain = info.isreg() or info.isdir()
        yield info.name, info.size, plain, partial(archive.extract, info, filter="data")


def _unpack_members(members: Iterator[_Member], folder: Path) -> None:
    """Look at each member before it is written. Links are refused: no data set needs them, attacks do."""
    room = shutil.disk_usage(folder).free
    for name, size, plain, extract in tqdm(members, unit=" files", desc="unpacking"):
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if posix.is_absolute() or windows.drive or windows.root or ".." in (*posix.parts, *windows.parts):
            raise _BadArchive(f"it wants to write outside of its folder ({name})")
        if not plain:
            raise _BadArchive(f"it holds a link or a device ({name})")
        room -= size
        if room < 0:
            raise _BadArchive("it unpacks to more than the free space of the disk")
        extract(path=folder)
