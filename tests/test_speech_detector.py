"""The model of notebook 00 as it is shipped: hears speech, looks only back, and survives odd clips."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from course_utils import audio, checkpoints, data, features, metrics, noise
from course_utils.models import speech_detector
from course_utils.recipes import speech_detector as recipe


@pytest.fixture(scope="module")
def shipped():
    return checkpoints.load("speech_detector")


def mixtures(speech, noises):
    for index, clip in enumerate(speech):
        yield audio.mix(clip, noises[index % len(noises)], 5.0, seed=index)[0], clip


def auc(model, pairs):
    scores, truth = [], []
    for noisy, clean in pairs:
        scores.append(speech_detector.speech_probability(noisy, model))
        truth.append(speech_detector.speech_frames(clean))
    return roc_auc_score(np.concatenate(truth), np.concatenate(scores))


def test_it_hears_real_speech_in_real_noise_and_an_untrained_one_does_not(shipped):
    speech = [r.audio[:80000] for r in data.real("librispeech", "test")[::5]]
    noises = [r.audio for r in data.real("esc10", "test")[:8]]
    assert auc(shipped, mixtures(speech, noises)) > 0.92
    torch.manual_seed(0)
    assert auc(speech_detector.SpeechDetector().eval(), mixtures(speech, noises)) < 0.75


def test_it_hears_unseen_voices_in_a_noise_it_never_met(shipped):
    speech = [np.pad(u.audio, 8000) for u in data.speech("test", kind="sentence")[::40]]
    assert "fan" not in noise.TRAIN_TYPES
    assert auc(shipped, mixtures(speech, [noise.fan(10, seed) for seed in range(3)])) > 0.95


def test_nothing_before_a_change_moves(shipped):
    torch.manual_seed(0)
    log_mel = torch.randn(2, 90, features.N_MELS) - 3
    changed = log_mel.clone()
    changed[:, 50:] = 0
    with torch.inference_mode():
        before, after = shipped(log_mel), shipped(changed)
    torch.testing.assert_close(before[:, :50], after[:, :50], atol=1e-4, rtol=1e-4)
    assert (before[:, 50:] - after[:, 50:]).abs().max() > 0.1


def test_the_gate_gains_against_steady_noise_and_keeps_the_length(shipped):
    clean = np.pad(data.speech("test", kind="sentence")[3].audio, 8000)
    noisy, _ = audio.mix(clean, noise.fan(5, 1), 5.0, seed=0)
    result = speech_detector.remove_noise(noisy, shipped)
    assert result.shape == noisy.shape and result.dtype == np.float32
    assert metrics.si_sdr(result, clean) > metrics.si_sdr(noisy, clean) + 3


@pytest.mark.parametrize("samples", [1, 100, 512, 5000])
def test_short_and_silent_clips_stay_finite(shipped, samples):
    for clip in (np.zeros(samples, np.float32), np.full(samples, 0.5, np.float32)):
        result = speech_detector.remove_noise(clip, shipped)
        assert result.shape == clip.shape and np.isfinite(result).all()


def test_the_same_step_draws_the_same_batch():
    clips = [u.audio for u in data.speech("train", kind="sentence")[:4]]
    batches = recipe.Batches(clips, [noise.white(4, 0)])
    first, again, other = batches(3), batches(3), batches(4)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])
    assert first[0].shape == (16, 126, 80) and 0.1 < first[1].mean() < 0.9
