"""The files in `data/`: where they are, and whether they are what the manifest says.

Use them through `course_utils.data`; this module only finds, checks and reads them.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from course_utils import paths

PACKED = ("manifest.json", "speech/index.jsonl", "speech/pairs.jsonl", "real/index.jsonl")
"""Tables that the repository holds as NAME.xz; the manifest and those who read them know their content alone."""


class DataError(RuntimeError):
    """Data that are missing or damaged, and what to do about it."""


def root() -> Path:
    """The data folder, `paths.data_folder()`, which is there.

    Raises:
        DataError: there is no such folder.
    """
    folder = paths.data_folder()
    if not folder.is_dir():
        what = "is a file where the data folder should be" if folder.exists() else "does not exist"
        raise DataError(
            f"no data folder: {folder} {what}. The data come with the repository of the course: run the course from "
            "a clone of it (`git checkout -- data` brings a deleted folder back), or set COURSE_DATA to the folder"
        )
    return folder


def shipped_files(folder: Path) -> list[str]:
    """All files below `folder` that the manifest has to name, as relative paths with slashes, sorted.

    Left out: the scripts in build/, texts for people (*.md), hidden files, and what is being written. A packed table
    (*.jsonl.xz) is named without the .xz: the manifest describes its content.
    """
    found = set()
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if (
            path.is_file()
            and relative.parts[0] not in ("build", "manifest.json", "manifest.json.xz")
            and not any(part.startswith((".", "__")) for part in relative.parts)
            and path.suffix not in (".md", ".tmp", ".part")
        ):
            name = relative.as_posix()
            found.add(name.removesuffix(".xz") if name.endswith(".jsonl.xz") else name)
    return sorted(found)


def content(folder: Path, file: str) -> bytes:
    """The bytes of a file below `folder`; those of a table or a text (*.json, *.jsonl, *.txt) may be packed, in a file with .xz at the end.

    Raises:
        OSError: there is no such file, it can not be read, or it can not be unpacked.
    """
    path = folder / file
    packed = path.with_name(f"{path.name}.xz")
    if path.suffix not in (".json", ".jsonl", ".txt") or not packed.exists():
        return path.read_bytes()
    try:
        return lzma.decompress(packed.read_bytes())
    except lzma.LZMAError as error:
        raise OSError(f"{packed.name} can not be unpacked ({error})") from error


# --- the manifest --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Manifest:
    """Size and checksum of every shipped file; `key` changes when anything in the data does."""

    files: dict[str, dict]
    key: str

    @property
    def speech_key(self) -> str:
        """Changes when the speech does: a new checkpoint is no reason to decode it again."""
        speech = {name: entry for name, entry in self.files.items() if name.startswith("speech/")}
        return hashlib.sha256(json.dumps(speech, sort_keys=True).encode()).hexdigest()[:16]


def manifest() -> Manifest:
    """The manifest of the data folder.

    Raises:
        DataError: it is missing or can not be read.
    """
    path = root() / "manifest.json.xz"
    try:
        stat = path.stat()
        return _parse(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is missing, so no file can be checked. Restore it with `git checkout -- data/manifest.json.xz`; "
            "for data that you built yourself, write it with `python -m data.build.manifest --data FOLDER`"
        ) from error
    except OSError as error:
        raise damaged("manifest.json", str(error)) from error


@lru_cache(maxsize=8)
def _parse(path: Path, _time: int, _size: int) -> Manifest:
    text = content(path.parent, "manifest.json")
    with sound_rows("manifest.json"):
        files = json.loads(text)["files"]
        for file, entry in files.items():
            if not (isinstance(entry["bytes"], int) and isinstance(entry["sha256"], str)):
                raise ValueError(f"size and checksum of {file} are not a number and a text")
    return Manifest(files, hashlib.sha256(text).hexdigest()[:16])


# --- files ---------------------------------------------------------------------------------------------


def damaged(file: str, why: str) -> DataError:
    """The error to raise for a shipped file, with the way to restore it."""
    stored = f"{file}.xz" if file in PACKED else file
    return DataError(
        f"data/{file} is damaged or missing: {why}. Restore it with `git checkout -- data/{stored}` (the files "
        "are in the repository itself; Git LFS is not used)"
    )


@contextmanager
def sound_rows(file: str) -> Iterator[None]:
    """Whatever goes wrong inside while the content of `file` is taken apart means that the file is damaged."""
    try:
        yield
    except KeyError as error:
        raise damaged(file, f"it has no entry {error}") from error
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise damaged(file, f"it can not be read, or does not hold what it should ({error})") from error


def read(file: str) -> bytes:
    """Content of a file of the manifest, after its checksum was compared.

    Raises:
        DataError: it is missing, damaged, or not in the manifest.
    """
    entry = manifest().files.get(file)
    if entry is None:
        raise DataError(
            f"data/{file} is not in the manifest, so it is not part of the course's data; after building data "
            "run `python -m data.build.manifest`"
        )
    try:
        found = content(root(), file)
    except FileNotFoundError as error:
        raise damaged(file, "there is no such file") from error
    except OSError as error:
        raise damaged(file, str(error)) from error
    if len(found) != entry["bytes"]:
        raise damaged(file, f"it has {len(found)} bytes, expected {entry['bytes']}")
    if hashlib.sha256(found).hexdigest() != entry["sha256"]:
        raise damaged(file, "its content does not match its checksum")
    return found


def read_json(file: str) -> Any:
    """What a JSON file of the manifest holds. Raises DataError like `read`."""
    text = read(file)
    with sound_rows(file):
        return json.loads(text)


def read_json_lines(file: str) -> list[Any]:
    """What each line of a JSON-lines file of the manifest holds. Raises DataError like `read`."""
    text = read(file)
    with sound_rows(file):
        return [json.loads(line) for line in text.decode("utf-8").splitlines() if line.strip()]


def problems() -> list[str]:
    """What is wrong with the files, one line each: those that differ from the manifest, and strangers.

    Raises:
        DataError: there is no data folder or no manifest.
    """
    listed, found = manifest().files, []
    for file in listed:
        try:
            read(file)
        except DataError as error:
            found.append(str(error))
    return found + [
        f"data/{file} is not in the manifest; remove it, or run `python -m data.build.manifest`"
        for file in shipped_files(root())
        if file not in listed
    ]


T = TypeVar("T")


def remembered(build: Callable[[], T]) -> Callable[[], T]:
    """Remember what `build()` made for as long as the data folder and its manifest stay the same."""
    kept = lru_cache(maxsize=4)(lambda _folder, _key: build())
    return lambda: kept(root(), manifest().key)
