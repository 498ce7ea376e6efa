"""Sound in and out: any common format, clear errors, and players that keep the level."""

import io
import re

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import audio


def tone(seconds=1.0, rate=16000, hz=440.0, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3"])
def test_what_is_saved_can_be_loaded(tmp_path, suffix):
    path = audio.save(tmp_path / f"tone.{suffix}", tone())
    again = audio.load(path)
    assert again.dtype == np.float32 and again.ndim == 1
    assert abs(len(again) - 16000) < 2500  # mp3 pads
    assert audio.level_db(again[2000:12000]) == pytest.approx(audio.level_db(tone()), abs=0.5)


def test_stereo_at_another_rate_becomes_mono_at_16_khz(tmp_path):
    stereo = np.stack([tone(rate=44100), np.zeros(44100, np.float32)], axis=1)
    soundfile.write(tmp_path / "s.wav", stereo, 44100)
    samples, rate = audio.load_native(tmp_path / "s.wav")
    assert samples.shape == (44100, 2) and rate == 44100
    mono = audio.load((tmp_path / "s.wav").read_bytes())
    assert mono.shape == (16000,)
    assert audio.level_db(mono) == pytest.approx(audio.level_db(tone()) - 6.02, abs=0.1)


def test_a_long_file_can_be_read_in_part(tmp_path):
    path = audio.save(tmp_path / "long.wav", np.zeros(16000 * 60, np.float32))
    assert len(audio.load(path, max_seconds=1.5)) == 24000


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "none.wav", "no such file"),
        (lambda p: p, "is a folder"),
        (lambda p: _write(p / "text.wav", b"not a sound at all"), "can not be read as sound"),
        (lambda p: _write(p / "empty.wav", b""), r"empty.wav: .* an empty file \(0 bytes\)"),
        (lambda p: b"\x00" * 50, "can not be read as sound"),
        (lambda p: _wav(p / "zero.wav", np.zeros(0, np.float32)), "holds no samples"),
        (
            lambda p: _wav(p / "nan.wav", np.array([0.1, np.nan, 0.2], np.float32)),
            "nan.wav: sample 1 is not a finite number",
        ),
        (lambda p: io.StringIO("words"), "mode 'rb'"),
        (lambda p: 7, "expected a path, bytes or an open binary file, got int"),
    ],
)
def test_what_is_not_sound_says_so(tmp_path, make, words):
    with pytest.raises(audio.AudioError, match=words):
        audio.load(make(tmp_path))


def _write(path, data):
    path.write_bytes(data)
    return path


def _wav(path, samples):
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    return path


