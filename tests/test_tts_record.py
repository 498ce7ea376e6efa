"""Voices that read are measured on fixed sentences, and the tables and sentences say what was measured."""

import json

import numpy as np
import pytest

from course_utils import checkpoints, data, metrics, peers
from course_utils.record import results, topics
from course_utils.record.topics import tts

RATE = 16000


def tone(hz=200.0, seconds=1.0):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(RATE * seconds)) / RATE)).astype(np.float32)


class Speaks:
    """Says every text as a tone: a voice is its pitch in hundreds of Hz, of two numbers."""

    speakers = ("low", "high")
    voices = np.eye(2, dtype=np.float32)
    vocoder = staticmethod(lambda log_mel, length=None: tone(300, length / RATE))

    def __init__(self):
        self.asked = []

    def voice(self, speaker):
        return self.voices[self.speakers.index(speaker)]

    def mix(self, first, second, share):
        return (1 - share) * first + share * second

    def embed(self, waveform):
        return self.voices[1]

    def say(self, text, speaker=None, spk_emb=None, seed=0, speed=1.0, pitch=0.0, steps=4):
        self.asked.append((text, seed, steps))
        voice = self.voice(speaker or "low") if spk_emb is None else spk_emb
        return tone((100 + 200 * abs(voice[1])) * 2 ** (pitch / 12), 1.0 / speed)

    def stream(self, text, steps=4):
        yield np.zeros(0, np.float32)
        yield self.say(text, "low")

    def parameters(self):
        return iter([np.zeros(3)])


class Ears:
    """Takes a tone for the low or the high voice, by its pitch."""

    def embed(self, waveform):
        high = np.clip((tts.median_f0(waveform) - 100) / 200, 0, 1)
        return np.array([1 - high, high]) / np.hypot(1 - high, high)


class Writes:
    def __init__(self, text):
        self.text = text

    def transcribe(self, waveform):
        return self.text


