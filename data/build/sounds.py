"""Fetch recorded noises for training: sounds of free programs and games, out of packages of Debian 12.

    python -m data.build.sounds MIRROR [FOLDER]

MIRROR is the address of any mirror of Debian (its home page lists them), the folder that holds `pool/`; for
packages that mirrors no longer carry, a day in Debian's snapshot archive.

`sounds.json.xz` names the packages (with version, size and checksum), the sounds taken from each, and for which
split: 1,641 sounds, 2.5 hours, from wind and rivers to engines, tools and crowds, all under the free licences of
their packages (each has a `copyright` file in Debian). Chosen were sounds of at least 0.9 s whose names do not
speak of music or voices, nor of what models are tested on (helicopters, sea and ships, fans), and in which the
detector silero-vad hears speech in at most a fifth of the frames. The five packages of "valid" are for development.

9 GB are fetched, one package after the other, and 0.2 GB kept: `FOLDER/split/package/name.flac`, mono, 16 kHz, without
silent ends, cut at 60 s. Stop it at any time; the next call goes on from there.
"""

from __future__ import annotations

import argparse
import io
import json
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from course_utils import audio, paths
from course_utils.data.datasets import Archive
from course_utils.data.download import one_at_a_time
from course_utils.data.fetch import fetch

LISTING = Path(__file__).with_name("sounds.json.xz")
ARCHIVES = (".zip", ".pk3", ".wz")  # games pack their sounds once more; all three are zip files
MAX_SECONDS = 60


def packages() -> dict[str, dict[str, Any]]:
    """By name: "version", "path" on a mirror, "size", "sha256", "split", and the names of its "sounds"."""
    return json.loads(lzma.decompress(LISTING.read_bytes()))


def short(name: str) -> str:
    """The name of a file in a package as `sounds.json` has it."""
    return re.sub(r"^(\./)?usr/share/(games/)?", "", name)


def data_archive(deb: Path) -> tuple[int, str]:
    """Where in a .deb file (an `ar` archive) its files begin, and how they are compressed ("xz", "gz", "").

    Raises:
        ValueError: not a package of Debian.
    """
    with open(deb, "rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise ValueError(f"{deb.name} is not a package of Debian")
        while len(header := file.read(60)) == 60:
            name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                return file.tell(), name.removeprefix("data.tar").removeprefix(".")
            file.seek(size + size % 2, 1)
    raise ValueError(f"{deb.name} holds no files")


def members(deb: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Short name and content of the `wanted` files of a package, also of those in zip files inside of it."""
    start, kind = data_archive(deb)
    with open(deb, "rb") as file:
        file.seek(start)
        with tarfile.open(fileobj=file, mode=f"r|{kind}") as archive:
            for info in archive:
                name = short(info.name)
                if not info.isreg():
                    continue
                if name in wanted:
                    yield name, archive.extractfile(info).read()
                elif name.endswith(ARCHIVES) and any(one.startswith(f"{name}/") for one in wanted):
                    with tempfile.TemporaryFile() as copy:  # a stream can not be searched, a zip file must be
                        shutil.copyfileobj(archive.extractfile(info), copy)
                        with zipfile.ZipFile(copy) as inner:
                            for one in inner.namelist():
                                if f"{name}/{one}" in wanted:
                                    yield f"{name}/{one}", inner.read(one)


def trimmed(waveform: np.ndarray) -> np.ndarray:
    """Without silent ends (60 dB below the peak), at most `MAX_SECONDS` long, with a peak of 0.9."""
    peak = np.abs(waveform).max()
    loud = np.flatnonzero(np.abs(waveform) > 1e-3 * peak)
    return waveform[loud[0] : loud[-1] + 1][: MAX_SECONDS * paths.SAMPLE_RATE] * np.float32(0.9 / peak)


def extract(deb: Path, folder: Path, sounds: list[str]) -> int:
    """Write the `sounds` of a package to `folder`; how many there are.

    Raises:
        ValueError: one of them is missing, or has no sound in it.
    """
    found = 0
    for name, content in members(deb, set(sounds)):
        waveform = audio.load(io.BytesIO(content), max_seconds=90)
        if not waveform.any():
            raise ValueError(f"{deb.name}: {name} is silent")
        target = folder / f"{name.replace('/', '__')}.flac"  # flat, so that no name can leave the folder
        audio.save(target, trimmed(waveform))
        found += 1
    if found < len(sounds):
        raise ValueError(f"{deb.name} has only {found} of {len(sounds)} sounds that sounds.json names")
    return found


def build(mirror: str, folder: Path) -> int:
    """Fetch from `mirror` what is not in `folder` yet; the number of sounds there.

    Raises:
        course_utils.data.DownloadError: no network, or a package that is not the one of `sounds.json`.
    """
    with one_at_a_time("debian-sounds"):
        for name, package in tqdm(packages().items(), "packages"):
            home = folder / package["split"] / name
            if home.is_dir():
                continue
            home.parent.mkdir(parents=True, exist_ok=True)
            url = f"{mirror.rstrip('/')}/{package['path']}"
            archive = Archive(url, package["size"], f"sha256:{package['sha256']}")
            deb = folder / archive.name
            fetch(archive, deb)
            with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as unfinished:
                complete = Path(unfinished) / name
                complete.mkdir()
                extract(deb, complete, package["sounds"])
                complete.rename(home)  # all or nothing
            deb.unlink()
    return sum(1 for _ in folder.glob("*/*/*.flac"))


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = paths.downloads_folder() / "debian-sounds"
    parser.add_argument("mirror", help="address of a mirror of Debian, https://.../debian")
    parser.add_argument("folder", nargs="?", type=Path, default=default, help=f"default: {default}")
    given = parser.parse_args(arguments)
    if not given.mirror.startswith(("https://", "http://")):
        parser.error(f"MIRROR: expected an address such as https://.../debian, got {given.mirror!r}")
    listed = packages()
    size = sum(package["size"] for package in listed.values()) / 1e9
    print(
        f"{len(listed)} packages of Debian 12 from {given.mirror}, {size:.1f} GB, each under a free licence of its own"
    )
    print(f"{build(given.mirror, given.folder):,} sounds in {given.folder}")


if __name__ == "__main__":
    main()
