"""The decoded corpus in the cache folder, so that a second pass over it costs nothing.

A cache is only a cache: whatever is wrong with it (a power cut, a full disk, somebody else's file), it is thrown
away and made again, and sounds come from their own files meanwhile.

`samples.npy` holds all sounds one after another as int16, `places.json` where each of them is and the CRC-32 of
its samples.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from course_utils import paths, shipped

# soundfile is imported where a sound is decoded: a cache that is already there also works on training machines
# without audio libraries.

DIRECT = 100
"""So many sounds are decoded one by one before the whole corpus is."""
_decoded_directly = 0

Files = dict[str, int]
"""Names of sounds in `data/`, and their lengths in samples."""


def waveform(file: str, samples: int, everything: Callable[[], Files]) -> np.ndarray:
    """One sound of the data folder (time,), float32 at 16 kHz; a new array each time.

    After `DIRECT` sounds that came from their own files, `everything()` is decoded into the cache.

    Raises:
        DataError: the file is missing, damaged, or not `samples` long.
    """
    global _decoded_directly
    stored = _from_cache(file, samples)
    if stored is None:
        _decoded_directly += 1
        if _decoded_directly > DIRECT and _try_prepare(everything()):
            stored = _from_cache(file, samples)
    if stored is None:
        stored = _decode(file, samples)
    return stored.astype(np.float32) / np.float32(32768)


def prepare(files: Files) -> Path:
    """Decode `files` into the cache, unless that is done; return the folder of the cache.

    Safe in several processes at once: each builds its own copy, and the first one that is complete is kept.

    Raises:
        DataError: a file is missing or damaged.
        OSError: the cache can not be written; the message says what to do.
    """
    folder = _folder()
    if _opened(folder) is not None:
        return folder
    cache, needed = folder.parent, 2 * sum(files.values())
    try:
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
        if free < needed + 50_000_000:
            raise OSError(f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free")
        temporary = Path(tempfile.mkdtemp(prefix=".decoding-", dir=cache))
        try:
            _write(files, temporary)
            temporary.chmod(0o755)
            _take_place(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OSError(
            f"the decoded speech can not be kept in {cache}: {error.strerror or error}. Make room, or set "
            f"COURSE_CACHE to a folder that can be written and has {needed / 1e6 + 50:.0f} MB of free space"
        ) from error
    _tidy(cache)
    return folder


def _decode(file: str, samples: int) -> np.ndarray:
    """One sound as int16 (time,), checked against the manifest and against its labels."""
    import soundfile

    content = shipped.read(file)
    try:
        decoded, sample_rate = soundfile.read(io.BytesIO(content), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise shipped.damaged(file, f"it can not be decoded ({error})") from error
    if sample_rate != paths.SAMPLE_RATE or decoded.shape != (samples,):
        raise shipped.damaged(
            file,
            f"shape {decoded.shape} at {sample_rate} Hz, but its labels say ({samples},) at {paths.SAMPLE_RATE} Hz",
        )
    return np.clip(np.rint(decoded * 32768), -32768, 32767).astype(np.int16)


# --- reading -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cache:
    samples: Path
    offset: int  # bytes before the first sample
    places: dict[str, tuple[int, int, int]]  # first sample, samples, CRC-32


def _folder() -> Path:
    return _folder_of(paths.cache_folder(), shipped.root(), shipped.manifest().key)


@lru_cache(maxsize=4)
def _folder_of(cache: Path, _root: Path, _key: str) -> Path:
    return cache / f"decoded-{shipped.manifest().speech_key}-crc"


def _from_cache(file: str, samples: int) -> np.ndarray | None:
    """The samples of a sound as int16 (time,), or None where the cache is not there or no longer good."""
    folder = _folder()
    cache = _opened(folder)
    if cache is None:
        return None
    try:
        start, length, checksum = cache.places[file]
        # Read, not mapped: a mapped file that somebody cuts short ends Python without a word.
        stored = np.fromfile(cache.samples, np.int16, length, offset=cache.offset + 2 * start)
    except (OSError, KeyError):
        stored = np.zeros(0, np.int16)
    if len(stored) != samples or zlib.crc32(stored.tobytes()) != checksum:
        _discard(folder)
        return None
    return stored


def _opened(folder: Path) -> _Cache | None:
    """The cache in `folder`, or None; what is there and can not be used is thrown away."""
    try:
        return _open(folder, *(_version(folder / file) for file in ("samples.npy", "places.json")))
    except Exception:  # broken files raise OSError, EOFError, ValueError, SyntaxError, TypeError and more
        if os.path.lexists(folder):
            _discard(folder)
        return None


def _version(path: Path) -> tuple[int, int, int]:
    """Another one for every file that ever had this name: bytes, time, place on the disk."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


