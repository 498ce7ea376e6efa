"""The access to data, on a small corpus made here: right, missing, damaged, cached, and in two processes."""

import dataclasses
import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from course_utils import data, paths, shipped
from course_utils.data import decoded

ROOT = Path(__file__).resolve().parent.parent


def load_manifest_builder():
    spec = importlib.util.spec_from_file_location("manifest_build", ROOT / "data" / "build" / "manifest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


manifest_build = load_manifest_builder()

VOICES = {
    "f01": {"sex": "f", "split": "train", "parents": ["en", "en"]},
    "m01": {"sex": "m", "split": "train", "parents": ["en", "es"]},
    "f02": {"sex": "f", "split": "valid", "parents": ["fr"]},
    "m02": {"sex": "m", "split": "test", "parents": ["ja"]},
}
PHONES = ["sil", "HH", "AY1", "sil", "DH", "EH1", "R", "sil"]
DURATIONS = [4, 3, 8, 5, 2, 6, 7, 5]
WORDS = [["hi", 1, 3], ["there", 4, 7]]
SAMPLES = 400 * sum(DURATIONS)


def tone(seed: int) -> np.ndarray:
    """Sound where the labels say speech, silence where they say "sil"."""
    rng = np.random.default_rng(seed)
    loud = np.repeat([phone != "sil" for phone in PHONES], np.multiply(DURATIONS, 400))
    time = np.arange(SAMPLES) / 16000
    return (0.3 * np.sin(2 * np.pi * rng.uniform(150, 400) * time) * loud).astype(np.float32)


def write_opus(path: Path, waveform: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, 16000, format="OGG", subtype="OPUS")


def make_corpus(folder: Path) -> Path:
    speech = folder / "speech"
    timing = {"phones": PHONES, "durations": DURATIONS, "words": WORDS}
    index, seed = [], 0
    for voice in VOICES:
        for number in range(8):
            seed += 1
            name = f"{voice}_{number:04d}"
            kind = "phrase" if number >= 6 else "sentence"
            write_opus(speech / voice / f"{name}.opus", tone(seed))
            index.append({"id": name, "voice": voice, "kind": kind, "text": f"Hi there {seed}."} | timing)
    pair = {"text": "Hi there.", "split": "train", "source": "f01", "target": "m01"} | timing
    write_opus(speech / "pairs" / "f01_0000_as_m01.opus", tone(99))
    files = {"source_file": "f01/f01_0000.opus", "target_file": "pairs/f01_0000_as_m01.opus"}
    (speech / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in index))
    (speech / "pairs.jsonl").write_text(json.dumps({"id": "f01_0000_as_m01"} | pair | files) + "\n")
    (speech / "voices.json").write_text(json.dumps(VOICES))
    (folder / "music").mkdir()
    np.savez(
        folder / "music" / "chorales.npz",
        pitches=np.array([[60, 55, 52, 48]] * 12 + [[0, 57, 53, 50]] * 4, np.uint8),
        onsets=np.array([[1, 1, 1, 1], [0, 0, 0, 0]] * 8, np.uint8),
        starts=np.array([0, 12, 16], np.int32),
        split=np.array([0, 2], np.uint8),
        names=np.array(["bwv1", "bwv2"]),
        key_signature=np.array([-1, 2], np.int8),
        steps_per_bar=np.array([16, 12], np.int16),
        pickup_steps=np.array([4, 0], np.int16),
    )
    shutil.copy(ROOT / "data" / "real_heldout.json", folder)
    write_opus(folder / "real" / "librispeech" / "1-2-0000.opus", tone(100))
    write_opus(folder / "real" / "digits" / "one.opus", tone(101))
    written = {"author": "LibriVox", "licence": "CC BY 4.0", "samples": SAMPLES, "text": "hi there"}
    rows = [
        {"id": "1-2-0000", "collection": "librispeech", "file": "real/librispeech/1-2-0000.opus", "sex": "f"},
        {"id": "one", "collection": "digits", "file": "real/digits/one.opus"},
    ]
    (folder / "real" / "index.jsonl").write_text("".join(json.dumps(row | written) + "\n" for row in rows))
    (folder / "README.md").write_text("not in the manifest")
    (folder / "speech" / ".parts").mkdir()
    (folder / "speech" / ".parts" / "scratch.flac").write_bytes(b"not in the manifest")
    manifest_build.write(folder)
    return folder


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def corpus(pristine, tmp_path, monkeypatch):
    """A copy of the small corpus that the test may damage, an empty cache, and no real recordings."""
    folder = tmp_path / "data"
    shutil.copytree(pristine, folder)
    monkeypatch.setenv("COURSE_DATA", str(folder))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_REAL_DATA", raising=False)
    monkeypatch.setattr(paths, "ROOT", tmp_path / "repository")  # whose recordings/ are not these tests'
    monkeypatch.setattr(decoded, "_decoded_directly", 0)
    return folder


