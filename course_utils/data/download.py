"""Big public data sets, fetched when you ask for them and never before.

`download("librispeech-dev-clean")` says what it fetches and under which licence, goes on where a broken
connection stopped, checks the published checksum, and unpacks only what stays inside its own folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urljoin, urlsplit

import platformdirs
import requests
import urllib3
from tqdm.auto import tqdm

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


def _librispeech(part: str, hours: float, size: int, sha256: str) -> Dataset:
    url = f"https://www.openslr.org/resources/12/{part}.tar.gz"
    about = f"LibriSpeech {part}: {hours} hours of read English with transcripts, 16 kHz"
    archive = Archive(url, size, f"sha256:{sha256}")
    return Dataset(f"librispeech-{part}", about, "CC BY 4.0", "https://www.openslr.org/12", (archive,))


def _libritts_r(part: str, hours: float, size: int, md5: str) -> Dataset:
    url = f"https://www.openslr.org/resources/141/{part.replace('-', '_')}.tar.gz"
    about = f"LibriTTS-R {part}: {hours} hours of restored read English with text, 24 kHz"
    archive = Archive(url, size, f"md5:{md5}", exact=False)
    return Dataset(f"libritts-r-{part}", about, "CC BY 4.0", "https://www.openslr.org/141", (archive,))


def _voicebank(name: str, about: str, archives: tuple[tuple[str, str, int, bool, str], ...]) -> Dataset:
    return Dataset(
        name,
        about,
        "CC BY 4.0",
        "https://doi.org/10.7488/ds/2117",
        tuple(
            Archive(
                f"https://datashare.ed.ac.uk/bitstreams/{key}/download", size, f"md5:{md5}", filename, exact
            )
            for filename, key, size, exact, md5 in archives
        ),
    )


# Checksums are those that torchaudio, TensorFlow Datasets or the publisher's own page print (OpenSLR's
# md5sum.txt, Edinburgh DataShare, the MAESTRO page). GitHub packs its archives anew on request, so nobody
# can publish a checksum of them.
REGISTRY: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        _librispeech(
            "dev-clean",
            5.4,
            337_926_286,
            "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
        ),
        _librispeech(
            "dev-other",
            5.3,
            314_305_928,
            "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
        ),
        _librispeech(
            "test-clean",
            5.4,
            346_663_984,
            "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
        ),
        _librispeech(
            "test-other",
            5.1,
            328_757_843,
            "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
        ),
        _librispeech(
            "train-clean-100",
            100.6,
            6_387_309_499,
            "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
        ),
        _librispeech(
            "train-clean-360",
            363.6,
            23_049_477_885,
            "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
        ),
        _libritts_r("dev-clean", 9.0, 1_300_000_000, "2c1f5312914890634cc2d15783032ff3"),
        _libritts_r("test-clean", 8.6, 1_250_000_000, "4d373d453eb96c0691e598061bbafab7"),
        _libritts_r("train-clean-100", 53.8, 8_100_000_000, "6df668d8f5f33e70876bfa33862ad02b"),
        Dataset(
            "vctk",
            "VCTK 0.92: 44 hours, 110 English speakers with many accents, 48 kHz",
            "CC BY 4.0",
            "https://datashare.ed.ac.uk/handle/10283/3443",
            (
                Archive(
                    "https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
                    11_747_302_977,
                    "sha256:f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
                ),
            ),
        ),
        Dataset(
            "ljspeech",
            "LJ Speech 1.1: 24 hours of one English reader with text, 22.05 kHz",
            "public domain",
            "https://keithito.com/LJ-Speech-Dataset/",
            (
                Archive(
                    "https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
                    2_748_572_632,
                    "sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
                ),
            ),
        ),
        _voicebank(
            "voicebank-demand-test",
            "VoiceBank+DEMAND, test: 824 pairs of clean and noisy speech, 2 speakers, 48 kHz",
            (
                (
                    "clean_testset_wav.zip",
                    "dec213d3-bf57-4777-9663-c24bdce92d5e",
                    154_300_000,
                    False,
                    "34eb1c0ba7ef667e9b966866c542fc16",
                ),
                (
                    "noisy_testset_wav.zip",
                    "13c1bfbf-14a6-41db-9b41-8f7310f01ad5",
                    170_600_000,
                    False,
                    "fb1b86caa31e8ba5b506c0c64da9aab5",
                ),
            ),
        ),
        _voicebank(
            "voicebank-demand-train",
            "VoiceBank+DEMAND, train: 11,572 pairs of clean and noisy speech, 28 speakers, 48 kHz",
            (
                (
                    "clean_trainset_28spk_wav.zip",
                    "245452b6-6235-44b6-a6f9-e7eb19797769",
                    2_486_057_279,
                    True,
                    "d2d5a45ec32f8fcbf201bde0447e20ba",
                ),
                (
                    "noisy_trainset_28spk_wav.zip",
                    "ecb5a102-bb00-46d3-8af5-40c79823b837",
                    2_830_205_201,
                    True,
                    "1fca9e8bafb8cd069f6653c6d92f9e9c",
                ),
            ),
        ),
        Dataset(
            "esc-50",
            "ESC-50: 2,000 environmental sounds of 5 s in 50 classes, 44.1 kHz",
            "CC BY-NC 3.0 (not for commercial use); the ten classes of its ESC-10 part are CC BY 3.0",
            "https://github.com/karolpiczak/ESC-50",
            (
                Archive(
                    "https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip",
                    645_700_000,
                    None,
                    "ESC-50-master.zip",
                    exact=False,
                ),
            ),
            must_accept=True,
        ),
        Dataset(
            "musan",
            "MUSAN: 109 hours of music, speech and noise, 16 kHz",
            "CC BY 4.0 as a whole; each file names its own source and licence (some public domain)",
            "https://www.openslr.org/17",
            (
                Archive(
                    "https://www.openslr.org/resources/17/musan.tar.gz",
                    11_086_114_085,
                    "md5:0c472d4fc0c5141eca47ad1ffeb2a7df",
                ),
            ),
        ),
        Dataset(
            "maestro-midi",
            "MAESTRO 3.0.0, MIDI only: 199 hours of piano performances as notes",
            "CC BY-NC-SA 4.0 (not for commercial use, share alike)",
            "https://magenta.tensorflow.org/datasets/maestro",
            (
                Archive(
                    "https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/maestro-v3.0.0-midi.zip",
                    58_000_000,
                    "sha256:70470ee253295c8d2c71e6d9d4a815189e35c89624b76d22fce5a019d5dde12c",
                    exact=False,
                ),
            ),
            must_accept=True,
        ),
        Dataset(
            "fsdd",
            "Free Spoken Digit Dataset 1.0.10: 3,000 spoken digits of 6 speakers, 8 kHz",
            "CC BY-SA 4.0",
            "https://github.com/Jakobovski/free-spoken-digit-dataset",
            (
                Archive(
                    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",
                    16_000_000,
                    None,
                    "fsdd-1.0.10.zip",
                    exact=False,
                ),
            ),
        ),
    )
}
"""The data sets that `download` knows, by name."""


def cache_folder() -> Path:
    """Where the course keeps what it can make or fetch again: COURSE_CACHE, or this user's cache folder."""
    return Path(os.environ.get("COURSE_CACHE") or platformdirs.user_cache_path("audio-speech-course"))