@lru_cache(maxsize=4)
def _open(folder: Path, version: tuple[int, int, int], _places: tuple[int, int, int]) -> _Cache:
    places = {
        str(file): (int(start), int(length), int(checksum))
        for file, (start, length, checksum) in json.loads((folder / "places.json").read_text()).items()
    }
    samples = np.load(folder / "samples.npy", mmap_mode="r")
    end = max((start + length for start, length, _ in places.values()), default=0)
    fits = samples.dtype == np.int16 and samples.shape == (end,) and version[0] == samples.offset + 2 * end
    if not fits or min(start for start, _, _ in places.values()) < 0:
        raise ValueError("the samples do not fit their places")
    return _Cache(folder / "samples.npy", samples.offset, places)


# --- writing -------------------------------------------------------------------------------------------


def _write(files: Files, folder: Path) -> None:
    """Decode `files` one after another into `folder`, and do not return before the disk has them."""
    places, start = {}, 0
    header = {"descr": "<i2", "fortran_order": False, "shape": (sum(files.values()),)}
    # Threads are enough: libsndfile and hashlib work without Python's lock.
    with (
        open(folder / "samples.npy", "wb") as target,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        np.lib.format.write_array_header_1_0(target, header)
        try:
            decoded = tqdm(
                pool.map(_decode, files, files.values()),
                desc="decoding the speech corpus, once",
                total=len(files),
                unit=" files",
            )
            for (file, length), samples in zip(files.items(), decoded, strict=True):
                content = samples.astype("<i2").tobytes()
                target.write(content)
                places[file] = (start, length, zlib.crc32(content))
                start += length
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        _flush(target)
    with open(folder / "places.json", "w", encoding="utf-8") as target:
        json.dump(places, target)
        _flush(target)


def _flush(file: io.IOBase) -> None:
    """To the disk itself: a folder that has its name must have its content too, whenever the power goes."""
    file.flush()
    os.fsync(file.fileno())


def _take_place(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if _opened(folder) is None:  # otherwise another process was faster
            temporary.rename(folder)


def _discard(path: Path) -> None:
    """Remove a cache in two steps, so that nobody finds half of it."""
    with suppress(OSError):  # gone already, or not ours to remove
        doomed = tempfile.mkdtemp(prefix=".decoding-", dir=path.parent)
        try:
            path.rename(Path(doomed) / path.name)
        finally:
            shutil.rmtree(doomed, ignore_errors=True)


def _try_prepare(files: Files) -> bool:
    """Build the cache; where that is impossible, say so once and go on without."""
    global _decoded_directly
    try:
        prepare(files)
    except OSError as error:
        warnings.warn(f"{error}. Until then every pass decodes the speech again", stacklevel=5)
        _decoded_directly = -(10**9)
        return False
    return True


def _tidy(cache: Path) -> None:
    """Remove old caches but the last three (copies of the course may share this folder), and what a crash left."""

    def age(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:  # removed by another process just now
            return time.time()

    old = sorted(cache.glob("decoded-*"), key=age)[:-3]
    old += [path for path in cache.glob(".decoding-*") if age(path) < time.time() - 86400]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