def test_a_truncated_file_gives_an_error_or_what_is_left(tmp_path):
    data = audio.encode(tone(5), "flac")
    try:
        assert len(audio.load(data[: len(data) // 2])) <= 5 * 16000
    except audio.AudioError as error:
        assert "sound" in str(error)


@pytest.mark.parametrize(
    ("waveform", "words"),
    [
        (np.zeros((2, 16000), np.float32), r"got \(2, 16000\); use course_utils.audio.to_mono"),
        (np.zeros(10, np.int16), "use course_utils.audio.to_float"),
        (np.array([0.0, np.inf]), "sample 1 is not a finite number"),
        (np.array(["a"]), "expected real numbers"),
        (np.zeros(10, np.complex64), "expected real numbers"),
    ],
)
def test_a_wrong_waveform_is_refused_with_advice(waveform, words):
    with pytest.raises(audio.AudioError, match=words):
        audio.check(waveform)


def test_too_short_is_said_in_seconds():
    with pytest.raises(audio.AudioError, match=r"0.10 s is too short, at least 0.50 s"):
        audio.check(np.zeros(1600, np.float32), min_seconds=0.5)


def test_swapped_axes_are_noticed_in_an_array_and_never_supposed_in_a_file(tmp_path):
    with pytest.raises(audio.AudioError, match="transpose"):
        audio.to_mono(np.zeros((2, 100)))
    soundfile.write(tmp_path / "short.wav", np.full((3, 6), 0.25), 16000)
    np.testing.assert_allclose(audio.load(tmp_path / "short.wav"), [0.25] * 3, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_pcm_of_every_width_has_the_same_scale(bits):
    half = 2 ** (bits - 1)
    signed = np.array([-half, 0, half // 2]).astype(f"i{bits // 8}")
    unsigned = np.array([0, half, half + half // 2]).astype(f"u{bits // 8}")
    assert audio.to_float(signed).tolist() == audio.to_float(unsigned).tolist() == [-1.0, 0.0, 0.5]
    assert np.abs(audio.resample(np.repeat(signed, 100), 16000, 8000)).max() < 1.2
    assert audio.to_mono(np.stack([signed, signed], axis=1)).tolist() == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize("samples", [[0, 16384], np.array([1], np.uint64), np.array([True]), np.array(["a"])])
def test_numbers_without_a_scale_are_refused_wherever_samples_come_in(samples):
    for take in (audio.to_float, audio.to_mono, lambda x: audio.resample(x, 16000, 8000)):
        with pytest.raises(audio.AudioError, match=r"full scale|real numbers"):
            take(samples)


@pytest.mark.parametrize("other", [-1.0, -0.97, -0.6])
def test_channels_that_cancel_give_a_warning(tmp_path, other):
    soundfile.write(tmp_path / "s.wav", np.stack([tone(), other * tone()], axis=1), 16000)
    with pytest.warns(audio.AudioWarning, match=r"s.wav: its channels cancel"):
        audio.load(tmp_path / "s.wav")


def test_channels_that_are_only_different_do_not(recwarn):
    noise = np.random.default_rng(0).normal(0, 0.1, (8000, 6))
    for samples in (noise, noise * [1, 0, 0, 0, 0, 0], noise[:, :1], np.zeros((100, 2)), noise[:0]):
        audio.to_mono(samples)
    assert not recwarn.list


def test_saving_above_full_scale_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(audio.AudioError, match="would clip"):
        audio.save(tmp_path / "loud.wav", tone(level=1.5))
    assert not (tmp_path / "loud.wav").exists()
    with pytest.raises(audio.AudioError, match=r"use \.wav"):
        audio.save(tmp_path / "x.xyz", tone())
    with pytest.raises(audio.AudioError, match="would clip"):
        audio.encode(tone(level=1.5))


@pytest.mark.parametrize("peak", [1.0000001, 1.003, 1.19, 1.2, 33.333, 30000.0])
def test_the_divisor_that_the_message_names_is_enough(tmp_path, peak):
    waveform = np.array([0.0, -peak], np.float32)
    with pytest.raises(audio.AudioError) as error:
        audio.save(tmp_path / "loud.wav", waveform)
    divisor = float(re.search(r"divide by ([\d.]+)", str(error.value))[1])
    audio.save(tmp_path / "loud.wav", waveform / divisor)


def test_a_tone_keeps_its_level_through_resampling_and_what_can_not_be_kept_is_gone():
    assert audio.level_db(audio.resample(tone(rate=48000), 48000, 16000)[800:-800]) == pytest.approx(
        audio.level_db(tone()), abs=0.01
    )
    beyond = audio.resample(tone(rate=48000, hz=10000), 48000, 16000)[800:-800]
    assert audio.level_db(beyond) < -90


@pytest.mark.parametrize("rate", [0, -16000, 1, 999, 384001, 1e12, np.inf, np.nan, True, "16000", None, 1j])
def test_an_impossible_rate_is_refused_at_once_wherever_one_comes_in(rate, tmp_path):
    for take in (
        lambda: audio.resample(tone(), rate, 16000),
        lambda: audio.resample(tone(), 16000, rate),
        lambda: audio.StreamingResampler(rate),
        lambda: audio.StreamingResampler(16000, rate),
        lambda: audio.save(tmp_path / "x.wav", tone(), rate),
        lambda: audio.encode(tone(), "wav", rate),
    ):
        with pytest.raises(audio.AudioError, match="rate"):
            take()
    assert not list(tmp_path.iterdir())


def test_a_stream_is_of_one_channel():
    with pytest.raises(audio.AudioError, match="its own stream"):
        audio.StreamingResampler(8000).push(np.zeros((100, 2)))


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=20), rate=st.sampled_from([8000, 44100, 48000])
)
def test_the_streaming_resampler_equals_the_whole_one(sizes, rate):
    signal = np.random.default_rng(0).normal(0, 0.1, sum(sizes) + 1).astype(np.float32)
    stream = audio.StreamingResampler(rate)
    parts = [stream.push(part) for part in np.split(signal, np.cumsum(sizes))] + [stream.finish()]
    np.testing.assert_allclose(np.concatenate(parts), audio.resample(signal, rate, 16000), atol=1e-6)


@pytest.mark.parametrize("snr", [-10, 0, 20])
@pytest.mark.parametrize("noise_seconds", [0.3, 1.0, 5.0])
def test_a_mixture_has_the_ratio_it_was_asked_for(snr, noise_seconds):
    noise = np.random.default_rng(1).normal(0, 0.2, int(noise_seconds * 16000)).astype(np.float32)
    noisy, scaled = audio.mix(tone(), noise, snr, seed=3)
    assert audio.level_db(tone()) - audio.level_db(scaled) == pytest.approx(snr, abs=0.01)
    np.testing.assert_array_equal(noisy, tone() + scaled)


def test_silence_has_no_ratio_and_the_seed_moves_the_noise():
    with pytest.raises(audio.AudioError, match="silent"):
        audio.mix(tone(), np.zeros(100, np.float32), 0)
    noise = np.random.default_rng(1).normal(0, 0.2, 80000).astype(np.float32)
    same, again, other = (audio.mix(tone(), noise, 0, seed=s)[0] for s in (1, 1, 2))
    assert np.array_equal(same, again) and not np.array_equal(same, other)


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_a_noise_that_is_silent_where_it_is_cut_is_cut_elsewhere(seed):
    noise = np.zeros(80000, np.float32)
    noise[79000:79500] = tone()[:500]
    noisy, added = audio.mix(tone(), noise, 5, seed)
    assert audio.level_db(tone()) - audio.level_db(added) == pytest.approx(5, abs=0.01)
    np.testing.assert_array_equal(noisy, tone() + added)


@pytest.mark.parametrize("snr", [np.nan, np.inf, -np.inf, 5000, -5000])
def test_a_ratio_that_no_float_can_hold_is_refused(snr):
    with pytest.raises(audio.AudioError, match="can not be reached"):
        audio.mix(tone(), tone(), snr)


@pytest.mark.parametrize("level", [1e-30, 1e-44, 1e30])
def test_a_noise_of_any_level_can_be_mixed(level):
    _, added = audio.mix(tone(), np.full(100, level, np.float32), 5)
    assert audio.level_db(tone()) - audio.level_db(added) == pytest.approx(5, abs=0.01)


def test_players_share_one_gain_and_do_not_normalise():
    loud, soft = tone(level=2.0), tone(level=0.02)
    assert audio.shared_gain([soft]) == 1.0
    assert audio.shared_gain([loud, soft]) == pytest.approx(0.99 / 2.0, rel=1e-3)
    html = audio.compare({"loud": loud, "<soft>": soft}, transcript="a & b").data
    assert html.count("<audio") == 2 and "autoplay" not in html
    assert "&lt;soft&gt;" in html and "a &amp; b" in html and html.count("played 6.1 dB softer") == 2
    assert "<source" not in html  # JupyterLab strips it from notebooks that are not trusted


def test_the_encoded_sound_is_what_was_given():
    samples, rate = soundfile.read(io.BytesIO(audio.encode(tone(), "wav")), dtype="float32")
    assert rate == 16000
    np.testing.assert_allclose(samples, tone(), atol=1e-4)
    assert audio.level_db(np.zeros(100, np.float32)) == float("-inf")
    assert "silent" in audio.play(np.zeros(1600, np.float32)).data


@pytest.mark.parametrize("takes", [audio.check, audio.to_float, audio.to_mono, audio.level_db])
def test_masked_samples_and_lists_of_other_shapes_are_no_waveform(takes):
    with pytest.raises(audio.AudioError, match="filled"):
        takes(np.ma.masked_array([0.1, 0.2, 0.3], mask=[0, 1, 0]))
    with pytest.raises(audio.AudioError, match="expected an array"):
        takes([[0.1], [0.2, 0.3]])
    with pytest.raises(audio.AudioError, match="detach"):
        takes(torch.zeros(5, requires_grad=True))


def test_what_float32_can_not_hold_is_not_finite():
    with pytest.raises(audio.AudioError, match="sample 1 is not a finite number"):
        audio.check(np.array([0.0, 1e300]))


def test_resampling_asks_for_time_first():
    with pytest.raises(audio.AudioError, match="transpose"):
        audio.resample(np.zeros((2, 16000), np.float32), 44100, 16000)
    with pytest.raises(audio.AudioError, match="channels"):
        audio.to_mono(np.zeros((5, 0), np.float32))


def test_a_mixture_has_one_ratio():
    sound = np.ones(16000, np.float32)
    with pytest.raises(audio.AudioError, match="one signal-to-noise ratio"):
        audio.mix(sound, sound, np.zeros((16000, 1)))