# --- lists ---------------------------------------------------------------------------------------------


def test_speech_is_filtered_by_split_voice_and_kind(corpus):
    assert len(data.speech()) == 32
    assert {u.voice for u in data.speech("train")} == {"f01", "m01"}
    assert len(data.speech("test", kind="sentence")) == 6
    assert [u.id for u in data.speech(voice="f02")][:2] == ["f02_0000", "f02_0001"]
    assert {u.kind for u in data.phrases("valid")} == {"phrase"}
    assert len(data.phrases()) == 8


def test_an_utterance_knows_its_words_and_when_they_are_spoken(corpus):
    utterance = data.speech("train")[0]
    assert utterance.duration == pytest.approx(1.0)
    assert utterance.phone_times.shape == (8, 2)
    assert utterance.phone_times[0] == pytest.approx([0.0, 0.1])
    assert utterance.phone_times[-1, 1] == pytest.approx(utterance.duration)
    assert utterance.phone_times[1:, 0] == pytest.approx(utterance.phone_times[:-1, 1]), "without gaps"
    assert utterance.word_times == pytest.approx(np.array([[0.1, 0.375], [0.5, 0.875]]))
    assert [word for word, _, _ in utterance.words] == ["hi", "there"]


def test_the_sound_agrees_with_the_labels(corpus):
    utterance = data.speech("train")[3]
    waveform = utterance.audio
    assert waveform.dtype == np.float32 and waveform.shape == (utterance.samples,) == (16000,)
    for phone, (start, end) in zip(utterance.phones, utterance.phone_times, strict=True):
        inside = waveform[int(start * 16000) + 160 : int(end * 16000) - 160]  # a codec smears 10 ms
        assert (np.abs(inside).max() > 0.1) == (phone != "sil")


def test_records_can_not_be_changed_by_accident(corpus):
    utterance = data.speech()[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        utterance.text = "something else"
    data.speech().clear()
    assert len(data.speech()) == 32
    utterance.audio[:] = 0
    assert np.abs(utterance.audio).max() > 0.1
    with pytest.raises(ValueError, match="read-only"):
        data.chorales()[0].pitches[0, 0] = 1


def test_voices_come_with_sex_parents_and_utterances(corpus):
    assert [v.name for v in data.voices()] == ["f01", "f02", "m01", "m02"]
    (voice,) = data.voices("test")
    assert (voice.sex, voice.parents) == ("m", ("ja",))
    assert len(voice.utterances) == 8


def test_both_sides_of_a_pair_have_the_same_length(corpus):
    (pair,) = data.pairs("train")
    assert len(pair.source_audio) == len(pair.target_audio) == pair.samples
    assert np.array_equal(pair.source_audio, data.speech(voice="f01")[0].audio)
    assert not np.array_equal(pair.source_audio, pair.target_audio)
    assert data.pairs("test") == []


def test_chorales_come_as_grids_with_their_bars(corpus):
    first, second = data.chorales()
    assert first.pitches.shape == (12, 4) and first.pitches.dtype == np.int64
    assert first.onsets.dtype == bool and first.onsets[0].all() and not first.onsets[1].any()
    assert (first.name, first.split, first.key_signature) == ("bwv1", "train", -1)
    assert first.step_in_bar[:5].tolist() == [12, 13, 14, 15, 0], "four steps of pickup come before the bar"
    assert data.chorales("test") == [second] and second.pitches[0, 0] == 0


@pytest.mark.parametrize("ask", [data.speech, data.pairs, data.voices, data.chorales, data.noise, data.rooms])
def test_an_unknown_split_is_refused_in_words(corpus, ask):
    with pytest.raises(ValueError, match=r"train, valid, test.*'dev'"):
        ask("dev")


def test_an_unknown_voice_or_kind_is_refused_in_words(corpus):
    with pytest.raises(ValueError, match="f01, f02, m01, m02"):
        data.speech(voice="f99")
    with pytest.raises(ValueError, match="sentence or phrase"):
        data.speech(kind="song")


# --- missing and damaged -------------------------------------------------------------------------------

VICTIM = "speech/f01/f01_0000.opus"


def damage_flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "deleted": (Path.unlink, "there is no such file"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-50]), "bytes, expected"),
    "one bit": (damage_flip, "checksum"),
    "empty": (lambda p: p.write_bytes(b""), "0 bytes"),
    "a pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n"), "expected"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_with_the_way_to_restore_it(corpus, damage, words):
    damage(corpus / VICTIM)
    with pytest.raises(data.DataError, match=words) as raised:
        _ = data.speech(voice="f01")[0].audio
    assert f"git checkout -- data/{VICTIM}" in str(raised.value)
    assert len(data.speech(voice="f01")[1].audio) == SAMPLES, "its neighbours are as good as before"
    assert [VICTIM in problem for problem in data.verify()] == [True]