def downloads_folder() -> Path:
    """Where data sets are unpacked, one folder each."""
    return cache_folder() / "downloads"


def is_downloaded(name: str) -> bool:
    """Whether `name` has been fetched and unpacked completely."""
    return (downloads_folder() / name / _MARKER).is_file()


_MARKER = ".complete.json"
_CHUNK = 1 << 18


def _human(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def download(
    name: str,
    folder: str | os.PathLike | None = None,
    accept_licence: bool = False,
    timeout: float = 30.0,
    attempts: int = 5,
) -> Path:
    """Fetch and unpack a public data set, and return its folder; a second call returns at once.

    Stop it at any time (Ctrl-C): the next call goes on from there.

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
    target = Path(folder) if folder is not None else downloads_folder() / name
    if (target / _MARKER).is_file():
        return target
    if target.exists() and any(target.iterdir()):
        raise DownloadError(
            f"{target} exists and is not empty, but was not filled by a complete download; move it away"
        )

    print(f"{dataset.about}\n{_human(dataset.size)} from {dataset.home}\nlicence: {dataset.licence}")
    if dataset.must_accept and not accept_licence:
        raise DownloadError(
            f"{name} is under {dataset.licence}. Read it at {dataset.home}; if you accept it, "
            f"call download({name!r}, accept_licence=True) or: course download {name} --accept-licence"
        )
    parts = downloads_folder() / ".parts" / name
    parts.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    waiting = sum(f.stat().st_size for f in parts.iterdir() if f.suffix == ".part")
    # Speech hardly shrinks, so what is unpacked needs about the same space once more, and some to spare.
    _need_space(parts, 2.2 * dataset.size - waiting)

    record = [fetch(archive, parts / archive.name, timeout, attempts) for archive in dataset.archives]

    unpacked = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for archive in dataset.archives:
            _unpack(parts / archive.name, unpacked)
        (unpacked / _MARKER).write_text(json.dumps({"name": name, "archives": record}, indent=1))
        unpacked.chmod(0o755)
        if target.exists():
            target.rmdir()  # empty, as seen above
        unpacked.rename(target)  # all or nothing
    except OSError:
        # Otherwise another process was faster, and its result is as good.
        if not (target / _MARKER).is_file():
            raise
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    shutil.rmtree(parts, ignore_errors=True)
    print(f"ready in {target}")
    return target


def fetch(archive: Archive, path: Path, timeout: float = 30.0, attempts: int = 5) -> dict:
    """Fetch one file to `path`, or go on where an earlier call stopped, and compare its checksum.

    Returns what was fetched: "url", "bytes", the checksum, and whether it was "verified".

    Raises:
        DownloadError: no network, or another file than the published one. The message says what to do.
    """
    if not path.exists():  # else an earlier call got this far, and was stopped while it unpacked
        _fetch(archive, path, timeout, attempts)
    return _verify(archive, path)


def _need_space(folder: Path, needed: float) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"not enough space: about {_human(needed)} are needed and {_human(free)} are free in {folder}. "
            "Make room, or set COURSE_CACHE to a folder on another disk"
        )


# --- fetch ---------------------------------------------------------------------------------------------


class _Broken(Exception):
    """The connection failed in a way that another attempt may cure."""


def _fetch(archive: Archive, path: Path, timeout: float, attempts: int) -> None:
    """Fetch to `path` by way of a `.part` file, which stays when something goes wrong."""
    part = path.with_name(path.name + ".part")
    failures, most = 0, part.stat().st_size if part.exists() else 0
    with requests.Session() as session:
        while True:
            try:
                _fetch_once(session, archive, part, timeout)
                break
            except KeyboardInterrupt:
                print(f"\nstopped; what is there is kept in {part}, and the next call goes on from there")
                raise
            except (
                _Broken,
                requests.ConnectionError,
                requests.Timeout,
                urllib3.exceptions.HTTPError,
            ) as error:
                have = part.stat().st_size if part.exists() else 0
                failures = 1 if have > most else failures + 1
                most = max(most, have)
                if failures >= attempts:
                    raise DownloadError(
                        f"can not fetch {archive.url}: {_plain(error)}. Check the network (a proxy, a firewall?) "
                        f"and call again; {_human(have)} are kept, and the next call goes on from there. "
                        "The course works without: this is only for training on more than the shipped data"
                    ) from error
                time.sleep(min(2.0 ** (failures - 1), 30.0) * _BACKOFF)
            except requests.RequestException as error:
                raise DownloadError(f"can not fetch {archive.url}: {_plain(error)}") from error
    os.replace(part, path)
    part.with_suffix(".etag").unlink(missing_ok=True)


_BACKOFF = 1.0  # seconds; tests make it short


def _plain(error: Exception) -> str:
    """What went wrong in a few words: the messages of the libraries below are long and inside out."""
    text = str(error)
    for sign, words in (
        ("NameResolution", "the name of the server can not be found, so there is probably no network"),
        (
            "Name or service not known",
            "the name of the server can not be found, so there is probably no network",
        ),
        ("refused", "the server refuses the connection"),
        ("CERTIFICATE", "the server's certificate is not valid, so this may not be the real server"),
        ("timed out", "no answer for too long"),
        ("IncompleteRead", "the connection broke off"),
        ("Connection aborted", "the connection broke off"),
        ("unreachable", "there is no network"),
    ):
        if sign in text:
            return words
    return text


def _open(session: requests.Session, archive: Archive, headers: dict, timeout: float) -> requests.Response:
    """GET with redirects followed by hand, so that each step can be looked at."""
    url = archive.url
    for _ in range(10):
        scheme = urlsplit(url).scheme
        if scheme not in ("http", "https"):
            raise DownloadError(f"{archive.url} leads to {url}: only http and https are fetched")
        if scheme == "http" and archive.url.startswith("https:") and archive.checksum is None:
            raise DownloadError(
                f"{archive.url} leads to the unprotected {url}, and there is no checksum to trust"
            )
        response = session.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
        if not response.is_redirect:
            return response
        response.close()
        url = urljoin(url, response.headers["Location"])
    raise DownloadError(f"{archive.url}: more than ten redirects")


def _fetch_once(session: requests.Session, archive: Archive, part: Path, timeout: float) -> None:
    """One connection: go on from the end of `part`, or from the start where the server can not."""
    have = part.stat().st_size if part.exists() else 0
    etag = part.with_suffix(".etag")
    # Without "identity" a server may compress on the way, and then no length fits.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if etag.exists():
            headers["If-Range"] = etag.read_text()  # a changed file comes whole, not as a wrong second half
    with _open(session, archive, headers, timeout) as response:
        if response.status_code == 416:  # nothing after the end: complete, or longer than the file now is
            if have == _total(response):
                return
            part.unlink(missing_ok=True)
            raise _Broken("the server's file has changed, so it is fetched from the start")
        if response.status_code in (408, 425, 429, 500, 502, 503, 504):
            raise _Broken(f"the server is busy or broken (HTTP {response.status_code})")
        if response.status_code not in (200, 206):
            reason = {404: "there is no such file any more", 403: "the server does not allow it"}
            raise DownloadError(
                f"can not fetch {archive.url}: HTTP {response.status_code}, "
                f"{reason.get(response.status_code, response.reason)}. Look at the home page of the set for a new address"
            )
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise DownloadError(
                f"{archive.url} answers with a web page where an archive was expected, so the file has moved (or "
                "your network shows a log-in page first). Look at the home page of the set for its new address"
            )
        if response.status_code == 206:
            start = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
            if start != str(have):
                part.unlink(missing_ok=True)
                raise _Broken("the server sent another part than was asked for")
        else:
            have = 0
        if "ETag" in response.headers and not response.headers["ETag"].startswith("W/"):
            etag.write_text(response.headers["ETag"])

        announced = _total(response)
        # A length that is a little off may be a new release, which the checksum will refuse in plain words.
        limit = archive.size if archive.exact else int(1.5 * archive.size) + 1_000_000
        if announced is not None and announced > limit:
            raise DownloadError(
                f"{archive.url} announces {_human(announced)} where {_human(archive.size)} were expected; "
                "not fetched, because it is not the file that this course knows"
            )
        _need_space(part.parent, (announced or archive.size) - have)
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(
                total=announced or archive.size, initial=have, unit="B", unit_scale=True, desc=archive.name
            ) as bar,
        ):
            # Raw bytes: some servers mark .tar.gz as compressed on the way, and it must stay as it is.
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                have += len(chunk)
                if have > limit:
                    raise DownloadError(
                        f"{archive.url} sends more than the {_human(archive.size)} that were expected; stopped"
                    )
                file.write(chunk)
                bar.update(len(chunk))
    if announced is not None and have < announced:
        raise _Broken("the connection broke off")


def _total(response: requests.Response) -> int | None:
    """Length of the whole file as the server announces it, or None."""
    content_range = response.headers.get("Content-Range", "")
    if "/" in content_range:
        total = content_range.rsplit("/", 1)[1]
        return int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == 200 and length.isdigit() else None


# --- verify --------------------------------------------------------------------------------------------


def _verify(archive: Archive, path: Path) -> dict:
    """Compare with the published checksum; remove the file and say so when it differs."""
    kind, _, expected = (archive.checksum or "sha256:").partition(":")
    digest = hashlib.new(kind, usedforsecurity=False)
    with (
        open(path, "rb") as file,
        tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=f"checking {archive.name}") as bar,
    ):
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            bar.update(len(chunk))
    seen = digest.hexdigest()
    if expected and seen != expected:
        path.unlink()
        raise DownloadError(
            f"{archive.name} is not the published file: {kind} is {seen}, expected {expected}. "
            "It was removed; call again, and if it happens again the file at its source has changed"
        )
    if not expected:
        _compare_with_first_sight(archive, seen)
    return {"url": archive.url, "bytes": path.stat().st_size, kind: seen, "verified": bool(expected)}


def _compare_with_first_sight(archive: Archive, seen: str) -> None:
    """Nobody published a checksum: remember the one that was seen, and say when it is another one."""
    book = downloads_folder() / "seen.json"
    known = json.loads(book.read_text()) if book.exists() else {}
    before = known.get(archive.url)
    print(f"{archive.name}: no checksum is published for this file, so it could not be verified")
    if before is not None and before != seen:
        print(f"note: it is another file than at the first download (sha256 {before} then, {seen} now)")
    known.setdefault(archive.url, seen)
    temporary = book.with_name(f"seen-{os.getpid()}.tmp")
    temporary.write_text(json.dumps(known, indent=1, sort_keys=True))
    os.replace(temporary, book)


# --- unpack --------------------------------------------------------------------------------------------


def _unpack(path: Path, folder: Path) -> None:
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
