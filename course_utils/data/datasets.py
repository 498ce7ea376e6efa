"""The public data sets that can be downloaded, as `datasets.toml` lists them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from course_utils.shipped import DataError


class DownloadError(DataError):
    """A download that did not work, and what to do about it."""


@dataclass(frozen=True)
class Archive:
    """One file to fetch.

    `checksum` is "sha256:..." or "md5:..." as somebody other than this course published it, or None where
    nobody did. `size` is in bytes; `exact` says that it is known to the byte.
    """

    url: str
    size: int
    checksum: str | None = None
    filename: str = ""
    exact: bool = True

    @property
    def name(self) -> str:
        """The name under which the file is kept while it is fetched."""
        return self.filename or PurePosixPath(urlsplit(self.url).path).name


@dataclass(frozen=True)
class Dataset:
    """A public data set: what it is, what its licence allows, and the archives it comes in."""

    name: str
    about: str
    licence: str
    home: str
    archives: tuple[Archive, ...]
    must_accept: bool = False

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return sum(archive.size for archive in self.archives)


def _registry() -> dict[str, Dataset]:
    listed = tomllib.loads(Path(__file__).with_name("datasets.toml").read_text(encoding="utf-8"))
    return {
        name: Dataset(
            name, **entry | {"archives": tuple(Archive(**archive) for archive in entry["archives"])}
        )
        for name, entry in listed.items()
    }


REGISTRY = _registry()
"""The data sets that `download` knows, by name."""


def human(size: float) -> str:
    """A number of bytes for people: "346 MB"."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def catalogue() -> str:
    """The public data sets that `download` can fetch, as text: name, size, licence, what it is."""
    return "\n".join(
        f"{dataset.name:<28}{dataset.size / 1e9:>7.2f} GB  {dataset.about}\n{'':<28}{'':>10}  {dataset.licence}"
        for dataset in REGISTRY.values()
    )