def test_a_sound_that_is_shorter_than_its_labels_is_refused(corpus):
    write_opus(corpus / VICTIM, tone(1)[:-800])
    manifest_build.write(corpus)
    with pytest.raises(data.DataError, match="its labels say"):
        _ = data.speech(voice="f01")[0].audio


def test_a_file_that_is_not_sound_is_refused_even_when_the_manifest_lists_it(corpus):
    (corpus / VICTIM).write_bytes(b"hello")
    manifest_build.write(corpus)
    with pytest.raises(data.DataError, match="can not be decoded"):
        _ = data.speech(voice="f01")[0].audio


def test_a_damaged_file_stops_the_decoding_of_everything_with_its_name(corpus):
    damage_flip(corpus / VICTIM)
    with pytest.raises(data.DataError, match=VICTIM):
        data.prepare()
    assert not list((corpus.parent / "cache").glob("*")), "nothing half-made stays"


def test_a_missing_data_folder_says_what_to_do(corpus, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(corpus / "nowhere"))
    with pytest.raises(data.DataError, match=r"no data folder.*git checkout -- data.*COURSE_DATA"):
        data.speech()
    with pytest.raises(data.DataError, match="no data folder"):
        data.verify()


def test_a_missing_or_damaged_manifest_says_what_to_do(corpus):
    (corpus / "manifest.json").write_text("{")
    with pytest.raises(data.DataError, match=r"manifest.json.*can not be read"):
        data.speech()
    (corpus / "manifest.json").unlink()
    with pytest.raises(data.DataError, match=r"git checkout -- data/manifest.json"):
        data.speech()


def test_a_file_where_the_data_folder_should_be_says_so(corpus, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "file"))
    with pytest.raises(data.DataError, match=r"no data folder.*is a file"):
        data.speech()


def spoilt(content: str) -> list[str]:
    """What can happen to a JSON file, or to one line of it."""
    whole = json.loads(content.splitlines()[0]) if "\n{" in content else json.loads(content)
    made = ["", "{", "[]", "null", "7", '"text"', "{}", '{"a": {}}', "[" * 100_000, "\x00", content[:-10]]
    for key, value in whole.items():
        less = {other: whole[other] for other in whole if other != key}
        made.append(json.dumps(less))
        made += [json.dumps(less | {key: wrong}) for wrong in (None, 7, "x", [], {}, [[1]]) if wrong != value]
    return made


def use_all() -> None:
    """Ask for everything that is read from JSON files."""
    for ask in (data.speech, data.pairs, data.voices, lambda: data.real("digits"), lambda: data.real("fsdd")):
        for item in ask():
            repr(item)
            _ = item.duration if hasattr(item, "duration") else item.utterances
            if hasattr(item, "phone_times"):
                _ = item.phone_times, item.word_times, item.samples


