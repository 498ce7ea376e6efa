"""The one log-mel and the STFT: equal to the libraries, equal when streamed, and invertible."""

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import features

RNG = np.random.default_rng(0)


def sweep(seconds=1.0, seed=0):
    t = np.arange(int(seconds * 16000)) / 16000
    noise = np.random.default_rng(seed).normal(0, 0.02, len(t))
    return (0.4 * np.sin(2 * np.pi * (200 + 1500 * t) * t) + noise).astype(np.float32)


@pytest.mark.parametrize("samples", [513, 1024, 4000, 16000, 16001, 16255])
def test_log_mel_equals_the_speecht5_extractor(samples):
    from transformers import SpeechT5FeatureExtractor

    waveform = sweep(2)[:samples]
    theirs = SpeechT5FeatureExtractor()(audio_target=waveform, sampling_rate=16000)["input_values"][0]
    ours = features.log_mel(waveform)
    assert ours.shape == theirs.shape == (1 + samples // 256, 80)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_log_mel_equals_librosa():
    waveform = sweep()
    mel = librosa.feature.melspectrogram(
        y=waveform,
        sr=16000,
        n_fft=1024,
        hop_length=256,
        n_mels=80,
        fmin=80,
        fmax=7600,
        power=1.0,
        pad_mode="reflect",
    )
    np.testing.assert_allclose(features.log_mel(waveform), np.log10(np.maximum(mel, 1e-10)).T, atol=1e-4)


def test_mel_filters_and_scale_equal_librosa():
    np.testing.assert_allclose(
        features.mel_filterbank(),
        librosa.filters.mel(sr=16000, n_fft=1024, n_mels=80, fmin=80, fmax=7600),
        atol=1e-7,
    )
    hz = np.array([0.0, 80, 999, 1000, 1001, 7600])
    np.testing.assert_allclose(features.hz_to_mel(hz), librosa.hz_to_mel(hz))
    np.testing.assert_allclose(features.mel_to_hz(features.hz_to_mel(hz)), hz, atol=1e-9)


def test_stft_equals_librosa_and_its_inverse_returns_the_signal():
    waveform = sweep()
    spectrum = features.stft(waveform)
    theirs = librosa.stft(
        waveform, n_fft=512, hop_length=256, window=np.sqrt(np.hanning(513)[:-1]), pad_mode="reflect"
    )
    np.testing.assert_allclose(spectrum, theirs.T, atol=2e-4)
    np.testing.assert_allclose(features.istft(spectrum, length=len(waveform)), waveform, atol=1e-5)


def test_istft_of_a_changed_spectrum_equals_librosa():
    spectrum = features.stft(sweep()) * RNG.random((63, 257))
    theirs = librosa.istft(
        spectrum.T, hop_length=256, n_fft=512, window=np.sqrt(np.hanning(513)[:-1]), length=16000
    )
    np.testing.assert_allclose(features.istft(spectrum, length=16000), theirs, atol=1e-5)


def test_what_inference_asked_for_first_serves_training_after():
    features._window.cache_clear()
    features._mel_filters.cache_clear()
    wave = torch.randn(2048, requires_grad=True)
    with torch.inference_mode():
        features.stft(torch.randn(2048))
        features.log_mel(torch.randn(2048))
    features.istft(features.stft(wave)).sum().backward()
    features.log_mel(wave).sum().backward()
    assert torch.isfinite(wave.grad).all()


def test_batches_and_gradients_pass_through():
    batch = torch.tensor(np.stack([sweep(0.5, s) for s in range(3)]))[None].requires_grad_()
    mel = features.log_mel(batch)
    assert mel.shape == (1, 3, 32, 80)
    torch.testing.assert_close(mel[0, 1], features.log_mel(batch[0, 1]))
    features.istft(features.stft(batch)).sum().backward()
    assert torch.isfinite(batch.grad).all()


def pieces(waveform, sizes):
    ends = np.cumsum(sizes)
    return np.split(waveform, ends[ends < len(waveform)])


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(1, 6000),
    sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=30),
    kind=st.sampled_from(["stft", "log_mel"]),
)
def test_streamed_frames_equal_offline_frames_for_any_chunks(samples, sizes, kind):
    waveform = sweep()[:samples]
    stream = features.StreamingSTFT() if kind == "stft" else features.StreamingLogMel()
    frames = np.concatenate([stream.push(p) for p in pieces(waveform, sizes)] + [stream.finish()])
    offline = getattr(features, kind)(waveform)
    assert frames.shape == offline.shape
    np.testing.assert_allclose(frames, offline, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(samples=st.integers(1, 6000), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=30))
def test_streamed_inverse_equals_offline_inverse(samples, sizes):
    waveform = sweep()[:samples]
    spectrum = features.stft(waveform) * 0.5
    stream = features.StreamingISTFT()
    parts = [stream.push(p) for p in pieces(spectrum, sizes)] + [stream.finish(samples)]
    np.testing.assert_allclose(np.concatenate(parts), features.istft(spectrum, length=samples), atol=1e-5)


