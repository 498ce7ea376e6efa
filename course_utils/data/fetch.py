"""One file over HTTP: goes on where a broken connection stopped, and compares the published checksum.

The only module that imports a network library; `download` imports it when something has to be fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from tqdm.auto import tqdm

from course_utils import paths
from course_utils.data.datasets import Archive, DownloadError, human

_CHUNK = 1 << 18


def fetch(archive: Archive, path: Path, timeout: float = 30.0, attempts: int = 5) -> dict:
    """Fetch one file to `path`, or go on where an earlier call stopped, and compare its checksum.

    Returns what was fetched: "url", "bytes", the checksum, and whether it was "verified".

    Raises:
        DownloadError: no network, or another file than the published one. The message says what to do.
    """
    if not path.exists():  # else an earlier call got this far, and was stopped while it unpacked
        _fetch(archive, path, timeout, attempts)
    return _verify(archive, path)


def need_space(folder: Path, needed: float) -> None:
    """Raise DownloadError unless `needed` bytes are free in `folder`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"not enough space: about {human(needed)} are needed and {human(free)} are free in {folder}. "
            "Make room, or set COURSE_CACHE to a folder on another disk"
        )


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
                        f"and call again; {human(have)} are kept, and the next call goes on from there. "
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
                f"{archive.url} announces {human(announced)} where {human(archive.size)} were expected; "
                "not fetched, because it is not the file that this course knows"
            )
        need_space(part.parent, (announced or archive.size) - have)
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
                        f"{archive.url} sends more than the {human(archive.size)} that were expected; stopped"
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
    book = paths.downloads_folder() / "seen.json"
    try:
        known = dict(json.loads(book.read_text()))
    except (OSError, ValueError, TypeError):  # none yet, or damaged
        known = {}
    before = known.get(archive.url)
    print(f"{archive.name}: no checksum is published for this file, so it could not be verified")
    if before is not None and before != seen:
        print(f"note: it is another file than at the first download (sha256 {before} then, {seen} now)")
    known.setdefault(archive.url, seen)
    book.parent.mkdir(parents=True, exist_ok=True)
    temporary = book.with_name(f"seen-{os.getpid()}.tmp")
    temporary.write_text(json.dumps(known, indent=1, sort_keys=True))
    os.replace(temporary, book)