@pytest.mark.parametrize(
    "file",
    ["manifest.json", "speech/voices.json", "speech/index.jsonl", "speech/pairs.jsonl", "real/index.jsonl", "real_heldout.json"],
)  # fmt: skip
def test_a_spoilt_json_file_is_named_or_does_no_harm(corpus, mine, file):
    """Whatever stands in it, the answer is a DataError that says which file, or lists that can be used."""
    write_flac(mine / "fsdd" / "3_george_0.wav")
    content = (corpus / file).read_text()
    refused = 0
    for broken in spoilt(content):
        (corpus / file).write_text(broken)
        if file != "manifest.json":
            manifest_build.write(corpus)
        try:
            use_all()
        except data.DataError as error:
            known = (file, "is not in the manifest", "recordings 'fsdd'", "recordings 'digits'")
            assert any(words in str(error) for words in known), f"{broken[:99]} gave {error}"
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("name", ["librispeech", "esc10", "fsdd", "asterisk_words"])
def test_a_spoilt_plan_of_what_is_held_out_is_named(corpus, mine, name):
    for file in ("39-121914-0000.flac", "helicopter/1-100-A.flac", "3_george_0.wav", "1.flac"):
        write_flac(mine / name / file, 0.01)
    (mine / name / "transcripts.tsv").write_text("1.flac\tone\n")
    plans = json.loads((corpus / "real_heldout.json").read_text())
    for key in plans[name]:
        for wrong in (None, 7, [7], {}, [{}]):
            spoilt_plan = plans | {name: plans[name] | {key: wrong}}
            (corpus / "real_heldout.json").write_text(json.dumps(spoilt_plan))
            manifest_build.write(corpus)
            try:
                repr(data.real(name))
            except data.DataError as error:
                assert "real_heldout.json" in str(error) or "not here" in str(error)


@pytest.mark.parametrize(
    "table", ["", "a,b\nc,d\n", "filename\n1-1-A.wav,1\n", "h\nx.wav,1,0,rain,True,x,A\n", "\xff"]
)
def test_a_spoilt_table_of_sounds_is_named_or_does_no_harm(mine, table):
    (mine / "esc10" / "meta").mkdir(parents=True)
    (mine / "esc10" / "meta" / "esc50.csv").write_bytes(table.encode("latin-1"))
    with pytest.raises(data.DataError, match="esc10"):
        data.real("esc10", "train")


def test_pickles_in_the_chorales_are_not_opened(corpus):
    np.savez(corpus / "music" / "chorales.npz", pitches=np.array([{"evil": 1}], dtype=object))
    manifest_build.write(corpus)
    with pytest.raises(data.DataError, match="chorales"):
        data.chorales()


def test_verify_is_silent_on_good_data_and_finds_strangers_and_bad_labels(corpus):
    assert data.verify() == []
    (corpus / "speech" / "stranger.opus").write_bytes(b"x")
    assert ["stranger.opus is not in the manifest" in p for p in data.verify()] == [True]
    (corpus / "speech" / "stranger.opus").unlink()
    index = corpus / "speech" / "index.jsonl"
    index.write_text(index.read_text().replace('["there", 4, 7]', '["there", 4, 70]', 1))
    manifest_build.write(corpus)
    assert ["a word outside of its phones" in p for p in data.verify()] == [True]


# --- the cache -----------------------------------------------------------------------------------------


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
    manifest_build.write(corpus)
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


# --- manifest ------------------------------------------------------------------------------------------


def test_the_manifest_is_stable_sorted_and_leaves_out_what_is_not_shipped(corpus):
    text = (corpus / "manifest.json").read_text()
    files = list(json.loads(text)["files"])
    assert files == sorted(files) and VICTIM in files
    assert not any(part in name for name in files for part in ("README", ".parts", "manifest", "build/"))
    manifest_build.write(corpus)
    assert (corpus / "manifest.json").read_text() == text


