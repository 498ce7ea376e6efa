"""Recognisers are measured on fixed utterances, and the tables say what was measured."""

import json

import numpy as np
import pytest

from course_utils import checkpoints, data
from course_utils.decoding.measures import Shown, watch
from course_utils.decoding.partial import Partial
from course_utils.record import results, topics, utterances
from course_utils.record.topics import realtime
from course_utils.record.utterances import Spoken

TIMES = np.array([[0.1, 0.4], [0.5, 0.9]])
SECOND = np.ones(16000, np.float32)
TWO = Spoken("a", ("three", "four"), "v", TIMES, lambda: SECOND)


class Knows:
    """A model whose words stand in the text 100 ms after their end."""

    def __init__(self, wrong=False):
        self.words = ["tree" if wrong else "three", "four"]

    def stream(self, chunk_ms=160):
        self.heard = 0
        return self

    def push(self, chunk):
        self.heard += len(chunk)
        return Partial(
            " ".join(
                w for w, (_, end) in zip(self.words, TIMES, strict=True) if self.heard / 16000 >= end + 0.1
            )
        )

    def finish(self):
        return self.push([])


def system(make, **options):
    return realtime.System("key", lambda: (make(), lambda: 0.0), **options)


@pytest.fixture
def two(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    few = (TWO, Spoken("b", ("three", "four"), "w", TIMES, lambda: SECOND))
    monkeypatch.setattr(utterances, "grid", lambda name: few)
    return few


@pytest.fixture
def empty_results(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")


def test_a_record_says_how_right_how_early_and_how_stable(two):
    record = realtime._grid("own", "x", system(lambda: Knows().stream(), chunk_ms=32), "key")
    assert record["wer"][0] == 0 and record["unstable"] == 0 and record["count"] == 2
    assert record["delay"]["median"] == pytest.approx(112, abs=20)
    assert record["final"]["p95"] == 0, "the clock stood still"
    assert record["first"]["median"] == pytest.approx(412, abs=20)
    assert record["each"]["id"] == ["a", "b"] and record["each"]["words"] == [2, 2]


def test_a_sample_agrees_with_its_record_until_the_system_changes(two):
    record = realtime._grid("own", "x", system(Knows().stream), "key")
    written = json.loads(json.dumps(record))
    assert realtime._grid_sample("own", "x", system(Knows().stream), written) == []
    found = realtime._grid_sample("own", "x", system(Knows(wrong=True).stream), written)
    assert any("wer of x on own" in sentence for sentence in found)


def test_a_slow_system_is_given_the_first_utterances(two):
    assert realtime._grid("own", "x", system(Knows().stream, count=1), "key")["each"]["id"] == ["a"]


def test_words_without_times_have_no_delay(two):
    row = realtime._row(Spoken("a", ("three",), "v", None, lambda: SECOND), watch(Knows().stream(), SECOND))
    assert "delays_ms" not in row and "first_ms" not in row and row["wer"] == 1
    assert realtime._summary([row, row])["delay"] == {}


@pytest.mark.parametrize(
    ("said", "written", "errors"),
    [
        ("three one four", "314.", 0),
        ("three one four", "3, 1, 4", 0),
        ("three one four", "Three, one, four.", 0),
        ("seven hundred and forty", "740", 0),
        ("twenty five", "25", 0),
        ("the thirteenth", "The 13th", 0),
        ("three one four", "315", 1),
    ],
)
def test_figures_count_in_the_reading_with_the_fewest_errors(said, written, errors):
    words = tuple(said.split())
    row = realtime._row(Spoken("a", words, "v", None, lambda: SECOND), [Shown(1.0, 0.0, written)])
    assert round(row["wer"] * len(words)) == errors


def test_signs_and_case_are_no_words_that_are_taken_back():
    shown = [Shown(0.5, 0, "three"), Shown(1.0, 0, "Three, four."), Shown(1.0, 0, "Three four")]
    assert realtime._row(TWO, shown)["taken_back"] == 0


class Transcripts:
    """Says the next text each time, and how often it was asked."""

    def __init__(self, *texts):
        self.texts, self.asked = list(texts), []

    def __call__(self, waveform):
        self.asked.append(len(waveform))
        return self.texts[len(self.asked) - 1]


def test_whole_clips_are_heard_at_the_end():
    say = Transcripts("three four")
    found = [one.text for one in watch(realtime.Whole(say), SECOND, 320)]
    assert found == [""] * 4 + ["three four"] and say.asked == [16000]
    assert realtime.Whole(say).finish() == ""


def test_a_growing_recording_is_decoded_again_and_again():
    say = Transcripts("free", "three for", "three four")
    found = [one.text for one in watch(realtime.Rereading(say, 0.32), SECOND[:12000], 320)]
    assert found == ["free", "three for", "three for", "three four"] and say.asked == [5120, 10240, 12000]


def test_local_agreement_shows_what_two_decodings_begin_with_and_takes_nothing_back():
    say = Transcripts("three for", "Three, four", "three five six", "three four")
    found = [one.text for one in watch(realtime.Rereading(say, 0.32, agree=True), SECOND[:15360], 320)]
    assert found == ["", "Three,", "Three,", "three four"]


def test_what_was_decoded_once_is_kept_with_what_it_cost(monkeypatch):
    ticks = iter([0.0, 2.0])
    monkeypatch.setattr(realtime, "CLOCK", lambda: next(ticks))
    remembered = realtime.Remembered(Transcripts("three"))
    assert remembered(SECOND) == remembered(SECOND.copy()) == "three"
    assert remembered.spent == 4.0, "the second time costs as much on its clock"


def test_checkpoints_that_are_not_there_are_left_out(monkeypatch):
    monkeypatch.setattr(checkpoints, "available", lambda: ["music"])
    systems = {(entry.grid, entry.system) for entry in realtime.entries()}
    assert systems and not any(realtime.OURS in name for _, name in systems)
    assert {grid for grid, _ in systems} == {*utterances.GRIDS, "cost"}
    monkeypatch.setattr(checkpoints, "available", lambda: ["phrases", "recognition"])
    monkeypatch.setattr(realtime, "checkpoint_key", lambda name: name)
    more = {(entry.grid, entry.system) for entry in realtime.entries()} - systems
    assert ("real digits", "this course") in more and ("real prompts", "this course") in more
    assert {name for grid, name in more if grid == "own"} == {
        "this course", "this course, 32 ms", "this course, 320 ms", "this course, 640 ms"
    }  # fmt: skip


def test_a_rung_and_a_card_have_a_figure_for_every_grid_of_phrases(two, monkeypatch):
    figures = realtime.rung_figures(Knows())
    assert set(figures) == {f"{g} {m}" for g in utterances.PHRASES for m in ("wer", "unstable", "delay_ms")}

    def missing(grid):
        if grid == "real digits":
            raise data.DataError("they are not here")
        return two

    monkeypatch.setattr(utterances, "grid", missing)
    model = Knows()
    model.config = type("Config", (), {"units": ("three", "four")})
    card = realtime.card_figures(model)
    assert card["real digits"] == "not measured: they are not here"
    assert card[f"WER in %, {utterances.GRIDS['own phrases']}"].startswith("0.0 (") and len(card) == 5


def test_the_cards_of_both_checkpoints_are_measured_by_this_topic():
    assert topics.of_checkpoint("phrases") is topics.of_checkpoint("recognition") is realtime
    assert topics.of_checkpoint("music").NOTEBOOK == "02" and topics.of_checkpoint("speech_detector") is None


def test_tables_say_so_where_nothing_is_recorded(empty_results):
    assert "nothing recorded yet" in realtime.text() and realtime.headline() == []
    assert realtime.reading("own") == ""


def record(wer, unstable=0.0, delay=300.0):
    return {
        "fingerprint": "1", "count": 9, "wer": wer, "unstable": unstable, "delay": {"median": delay, "p95": 2 * delay},
        "first": {}, "final": {"median": 40.0, "p95": 80.0},
    }  # fmt: skip


def test_a_table_is_read_in_two_sentences_that_its_figures_say(empty_results):
    systems = {
        "this course": record((0.05, 0.03, 0.07)),
        "PocketSphinx": record((0.3, 0.25, 0.35), 0.5, 200.0),
        "Whisper": record((0.1, 0.08, 0.12), 0.0, 1500.0),
    }
    results.write("realtime", {"systems": {"own": systems}})
    assert realtime.reading("own") == (
        "This course makes the fewest errors (5.0 %, Whisper 10.0 %). PocketSphinx takes back 50 words for 100 that it "
        "keeps; words stand earliest with PocketSphinx (200 ms after they were said), latest with Whisper (1500 ms)."
    )
    assert "| this course | 9 | 5.0 (3.0 to 7.0) | 0.0 | – | 300 / 600 | 40 / 80 |" in realtime.table("own")
    assert realtime.headline()[0]["best of the others"] == "Whisper: 10.0 (8.0 to 12.0)"
    systems["Whisper"] |= {"wer": (0.06, 0.02, 0.1), "count": 4}
    results.write("realtime", {"systems": {"own": systems}})
    assert "but their intervals overlap" in realtime.reading("own")
    assert realtime.headline()[0]["best of the others"].endswith(", first 4 of 9")


def test_the_tables_name_the_optional_row_and_how_to_get_it(empty_results):
    results.write("realtime", {"systems": {"own": {"this course": record((0.05, 0.03, 0.07))}}})
    assert "online=True" in realtime.table("own")


# --- the utterances ------------------------------------------------------------------------------------


def test_utterances_are_the_same_every_time_and_no_voice_was_trained_on():
    trained = {voice.name for voice in data.voices("train")}
    for name in ("own", "own phrases"):
        found = utterances.grid(name)
        assert len(found) == utterances.COUNTS[name] == len({one.id for one in found})
        assert not trained & {one.voice for one in found}
        assert all(len(one.times) == len(one.words) for one in found)
        utterances.grid.cache_clear()
        assert [one.id for one in utterances.grid(name)] == [one.id for one in found]
    with pytest.raises(ValueError, match="no grid 'x'"):
        utterances.grid("x")


def test_readers_have_words_and_voices():
    readers = utterances.grid("readers")
    assert len({one.voice for one in readers}) == 24 and all(len(one.words) > 3 for one in readers)
    assert readers[0].times is None and len(readers[0].waveform) > 16000


class Recorded:
    collection, speaker, label = "asterisk_words", "asterisk", None

    def __init__(self, id, text):
        self.id, self.text, self.duration = id, text, 0.5

    @property
    def audio(self):
        loud = np.sin(np.arange(4000))
        return np.concatenate([np.zeros(1000), loud, np.zeros(3000)]).astype(np.float32)


def test_words_in_a_row_are_trimmed_apart_and_timed(monkeypatch):
    words = [
        Recorded(str(i), name)
        for i, name in enumerate("zero one two three four five six seven eight nine".split())
    ]
    prompt = Recorded("p", "Press *, then #.")
    pools = {"digits": [Recorded("314", "three one four")], "asterisk_words": words, "asterisk_en": [prompt]}
    monkeypatch.setattr(utterances.data, "real", lambda name, split=None: pools[name])
    utterances.grid.cache_clear()
    first, *strings = utterances.grid("real digits")
    assert first.words == ("three", "one", "four") and first.times is None
    assert len(strings) == 59 and all(len(one.words) == 4 for one in strings)
    assert len({one.words for one in strings}) > 50
    for one in strings[:5]:
        gaps = one.times[1:, 0] - one.times[:-1, 1]
        assert (0.05 <= gaps + 1e-4).all() and (gaps <= 0.25).all()
        start, end = (16000 * one.times[1]).round().astype(int)
        assert (
            np.abs(one.waveform[start - 100 : start]).max() == 0
            and np.abs(one.waveform[start:end]).max() > 0.9
        )
        assert end - start == pytest.approx(4000, abs=3)
    assert utterances.grid("real prompts")[0].words == ("press", "star", "then", "pound")
    assert all(set(one.words) <= set(utterances.vocabulary()) for one in utterances.grid("real phrases"))
    utterances.grid.cache_clear()