def item(id="a", voice="low", text="sixty dogs", reader="r", hz=100.0):
    return tts.Item(id, voice, text, reader, lambda: tone(hz))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Two voices, tones for words, a recogniser that writes figures, and judges that give round numbers."""
    model = Speaks()
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(tts, "load", lambda name: model if name == "tts" else model.vocoder)
    monkeypatch.setattr(tts, "items", lambda grid: (item("a", "low"), item("b", "high", hz=300.0)))
    monkeypatch.setattr(tts, "reference", lambda voice: tone())
    monkeypatch.setattr(tts, "gallery", lambda split: (("low", "high"), np.eye(2)))
    monkeypatch.setattr(tts, "_whisper", lambda: Writes("60 dogs."))
    monkeypatch.setattr(tts, "_sphinx", lambda: Writes("sixty hogs"))
    monkeypatch.setattr(tts, "_encoder", Ears)
    monkeypatch.setattr(metrics, "dnsmos", lambda waveform, threads: {"overall": 3.0})
    monkeypatch.setattr(metrics, "pesq", lambda estimate, original: 2.0)
    monkeypatch.setattr(metrics, "stoi", lambda estimate, original: 0.9)
    monkeypatch.setattr(tts, "_keys", lambda: ("vocoder", "whole"))
    monkeypatch.setattr(tts, "_sounds", lambda grid: "sounds")
    return model


def measured(grid, name):
    return tts._grid(grid, name, tts._systems()[grid][name])


# --- what is measured ----------------------------------------------------------------------------------


def test_real_readers_come_first_and_every_grid_has_its_material():
    assert next(iter(tts.GRIDS)) == "real readers"
    readers = tts.items("real readers")
    assert len(readers) == 24 and {one.voice for one in readers} == {
        r.speaker for r in data.real("librispeech", "test")
    }
    assert tts.text().index("real readers") < tts.text().index("our corpus")
    with pytest.raises(ValueError, match="no material of 'cost'"):
        tts.items("cost")


def test_sentences_are_unseen_each_has_a_recording_and_all_48_voices_say_some():
    sentences, known = tts.items("sentences"), {one.text for one in data.speech("train")}
    assert len(sentences) >= 100 and len({one.text for one in sentences}) == len(sentences)
    assert not known & {one.text for one in sentences}
    assert {one.voice for one in sentences} == {voice.name for voice in data.voices("train")}
    test = {voice.name for voice in data.voices("test")}
    assert all(one.reader in test and one.id.startswith(one.reader) for one in sentences)
    recorded = {one.id: one for one in data.speech("test")}
    assert all(recorded[one.id].text == one.text for one in sentences)


@pytest.mark.parametrize(
    ("grid", "split", "voices"), [("voices", "train", 48), ("unseen voices", "test", 24)]
)
def test_a_voice_is_never_recognised_by_a_recording_that_its_gallery_or_its_reference_holds(
    grid, split, voices
):
    every = tts.items(grid)
    assert len(every) == tts.EACH * voices and len({one.id for one in every}) == len(every)
    for name, own in tts._recordings(split).items():
        hidden = {one.id for one in own[: tts.GALLERY]}
        if split == "test":
            chosen = tts._reference_of(name, own)
            assert chosen.id not in hidden and 3 <= chosen.duration <= 10
            hidden.add(chosen.id)
        mine = [one for one in every if one.voice == name]
        assert len(mine) == tts.EACH and not hidden & {one.id for one in mine}
        assert not {one.text for one in own} & {one.text for one in mine}, "a voice says what it has not read"


def test_the_material_is_the_same_every_time():
    first = {
        grid: [(one.id, one.voice) for one in tts.items(grid)] for grid in ("sentences", "unseen voices")
    }
    tts.items.cache_clear(), tts._recordings.cache_clear()
    assert first == {grid: [(one.id, one.voice) for one in tts.items(grid)] for grid in first}


def test_a_figure_that_a_recogniser_writes_counts_as_the_word_that_was_said():
    assert tts.word_errors("Sixty guests sat down.", "60 guests sat down") == (0, 4)
    assert tts.word_errors("Sixty guests sat down.", "sixty guest sat") == (2, 4)
    assert tts.word_errors("Sixty guests sat down.", "") == (4, 4)


def test_the_original_of_a_vocoder_has_an_opinion_and_no_likeness_to_itself(small):
    original, ours = (measured("real readers", name) for name in (tts.ORIGINAL, tts.OURS))
    assert original["mean"] == {"dnsmos": (3.0, 3.0, 3.0)} and original["count"] == 2
    assert {name: mean for name, (mean, _, _) in ours["mean"].items()} == {
        "pesq": 2.0,
        "stoi": 0.9,
        "dnsmos": 3.0,
    }


def test_a_vocoder_and_griffin_lim_give_back_as_many_samples_as_they_heard():
    short = tone(seconds=0.2001)
    assert tts.griffin_lim(short).shape == short.shape
    assert tts.vocoded(short, lambda log_mel, length: np.zeros(length, np.float32)).shape == short.shape


def test_sentences_are_judged_by_two_recognisers_and_said_with_seeds_of_their_own(small):
    record = measured("sentences", tts.OURS)
    assert record["mean"]["wer"][0] == 0 and record["mean"]["wer_sphinx"][0] == 0.5
    assert record["each"]["voice"] == ["low", "high"]
    assert [steps for _, _, steps in small.asked] == [4, 4] and len({seed for _, seed, _ in small.asked}) == 2
    assert set(measured("sentences", tts.TRUE)["each"]["voice"]) == {"r"}, (
        "recordings belong to who read them"
    )


def test_the_voice_that_was_meant_is_told_from_a_random_one(small):
    assert measured("voices", tts.OURS)["mean"]["identified"][0] == 1
    assert measured("voices", tts.TRUE)["mean"]["target"][0] == pytest.approx(1, abs=0.01)
    unseen = tts.who(tone(300), "low", "test")
    assert unseen["identified"] == 0 and unseen["target"] < 0.1 < unseen["nearest"]
    one, other = (tts.random_voice(small, item(name)) for name in "ab")
    assert one.shape == (2,) and not np.allclose(one, other)
    np.testing.assert_array_equal(one, tts.random_voice(small, item("a")))


def test_controls_are_measured_as_what_they_promise(small):
    assert measured("controls", "speed 2.0")["mean"]["value"][0] == 0.5
    assert measured("controls", "pitch +3")["mean"]["value"][0] == pytest.approx(3, abs=0.1)
    assert measured("controls", "pitch -3")["mean"]["value"][0] == pytest.approx(-3, abs=0.1)
    mixing = measured("controls", "mixing")
    assert (
        mixing["mean"]["value"][0] == 1
        and mixing["mean"]["at 0.0"][0] > 0.99 > 0.1 > mixing["mean"]["at 1.0"][0]
    )


def test_a_mixture_that_does_not_move_is_not_monotone(small, monkeypatch):
    monkeypatch.setattr(small, "mix", lambda first, second, share: first)
    assert measured("controls", "mixing")["mean"]["value"][0] == 0


def test_a_sample_agrees_with_its_record_until_the_system_changes(small, monkeypatch):
    record = json.loads(json.dumps(measured("sentences", tts.OURS)))
    system = tts._systems()["sentences"][tts.OURS]
    assert tts._grid_sample("sentences", tts.OURS, system, record) == []
    monkeypatch.setattr(tts, "_whisper", lambda: Writes("sixty frogs"))
    assert any(
        "wer of this course on sentences, a" in one
        for one in tts._grid_sample("sentences", tts.OURS, system, record)
    )
    monkeypatch.setattr(tts, "items", lambda grid: (item("c"),))
    assert tts._grid_sample("sentences", tts.OURS, system, record) == ["the items of sentences are others"]


def test_no_two_systems_share_a_fingerprint_and_what_is_not_there_yet_is_left_out(monkeypatch):
    monkeypatch.setattr(checkpoints, "available", lambda: ["music"])
    without = {(entry.grid, entry.system): entry.fingerprint for entry in tts.entries()}
    assert not any(tts.OURS in name or name == tts.RANDOM for _, name in without)
    assert ("sentences", "espeak-ng") in without and ("sentences", "Piper joe") in without
    monkeypatch.setattr(checkpoints, "available", lambda: ["tts", "vocoder"])
    monkeypatch.setattr(tts, "checkpoint_key", lambda name: name)
    every = {(entry.grid, entry.system): entry.fingerprint for entry in tts.entries()}
    assert len(set(every.values())) == len(every) and without.items() <= every.items()
    assert {grid for grid, _ in every} == set(tts.GRIDS)
    assert {name for grid, name in every if grid == "controls"} == set(tts._CONTROLS)


def test_a_peer_that_is_not_installed_is_not_measured_and_says_how_to_get_it(small, monkeypatch):
    monkeypatch.setattr(
        peers.Espeak, "missing", lambda self: "espeak-ng is not available; run: course install peers"
    )
    with pytest.raises(peers.MissingPeer, match="course install peers"):
        measured("sentences", "espeak-ng")
    with pytest.raises(peers.MissingPeer, match="course install peers"):
        tts._cost("espeak-ng")


def test_cost_counts_work_and_the_way_to_the_first_sound(small, monkeypatch):
    ticks = iter(range(10**6))
    monkeypatch.setattr(tts, "clock", lambda: float(next(ticks)))
    monkeypatch.setattr(tts, "_size", lambda name: {"parameters": 3, "mb": 1.0})
    found = tts._cost(tts.OURS)
    assert found == {"parameters": 3, "mb": 1.0, "real_time_factor": 1.0, "first_ms": 1000.0}
    assert tts._cost_sample(tts.OURS, found) == []


def test_cards_of_both_checkpoints_are_measured_by_this_topic(small, monkeypatch):
    monkeypatch.setattr(topics, "every", lambda: {"tts": tts})
    assert topics.of_checkpoint("vocoder") is topics.of_checkpoint("tts") is tts
    card = tts.card_figures(small)
    assert card["WER by Whisper, %"].startswith("0.0") and card["right voice, %, voices"].startswith("100")
    assert "right voice, %, unseen voices" in card
    assert set(tts.card_figures(small.vocoder)) == {
        f"{m}, {g}" for m in ("PESQ", "STOI", "DNSMOS") for g in tts.VOCODER
    }

    def missing(grid):
        raise data.DataError("they are not here")

    monkeypatch.setattr(tts, "items", missing)
    assert tts.card_figures(small) == {"not measured": "they are not here"}


# --- tables and sentences ------------------------------------------------------------------------------


def recorded(count=9, **mean):
    return {"fingerprint": "1", "count": count, "mean": mean}


@pytest.fixture
def filled(small):
    systems = {
        "real readers": {
            "original": recorded(dnsmos=(3.04, 2.9, 3.1)),
            "Griffin-Lim": recorded(pesq=(2.9, 2.8, 3.0), stoi=(0.94, 0.93, 0.95), dnsmos=(2.4, 2.3, 2.5)),
            "this course": recorded(pesq=(2.95, 2.85, 3.05), stoi=(0.95, 0.94, 0.96), dnsmos=(2.9, 2.8, 3.0)),
        },
        "sentences": {
            "ground truth": recorded(wer=(0.02, 0.01, 0.03), wer_sphinx=(0.2, 0.1, 0.3), dnsmos=(3.3, 3.2, 3.4)),
            "vocoded ground truth": recorded(wer=(0.02, 0.01, 0.03), wer_sphinx=(0.2, 0.1, 0.3), dnsmos=(3.2, 3.1, 3.3)),
            "this course": recorded(wer=(0.04, 0.03, 0.05), wer_sphinx=(0.3, 0.2, 0.4), dnsmos=(3.1, 3.0, 3.2)),
            "espeak-ng": recorded(wer=(0.2, 0.1, 0.3), wer_sphinx=(0.5, 0.4, 0.6), dnsmos=(2.5, 2.4, 2.6)),
        },
        "unseen voices": {
            "ground truth": recorded(identified=(1.0, 1.0, 1.0), target=(0.9, 0.8, 1.0), nearest=(0.8, 0.7, 0.9)),
            "this course": recorded(identified=(0.8, 0.7, 0.9), target=(0.75, 0.7, 0.8), nearest=(0.8, 0.7, 0.9)),
        },
        "controls": {
            "speed 2.0": recorded(value=(0.503, 0.5, 0.51)),
            "pitch +3": recorded(value=(2.8, 2.7, 2.9)),
            "mixing": recorded(value=(0.9, 0.8, 1.0), **{f"at {s}": (0.9 - s / 2, 0, 1) for s in tts.SHARES}),
        },
        "cost": {
            "this course": {"parameters": 4_900_000, "mb": 9.8, "real_time_factor": 0.05, "first_ms": 90.0},
            "espeak-ng": {"parameters": None, "mb": 1.2, "real_time_factor": 0.004},
        },
    }  # fmt: skip
    results.write("tts", {"systems": systems})
    return systems


def test_a_table_shows_figures_with_intervals_and_a_missing_peer_as_a_row_that_says_so(filled):
    assert (
        "| this course | 9 | 2.95 (2.85 to 3.05) | 0.950 (0.940 to 0.960) | 2.90 (2.80 to 3.00) |"
        in tts.table("real readers")
    )
    lines = tts.table("sentences").splitlines()
    assert "| this course | 9 | 4.0 (3.0 to 5.0) | 30.0 (20.0 to 40.0) | 3.10 (3.00 to 3.20) |  |" in lines
    assert lines[-1].startswith("| Piper joe | – |") and "course install peers" in lines[-1]
    assert not any("espeak-ng" in line and "install" in line for line in lines)
    assert "| speed 2.0 | length against speed 1 | 0.50 | 0.503 (0.500 to 0.510) |" in tts.table("controls")
    assert "| this course | 4.90 M | 9.8 | 0.050 | 90 |" in tts.table("cost")
    assert "Kokoro" in tts.cited_table() and "not measured here" in tts.cited_table()


def test_each_table_is_read_in_sentences_that_its_figures_say(filled):
    assert tts.reading("real readers") == (
        "By PESQ this course is ahead, 2.95 against 2.90, but their intervals overlap. By DNSMOS this course is ahead, "
        "2.90 against 2.40; the original has 3.04."
    )
    assert tts.reading("sentences") == (
        "This course is understood best among the synthesisers (4.0 % of the words wrong, espeak-ng 20.0 %); the "
        "recordings themselves are at 2.0 %. By DNSMOS this course is 0.20 below the recordings, and the vocoder alone "
        "0.10 below them."
    )
    assert tts.reading("unseen voices") == (
        "The intended voice is heard in 80 % of the sentences (100 % in recordings of it). The mean cosine is 0.75 to the "
        "voice that was meant and 0.80 to the nearest training voice: it still falls back to voices that it knows."
    )
    assert tts.reading("controls") == (
        "Speed 2.0 gives 0.503 for 0.50, pitch +3 gives 2.80 semitones for 3.0. On the way to another voice the similarity "
        "to the first falls from 0.90 to 0.40, at every step in 90 % of the pairs."
    )
    assert tts.reading("cost") == (
        "A second of sound costs espeak-ng the least, 0.004 s of computing (this course 0.050 s). The 4.9 million numbers "
        "of this course are 9.8 MB, and their first sound comes after 90 ms."
    )
    assert all(sentence.endswith(".") for sentence in map(tts.reading, ("real readers", "sentences", "cost")))


def test_a_defeat_is_read_as_one(filled):
    filled["real readers"]["this course"]["mean"]["pesq"] = (2.5, 2.4, 2.6)
    filled["sentences"]["espeak-ng"]["mean"]["wer"] = (0.01, 0.0, 0.02)
    results.write("tts", {"systems": filled})
    assert tts.reading("real readers").startswith("By PESQ Griffin-Lim is ahead, 2.90 against 2.50.")
    assert tts.reading("sentences").startswith(
        "Espeak-ng is understood best among the synthesisers (1.0 % of the words wrong, this course 4.0 %);"
    )
    assert tts.apart("real readers", "pesq", "this course", "Griffin-Lim")
    assert tts.first_of("sentences", "wer") == "espeak-ng" and tts.mixing()[0] == 0.9


def test_the_headline_names_the_best_of_the_others(filled):
    rows = tts.headline()
    assert rows[0]["measured on"].startswith("real readers") and rows[0]["best of the others"].startswith(
        "Griffin-Lim: 2.90"
    )
    assert [row["task"] for row in rows] == ["vocoder", "", "text to speech", "", ""]
    assert rows[2]["this course"] == "4.0 (3.0 to 5.0)" and rows[2]["best of the others"].startswith(
        "espeak-ng: 20.0"
    )
    assert rows[4]["best of the others"].startswith("ground truth: 100")


def test_tables_say_so_where_nothing_is_recorded(small):
    assert tts.text().count("nothing recorded yet") == len(tts.GRIDS) and tts.headline() == []
    assert all(tts.reading(grid) == "" for grid in tts.GRIDS) and tts.mixing() == []
    assert tts.first_of("sentences", "wer") is None