def test_the_manifest_check_fails_when_it_is_stale(corpus, capsys):
    assert manifest_build.main(["--check", "--data", str(corpus)]) == 0
    damage_flip(corpus / VICTIM)
    assert manifest_build.main(["--check", "--data", str(corpus)]) == 1
    assert f"changed: {VICTIM}" in capsys.readouterr().err
    assert manifest_build.main(["--data", str(corpus)]) == 0
    assert manifest_build.main(["--check", "--data", str(corpus)]) == 0
    (corpus / "manifest.json").unlink()
    assert manifest_build.main(["--check", "--data", str(corpus)]) == 1


# --- noise and rooms -----------------------------------------------------------------------------------


def test_noise_types_of_training_and_test_do_not_overlap(corpus):
    train, test = data.noise("train"), data.noise("test")
    assert {n.kind for n in train} == {"white", "pink", "brown", "hum", "clicks", "rain", "babble"}
    assert {n.kind for n in test} == {"fan", "babble"}
    seeds = [n.seed for split in data.SPLITS for n in data.noise(split)]
    assert len(seeds) == len(set(seeds))


def test_noise_is_the_same_every_time_and_babble_is_made_of_the_voices_of_its_split(corpus, monkeypatch):
    clip = next(n for n in data.noise("train") if n.kind == "pink")
    assert clip.audio.shape == (160000,) and np.array_equal(clip.audio, clip.audio)
    asked = []
    real_speech = data.speech
    monkeypatch.setattr(
        data.corpus, "speech", lambda *a, **k: asked.append(k["voice"]) or real_speech(*a, **k)
    )
    monkeypatch.setattr(
        data.noises.generators, "babble", lambda clips, seconds, seed, talkers: np.zeros(talkers)
    )
    babble = next(n for n in data.noise("test") if n.kind == "babble")
    _ = babble.audio
    assert asked == ["m02"]


def test_rooms_are_possible_distinct_and_deterministic(corpus):
    rooms = {split: data.rooms(split) for split in data.SPLITS}
    assert rooms["train"] == data.rooms("train")
    everything = [room for split in rooms.values() for room in split]
    assert len({(room.size, room.source) for room in everything}) == len(everything) == 90
    response = rooms["test"][0].impulse_response
    assert response.ndim == 1 and np.isfinite(response).all()
    waveform = data.speech()[0].audio
    assert rooms["test"][0].reverberate(waveform).shape == waveform.shape


# --- real recordings -----------------------------------------------------------------------------------


def write_flac(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.ones(int(16000 * seconds)), 16000)


def test_missing_recordings_say_which_download_brings_them(corpus, monkeypatch, tmp_path):
    for name, advice in {
        "librispeech": "course download librispeech-train-clean-100",
        "fsdd": "course download fsdd",
        "esc10": "course download esc-50",
        "asterisk_en": "asterisk-core-sounds-en",
    }.items():
        with pytest.raises(data.DataError, match=advice) as raised:
            data.real(name, complete=True)
        assert "COURSE_REAL_DATA" in str(raised.value)


def test_unknown_recordings_and_splits_are_refused_in_words(corpus):
    with pytest.raises(ValueError, match="librispeech, esc10, digits"):
        data.real("timit")
    with pytest.raises(ValueError, match="asterisk_en has the split test"):
        data.real("asterisk_en", "train")


@pytest.fixture
def mine(corpus, tmp_path, monkeypatch):
    """A folder of real recordings of the user's own."""
    monkeypatch.setenv("COURSE_REAL_DATA", str(tmp_path / "mine"))
    return tmp_path / "mine"


def test_the_recordings_that_come_with_the_course_are_found_first_and_only_for_tests(mine):
    (reading,) = data.real("librispeech", "test")
    assert (reading.id, reading.text, reading.split, reading.sex) == ("1-2-0000", "hi there", "test", "f")
    assert (reading.author, reading.licence) == ("LibriVox", "CC BY 4.0")
    assert reading.audio.shape == (SAMPLES,) and reading.duration == pytest.approx(1.0)
    assert data.real("librispeech") == [reading], "all that is there"
    with pytest.raises(data.DataError, match="not here"):
        data.real("librispeech", "train")

    plan = heldout("librispeech")
    for utterance in plan["train"][:1] + plan["test"]:
        write_flac(mine / "librispeech" / f"{utterance}.flac", 0.1)
    assert data.real("librispeech", "test") == [reading]
    assert [one.id for one in data.real("librispeech", "train")] == plan["train"][:1]
    assert [one.id for one in data.real("librispeech", "test", complete=True)] == plan["test"]
    assert len(data.real("librispeech")) == 52, "with all of them there, all of them"


