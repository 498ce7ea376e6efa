"""The decoded cache: right, damaged in every way, and made by several at once."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile

from course_utils import data
from course_utils.data import decoded
from data.build import manifest
from tests.small_corpus import SAMPLES, VICTIM, tone, write_opus


def test_one_utterance_is_decoded_without_a_cache(corpus):
    assert np.abs(data.speech()[0].audio).max() > 0.1
    assert not (corpus.parent / "cache").exists()


def test_the_cache_gives_the_same_samples_as_the_files(corpus):
    direct = [u.audio for u in data.speech()] + [data.pairs()[0].target_audio]
    folder = data.prepare()
    assert sorted(p.name for p in folder.iterdir()) == ["places.json", "samples.npy"]
    assert data.prepare() == folder
    shutil.rmtree(corpus / "speech" / "f01")  # what comes now can only come from the cache
    cached = [u.audio for u in data.speech()] + [data.pairs()[0].target_audio]
    assert all(np.array_equal(a, b) for a, b in zip(direct, cached, strict=True))


def test_reading_much_builds_the_cache_by_itself(corpus, monkeypatch):
    monkeypatch.setattr(decoded, "DIRECT", 20)
    utterances = data.speech()
    for utterance in utterances[:20]:
        _ = utterance.audio
    assert not (corpus.parent / "cache").exists()
    _ = utterances[20].audio
    assert len(list((corpus.parent / "cache").glob("decoded-*"))) == 1


def test_changed_data_get_another_cache(corpus):
    before = data.prepare()
    write_opus(corpus / VICTIM, tone(1234))
    manifest.write(corpus)
    after = data.prepare()
    assert after != before
    decoded, _ = soundfile.read(corpus / VICTIM, dtype="float32")
    assert data.speech(voice="f01")[0].audio == pytest.approx(decoded, abs=1 / 32768)


CACHE_DAMAGES = {
    "samples of 0 bytes": ("samples.npy", lambda content: b""),
    "samples cut short": ("samples.npy", lambda content: content[:5000]),
    "samples a little longer": ("samples.npy", lambda content: content + b"xx"),
    "only the header": ("samples.npy", lambda content: content[:128]),
    "half of the header": ("samples.npy", lambda content: content[:60]),
    "zeros, as a power cut leaves them": (
        "samples.npy",
        lambda content: content[:128] + bytes(len(content) - 128),
    ),
    "nothing but zeros": ("samples.npy", lambda content: bytes(len(content))),
    "one wrong sample": ("samples.npy", lambda content: content[:200] + b"\x7f\x7f" + content[202:]),
    "another type": ("samples.npy", lambda content: content.replace(b"<i2", b"<i4")),
    "a header with a riddle": ("samples.npy", lambda content: content.replace(b"{'descr'", b"{'descr(")),
    "a pickle": ("samples.npy", lambda content: b"\x80\x04K\x01."),
    "places of 0 bytes": ("places.json", lambda content: b""),
    "places cut short": ("places.json", lambda content: content[:-20]),
    "a list of places": ("places.json", lambda content: b"[]"),
    "no places": ("places.json", lambda content: b"{}"),
    "places without checksums": ("places.json", lambda content: b'{"speech/f01/f01_0000.opus": [0, 16000]}'),
    "places of text": ("places.json", lambda content: b'{"speech/f01/f01_0000.opus": "abc"}'),
    "places beyond the end": (
        "places.json",
        lambda content: content.replace(b"[0, 16000", b"[99999999, 16000"),
    ),
    "negative places": ("places.json", lambda content: content.replace(b"[0, 16000", b"[-8, 16000")),
    "not UTF-8": ("places.json", lambda content: b"\xff\xfe" + content),
    "gone": ("places.json", None),
    "samples gone": ("samples.npy", None),
}


@pytest.fixture(scope="session")
def decoded_once(pristine, tmp_path_factory):
    """The cache of the small corpus, and its sounds by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DATA", str(pristine))
        patch.setenv("COURSE_CACHE", str(tmp_path_factory.mktemp("decoded")))
        folder = data.prepare()
    samples = np.load(folder / "samples.npy")
    places = json.loads((folder / "places.json").read_text())
    return folder, {file: samples[start : start + length] for file, (start, length, _) in places.items()}