def test_a_frame_is_out_as_soon_as_its_last_sample_is_in():
    stream = features.StreamingSTFT()
    assert len(stream.push(np.zeros(256, np.float32))) == 0  # the beginning can not be mirrored yet
    assert len(stream.push(np.zeros(1, np.float32))) == 1
    assert len(stream.push(np.zeros(254, np.float32))) == 0
    assert len(stream.push(np.zeros(1, np.float32))) == 1


def test_silence_has_the_floor_and_empty_input_says_so():
    assert (features.log_mel(np.zeros(2000, np.float32)) == -10).all()
    with pytest.raises(ValueError, match="samples in it"):
        features.log_mel(np.zeros(0, np.float32))
    assert len(features.StreamingLogMel().finish()) == 0


WHOLE = {"stft": features.stft, "log_mel": features.log_mel}
NO_SOUND = {
    "stereo": (np.zeros((32000, 2), np.float32), "to_mono"),
    "a batch of stereo": (np.zeros((3, 4000, 2), np.float32), "to_mono"),
    "16-bit samples": (np.full(4000, 9000, np.int16), "int16; use course_utils.audio.to_float"),
    "yes and no": (np.ones(4000, bool), "bool"),
    "complex": (np.ones(4000, complex), "complex128"),
    "NaN": (np.r_[np.zeros(4000), np.nan], "NaN"),
    "infinity": (np.r_[np.zeros(4000), np.inf], "infinity"),
    "nothing": (np.zeros(0), "samples in it"),
    "no clips": (np.zeros((0, 4000)), "samples in it"),
    "a number": (np.float32(0.5), "samples in it"),
}


@pytest.mark.parametrize("case", NO_SOUND)
@pytest.mark.parametrize("function", WHOLE)
def test_what_is_no_sound_is_refused_in_words(function, case):
    waveform, words = NO_SOUND[case]
    with pytest.raises(ValueError, match=words):
        WHOLE[function](waveform)
    if case not in ("NaN", "infinity"):  # tensors are not searched
        with pytest.raises(ValueError, match=words.replace("128", "")):
            WHOLE[function](torch.as_tensor(waveform))


@pytest.mark.parametrize("case", ["stereo", "16-bit samples", "complex", "NaN", "a number"])
def test_a_stream_refuses_what_is_no_sound_and_goes_on_afterwards(case):
    stream = features.StreamingLogMel()
    first = stream.push(sweep()[:3000])
    with pytest.raises(ValueError, match=r"chunk: (expected floats|holds NaN)"):
        stream.push(NO_SOUND[case][0])
    frames = np.concatenate([first, stream.push(sweep()[3000:5000]), stream.finish()])
    np.testing.assert_allclose(frames, features.log_mel(sweep()[:5000]), atol=1e-4)


@pytest.mark.parametrize("samples", [1, 2, 255, 256])
def test_a_sound_shorter_than_a_frame_is_one_or_two_frames(samples):
    assert features.log_mel(sweep()[:samples]).shape == (1 + samples // 256, 80)
    assert features.log_mel(sweep()[None, :samples]).shape == (1, 1 + samples // 256, 80)
    spectrum = features.stft(sweep()[:samples])
    np.testing.assert_allclose(features.istft(spectrum, samples), sweep()[:samples], atol=1e-5)


def test_spectra_and_settings_that_can_not_be_are_refused():
    spectrum = features.stft(sweep())
    for shape in ((257,), (0, 257), (4, 1)):
        with pytest.raises(ValueError, match=r"\(\.\.\., frames, bins\)"):
            features.istft(np.zeros(shape, np.complex64))
    with pytest.raises(ValueError, match="NaN"):
        features.istft(spectrum * np.nan)
    with pytest.raises(ValueError, match="length -1"):
        features.istft(spectrum, length=-1)
    with pytest.raises(ValueError, match="hop_length"):
        features.stft(sweep(), hop_length=0)
    with pytest.raises(ValueError, match="f_min < f_max"):
        features.mel_filterbank(f_min=8000, f_max=100)
    with pytest.raises(ValueError, match=r"\(frames, 257\), got \(10, 513\)"):
        features.StreamingISTFT().push(np.zeros((10, 513), complex))
    for mel in (np.zeros((80, 5)), np.zeros((0, 80)), np.full((5, 80), 40.0)):
        with pytest.raises(ValueError, match=r"\(frames, 80\)"):
            features.griffin_lim(mel)
    with pytest.raises(ValueError, match="NaN"):
        features.griffin_lim(np.full((5, 80), np.nan))


def test_griffin_lim_gives_back_a_sound_with_nearly_the_same_log_mel():
    waveform = sweep()
    mel = features.log_mel(waveform)
    again = features.log_mel(features.griffin_lim(mel, length=len(waveform)))
    untrained = features.log_mel(RNG.normal(0, 0.1, len(waveform)).astype(np.float32))
    loud = mel > mel.max() - 2
    assert np.abs(again - mel)[loud].mean() < 0.1 < np.abs(untrained - mel)[loud].mean()
