"""Conversions are measured on fixed items, against controls, and the tables and sentences say what was measured."""

import numpy as np
import pytest

from course_utils import data, features
from course_utils.record import likeness, results
from course_utils.record.topics import conversion

RATE = 16000


def tone(hz=200.0, seconds=1.0):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


def item(id="a", voice="high", speaker="low", truth=True):
    return conversion.Item(
        id,
        voice,
        "f",
        "sixty dogs",
        lambda: tone(100),
        lambda: tone(300),
        (lambda: tone(300)) if truth else None,
        speaker,
    )


class Writes:
    def transcribe(self, waveform):
        return "60 dogs"


def hear(waveform):
    """A tone for the low or the high voice, by its pitch."""
    high = np.clip((conversion.speech.median_f0(waveform) - 100) / 200, 0, 1)
    return np.array([1 - high, high]) / np.hypot(1 - high, high)


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(likeness, "ear", lambda judge: hear)
    known = likeness.Known(("low", "between"), np.array([[[1.0, 0.0]] * 3, [[0.8, 0.6]] * 3]))
    monkeypatch.setattr(likeness, "known", lambda judge, named=False: known)
    monkeypatch.setattr(
        conversion, "described", lambda grid, voice: np.array([1.0, 0.0] if voice == "low" else [0.0, 1.0])
    )
    monkeypatch.setattr(conversion, "_whisper", Writes)


def test_pairs_are_balanced_and_no_reference_holds_what_is_said_or_what_describes_the_voice():
    items = conversion.items(conversion.PAIRS)
    ways = {(one.speaker, one.voice) for one in items}
    assert (
        len(ways) == 8 and len(items) == 8 * conversion.EACH and len({one.id for one in items}) == len(items)
    )
    trained = {voice.name for voice in data.voices("train")}
    assert not trained & {name for way in ways for name in way}
    one = items[0]
    described = data.speech("test", one.voice, "sentence")[: likeness.CLIPS]
    reference = one.reference()
    assert len(reference) <= conversion.REFERENCE_SECONDS * RATE
    for clip in described:
        size = min(len(clip.audio), len(reference))
        assert not np.array_equal(clip.audio[:size], reference[:size])
    assert len(one.source()) == len(one.truth())


def test_real_readers_come_first_and_none_is_converted_to_itself():
    assert next(iter(conversion.GRIDS)) == conversion.REAL
    items = conversion.items(conversion.REAL)
    assert len(items) == 24 and all(one.voice != one.speaker and one.truth is None for one in items)
    with pytest.raises(ValueError, match="no material of 'cost'"):
        conversion.items("cost")


def test_nearest_frames_are_means_of_what_is_most_alike():
    key, values = np.array([[1.0, 0], [9, 1], [0, 1]]), np.array([[1.0], [3.0], [7.0]])
    assert conversion.nearest_frames(np.array([[2.0, 0]]), key, values, 1).tolist() == [[1.0]]
    assert conversion.nearest_frames(np.array([[2.0, 0]]), key, values, 2).tolist() == [[2.0]]
    assert conversion.nearest_frames(np.array([[0.0, 2]]), key, values, 9)[0, 0] == pytest.approx(11 / 3)


def test_the_source_unchanged_is_the_source_and_the_truth_recovers_the_whole_gap(small):
    source, truth = (conversion.judged(conversion.PAIRS, item(), tone(hz)) for hz in (100, 300))
    assert source["nearer"] == 0 and truth["nearer"] == 1
    assert truth["wer"] == 0 and truth["words"] == 2, "a figure that the recogniser writes is the word"
    assert truth["mel_db"] < 0.1 < source["mel_db"]
    assert source["f0"] == pytest.approx(12 * np.log2(3), abs=0.2) and truth["f0"] == pytest.approx(
        0, abs=0.05
    )
    rows = [{"voice": "high", "sex": "f", **truth}]
    assert conversion.means(rows)["gap"][0] == pytest.approx(1, abs=0.02)
    assert conversion.means([{**rows[0], **source}])["gap"][0] < 0


def test_real_readers_have_no_truth_to_be_far_from(small):
    assert "mel_db" not in conversion.judged(conversion.REAL, item(truth=False), tone(300))


def test_what_is_measured_live_has_a_row_for_each_system_or_says_what_is_missing(small, monkeypatch):
    for peer in (conversion.peers.Resemblyzer, conversion.peers.WhisperTiny):
        monkeypatch.setattr(peer, "available", lambda self: True)
    rows = conversion.live(conversion.PAIRS, [item()], {"low": [tone(100)], "high": [tone(300)]})
    assert [row["nearer to the target, of 1"] for row in rows] == [0, 1]
    assert rows[1]["cosine to the target"] > 0.99 and rows[1]["words wrong, %"] == 0
    monkeypatch.setattr(conversion.peers.WhisperTiny, "available", lambda self: False)
    monkeypatch.setattr(conversion.peers.WhisperTiny, "missing", lambda self: "install it")
    assert conversion.live(conversion.PAIRS, [item()], {})[0]["note"] == "install it"


def test_the_delay_of_a_stream_is_what_it_owes_at_most():
    class Late:
        kept = np.zeros(0)

        def push(self, chunk):
            self.kept = np.append(self.kept, chunk)
            give, self.kept = self.kept[:-800], self.kept[-800:]
            return give

    assert conversion.worst_delay(Late(), tone()) == pytest.approx(0.05)


def test_tables_and_sentences_say_what_was_recorded(small):
    mean = {
        "nearer": [0.96, 0.9, 1],
        "gap": [0.52, 0.4, 0.6],
        "wer": [0.08, 0.05, 0.1],
        "clone_resemblyzer": [0.8, 0.7, 0.9],
    }
    other = {**mean, "gap": [0.3, 0.2, 0.4], "wer": [0.3, 0.2, 0.4]}
    systems = {
        conversion.SOURCE: {"count": 2, "mean": {**mean, "wer": [0.03, 0.0, 0.1]}},
        conversion.KNN: {"count": 2, "mean": other}, conversion.OURS: {"count": 2, "mean": mean, "by sex": {"f": mean}},
    }  # fmt: skip
    cost = {"parameters": 819_928, "mb": 0.9, "real_time_factor": 0.2, "delay_ms": 478.0}
    results.write("conversion", {"systems": {"real readers": systems, "cost": {conversion.OURS: cost}}})
    assert "96 (90 to 100)" in str(conversion.table("real readers"))
    reading = conversion.reading("real readers")
    assert (
        "52 % of the gap" in reading
        and "understood better (8.0 % of the words wrong against 30.0 %" in reading
    )
    assert "478 ms behind" in conversion.reading("cost") and "0.82 M" in str(conversion.table("cost"))
    assert conversion.headline()[0]["this course"].startswith("52") and "women" in str(
        conversion.sex_table("real readers")
    )
    assert "nothing recorded yet" in str(conversion.table("pairs")) and conversion.reading("pairs") == ""
    assert conversion.text().index("held-out reader") < conversion.text().index("aligned pairs")


def test_the_mean_voice_is_made_of_many():
    assert len(conversion.nobody()) == 16 * 8000 and np.isfinite(features.log_mel(conversion.nobody())).all()
