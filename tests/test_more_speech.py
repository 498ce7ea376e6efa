"""New voices to train on, without the engine: who reads what, what is stored, what goes on after a stop."""

import bz2
import contextlib
import hashlib
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile as sf

from course_utils import cli, paths
from course_utils.recipes import recognition
from data.build import check_texts, engine, more_speech, speech, voices


def first(mixtures: str, count: int, **options):
    return more_speech.plan(count, mixtures, **options)


# --- who reads what: what is here must stay as it is, because speech was made of it that can be continued
def test_the_first_narrow_voices_are_those_that_the_shipped_recogniser_heard():
    assert [voice for voice, _ in first("narrow", 2)] == [
        more_speech.NewVoice(
            "x001", "f", {"af_jessica": 0.41, "bf_isabella": 0.59}, {"af_sarah": 0.56, "bf_emma": 0.44}, 1.017
        ),
        more_speech.NewVoice(
            "x002", "m", {"am_adam": 0.46, "am_onyx": 0.54},
            {"am_fenrir": 0.32, "am_onyx": 0.4, "am_puck": 0.28}, 1.033,
        ),
    ]  # fmt: skip


def test_the_first_wide_voices_are_those_that_the_shipped_recogniser_heard():
    assert [voice for voice, _ in first("wide", 3)] == [
        more_speech.NewVoice(
            "y001", "f", {"af_sarah": 0.658, "bf_emma": 0.123, "af_kore": 0.219},
            {"af_sarah": 0.835, "af_heart": 0.165}, 0.962,
        ),
        more_speech.NewVoice(
            "y002", "m", {"am_eric": 0.476, "am_fenrir": 0.524}, {"bm_george": 1.125, "am_echo": -0.125}, 1.118
        ),
        more_speech.NewVoice(
            "y003", "?", {"am_michael": 0.456, "af_sarah": 0.544}, {"am_liam": 0.515, "af_sarah": 0.485}, 0.873
        ),
    ]  # fmt: skip


def test_the_first_voices_of_phrases_are_others():
    voice, items = first("phrases", 1)[0]
    assert (voice.name, voice.speed) == ("z001", 1.084)
    assert voice.timbre == {"bf_isabella": 0.125, "af_aoede": 0.875}
    assert {item.kind for item in items} == {"phrase"} and len(items) == 12
    assert (items[0].text, items[-1].text) == (
        "One four two, six three four.",
        "Five hundred and forty seven.",
    )


@pytest.mark.parametrize(
    ("mixtures", "name", "texts"),
    [
        ("narrow", "x001", {1: "I guess he can teach you something, and it's your business to learn.",
                            24: "At two o'clock in the evening."}),
        ("narrow", "x002", {1: "The HISPANIOLA was rolling scuppers under in the ocean swell.",
                            24: "Five four two two zero."}),
        ("wide", "y001", {1: "In society so superior to what she had generally known, her improvement was great.",
                          9: "One hundred and fifty nine."}),
        ("wide", "y002", {1: "I think that this should do, said he, glancing into the glass above the fireplace.",
                          9: "The sixth of April."}),
    ],
)  # fmt: skip
def test_the_first_voices_read_the_lines_that_they_have_read(mixtures, name, texts):
    items = {voice.name: items for voice, items in first(mixtures, 2)}[name]
    assert [item.id for item in items] == [f"{name}_{i:03d}" for i in range(1, max(texts) + 1)]
    assert {i: items[i - 1].text for i in texts} == texts
    assert items[0].kind == "sentence" and items[-1].kind == "phrase"


@pytest.mark.parametrize("mixtures", more_speech.MIXTURES)
def test_more_voices_are_added_to_the_same_ones_and_read_other_lines(mixtures):
    few, many = first(mixtures, 3), first(mixtures, 40)
    assert many[:3] == few
    said = [item.text for _, items in many for item in items]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("mixtures", more_speech.MIXTURES)
def test_every_parent_is_a_training_voice_and_weights_sum_to_one(mixtures):
    for voice, _ in first(mixtures, 60):
        for mix in (voice.timbre, voice.prosody):
            assert sum(mix.values()) == pytest.approx(1, abs=1e-3)
            assert {voices.split_of_parent(parent) for parent in mix} == {"train"}
            assert voice.sex == "?" or {parent[1] for parent in mix} == {voice.sex}


