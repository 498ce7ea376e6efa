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


def test_griffin_lim_gives_back_a_sound_with_nearly_the_same_log_mel():
    waveform = sweep()
    mel = features.log_mel(waveform)
    again = features.log_mel(features.griffin_lim(mel, length=len(waveform)))
    untrained = features.log_mel(RNG.normal(0, 0.1, len(waveform)).astype(np.float32))
    loud = mel > mel.max() - 2
    assert np.abs(again - mel)[loud].mean() < 0.1 < np.abs(untrained - mel)[loud].mean()
