# Written from notebooks/00_start_here.ipynb by `course export`: edit the notebook, not this file.

__all__ = ['spectral_gate', 'speech_frames', 'SpeechDetector', 'Batches', 'recolour', 'training_data', 'loss_fn', 'train',
           'speech_probability', 'remove_noise']


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
    """Is somebody speaking? One logit per frame of 16 ms, from the past 0.7 s (built in notebook 00)."""

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


class Batches:
    """Noisy pieces of speech with their labels: `batches(step)` gives log_mel (16, 126, 80), labels (16, 126)."""

    def __init__(self, clips, noises, seconds=2, size=16):
        self.length, self.size, self.noises = seconds * features.SAMPLE_RATE, size, noises
        # A sentence has few pauses, so each gets one second of silence before and after it.
        self.clips = [np.pad(clip, features.SAMPLE_RATE) for clip in clips]
        self.labels = [speech_frames(clip) for clip in self.clips]

    def __call__(self, step):
        draw = np.random.default_rng(step)
        pairs = [self.one(draw) for _ in range(self.size)]
        waveforms, labels = (torch.from_numpy(np.stack(values)) for values in zip(*pairs, strict=True))
        return features.log_mel(waveforms), labels.float()

    def one(self, draw):
        """One piece: waveform (time,) and label (frames,)."""
        index = draw.integers(len(self.clips))
        first = draw.integers((len(self.clips[index]) - self.length) // 256)
        speech = self.clips[index][256 * first : 256 * first + self.length]
        noise = self.noises[draw.integers(len(self.noises))]
        start = draw.integers(len(noise) - self.length)
        noise = noise[start : start + self.length]
        power = np.mean(self.clips[index][self.labels[index].repeat(256)[: len(self.clips[index])]] ** 2)
        gain = np.sqrt(power / (np.mean(noise**2) + 1e-9)) * 10 ** (-draw.uniform(-5, 20) / 20)
        mixture = (speech + gain * noise) * 10 ** (draw.uniform(-20, 5) / 20)
        return mixture.astype(np.float32), self.labels[index][first : first + 1 + self.length // 256]


def recolour(noise, draw):
    """The same noise (time,) through a random equaliser and a random volume curve, at the same level."""
    spectrum = np.fft.rfft(noise)
    place = np.sqrt(np.linspace(0, 1, len(spectrum)))  # finer steps at low frequencies
    spectrum = spectrum * 10 ** (np.interp(place, np.linspace(0, 1, 8), draw.uniform(-15, 15, 8)) / 20)
    points = int(draw.integers(3, 60))
    volume = np.interp(
        np.linspace(0, 1, len(noise)), np.linspace(0, 1, points), draw.uniform(-10, 10, points)
    )
    result = np.fft.irfft(spectrum, len(noise)) * 10 ** (volume / 20)
    return (result * np.sqrt(np.mean(noise**2) / np.mean(result**2))).astype(np.float32)


def training_data(sentences=160):
    """Clips of the training voices, and noises of the training types (never those of the test)."""
    from course_utils import data, noise

    clips = [u.audio for u in data.speech("train", kind="sentence")[:: max(1, 800 // sentences)][:sentences]]
    noises = [noise.generate(kind, 10, seed) for kind in noise.TRAIN_TYPES for seed in range(3)]
    noises += [noise.babble(clips[8 * i : 8 * i + 8], 10, i) for i in range(5)]
    draw = np.random.default_rng(0)
    return clips, [recolour(n, draw) for n in noises for _ in range(4)]


def loss_fn(model, batch):
    """Binary cross-entropy of the logits of a batch (log_mel, labels)."""
    log_mel, labels = batch
    return torch.nn.functional.binary_cross_entropy_with_logits(model(log_mel), labels)


def train(steps=None, state=None):
    """Train the shipped checkpoint: the recipe of notebook 00 with more data and steps; `state` is a file to resume from."""
    from course_utils import checkpoints, training

    torch.manual_seed(0)
    model = SpeechDetector()
    batches = Batches(*training_data(sentences=800))
    steps = steps or 1500
    history = training.fit(
        model, batches, loss_fn, steps, learning_rate=5e-3, ema=0.99, state=state, title="Speech detector"
    )
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    card = checkpoints.card(
        "speech_detector",
        "Is somebody speaking? One answer per 16 ms. Built in notebooks/00_start_here.ipynb.",
        data="synthetic voices of the course (train split) with the noise generators of the train types",
        seed=0,
        history=history,
        metrics={"training loss, last fiftieth": f"{history.smooth()[-1]:.3f}"},
        limits="English, one talker near the microphone; loud babble is taken for speech; notebook 00 measures it on real speech.",
    )
    return checkpoints.save(
        "speech_detector", model, {"width": 32, "kernel": 15, "running_mean": True}, card, steps=steps
    )


@torch.inference_mode()
def speech_probability(waveform, model):
    """Probability that somebody speaks, (frames,), for a waveform (time,)."""
    return torch.sigmoid(model(torch.from_numpy(features.log_mel(waveform))[None]))[0].numpy()


def remove_noise(noisy, model):
    """Soft spectral gate whose noise is learnt where the detector hears no speech; waveform (time,) in and out."""
    probability = speech_probability(noisy, model)
    quietest = np.quantile(probability, 0.1)
    return spectral_gate(noisy, probability <= max(quietest, 0.2))
