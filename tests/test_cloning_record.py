"""Copies of voices are judged beside the nearest voice that was known, and tables and sentences say what was measured."""

import json

import numpy as np
import pytest

from course_utils import checkpoints, data, peers
from course_utils.record import likeness, results, speakers, topics
from course_utils.record.topics import cloning

RATE = 16000


def tone(hz=200.0, seconds=1.0):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


def hears(waveform):
    """A judge: the pitch as an angle, 0 at 100 Hz and a right angle at 300 Hz."""
    hz = np.sum(np.diff(np.signbit(waveform))) / 2 / (len(waveform) / RATE)
    angle = np.clip((hz - 100) / 200, 0, 1) * np.pi / 2
    return np.array([np.cos(angle), np.sin(angle)])


def target(voice="v1", sex="f", hz=300.0, id="a"):
    return cloning.Target(
        id, voice, sex, "six dogs", "own words", lambda: tone(hz), lambda: tone(hz), lambda: [tone(hz)]
    )


class Writes:
    def transcribe(self, waveform):
        return "six hogs"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Two strangers of 300 and 280 Hz, one known voice of 100 Hz, one judge."""
    every = (target(), target("v2", "m", 280.0, "b"))
    known = likeness.Known(("low",), np.stack([[hears(tone(100))] * 3]))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(likeness, "judges", lambda: ["resemblyzer"])
    monkeypatch.setattr(likeness, "ear", lambda judge: hears)
    monkeypatch.setattr(likeness, "known", lambda judge, named=False: known)
    monkeypatch.setattr(cloning, "targets", lambda grid: every)
    monkeypatch.setattr(cloning, "_whisper", Writes)
    monkeypatch.setattr(cloning, "_keys", lambda: ("vocoder", "whole", "encoder"))
    cloning._voice.cache_clear()
    yield every
    cloning._voice.cache_clear()


# --- the share of the gap ------------------------------------------------------------------------------


def test_the_share_is_one_for_a_recording_none_for_the_nearest_voice_and_negative_beyond_it():
    assert likeness.share_of_gap([0.9, 0.8], [0.5, 0.5], [0.9, 0.8]) == pytest.approx(1)
    assert likeness.share_of_gap([0.5], [0.5], [0.9]) == 0
    assert likeness.share_of_gap([0.4], [0.5], [0.9]) < 0
    assert np.isnan(likeness.share_of_gap([0.4], [0.5], [0.5])), "no gap, no share"


def test_means_come_before_the_ratio_so_a_tiny_gap_decides_nothing():
    share = likeness.share_of_gap([0.6, 0.6], [0.5, 0.5], [0.9, 0.501])
    assert share == pytest.approx(0.2 / 0.401)


def rows(clone, voices="abc"):
    return [
        {
            "voice": voice,
            "sex": "f",
            "clone_resemblyzer": value,
            "nearest_resemblyzer": 0.5,
            "same_resemblyzer": 0.9,
        }
        for voice, value in zip(voices, clone, strict=True)
    ]


def test_an_interval_draws_voices_and_one_voice_has_none():
    share, low, high = likeness.gap_interval(rows([0.6, 0.7, 0.8]), "resemblyzer")
    assert share == pytest.approx(0.5) and low < share < high
    alone = likeness.gap_interval(rows([0.6, 0.8], "aa"), "resemblyzer")
    assert alone[0] == pytest.approx(0.5) and np.isnan(alone[1])


def test_a_judge_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="no judge 'somebody'; there are resemblyzer"):
        likeness.ear("somebody")


def test_the_nearest_voice_is_found_by_the_mean_of_its_clips():
    clips = np.array([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [[0.8, 0.6, 0], [0.8, 0.6, 0], [0.8, 0.6, 0]]])
    known = likeness.Known(("varied", "steady"), clips)
    assert known.names[known.nearest(np.array([1.0, 0, 0]))] == "steady"


def test_pieces_of_a_recording_are_equal_and_inside_of_it():
    found = likeness.pieces(np.arange(RATE * 20, dtype=np.float32))
    assert [len(one) for one in found] == [likeness.PIECE] * 3 and found[-1][-1] == RATE * 20 - 1


# --- what is measured ----------------------------------------------------------------------------------


def test_real_readers_come_first_and_a_reference_is_never_what_describes_the_voice():
    assert next(iter(cloning.GRIDS)) == cloning.REAL
    readers = cloning.targets(cloning.REAL)
    assert len({one.voice for one in readers}) == 24 and {one.sex for one in readers} == {"f", "m"}
    for one, recording in zip(readers, data.real("librispeech", "test"), strict=True):
        rest = recording.audio[len(one.reference()) :]
        assert len(one.reference()) >= 3 * RATE and len(rest) > 0.5 * RATE
        np.testing.assert_array_equal(one.gallery()[0], rest)


def test_virtual_targets_are_described_by_other_clips_than_those_they_are_measured_with():
    every = [one for one in cloning.targets(cloning.VIRTUAL) if one.voice in ("f30", "m30")]
    for one in every:
        gallery = {clip.tobytes() for clip in one.gallery()}
        assert len(gallery) == 6 and one.reference().tobytes() not in gallery
        assert all(other.recording().tobytes() not in gallery for other in every if other.voice == one.voice)


def test_what_is_learnt_from_is_not_what_is_judged():
    speech, clips = cloning.learning_clips("f30", 20)
    learnt = {speech.clips[i].decode().tobytes() for i in clips}
    own = [one for one in cloning.targets(cloning.VIRTUAL) if one.voice == "f30"]
    judged = {clip.tobytes() for one in own for clip in (*one.gallery(), one.recording())}
    assert learnt and not learnt & judged
    assert len(clips) < len(cloning.learning_clips("f30", 60)[1])


def test_there_are_no_targets_of_a_table_of_encoders():
    with pytest.raises(ValueError, match="no targets of 'few-shot'"):
        cloning.targets("few-shot")


def test_a_recording_recovers_the_whole_gap_and_a_known_voice_nothing_of_it(small):
    ways = {
        "recording": lambda one: one.recording(),
        "known": lambda one: tone(100),
        "between": lambda one: tone(200),
    }
    shares = {}
    for name, speak in ways.items():
        system = cloning._System(name, lambda one, speak=speak: cloning._row(cloning.REAL, speak, True, one))
        record = cloning._grid(cloning.REAL, name, system)
        shares[name] = record["mean"]["gap_resemblyzer"][0]
        assert record["mean"]["wer"][0] == 0.5 and record["known"] == {"resemblyzer": 1}
        assert set(record["by sex"]) == {"f", "m"}
    assert shares["recording"] == pytest.approx(1) and shares["known"] == pytest.approx(0, abs=0.02)
    assert 0.5 < shares["between"] < 1


def test_a_sample_agrees_with_its_record_until_the_copies_change(small):
    same = cloning._System("k", lambda one: cloning._row(cloning.REAL, lambda x: tone(250), True, one))
    record = json.loads(json.dumps(cloning._grid(cloning.REAL, "copy", same)))
    assert cloning._grid_sample(cloning.REAL, "copy", same, record) == []
    other = cloning._System("k", lambda one: cloning._row(cloning.REAL, lambda x: tone(150), True, one))
    assert any(
        "clone_resemblyzer" in line for line in cloning._grid_sample(cloning.REAL, "copy", other, record)
    )


def test_no_two_entries_share_a_fingerprint_and_what_is_not_there_yet_is_left_out(monkeypatch):
    monkeypatch.setattr(checkpoints, "available", lambda: ["music"])
    without = {(one.grid, one.system) for one in cloning.entries()}
    assert (cloning.REAL, cloning.TRUE) in without and not any("this course" in name for _, name in without)
    assert not any(grid == cloning.FEW_SHOT for grid, _ in without)
    monkeypatch.setattr(cloning, "checkpoint_key", lambda name: name)
    monkeypatch.setattr(checkpoints, "available", lambda: ["tts", "vocoder", "speaker_encoder"])
    every = {(one.grid, one.system): one.fingerprint for one in cloning.entries()}
    assert len(set(every.values())) == len(every) and without <= every.keys()
    assert {grid for grid, _ in every} == set(cloning.GRIDS)
    assert sum(grid == cloning.FEW_SHOT for grid, _ in every) == len(cloning.PARTS) * len(cloning.SECONDS)


def test_a_judge_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(peers.Resemblyzer, "missing", lambda self: "not here; run: course install judges")
    with pytest.raises(peers.MissingPeer, match="course install judges"):
        cloning._told_apart(next(iter(speakers.GRIDS)), speakers.PEER)


def test_a_library_model_is_judged_by_its_words(small, monkeypatch):
    class Library:
        sound = staticmethod(lambda log_mel: tone())
        log_mel = staticmethod(lambda text, voice: (text, voice))

    model = type("Model", (), {"speech_decoder_postnet": None})()
    encoder = type("Encoder", (), {"embed": staticmethod(hears)})()
    monkeypatch.setattr(cloning, "load", lambda name: encoder)
    monkeypatch.setattr(cloning.speecht5, "of_model", lambda model, vocoder: Library())
    assert cloning.card_figures(model)["WER by Whisper, %"].startswith("50.0")


# --- tables and sentences ------------------------------------------------------------------------------


def copied(share, wer=0.05, count=24):
    mean = {"gap_resemblyzer": share, "clone_resemblyzer": (0.8, 0.7, 0.9), "wer": (wer, 0.0, 0.1)}
    return {"fingerprint": "1", "count": count, "known": {"resemblyzer": 48}, "mean": mean,
            "by sex": {"f": {"gap_resemblyzer": (0.3, 0, 1)}, "m": {"gap_resemblyzer": (0.1, 0, 1)}}}  # fmt: skip


def learnt(share, numbers, lost):
    record = copied((share, share - 0.1, share + 0.1))
    record["mean"] |= {
        "learnt": (numbers, None, None),
        "spent": (6.0, None, None),
        "forgotten": (lost, None, None),
    }
    return record


@pytest.fixture
def filled(small):
    grids = {
        cloning.REAL: {
            "another recording, vocoded": copied((0.6, 0.5, 0.7)),
            "this course": copied((0.2, 0.1, 0.3)),
            f"{cloning.HEARD}, guidance 2": copied((0.25, 0.1, 0.3), 0.2),
            cloning.NEAREST: copied((-0.1, -0.2, 0.0)),
            cloning.MEAN: copied((-0.5, -0.6, -0.4)),
        },
        cloning.FEW_SHOT: {
            "nothing, 20 s": learnt(0.1, 0, 0.0),
            "norms, 20 s": learnt(0.4, 4032, 0.01),
            "lora, 20 s": learnt(0.6, 46976, 0.03),
        },
        "encoder: real readers, clean": {
            "this course": {"seconds": {"2 s": {"eer": [9.0, 8.0, 10.0], "same_sex": 12.0, "ahead": [-5.0, -6.0, -4.0]}}},
            "Resemblyzer": {"seconds": {"2 s": {"eer": [4.0, 3.0, 5.0], "same_sex": 6.0}}},
        },
    }  # fmt: skip
    results.write("cloning", {"systems": grids})
    return grids


def test_a_table_shows_shares_with_intervals_and_the_library_that_was_not_measured(filled):
    found = cloning.table(cloning.REAL)
    assert "| this course | 24 | 20 (10 to 30) |" in found and "5.0 (0.0 to 10.0)" in found
    assert "SpeechT5" in found.splitlines()[-1] and "online=True" in found
    assert "4,032" in cloning.table(cloning.FEW_SHOT) and "nothing recorded yet" in cloning.table(
        cloning.VIRTUAL
    )
    assert "9.0 (8.0 to 10.0)" in cloning.table("encoder: real readers, clean")
    with pytest.raises(ValueError, match="no grid 'x'"):
        cloning.table("x")


def test_each_table_is_read_in_sentences_that_its_figures_say(filled):
    assert cloning.reading(cloning.REAL) == (
        "By Resemblyzer this course recovers 20 % of the gap (10 to 30): copies are nearer than the nearest voice in "
        "training. The vocoder alone leaves 60 % of it; the best control is the nearest training voice with -10 %. "
        "Women 30 %, men 10 %."
    )
    assert cloning.reading(cloning.FEW_SHOT) == (
        "With 20 s of speech lora recovers the most of the gap, 60 % (hearing alone 10 %); with at most 5,000 numbers it "
        "is norms, 40 %. Lora forgets the most of other voices, 0.030 of their cosine."
    )
    assert (
        cloning.reading("encoder: real readers, clean")
        == "At 2 s this course is at 9.0 %, Resemblyzer at 4.0 %."
    )
    assert cloning.by_strength(cloning.REAL) == {2.0: (0.25, 0.2)}
    assert cloning.few_shot("norms") == {20: 0.4} and cloning.share(cloning.MEAN, cloning.REAL) == -0.5


def test_a_defeat_is_read_as_one(filled):
    assert cloning.verdict(-0.4, -0.1) == "copies are farther off than the nearest voice in training"
    assert "can not be told apart" in cloning.verdict(-0.1, 0.2) and "nothing is said" in cloning.verdict(
        float("nan"), 1
    )
    filled[cloning.REAL]["this course"] = copied((-0.3, -0.4, -0.1))
    results.write("cloning", {"systems": filled})
    assert "recovers -30 % of the gap (-40 to -10): copies are farther off" in cloning.reading(cloning.REAL)


def test_the_headline_holds_copies_and_encoders_and_the_topic_is_found(filled):
    found = cloning.headline()
    assert [row["task"] for row in found] == ["voice cloning", "speaker encoder"]
    assert found[0]["this course"] == "20 (10 to 30)" and found[0]["best of the others"].startswith(
        "nearest training"
    )
    assert topics.of_checkpoint("speaker_encoder").__name__.endswith("cloning")


def test_tables_say_so_where_nothing_is_recorded(small):
    assert cloning.text().count("nothing recorded yet") == len(cloning.GRIDS) and cloning.headline() == []
    assert all(cloning.reading(grid) == "" for grid in cloning.GRIDS)