def test_wide_mixtures_leave_the_range_of_their_parents_and_narrow_ones_do_not():
    weights = {
        mixtures: [w for voice, _ in first(mixtures, 60) for w in voice.timbre.values()]
        for mixtures in ("narrow", "wide")
    }
    assert min(weights["wide"]) < 0 and max(weights["wide"]) > 1
    assert min(weights["narrow"]) > 0 and max(weights["narrow"]) < 1


def test_a_text_of_ones_own_is_read_from_its_first_line_and_again_from_there():
    own = ["One line.", "And a second one.", "A third is the last."]
    read = [item.text for _, items in first("wide", 2, lines=3, sentences=own) for item in items[:2]]
    assert read == ["One line.", "And a second one.", "A third is the last.", "One line."]


def test_every_line_of_the_books_can_be_read_aloud_and_is_no_sentence_of_the_corpus():
    lines = bz2.decompress(more_speech.BOOKS.read_bytes()).decode().splitlines()
    own = {tuple(check_texts.words(s)) for split in check_texts.SPLITS for s in speech.sentences(split)}
    known = engine.lexicon()
    assert len(lines) == len(set(lines)) == 26_830
    for line in lines:
        words = tuple(check_texts.words(line))
        assert 4 <= len(words) <= 18 and words not in own
        assert all(word in known for word in words), line
    assert not re.search(r"[^A-Za-z' ,.;:?!-]", "".join(lines))


# --- making them, with an engine that hisses instead of speaking
class HissingEngine:
    """Gives every phone 75 ms of noise, with the timing the real engine has; may be interrupted or fail."""

    def __init__(self, interrupt_at: int | None = None, fails_at: str = ""):
        self.calls, self.interrupt_at, self.fails_at, self.asked = 0, interrupt_at, fails_at, []

    def say(self, plan, timbre, prosody=None, f0=None, speed=1.0):
        self.calls += 1
        self.asked.append((timbre[0, 0], prosody[0, 0], speed))
        if self.calls == self.interrupt_at:
            raise KeyboardInterrupt
        if self.fails_at in [word for word, *_ in plan.words]:
            raise RuntimeError("the engine's durations do not add up to the length of its audio")
        silent = np.array([phone == "sil" for phone in plan.phones])
        units = np.where(silent, 8, 3)
        loud = np.roll(np.repeat(~silent, units), -engine.LAG_UNITS)
        hiss = 0.05 * np.random.default_rng(len(silent)).standard_normal(units.sum() * engine.UNIT_SAMPLES)
        waveform = (hiss * np.repeat(loud, engine.UNIT_SAMPLES)).astype(np.float32)
        return engine.Spoken(waveform, units, np.full(2 * units.sum(), 100.0))


@pytest.fixture
def make(monkeypatch, tmp_path):
    """The function that makes voices with an engine of yours in tmp_path; returns what was reported."""
    monkeypatch.setattr(engine, "fetch", lambda: None)
    monkeypatch.setattr(voices, "blend", lambda mix: np.full((510, 256), max(mix.values()), np.float32))

    def make(count, hissing=None, **options):
        lines = []
        monkeypatch.setattr(speech, "speaker", lambda: hissing or HissingEngine())
        options = {"out": tmp_path / "speech", "workers": 1, "report": lines.append} | options
        more_speech.build(count, **options)
        return lines

    return make


def content(folder) -> dict[str, bytes]:
    files = (f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files if f.suffix != ".npz"}


def test_a_voice_has_a_timbre_a_prosody_and_a_speed_of_its_own(make):
    hissing = HissingEngine()
    make(1, hissing, lines=2)
    assert hissing.asked[0] == pytest.approx((0.658, 0.835, 0.962))


