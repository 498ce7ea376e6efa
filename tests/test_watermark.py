"""The watermark of notebook 07: there and hard to hear, found by its key and by no other."""

import math

import numpy as np
import pytest

from course_utils import audio
from course_utils.models import watermark
from tests.test_cloning import speech_like


def test_the_mark_is_found_by_its_key_alone():
    sound = speech_like()
    marked = watermark.embed(sound, key=5)
    assert watermark.detect(marked, key=5).found
    assert not watermark.detect(marked, key=6).found
    assert not watermark.detect(sound, key=5).found


def test_the_mark_changes_no_length_and_hardly_the_level():
    sound = speech_like(2.345)
    marked = watermark.embed(sound)
    assert len(marked) == len(sound) and marked.dtype == np.float32
    assert 0.9 < marked.std() / sound.std() < 1.1
    error = marked - sound
    assert 10 * math.log10((sound**2).mean() / (error**2).mean()) > 8


def test_a_loud_sound_does_not_clip():
    sound = speech_like()
    sound /= np.abs(sound).max()
    assert np.abs(watermark.embed(sound)).max() <= 1.0


def test_the_level_does_not_matter_to_the_detector():
    marked = watermark.embed(speech_like())
    quiet, loud = (watermark.detect(gain * marked).score for gain in (0.01, 3.0))
    assert quiet == pytest.approx(loud, rel=1e-3)


@pytest.mark.parametrize("start", [1, 5000, 12345])
def test_the_mark_is_found_wherever_it_begins(start):
    assert watermark.detect(watermark.embed(speech_like(4))[start:]).found


@pytest.mark.parametrize("speed", [0.98, 1.02])
def test_the_mark_is_found_at_another_speed(speed):
    marked = watermark.embed(speech_like(4))
    found = watermark.detect(audio.resample(marked, 16000 * speed, 16000))
    assert found.found and (found.speed > 1) == (speed > 1) and found.speed != 1


def test_the_mark_is_found_in_a_part_of_a_long_sound():
    long = np.concatenate([speech_like(12, 1), watermark.embed(speech_like(6, 2)), speech_like(12, 3)])
    assert watermark.detect(long).found


def test_two_marks_live_side_by_side():
    twice = watermark.embed(watermark.embed(speech_like(4), key=1), key=2)
    assert watermark.detect(twice, key=1).found and watermark.detect(twice, key=2).found


def test_the_p_value_holds_for_any_sound_because_the_key_is_random():
    sound = watermark.whitened(speech_like())
    assert sound.shape[1] == watermark.BANDS
    scores = [watermark.scores(speech_like(), key)[0] for key in range(200)]
    assert abs(np.mean(scores)) < 0.25 and 0.85 < np.std(scores) < 1.15


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(0, np.float32),
        np.zeros(50_000, np.float32),
        np.ones(100, np.float32),
        np.ones(40_000, np.float32),
    ],
    ids=["empty", "silent", "tiny", "constant"],
)
def test_where_nothing_can_be_marked_nothing_is_found(sound):
    assert not watermark.detect(sound).found
    assert watermark.embed(sound).shape == sound.shape


def test_silence_stays_silent():
    sound = np.concatenate([speech_like(2), np.zeros(16_000, np.float32)])
    assert not watermark.embed(sound)[-15_000:].any()


@pytest.mark.parametrize("bad", [np.zeros((2, 16000)), np.full(16000, np.nan), np.ones(16000, np.int16)])
def test_what_is_no_waveform_is_refused(bad):
    for work in (watermark.embed, watermark.detect):
        with pytest.raises(audio.AudioError):
            work(bad)
