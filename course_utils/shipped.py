"""The files in `data/`: where they are, and whether they are what the manifest says.

Use them through `course_utils.data`; this module only finds and checks them.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


class DataError(RuntimeError):
    """Data that are missing or damaged, and what to do about it."""


def root() -> Path:
    """The data folder: COURSE_DATA, or `data/` beside the package.

    Raises:
        DataError: there is no such folder.
    """
    named = os.environ.get("COURSE_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parent.parent / "data"
    if not folder.is_dir():
        raise DataError(
            f"no data folder at {folder}. The data come with the repository of the course: run the course from "
            "a clone of it (`git checkout -- data` brings a deleted folder back), or set COURSE_DATA to the folder"
        )
    return folder


def shipped_files(folder: Path) -> list[str]:
    """All files below `folder` that the manifest has to name, as relative paths with slashes, sorted.

    Left out: the scripts in build/, texts for people (*.md), hidden files, and what is being written.
    """
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if (
            path.is_file()
            and relative.parts[0] not in ("build", "manifest.json")
            and not any(part.startswith((".", "__")) for part in relative.parts)
            and path.suffix not in (".md", ".tmp", ".part")
        ):
            found.append(relative.as_posix())
    return sorted(found)


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
    path = root() / "manifest.json"
    if not path.is_file():
        raise DataError(
            f"{path} is missing, so no file can be checked. Restore it with `git checkout -- data/manifest.json`; "
            "for data that you built yourself, write it with `python -m data.build.manifest --data FOLDER`"
        )
    stat = path.stat()
    return _parse(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _parse(path: Path, _time: int, _size: int) -> Manifest:
    content = path.read_bytes()
    try:
        files = json.loads(content)["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged("manifest.json", f"it can not be read ({error})") from error
    return Manifest(files, hashlib.sha256(content).hexdigest()[:16])


def damaged(file: str, why: str) -> DataError:
    """The error to raise for a shipped file, with the way to restore it."""
    return DataError(
        f"data/{file} is damaged or missing: {why}. Restore it with `git checkout -- data/{file}` (the files "
        "are in the repository itself; Git LFS is not used)"
    )


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
        content = (root() / file).read_bytes()
    except FileNotFoundError as error:
        raise damaged(file, "there is no such file") from error
    except OSError as error:
        raise damaged(file, str(error)) from error
    if len(content) != entry["bytes"]:
        raise damaged(file, f"it has {len(content)} bytes, expected {entry['bytes']}")
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise damaged(file, "its content does not match its checksum")
    return content
