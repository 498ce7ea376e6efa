"""Noise that repeats itself from its seed and sounds as its name says."""

from itertools import pairwise

import numpy as np
import pytest

from course_utils import noise


def octave_levels(waveform):
    """Power in dB of the octaves 125-250, 250-500, ... 4000-8000 Hz."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    frequency = np.fft.rfftfreq(len(waveform), 1 / 16000)
    edges = 125 * 2.0 ** np.arange(7)
    return [
        10 * np.log10(power[(frequency >= low) & (frequency < high)].sum()) for low, high in pairwise(edges)
    ]


@pytest.mark.parametrize("kind", noise.GENERATORS)
def test_every_generator_gives_a_playable_waveform_that_depends_only_on_its_seed(kind):
    first, again, other = (noise.generate(kind, 2.0, seed) for seed in (1, 1, 2))
    assert first.dtype == np.float32 and first.shape == (32000,)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.isfinite(first).all() and np.abs(first).max() < 1
    assert abs(first.mean()) < 1e-3
    rms = np.sqrt(np.mean(first**2))
    assert 0.01 < rms < 0.101, "loud enough to hear and never above -20 dBFS"


@pytest.mark.parametrize(("kind", "slope"), [("white", 3.0), ("pink", 0.0), ("brown", -3.0)])
def test_the_colour_of_a_noise_is_its_slope_per_octave(kind, slope):
    levels = octave_levels(noise.generate(kind, 10.0, 3))
    assert np.polyfit(range(6), levels, 1)[0] == pytest.approx(slope, abs=0.3)


@pytest.mark.parametrize("seed", range(4))
def test_hum_stands_on_harmonics_of_the_mains(seed):
    waveform = noise.hum(4.0, seed)
    power = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)))) ** 2
    frequency = np.fft.rfftfreq(len(waveform), 1 / 16000)
    near = {
        mains: sum(power[np.abs(frequency - mains * k) < 2].sum() for k in range(1, 11)) for mains in (50, 60)
    }
    assert max(near.values()) > 0.9 * power.sum()


def test_clicks_are_short_and_rain_is_dense():
    def crest(waveform):
        return np.abs(waveform).max() / np.sqrt(np.mean(waveform**2))

    assert crest(noise.clicks(5.0, 0)) > 2 * crest(noise.rain(5.0, 0))


def test_noise_loops_without_a_seam():
    pink = noise.pink(1.0, 0)
    inside = np.abs(np.diff(pink))
    assert abs(pink[0] - pink[-1]) <= inside.max()


def test_test_types_are_not_among_the_training_types():
    assert not set(noise.TRAIN_TYPES) & set(noise.TEST_TYPES)
    assert set(noise.TRAIN_TYPES) | set(noise.TEST_TYPES) == set(noise.GENERATORS)


def test_babble_holds_every_talker_at_the_same_level():
    clips = [np.sin(2 * np.pi * f * np.arange(16000) / 16000) * g for f, g in ((300, 0.01), (700, 0.9))]
    power = np.abs(np.fft.rfft(noise.babble(clips, 1.0, 0, talkers=2))) ** 2
    assert power[300] == pytest.approx(power[700], rel=0.01)


def test_babble_is_as_long_as_asked_and_repeats_itself():
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal(8000).astype(np.float32) for _ in range(7)]
    first = noise.babble(clips, 3.3, 5)
    assert first.shape == (52800,)
    assert np.array_equal(first, noise.babble(clips, 3.3, 5))
    assert not np.array_equal(first, noise.babble(clips, 3.3, 6))


@pytest.mark.parametrize("seconds", [0, -1, np.nan, np.inf, -np.inf, 1e-6, 1e9, 3601])
@pytest.mark.parametrize(
    "make", [*noise.GENERATORS.values(), noise.coloured, noise.tones, noise.knocks, noise.swell]
)
def test_a_length_that_can_not_be_made_is_refused(make, seconds):
    with pytest.raises(ValueError, match=r"seconds: (expected a positive|at most 3600)"):
        make(seconds, 0)


def test_bad_requests_are_refused_in_words():
    with pytest.raises(ValueError, match="white, pink"):
        noise.generate("purple", 1.0, 0)
    with pytest.raises(ValueError, match="at least 6"):
        noise.babble([np.ones(10)], 1.0, 0)
    with pytest.raises(ValueError, match="0 talkers"):
        noise.babble([np.ones(10)], 1.0, 0, talkers=0)
    with pytest.raises(ValueError, match="positive"):
        noise.babble([np.ones(10)] * 6, np.nan, 0)
    with pytest.raises(ValueError, match="corner"):
        noise.low(100, 0, 0)
    with pytest.raises(ValueError, match="count"):
        noise.low(0, 100, 0)
    with pytest.raises(ValueError, match="decibels"):
        noise.tilt(np.ones(10), np.nan)
    with pytest.raises(ValueError, match="decibels"):
        noise.equalise(np.ones(10), -1, 0)


@pytest.mark.parametrize(
    ("waveform", "words"),
    [
        (np.ones(0), "is empty"),
        (np.ones((100, 2)), r"shape \(100, 2\)"),
        (np.array([0.1, np.nan]), "NaN"),
        (np.ones(10, complex), "complex128"),
        (0.5, r"shape \(\)"),
    ],
)
def test_what_is_no_waveform_is_refused(waveform, words):
    for shape in (
        lambda: noise.equalise(waveform, 6, 0),
        lambda: noise.tilt(waveform, 3),
        lambda: noise.babble([np.ones(10)] * 5 + [waveform], 1.0, 0),
    ):
        with pytest.raises(ValueError, match=words):
            shape()


@pytest.mark.parametrize("make", [noise.coloured, noise.tones, noise.knocks])
def test_an_invented_sound_is_playable_and_depends_only_on_its_seed(make):
    first, again, other = make(2.0, 1), make(2.0, 1), make(2.0, 2)
    assert first.dtype == np.float32 and first.shape == (32000,)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.abs(first).max() < 1 and 0.005 < np.sqrt(np.mean(first**2)) < 0.101
    assert np.array_equal(make(2.0, np.random.default_rng(1)), first), "a generator will do for a seed"


def test_invented_tones_are_tonal_and_invented_knocks_are_single_events():
    def peakiness(values):
        return values.max() / values.mean()

    for seed in range(5):
        spectrum = np.abs(np.fft.rfft(noise.tones(1.0, seed))) ** 2
        assert peakiness(spectrum) > 30, "that of white noise is about 9"
        assert peakiness(np.abs(noise.knocks(4.0, seed))) > 5


def test_coloured_noise_falls_by_up_to_nine_decibels_per_octave():
    slopes = [np.polyfit(range(6), octave_levels(noise.coloured(4.0, seed)), 1)[0] - 3 for seed in range(12)]
    assert -9.5 < min(slopes) < -6 and -3 < max(slopes) < 0.5


def test_a_swell_is_a_volume_and_never_silent():
    curves = [noise.swell(2.0, seed) for seed in range(20)]
    assert all(curve.shape == (32000,) and (curve > 0).all() for curve in curves)
    decibels = [20 * np.log10(curve) for curve in curves]
    assert max(np.ptp(curve) for curve in decibels) > 20, "some throb"
    assert min(np.ptp(curve) for curve in decibels) < 18.1, "and some do not"


def test_an_equaliser_changes_the_colour_within_its_limits_and_keeps_the_level():
    white = noise.white(2.0, 0)
    shaped = noise.equalise(white, 12, 3)
    assert np.mean(shaped**2) == pytest.approx(np.mean(white**2.0), rel=1e-6)
    gain = 20 * np.log10(np.abs(np.fft.rfft(shaped)[1:-1]) / np.abs(np.fft.rfft(white)[1:-1]))
    assert 6 < np.ptp(gain) < 24.1
    assert not noise.equalise(np.zeros(100), 12, 0).any(), "silence stays silence"


def test_a_tilt_is_the_decibels_per_octave_it_is_called_and_keeps_the_level():
    white = noise.white(2.0, 0)
    bright = noise.tilt(white, 4)
    assert np.mean(bright**2) == pytest.approx(np.mean(white**2.0), rel=1e-6)
    gain = 20 * np.log10(np.abs(np.fft.rfft(bright)[1:-1]) / np.abs(np.fft.rfft(white)[1:-1]))
    hertz = np.fft.rfftfreq(len(white), 1 / 16000)[1:-1]
    at = np.interp([50, 150, 1000, 2000, 4000], hertz, gain)
    assert np.diff(at)[[0, 2, 3]] == pytest.approx([0, 4, 4], abs=0.05)
    assert np.allclose(noise.tilt(white, 0), white, atol=1e-6)


@pytest.mark.parametrize("corner", [20, 200, 2000])
def test_low_noise_has_half_its_power_around_the_corner(corner):
    wave = noise.low(64000, corner, 1)
    assert wave.shape == (64000,) and np.mean(wave**2) == pytest.approx(1)
    power, hertz = np.abs(np.fft.rfft(wave)) ** 2, np.fft.rfftfreq(64000, 1 / 16000)
    assert power[hertz < corner].sum() > 0.7 * power.sum()
    assert power[hertz > 8 * corner].sum() < 0.01 * power.sum()
    assert np.array_equal(wave, noise.low(64000, corner, 1))


def test_invented_sounds_are_not_in_the_lists_of_noises_to_test_with():
    assert not {"tones", "knocks"} & set(noise.GENERATORS)