def test_the_complete_collection_is_asked_for_and_what_is_missing_is_said(mine):
    with pytest.raises(data.DataError, match="course download librispeech-train-clean-100"):
        data.real("librispeech", "test", complete=True)
    write_flac(mine / "librispeech" / f"{heldout('librispeech')['test'][0]}.flac")
    with pytest.raises(data.DataError, match=r"1 of 51 readers.*course download"):
        data.real("librispeech", "test", complete=True)
    assert [one.id for one in data.real("digits", "test", complete=True)] == ["one"], "all there is"


def test_a_damaged_recording_of_the_course_is_named_with_the_way_to_restore_it(corpus):
    (reading,) = data.real("librispeech", "test")
    damage_flip(corpus / "real" / "librispeech" / "1-2-0000.opus")
    with pytest.raises(data.DataError, match=r"git checkout -- data/real/librispeech/1-2-0000\.opus"):
        _ = reading.audio


def test_recordings_are_found_beside_the_notebooks_without_any_setting(corpus):
    write_flac(paths.ROOT / "recordings" / "fsdd" / "3_george_0.wav")
    assert [one.text for one in data.real("fsdd", "train")] == ["three"]


def heldout(name):
    return json.loads((ROOT / "data" / "real_heldout.json").read_text())[name]


def test_librispeech_is_found_in_a_flat_folder_and_split_by_the_fixed_list(mine):
    plan = heldout("librispeech")
    for utterance in (plan["train"][0], plan["test"][0], plan["test"][1]):
        write_flac(mine / "librispeech" / f"{utterance}.flac")
    write_flac(mine / "librispeech" / "9999-1-0000.flac")  # a speaker that is not on the list
    assert [r.id for r in data.real("librispeech", "train")] == plan["train"][:1]
    first, *_ = (one for one in data.real("librispeech") if one.split == "test")
    assert first.speaker == plan["test"][0].split("-")[0] and first.sex in "fm" and first.text is None
    assert first.duration == pytest.approx(0.5) and first.audio.shape == (8000,)


def test_librispeech_is_found_where_the_downloader_unpacks_it_with_its_text(corpus, monkeypatch, tmp_path):
    name = heldout("librispeech")["train"][0]
    speaker, chapter, _ = name.split("-")
    home = (
        data.cache_folder() / "downloads" / "librispeech-train-clean-100" / "LibriSpeech" / "train-clean-100"
    )
    write_flac(home / speaker / chapter / f"{name}.flac")
    write_flac(home / speaker / chapter / f"{speaker}-{chapter}-0001.flac")
    (home / speaker / chapter / f"{speaker}-{chapter}.trans.txt").write_text(
        f"{name} CHAPTER ONE\nother TEXT\n"
    )
    (recording,) = data.real("librispeech")
    assert (recording.id, recording.text) == (name, "chapter one")


