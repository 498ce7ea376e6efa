# Written from notebooks/00_start_here.ipynb by `course export`: edit the notebook, not this file.

__all__ = ['spectral_gate', 'speech_frames', 'SpeechDetector', 'loss_fn', 'speech_probability', 'remove_noise']


from itertools import pairwise

import numpy as np
import torch

from course_utils import features


def spectral_gate(noisy, is_noise, strength=1.5, floor=0.1):
    """Turn down what is not clearly louder than the noise (soft spectral gate, built in notebook 00).

    Args:
        noisy: waveform (time,) at 16 kHz.
        is_noise: boolean (frames,), frames = 1 + time // 256: where nobody speaks.
        strength: how far above the mean noise magnitude a point must be to pass.
        floor: smallest gain.

    Returns:
        waveform (time,).
    """
    spectrum = features.stft(noisy)
    magnitude = np.abs(spectrum) + 1e-8
    level = magnitude[is_noise].mean(axis=0)
    gain = np.clip(1 - (strength * level / magnitude) ** 2, floor, 1)
    return features.istft(spectrum * gain, length=len(noisy))


def speech_frames(clean, range_db=30.0, gap=12):
    """Where somebody speaks in a clean waveform (time,): boolean (frames,), frames of 16 ms."""
    level = 20 * np.log10((10.0 ** features.log_mel(clean)).mean(axis=1))
    active = level > level.max() - range_db
    on = np.flatnonzero(active)
    for first, second in pairwise(on):
        if second - first <= gap:
            active[first:second] = True
    return active


class SpeechDetector(torch.nn.Module):
    """Is somebody speaking? One logit per frame of 16 ms, from it and its past (built in notebook 00)."""

    def __init__(self, width=32, kernel=15, running_mean=True):
        super().__init__()
        self.kernel, self.running_mean = kernel, running_mean
        self.spread = torch.nn.Linear(features.N_MELS, width)
        self.short = torch.nn.Conv1d(width, width, kernel, groups=width)
        self.mix = torch.nn.Linear(width, width)
        self.long = torch.nn.Conv1d(width, width, kernel, groups=width, dilation=2)
        self.out = torch.nn.Linear(width, 1)

    @classmethod
    def from_config(cls, config):
        """Build the model that a checkpoint describes."""
        return cls(**config)

    def forward(self, log_mel):
        """Map log_mel (batch, frames, 80) to logits (batch, frames)."""
        if self.running_mean:  # what each band has been so far, seen from now: (frames, 1) counts the past
            past = torch.arange(1, log_mel.shape[1] + 1, device=log_mel.device)[:, None]
            log_mel = log_mel - log_mel.cumsum(1) / past
        else:
            log_mel = log_mel + 2  # only to the middle of the range
        x = torch.relu(self.spread(log_mel / 1.5)).transpose(1, 2)
        x = x + torch.relu(self.short(torch.nn.functional.pad(x, (self.kernel - 1, 0))))
        x = torch.relu(self.mix(x.transpose(1, 2))).transpose(1, 2)
        x = x + torch.relu(self.long(torch.nn.functional.pad(x, (2 * (self.kernel - 1), 0))))
        return self.out(x.transpose(1, 2)).squeeze(-1)


def loss_fn(model, batch):
    """Binary cross-entropy of the logits of a batch (log_mel, labels)."""
    log_mel, labels = batch
    return torch.nn.functional.binary_cross_entropy_with_logits(model(log_mel), labels)


@torch.inference_mode()
def speech_probability(waveform, model):
    """Probability that somebody speaks, (frames,), for a waveform (time,)."""
    return torch.sigmoid(model(torch.from_numpy(features.log_mel(waveform))[None]))[0].numpy()


def remove_noise(noisy, model):
    """Soft spectral gate whose noise is learnt where the detector hears no speech; waveform (time,) in and out."""
    probability = speech_probability(noisy, model)
    quietest = np.quantile(probability, 0.1)
    return spectral_gate(noisy, probability <= max(quietest, 0.2))