def test_clips_and_labels_agree_and_are_16_bit_at_16_kilohertz(make, tmp_path):
    make(2, lines=3)
    for voice in ("y001", "y002"):
        rows = speech.read_lines(tmp_path / "speech" / voice / "index.jsonl")
        assert [row["id"] for row in rows] == [f"{voice}_{i:03d}" for i in (1, 2, 3)]
        for row in rows:
            about = sf.info(tmp_path / "speech" / voice / f"{row['id']}.flac")
            assert (about.samplerate, about.channels, about.subtype) == (16_000, 1, "PCM_16")
            assert about.frames == sum(row["durations"]) * engine.UNIT_SAMPLES
            assert [word for word, *_ in row["words"]] == check_texts.words(row["text"])
            assert len(row["phones"]) == len(row["durations"]) == row["words"][-1][2] + 1
            assert row["voice"] == voice and row["kind"] in ("sentence", "phrase")


def test_the_recipe_of_the_recogniser_finds_them_in_the_cache(make, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recognition.data, "speech", lambda split: [])
    monkeypatch.setattr(recognition, "readers", lambda split: [])
    monkeypatch.setattr(recognition.data, "real", lambda *_: [])
    make(2, lines=3, out=None)
    found = list(recognition.sources("train", paths.cache_folder() / "speech"))
    assert [piece.source for piece, _ in found] == ["synthetic", "synthetic", "phrase"] * 2
    assert (
        " ".join(found[0][0].words)
        == "in society so superior to what she had generally known her improvement was great"
    )
    assert len(found[0][1]()) / recognition.FRAME == pytest.approx(found[0][0].spans[-1][2], abs=20)


