"""A linear probe finds a speaker who is there, and none where there is none."""

import numpy as np
import pytest
import torch

from course_utils import data
from course_utils.models.recognition import RecogniserConfig
from course_utils.models.recognition_streams import Recogniser
from course_utils.record import speaker_probe
from course_utils.record.topics import realtime


def made(spread, voices=6, dim=20, count=10):
    """Rows (voices x count, dim) whose speaker moves them by `spread` standard deviations, and the speakers."""
    chance = np.random.default_rng(0)
    speakers = np.repeat(np.arange(voices), count)
    return spread * chance.standard_normal((voices, dim))[speakers] + chance.standard_normal(
        (voices * count, dim)
    ), speakers


@pytest.mark.parametrize(("spread", "least", "most"), [(3.0, 1.0, 1.0), (0.0, 0.0, 0.4)])
def test_a_probe_names_speakers_who_differ_and_guesses_where_they_do_not(spread, least, most):
    rows, speakers = made(spread)
    odd = np.arange(len(rows)) % 2 == 1
    found = speaker_probe.linear_probe(rows[odd], speakers[odd], rows[~odd])
    assert least <= (found == speakers[~odd]).mean() <= most


def test_more_numbers_than_sentences_are_no_trouble():
    rows, speakers = made(3.0, dim=200)
    odd = np.arange(len(rows)) % 2 == 1
    assert (speaker_probe.linear_probe(rows[odd], speakers[odd], rows[~odd]) == speakers[~odd]).all()


class Clip:
    def __init__(self, voice, pitch):
        time = np.arange(8000) / 16000
        self.voice, self.audio = voice, np.sin(2 * np.pi * pitch * time).astype(np.float32)


def test_the_measure_compares_content_with_the_log_mel(monkeypatch):
    count = speaker_probe.FITTED + speaker_probe.TESTED
    clips = [Clip(f"v{v}", 200 * (v + 1) + i) for v in range(3) for i in range(count)]
    monkeypatch.setattr(speaker_probe, "sentences", lambda: clips)
    torch.manual_seed(0)
    model = Recogniser(RecogniserConfig(dim=16, layers=1, heads=2, phones_after=1)).eval()
    found = speaker_probe.measure(model)
    assert found["voices"] == 3 and found["tested"] == 3 * speaker_probe.TESTED
    assert found["chance"] == pytest.approx(1 / 3) and found["log_mel"][0] == 1
    assert found == speaker_probe.measure(model), "the same every time"


def test_the_sentence_under_the_tables_says_what_was_recorded(monkeypatch):
    record = {
        "voices": 24,
        "tested": 96,
        "chance": 1 / 24,
        "content": [0.52, 0.4, 0.6],
        "log_mel": [0.96, 0.9, 1.0],
    }
    monkeypatch.setattr(
        realtime, "_records", lambda grid: {realtime.OURS: record} if grid == "speaker" else {}
    )
    assert (
        "52.0 (40.0 to 60.0) % of 96 sentences" in realtime.text()
        and "log-mel 96.0 (90.0 to 100.0) %, by chance 4.2 %" in realtime.text()
    )
    monkeypatch.setattr(realtime, "_records", lambda grid: {})
    assert "linear probe" not in realtime.text()


def test_sentences_are_the_same_every_time_and_ten_of_each_test_voice():
    clips = speaker_probe.sentences()
    assert clips == speaker_probe.sentences()
    assert len(clips) == 10 * len(data.voices("test")) == len({clip.id for clip in clips})