def test_esc10_is_understood_in_its_published_layout(mine):
    folder = mine / "esc10" / "ESC-50-master"
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for name, label, esc10 in (
        ("1-100-A-40.wav", "helicopter", True),
        ("1-200-A-10.wav", "rain", True),
        ("5-300-A-10.wav", "rain", True),
        ("1-400-A-14.wav", "chirping_birds", False),
    ):
        write_flac(folder / "audio" / name)
        rows.append(f"{name},{name[0]},0,{label},{esc10},x,A")
    (folder / "meta").mkdir()
    (folder / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    found = {r.id: (r.split, r.label) for r in data.real("esc10")}
    assert found == {
        "1-100-A-40": ("test", "helicopter"),
        "1-200-A-10": ("train", "rain"),
        "5-300-A-10": ("valid", "rain"),
    }


def test_what_can_not_be_decoded_is_named_and_never_listed(mine):
    write_flac(mine / "fsdd" / "3_george_0.wav")
    (mine / "fsdd" / "4_george_0.wav").write_bytes(b"RIFF, but no more")
    (mine / "fsdd" / "README.wav").write_text("not a recording")
    with pytest.warns(UserWarning, match="4_george_0.wav"):
        (only,) = data.real("fsdd")
    assert (only.text, only.speaker, only.split) == ("three", "george", "train")


def test_a_recording_that_is_damaged_later_is_named(mine):
    write_flac(mine / "fsdd" / "3_george_0.wav")
    (only,) = data.real("fsdd")
    only.path.write_bytes(b"gone")
    with pytest.raises(data.DataError, match=r"3_george_0.wav can not be used"):
        _ = only.audio


def test_the_held_out_speakers_are_the_ones_that_the_recipe_draws():
    plan = heldout("librispeech")
    assert (
        len(plan["train"]) == 200 and len(plan["test"]) == 51 and not set(plan["train"]) & set(plan["test"])
    )
    everyone = sorted(plan["train"] + plan["test"], key=lambda name: int(name.split("-")[0]))
    rng = np.random.default_rng(2026)
    drawn = []
    for sex, count in (("f", 25), ("m", 26)):
        group = [name for name in everyone if plan["sex"][name.split("-")[0]] == sex]
        drawn += [group[i] for i in rng.choice(len(group), count, replace=False)]
    assert set(drawn) == set(plan["test"])


def test_the_catalogue_shows_size_and_licence_of_every_set():
    text = data.catalogue()
    assert "librispeech-dev-clean" in text and "CC BY-NC 3.0" in text and "0.34 GB" in text


def test_importing_data_loads_no_network_and_no_audio_library():
    script = (
        "import sys, course_utils.data as data\n"
        "data.catalogue(); data.speech('test'); data.real('esc10', 'test')\n"
        "print(*(name for name in ('requests', 'urllib3', 'http.client', 'soundfile', 'torch') if name in sys.modules))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "COURSE_DATA"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_the_parts_of_the_package_are_reachable_from_data():
    assert callable(data.download) and callable(data.chorales) and callable(data.noise)
    assert data.root is shipped.root and data.DataError is shipped.DataError


# --- real recordings, where they are -------------------------------------------------------------------


@pytest.fixture
def real_data(monkeypatch, tmp_path, pristine):
    monkeypatch.setenv("COURSE_DATA", str(pristine))


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "count", "train"),
    [
        ("librispeech", 251, 200),
        ("asterisk_en", 232, 0),
        ("asterisk_words", 94, 0),
        ("fsdd", 1500, 1500),
        ("esc10", 240, None),
    ],
)
def test_the_real_recordings_are_all_found_and_can_be_heard(real_data, name, count, train):
    found = data.real(name)  # no split: the whole collection
    assert len(found) >= count and len({r.id for r in found}) == len(found)
    if train is not None:
        assert sum(r.split == "train" for r in found) == train
    waveform = found[len(found) // 2].audio
    assert waveform.dtype == np.float32
    assert len(waveform) == pytest.approx(16000 * found[len(found) // 2].duration, abs=2)


@pytest.mark.real
def test_real_speech_and_digits_come_with_their_words(real_data):
    assert next(r for r in data.real("asterisk_words") if r.id == "7").text == "seven"
    assert all(r.text for r in data.real("asterisk_en"))
    assert {r.text for r in data.real("fsdd")} == {
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
    }


@pytest.mark.real
def test_held_out_environmental_sounds_are_two_classes_that_training_never_sees(real_data):
    labels = {split: {r.label for r in data.real("esc10", split, complete=True)} for split in data.SPLITS}
    assert labels["test"] == {"helicopter", "sea_waves"}
    assert len(labels["train"]) == len(labels["valid"]) == 8 and not labels["train"] & labels["test"]
    clips = {split: {r.id.split("-")[1] for r in data.real("esc10", split)} for split in ("train", "valid")}
    assert not clips["train"] & clips["valid"], "no clip is cut from a recording that training has heard"