def test_what_was_stopped_goes_on_and_nothing_of_half_a_voice_counts(make, tmp_path):
    make(3, lines=4, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        make(3, HissingEngine(interrupt_at=7), lines=4)
    stopped = tmp_path / "speech"
    assert [index.parent.name for index in stopped.glob("*/index.jsonl")] == ["y001"]
    rest = HissingEngine()
    make(3, rest, lines=4)
    assert rest.calls == 8
    assert content(stopped) == content(tmp_path / "whole")


def test_a_voice_that_was_stopped_while_it_was_written_is_made_again(make, tmp_path):
    make(2, lines=3)
    whole, half = content(tmp_path / "speech"), tmp_path / "speech" / "y002"
    (half / "done").unlink()
    (half / "index.jsonl").unlink()
    (half / "y002_002.flac").write_bytes(b"fLaC")
    again = HissingEngine()
    make(2, again, lines=3)
    assert again.calls == 3 and content(tmp_path / "speech") == whole


def test_with_all_voices_there_the_engine_is_not_asked_and_the_sums_are_the_same(make):
    first_time, hissing = make(2, lines=3), HissingEngine()
    assert make(2, hissing, lines=3) == first_time
    assert hissing.calls == 0 and first_time[-1].startswith("2 voices, 6 clips, 0.0")


def test_other_lines_in_the_folder_are_refused_before_anything_is_made(make):
    make(2, lines=3)
    hissing = HissingEngine()
    with pytest.raises(ValueError, match="other lines"):
        make(4, hissing, lines=5)
    assert hissing.calls == 0


def test_a_line_that_fails_is_one_line_of_the_report_and_the_others_stay(make, tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("The boat came in.\nNobody saw the whale.\nThe tide went out.\n")
    lines = make(1, HissingEngine(fails_at="whale"), text=own, lines=4)
    assert lines[0] == "y001_002 left out: the engine's durations do not add up to the length of its audio"
    assert lines[1].startswith("1 voices, 3 clips")
    rows = speech.read_lines(tmp_path / "speech" / "y001" / "index.jsonl")
    assert [row["id"] for row in rows] == ["y001_001", "y001_003", "y001_004"]


def test_a_clip_with_a_fault_is_left_out_and_a_voice_without_a_clip_is_not_there(make, tmp_path, monkeypatch):
    monkeypatch.setattr(speech, "faults", lambda waveform, timing: ["clipped", "too quiet"])
    with pytest.raises(RuntimeError, match="not one clip"):
        make(1, lines=2)
    assert not list((tmp_path / "speech").iterdir())


# --- texts of one's own
def test_lines_with_words_that_have_no_pronunciation_are_skipped_and_counted(make, tmp_path):
    own = tmp_path / "own.txt"
    own.write_text(
        "\ufeffThe boat came in.\n\nThe xyzzyq is here.\nThere were 3 of them.\n...\n", encoding="utf-8"
    )
    assert more_speech.read_text(own)[0] == ["The boat came in."]
    report = make(1, text=own, lines=2)
    assert "3 of 4 lines left out" in report[0] and "xyzzyq" in report[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\n  \n", "it is empty"),
        (b"xyzzyq\nplugh 3\n", "none of its 2 lines"),
        (b"\xff\xfe\x00caf\xe9", "UTF-8"),
    ],
)
def test_a_text_that_can_not_be_read_aloud_says_why(make, tmp_path, content, message):
    (tmp_path / "own.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        make(1, text=tmp_path / "own.txt")
    assert not (tmp_path / "speech").exists()


def test_a_damaged_archive_of_text_is_refused(tmp_path):
    for content in (b"no archive", bz2.compress(b"Some text.\n" * 9)[:-12]):
        (tmp_path / "own.txt.bz2").write_bytes(content)
        with pytest.raises(ValueError, match="can not be read"):
            more_speech.read_text(tmp_path / "own.txt.bz2")


# --- the command
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--hours"),
        (["--hours", "1", "--voices", "3", "--out", "X"], "one of them"),
        (["--hours", "1"], "--out"),
        (["--hours", "1", "--out", "X", "--lines", "3"], "--lines goes with --voices"),
        (["--voices", "0"], "at least one of voices, got 0"),
        (["--voices", "1", "--lines", "0"], "at least one of lines"),
        (["--voices", "1", "--workers", "-1"], "at least one of workers"),
        (["--voices", "1", "--text", "nowhere.txt"], "no text at nowhere.txt"),
        (["--voices", "1", "--text", "."], "no text at ."),
        (["--voices", "1", "--mixtures", "phrases", "--text", "own.txt"], "reads no text"),
    ],
)
def test_the_command_refuses_what_makes_no_sense_and_leaves_nothing(
    options, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    assert cli.main(["build-speech", *options]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_not_be_written_to_is_refused_before_the_engine_is_fetched(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(engine, "fetch", lambda: pytest.fail("the engine was fetched"))
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert cli.main(["build-speech", "--voices", "1", "--out", str(out)]) == 1
        assert "can not be written to" in capsys.readouterr().err


def test_ctrl_c_says_what_is_kept(monkeypatch, tmp_path, capsys):
    def build(count, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(more_speech, "build", build)
    assert cli.main(["build-speech", "--voices", "3", "--out", str(tmp_path)]) == 130
    assert "what was finished is kept" in capsys.readouterr().err


def test_hours_still_build_a_whole_corpus(monkeypatch):
    asked = {}
    monkeypatch.setattr(speech, "build", lambda **options: asked.update(options))
    assert cli.main(["build-speech", "--hours", "10", "--out", "mine"]) == 0
    assert asked == {"hours": 10.0, "out": "mine", "workers": 2}


# --- fetching the engine
def test_two_who_ask_for_the_engine_at_once_fetch_it_once(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "cache_folder", lambda: tmp_path)
    fetched, both = [], threading.Barrier(2)

    def unpack(folder):
        fetched.append(folder)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.3)  # without a lock, the other one comes here too
        np.savez(folder / "tables.npz", one=np.zeros(1))

    monkeypatch.setattr(engine, "_unpack", unpack)
    asking = [threading.Thread(target=engine.fetch) for _ in range(2)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert fetched == [tmp_path]


def test_half_a_download_leaves_nothing_that_looks_like_the_whole(tmp_path):
    stopped = [sys.executable, "-c", "open('part.whl', 'w').write('half'); raise SystemExit(1)"]
    with pytest.raises(subprocess.CalledProcessError):
        engine._fetch(tmp_path / "part.whl", stopped, "00")
    assert not list(tmp_path.iterdir())


def test_a_whole_download_is_put_in_its_place(tmp_path):
    command = [sys.executable, "-c", "open('part.whl', 'w').write('whole')"]
    part = engine._fetch(tmp_path / "part.whl", command, hashlib.sha256(b"whole").hexdigest())
    assert part.read_text() == "whole" and list(tmp_path.iterdir()) == [part]
