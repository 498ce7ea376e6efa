"""The downloader against a local server that breaks off, lies, stalls and attacks."""

import errno
import hashlib
import io
import json
import os
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from course_utils import paths
from course_utils.data import fetch as module
from course_utils.data.datasets import REGISTRY, Archive, Dataset, DownloadError
from course_utils.data.download import download, is_downloaded


@dataclass
class Behaviour:
    """What the server does; each test sets what it needs."""

    body: bytes = b""
    break_after: list[int] = field(default_factory=list)  # bytes to send before closing, one per connection
    honour_range: bool = True
    announce: int | None = None
    status: list[int] = field(default_factory=list)  # answers before the first good one
    redirect: str | None = None
    stall: float = 0.0
    wrong_range: bool = False
    etag: str = '"one"'
    content_type: str = "application/octet-stream"
    requests: list[dict] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        behaviour: Behaviour = self.server.behaviour
        behaviour.requests.append({k.lower(): v for k, v in self.headers.items()})
        self.close_connection = True
        if behaviour.redirect:
            return self.answer(302, {"Location": behaviour.redirect, "Content-Length": "0"})
        if behaviour.status:
            return self.answer(behaviour.status.pop(0), {"Content-Length": "0"})
        body, headers, status = behaviour.body, {"ETag": behaviour.etag}, 200
        asked = self.headers.get("Range")
        same = self.headers.get("If-Range", behaviour.etag) == behaviour.etag
        if asked and behaviour.honour_range and same:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return self.answer(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
            start = 0 if behaviour.wrong_range else start
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, status = body[start:], 206
        length = len(body) if behaviour.announce is None else behaviour.announce
        self.answer(status, headers | {"Content-Length": str(length), "Content-Type": behaviour.content_type})
        if behaviour.break_after:
            body = body[: behaviour.break_after.pop(0)]
        self.wfile.write(body[:100])
        self.wfile.flush()
        if behaviour.stall:
            time.sleep(behaviour.stall)
        self.wfile.write(body[100:])

    def answer(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")  # as it does: a client must not use the connection again
        self.end_headers()


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server with one file, registered as the data set "toy"; backoff and cache belong to the test."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "_BACKOFF", 0.01)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.behaviour = Behaviour()
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    http.url = f"http://127.0.0.1:{http.server_port}/toy.tar.gz"
    yield http
    http.shutdown()
    http.server_close()


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def random_bytes(count: int) -> bytes:
    """Bytes that do not shrink, so that archives are as long as the tests need."""
    return b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(count // 32))


def offer(server, body: bytes, monkeypatch, checksum: str | None = "right", must_accept=False, **archive):
    """Let the server serve `body` and register it as "toy"."""
    server.behaviour.body = body
    if checksum == "right":
        checksum = "sha256:" + hashlib.sha256(body).hexdigest()
    toy = Dataset(
        "toy",
        "a toy",
        "CC0",
        server.url,
        (Archive(**({"url": server.url, "size": len(body), "checksum": checksum} | archive)),),
        must_accept,
    )
    monkeypatch.setitem(REGISTRY, "toy", toy)
    return server.behaviour


@pytest.fixture
def good(server, monkeypatch):
    body = tar_of({"toy/a.txt": b"hello", "toy/deep/noise.bin": random_bytes(300_000)})
    return offer(server, body, monkeypatch)


def part_files(tmp_path):
    return list((tmp_path / "cache" / "downloads" / ".parts" / "toy").glob("*.part"))


def test_a_good_server_fills_the_folder_and_the_second_call_asks_nothing(good, tmp_path, capsys):
    folder = download("toy")
    assert (folder / "toy" / "a.txt").read_bytes() == b"hello"
    assert is_downloaded("toy")
    assert "CC0" in capsys.readouterr().out
    record = json.loads((folder / ".complete.json").read_text())
    assert record["archives"][0]["verified"] is True
    assert not (tmp_path / "cache" / "downloads" / ".parts" / "toy").exists()
    asked = len(good.requests)
    assert download("toy") == folder
    assert len(good.requests) == asked == 1


def test_a_connection_that_breaks_off_is_resumed_where_it_broke(good):
    good.break_after = [100_000, 50_000]
    folder = download("toy")
    assert (folder / "toy" / "a.txt").read_bytes() == b"hello"
    ranges = [r.get("range") for r in good.requests]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_that_ignores_range_is_fetched_from_the_start(good):
    good.break_after, good.honour_range = [100_000], False
    assert (download("toy") / "toy" / "a.txt").exists()


def test_a_server_that_never_gets_past_the_same_place_ends_in_a_clear_error(good):
    good.break_after, good.honour_range = [100_000] * 50, False
    with pytest.raises(DownloadError, match="the connection broke off"):
        download("toy", attempts=3)
    assert len(good.requests) <= 4


def test_a_server_that_answers_another_range_does_not_loop_and_spoils_nothing(good):
    good.break_after, good.wrong_range = [100_000] * 50, True
    with pytest.raises(DownloadError, match="another part"):
        download("toy", attempts=2)


def test_a_file_that_changes_between_two_attempts_is_not_glued_together(good, server, monkeypatch):
    good.break_after = [100_000] * 9
    with pytest.raises(DownloadError):
        download("toy", attempts=1)
    new = tar_of({"toy/a.txt": b"new", "toy/deep/noise.bin": random_bytes(200_000)})
    changed = offer(server, new, monkeypatch)
    changed.break_after, changed.etag = [], '"two"'
    assert (download("toy") / "toy" / "a.txt").read_bytes() == b"new"


def test_a_server_that_announces_too_little_is_caught_by_the_checksum(good):
    good.announce = 150_000
    with pytest.raises(DownloadError, match="not the published file"):
        download("toy", attempts=2)
    assert not is_downloaded("toy")


def test_a_server_that_announces_far_too_much_is_refused_before_anything_is_fetched(good, tmp_path):
    good.announce = 10**12
    with pytest.raises(DownloadError, match="expected"):
        download("toy")
    assert not part_files(tmp_path)


def test_a_server_that_promises_more_than_it_has_is_settled_by_asking_for_the_rest(server, monkeypatch):
    body = tar_of({"a": random_bytes(50_000)})
    behaviour = offer(server, body, monkeypatch, exact=False)
    behaviour.announce = len(body) + 1000
    assert (download("toy", attempts=3) / "a").exists()
    assert behaviour.requests[-1]["range"] == f"bytes={len(body)}-"


def test_a_wrong_checksum_is_named_and_nothing_is_put_in_place(server, monkeypatch, tmp_path):
    offer(server, tar_of({"a": b"x"}), monkeypatch, checksum="sha256:" + "0" * 64)
    with pytest.raises(DownloadError, match=r"sha256 is [0-9a-f]{64}, expected 0000"):
        download("toy")
    assert not (tmp_path / "cache" / "downloads" / "toy").exists()
    assert not list((tmp_path / "cache" / "downloads" / ".parts" / "toy").iterdir())


def test_an_md5_as_some_publishers_give_it_is_checked_too(server, monkeypatch):
    body = tar_of({"a": b"x"})
    offer(server, body, monkeypatch, checksum="md5:" + hashlib.md5(body).hexdigest())
    assert (download("toy") / "a").exists()
    offer(server, body, monkeypatch, checksum="md5:" + "1" * 32)
    with pytest.raises(DownloadError, match="md5"):
        download("toy", folder=paths.downloads_folder() / "again")


def test_a_stall_is_noticed_within_the_timeout(good):
    good.stall = 5.0
    with pytest.raises(DownloadError, match="no answer for too long"):  # else the rest comes, and it succeeds
        download("toy", timeout=0.3, attempts=2)
    assert len(good.requests) == 2


def test_a_busy_server_is_asked_again(good):
    good.status = [500, 503]
    assert (download("toy") / "toy" / "a.txt").exists()


def test_a_server_that_stays_broken_is_given_up(good):
    good.status = [500] * 20
    with pytest.raises(DownloadError, match="HTTP 500"):
        download("toy", attempts=3)
    assert len(good.requests) == 3


def test_a_missing_file_is_said_at_once(good):
    good.status = [404] * 20
    with pytest.raises(DownloadError, match="404, there is no such file any more"):
        download("toy")
    assert len(good.requests) == 1


def test_a_login_page_is_not_taken_for_an_archive(good):
    good.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="web page"):
        download("toy")


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_a_redirect_to_another_scheme_is_refused(good, address):
    good.redirect = address
    with pytest.raises(DownloadError, match="only http and https"):
        download("toy")


def test_a_circle_of_redirects_ends(good, server):
    good.redirect = server.url
    with pytest.raises(DownloadError, match="ten redirects"):
        download("toy")


def test_an_unprotected_redirect_is_refused_where_no_checksum_would_notice(server, monkeypatch):
    offer(server, b"x", monkeypatch, checksum=None)
    archive = Archive("https://example.invalid/a.zip", 1)

    class Session:
        def get(self, url, **_):
            class Answer:
                is_redirect, headers = True, {"Location": server.url}

                def close(self):
                    pass

            return Answer()

    with pytest.raises(DownloadError, match="unprotected"):
        module._open(Session(), archive, {}, 1.0)


def test_no_network_is_said_in_plain_words(server, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    offer(server, b"x", monkeypatch, url=f"http://127.0.0.1:{port}/toy.zip")
    with pytest.raises(DownloadError, match=r"refuses the connection.*The course works without"):
        download("toy", attempts=2)


def test_a_name_that_can_not_be_resolved_is_said_in_plain_words(server, monkeypatch):
    offer(server, b"x", monkeypatch, url="http://nowhere.invalid/toy.zip")
    with pytest.raises(DownloadError, match="probably no network"):
        download("toy", attempts=1)


def test_ctrl_c_keeps_what_was_fetched_and_the_next_call_goes_on(good, monkeypatch, tmp_path, capsys):
    update, seen = module.tqdm.update, []

    def interrupted(bar, count):
        update(bar, count)
        seen.append(count)
        if sum(seen) > 100_000:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_CHUNK", 1 << 15)
        patch.setattr(module.tqdm, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            download("toy")
    assert "goes on from there" in capsys.readouterr().out
    (part,) = part_files(tmp_path)
    kept = part.stat().st_size
    assert kept > 100_000
    assert (download("toy") / "toy" / "a.txt").exists()
    assert good.requests[-1]["range"] == f"bytes={kept}-"


def test_a_disk_that_is_too_full_is_noticed_before_the_first_byte(good, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match=r"not enough space.*COURSE_CACHE"):
        download("toy")
    assert not good.requests


def test_a_licence_that_restricts_use_must_be_accepted(server, monkeypatch):
    behaviour = offer(server, tar_of({"a": b"x"}), monkeypatch, must_accept=True)
    with pytest.raises(DownloadError, match="accept_licence=True"):
        download("toy")
    assert not behaviour.requests
    assert (download("toy", accept_licence=True) / "a").exists()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DownloadError, match="librispeech-dev-clean"):
        download("librispeach")


def test_a_folder_with_something_else_in_it_is_left_alone(good, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious.txt").write_text("x")
    with pytest.raises(DownloadError, match="not empty"):
        download("toy", folder=mine)
    assert (mine / "precious.txt").exists()


def test_without_a_published_checksum_it_says_so_and_remembers_what_it_saw(
    server, monkeypatch, tmp_path, capsys
):
    offer(server, tar_of({"a": b"x"}), monkeypatch, checksum=None)
    folder = download("toy")
    assert "could not be verified" in capsys.readouterr().out
    assert json.loads((folder / ".complete.json").read_text())["archives"][0]["verified"] is False
    offer(server, tar_of({"a": b"y"}), monkeypatch, checksum=None)
    download("toy", folder=tmp_path / "again")
    assert "another file than at the first download" in capsys.readouterr().out


def test_a_second_download_of_the_same_set_waits_and_finds_the_first_one_s_work(good, capsys):
    good.stall = 0.4
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(download("toy"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 3 and len(set(folders)) == 1 and is_downloaded("toy")
    assert len(good.requests) == 1, "fetched once"
    assert "another process is fetching toy; waiting" in capsys.readouterr().out


def test_a_second_process_waits_too(server, monkeypatch):
    import filelock

    offer(server, tar_of({"a": b"x"}), monkeypatch)
    folder = paths.downloads_folder()
    folder.mkdir(parents=True)
    script = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]): print('mine', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, folder / ".toy.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"mine\n"
    waited = []
    acquire = filelock.FileLock.acquire

    def impatient(lock, timeout=None, **options):
        if timeout is None:
            waited.append(lock)
            other.stdin.close()  # the other process ends, and with it its lock
        return acquire(lock, timeout=timeout, **options)

    monkeypatch.setattr(filelock.FileLock, "acquire", impatient)
    assert (download("toy") / "a").exists() and len(waited) == 1
    other.wait(timeout=20)


def test_a_disk_that_fills_up_on_the_way_says_so_and_what_was_fetched_is_kept(good, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("course_utils.data.unpack.zipfile.is_zipfile", full)
        with pytest.raises(DownloadError, match=r"No space left.*COURSE_CACHE"):
            download("toy")
    assert not list((tmp_path / "cache" / "downloads").glob(".toy-*")), "nothing half unpacked"
    assert (download("toy") / "toy" / "a.txt").exists() and len(good.requests) == 1


def test_a_cache_that_can_not_be_written_says_so(good, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match="COURSE_CACHE"):
        download("toy")
    assert not good.requests


@pytest.mark.parametrize("content", ["", "[1", "[]", "7", '"x"', "\x00"])
def test_a_damaged_note_of_checksums_is_begun_anew(server, monkeypatch, content):
    paths.downloads_folder().mkdir(parents=True)
    (paths.downloads_folder() / "seen.json").write_text(content)
    offer(server, tar_of({"a": b"x"}), monkeypatch, checksum=None)
    assert (download("toy") / "a").exists()
    assert list(json.loads((paths.downloads_folder() / "seen.json").read_text())) == [server.url]


# --- archives that attack ------------------------------------------------------------------------------


def tar_with(info: tarfile.TarInfo, content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tar_link(kind: bytes, target: str) -> bytes:
    info = tarfile.TarInfo("innocent")
    info.type, info.linkname = kind, target
    return tar_with(info)


def zip_of(name: str, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # the constructor would clean it
    info.external_attr = mode << 16
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "evil")
    return buffer.getvalue()


ATTACKS = {
    "tar parent": tar_with(tarfile.TarInfo("../evil"), b"x"),
    "tar deep parent": tar_with(tarfile.TarInfo("a/../../evil"), b"x"),
    "tar absolute": tar_with(tarfile.TarInfo("/evil"), b"x"),
    "tar windows": tar_with(tarfile.TarInfo("..\\evil"), b"x"),
    "tar drive": tar_with(tarfile.TarInfo("C:/evil"), b"x"),
    "tar symbolic link": tar_link(tarfile.SYMTYPE, "../.."),
    "tar hard link": tar_link(tarfile.LNKTYPE, "../../evil"),
    "tar device": tar_link(tarfile.CHRTYPE, ""),
    "tar pipe": tar_link(tarfile.FIFOTYPE, ""),
    "zip parent": zip_of("../evil"),
    "zip absolute": zip_of("/evil"),
    "zip windows": zip_of("..\\evil"),
    "zip symbolic link": zip_of("innocent", stat.S_IFLNK | 0o777),
}


@pytest.mark.parametrize("body", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_archive_that_tries_to_escape_is_refused_and_leaves_nothing(server, monkeypatch, tmp_path, body):
    offer(server, body, monkeypatch)
    with pytest.raises(DownloadError, match=r"outside of its folder|link or a device"):
        download("toy")
    left = [p.name for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left == []
    assert not list(tmp_path.rglob("*evil*"))


def test_a_zip_is_unpacked_as_well(server, monkeypatch):
    offer(server, zip_of("folder/file.txt"), monkeypatch)
    assert (download("toy") / "folder" / "file.txt").read_text() == "evil"


@pytest.mark.parametrize("body", [b"this is no archive", tar_of({"a": random_bytes(9000)})[:-3000]])
def test_a_damaged_archive_says_so_and_is_not_found_again(server, monkeypatch, tmp_path, body):
    offer(server, body, monkeypatch)
    with pytest.raises(DownloadError, match="can not be unpacked"):
        download("toy")
    assert not list((tmp_path / "cache" / "downloads" / ".parts" / "toy").iterdir())


def test_every_registered_set_has_https_a_licence_and_a_checksum_of_the_right_length():
    length = {"sha256": 64, "md5": 32}
    for name, dataset in REGISTRY.items():
        assert dataset.name == name and dataset.licence and dataset.home.startswith("https://")
        for archive in dataset.archives:
            assert archive.url.startswith("https://")
            if archive.checksum is not None:
                kind, digest = archive.checksum.split(":")
                assert len(digest) == length[kind] and set(digest) <= set("0123456789abcdef")