@pytest.mark.parametrize(("file", "damage"), CACHE_DAMAGES.values(), ids=CACHE_DAMAGES.keys())
def test_a_damaged_cache_is_not_trusted_and_made_again(corpus, decoded_once, monkeypatch, file, damage):
    made, sounds = decoded_once
    monkeypatch.setattr(decoded, "_decode", lambda name, _: sounds[name])  # the same, and quick
    folder = data.cache_folder() / made.name
    shutil.copytree(made, folder)
    content = (folder / file).read_bytes()
    utterance = data.speech()[0]
    good = sounds[utterance.file] / np.float32(32768)
    assert np.array_equal(utterance.audio, good)
    if damage is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(damage(content))
    assert np.array_equal(utterance.audio, good)
    assert data.prepare() == folder and (folder / file).read_bytes() == content, "made again"
    monkeypatch.delattr(decoded, "_decode")
    assert np.array_equal(utterance.audio, good), "and used again"


def test_a_file_where_the_cache_should_be_is_replaced(corpus):
    folder = data.prepare()
    shutil.rmtree(folder)
    folder.write_text("not a folder")
    assert len(data.speech()[0].audio) == SAMPLES
    assert data.prepare().is_dir()


def test_a_disk_that_fills_up_while_decoding_says_so_and_leaves_nothing(corpus, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(decoded, "_flush", full)
    with pytest.raises(OSError, match=r"No space left.*COURSE_CACHE"):
        data.prepare()
    assert not list((corpus.parent / "cache").iterdir())
    monkeypatch.setattr(decoded, "DIRECT", 0)
    with pytest.warns(UserWarning, match="No space left"):
        assert len(data.speech()[0].audio) == SAMPLES


def test_a_home_folder_in_the_name_of_the_cache_is_understood(corpus, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("COURSE_CACHE", "~/mine")
    assert data.prepare().parent == tmp_path / "mine"
    assert data.cache_folder() == tmp_path / "mine"


def test_a_cache_that_can_not_be_written_only_costs_time(corpus, monkeypatch):
    monkeypatch.setattr(decoded, "DIRECT", 0)
    (corpus.parent / "cache").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="COURSE_CACHE"):
        assert len(data.speech()[0].audio) == SAMPLES
    assert len(data.speech()[1].audio) == SAMPLES


def test_a_full_disk_is_noticed_before_writing(corpus, monkeypatch):
    monkeypatch.setattr(decoded.shutil, "disk_usage", lambda _: type("usage", (), {"free": 1000}))
    with pytest.raises(OSError, match="MB are needed"):
        data.prepare()


def test_two_processes_may_build_the_cache_at_once(corpus):
    script = "from course_utils import data; data.prepare(); print(sum(int(abs(u.audio).sum()) for u in data.speech()))"
    running = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ, text=True)
        for _ in range(2)
    ]
    first, second = (process.communicate(timeout=120)[0].strip() for process in running)
    assert [process.returncode for process in running] == [0, 0]
    assert first == second and int(first) > 0
    assert [p.name[:8] for p in (corpus.parent / "cache").iterdir()] == ["decoded-"], (
        "and nothing else is left"
    )


def test_two_threads_may_build_the_cache_at_once(corpus):
    failures = []

    def work():
        try:
            data.prepare()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(data.speech()[0].audio) == SAMPLES


def test_old_caches_and_the_rest_of_a_crash_are_tidied_away(corpus):
    cache = corpus.parent / "cache"
    for number, name in enumerate(["decoded-a", "decoded-b", "decoded-c", "decoded-d", ".decoding-x"]):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (number, number))
    kept = data.prepare().name
    assert {path.name for path in cache.iterdir()} == {"decoded-c", "decoded-d", kept}


def test_a_cache_that_is_there_needs_no_audio_library(corpus):
    data.prepare()
    script = (
        "import sys\n"
        "for name in ('soundfile', 'soxr', 'librosa', 'IPython'): sys.modules[name] = None\n"
        "from course_utils import data\n"
        "print(len(data.speech('train')[0].audio), len(data.noise('train')[0].audio))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["16000", "160000"], done.stderr
