# Written from notebooks/05_voice_cloning.ipynb by `course export`: edit the notebook, not this file.
"""A speaker encoder: speech to a vector that says who speaks; built in notebook 05."""

__all__ = ['DYNAMIC_RANGE', 'SHORTEST', 'SmallEncoder', 'ge2e_loss', 'SpeakerConfig', 'split_mean', 'StemBlock', 'TimeBlock',
           'statistics', 'AttentivePooling', 'margin_loss', 'pair_loss', 'SpeakerNetwork', 'SpeakerEncoder']


import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import features
from course_utils.waveform import AudioError, AudioWarning, check


class SmallEncoder(nn.Module):
    """The naive network: two convolutions over time, the mean over time, one layer."""

    def __init__(self, dim: int = 128, embedding: int = 64):
        super().__init__()
        self.first = nn.Conv1d(features.N_MELS, dim, 5, padding=2)
        self.second = nn.Conv1d(dim, dim, 5, padding=4, dilation=2)
        self.out = nn.Linear(dim, embedding)

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """log_mel (B, T, 80) -> voices (B, embedding) of length 1."""
        x = (log_mel - log_mel.mean((1, 2), keepdim=True)).transpose(1, 2)
        x = F.relu(self.second(F.relu(self.first(x))))
        return F.normalize(self.out(x.mean(2)), dim=1)


def ge2e_loss(voices: torch.Tensor, scale: float = 10.0) -> torch.Tensor:
    """Generalised end-to-end loss (Wan et al., 2018): (speakers, m, dim) of length 1, m segments of each -> ().

    Each segment is compared with the mean voice of every speaker, with its own without itself.
    """
    n, m, _ = voices.shape
    total = voices.sum(1)  # (speakers, dim)
    others = F.normalize(total[:, None] - voices, dim=2)  # the mean of the other segments of the same speaker
    cosine = voices @ F.normalize(total, dim=1).T  # (speakers, m, speakers)
    own = torch.eye(n, dtype=torch.bool, device=voices.device)[:, None].expand(n, m, n)
    cosine = torch.where(own, (voices * others).sum(2, keepdim=True), cosine)
    return F.cross_entropy(
        scale * cosine.flatten(0, 1), torch.arange(n, device=voices.device).repeat_interleave(m)
    )


@dataclass
class SpeakerConfig:
    """Sizes of the encoder; the defaults are those of the checkpoint."""

    stem: int = 32  # feature maps over (frequency, time)
    dim: int = 160  # features of a frame
    dilations: tuple[int, ...] = (1, 2, 3, 4)  # one block for each: frames between those that it sees
    kernel: int = 7
    expand: int = 2
    squeeze: int = 32
    attention: int = 48
    colour: int = 64  # hidden numbers of the branch that sees the mean spectrum; 0: none
    embedding: int = 192

    def __post_init__(self):
        self.dilations = tuple(self.dilations)


DYNAMIC_RANGE = 3.5  # powers of ten below the loudest point that are kept: 70 dB


def split_mean(log_mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log_mel (B, T, 80) -> what moves, (B, T, 80) with mean 0 in each band; and the mean spectrum (B, 80), mean 0.

    A louder clip moves all numbers by the same step, so both are the same at every level; a microphone moves each band
    by a step of its own, which is in the mean spectrum alone.
    """
    log_mel = log_mel.float()
    log_mel = torch.maximum(log_mel, log_mel.amax((1, 2), keepdim=True) - DYNAMIC_RANGE)
    mean = log_mel.mean(1, keepdim=True)
    return log_mel - mean, (mean - mean.mean(2, keepdim=True))[:, 0]


class StemBlock(nn.Module):
    """Residual 3 x 3 convolutions over (frequency, time) that halve the number of bands (He et al., 2016)."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride=(2, 1), padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, (2, 1), bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, n_in, bands, T) -> (B, n_out, bands / 2, T)."""
        return F.relu(self.body(x) + self.shortcut(x))


class TimeBlock(nn.Module):
    """ConvNeXt block in time (Liu et al., 2022) whose features are weighed by their mean (Hu et al., 2018)."""

    def __init__(self, config: SpeakerConfig, dilation: int):
        super().__init__()
        d, hidden, pad = config.dim, config.dim * config.expand, dilation * (config.kernel // 2)
        self.depthwise = nn.Conv1d(d, d, config.kernel, padding=pad, dilation=dilation, groups=d, bias=False)
        self.norm = nn.BatchNorm1d(d)
        self.widen, self.narrow = nn.Conv1d(d, hidden, 1), nn.Conv1d(hidden, d, 1)
        self.squeeze, self.excite = nn.Linear(d, config.squeeze), nn.Linear(config.squeeze, d)
        self.scale = nn.Parameter(torch.full((d, 1), 0.3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, dim, T) -> (B, dim, T)."""
        y = self.narrow(F.gelu(self.widen(self.norm(self.depthwise(x)))))
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean(2)))))
        return x + self.scale * y * (2 * weight[:, :, None])


def statistics(x: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x (B, dim, T), weights over T that add up to 1 -> mean and standard deviation, (B, dim, 1) each."""
    mean = (x * weight).sum(2, keepdim=True)
    return mean, ((x - mean).square() * weight).sum(2, keepdim=True).clamp(min=1e-5).sqrt()


class AttentivePooling(nn.Module):
    """Attentive statistics pooling (Okabe et al., 2018); the weights know the whole clip (Desplanques et al., 2020)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.hidden, self.score = nn.Conv1d(3 * dim, hidden, 1), nn.Conv1d(hidden, dim, 1)

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """(B, dim, T) -> weights over T for each feature, (B, dim, T)."""
        mean, deviation = statistics(x, torch.full_like(x[:1, :1], 1 / x.shape[2]))
        context = torch.cat([x, mean.expand_as(x), deviation.expand_as(x)], 1)
        return self.score(torch.tanh(self.hidden(context))).float().softmax(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, dim, T) -> mean and deviation of the frames that count, (B, 2 dim)."""
        x = x.float()
        return torch.cat(statistics(x, self.weights(x)), 1).squeeze(2)


def margin_loss(
    voices: torch.Tensor, classes: torch.Tensor, centres: torch.Tensor, margin: float, scale: float = 30.0
):
    """Additive angular margin softmax (Deng et al., 2019): (B, dim), (B,), (speakers, dim) -> (); margin in radians."""
    cosine = voices @ F.normalize(centres, dim=1).T
    own = cosine.gather(1, classes[:, None])
    sine = (1 - own.square()).clamp(min=1e-6).sqrt()
    harder = own * math.cos(margin) - sine * math.sin(margin)
    harder = torch.where(
        own > -math.cos(margin), harder, own - margin * math.sin(margin)
    )  # beyond 180 degrees
    return F.cross_entropy(scale * cosine.scatter(1, classes[:, None], harder), classes)


def pair_loss(voices: torch.Tensor, scale: float = 20.0) -> torch.Tensor:
    """Each segment finds its other half: (2 n, dim), row i and row n + i by one speaker -> ()."""
    first, second = voices.chunk(2)
    logits, own = scale * first @ second.T, torch.arange(len(first), device=voices.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


class SpeakerNetwork(nn.Module):
    """Log-mel to a voice: a stem over (frequency, time), blocks in time, and all frames summed up in one vector."""

    def __init__(self, config: SpeakerConfig | None = None):
        super().__init__()
        self.config = c = config or SpeakerConfig()
        self.stem = nn.Sequential(
            nn.Conv2d(1, c.stem, 3, stride=(2, 1), padding=1, bias=False), nn.BatchNorm2d(c.stem), nn.ReLU(),
            StemBlock(c.stem, c.stem), StemBlock(c.stem, c.stem),
        )  # fmt: skip
        self.enter = nn.Sequential(nn.Conv1d(c.stem * features.N_MELS // 8, c.dim, 1), nn.BatchNorm1d(c.dim))
        self.blocks = nn.ModuleList(TimeBlock(c, dilation) for dilation in c.dilations)
        self.gather = nn.Conv1d(c.dim * len(c.dilations), c.dim, 1)
        self.pool = AttentivePooling(c.dim, c.attention)
        self.pool_norm, self.out = nn.BatchNorm1d(2 * c.dim), nn.Linear(2 * c.dim, c.embedding)
        if c.colour:
            self.colour = nn.Sequential(nn.Linear(features.N_MELS, c.colour), nn.GELU(), nn.Linear(c.colour, c.embedding))  # fmt: skip
            self.trust = nn.Linear(2 * c.dim, 1)  # how much the mean spectrum counts in this clip
            nn.init.zeros_(self.colour[-1].weight), nn.init.zeros_(self.colour[-1].bias)
        self.out_norm = nn.BatchNorm1d(c.embedding)
        for norm in (m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
            norm.momentum = 0.05  # batches differ in length: remember more of them than the usual ten

    def frames(self, moves: torch.Tensor) -> torch.Tensor:
        """Normalised log-mel (B, T, 80) -> features of every frame, (B, dim, T)."""
        x = self.enter(self.stem(moves.transpose(1, 2)[:, None]).flatten(1, 2))
        layers = []
        for block in self.blocks:
            x = block(x)
            layers.append(x)
        return F.relu(self.gather(torch.cat(layers, 1)))

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """log_mel (B, T, 80) -> voices (B, embedding) of length 1."""
        moves, spectrum = split_mean(log_mel)
        pooled = self.pool_norm(self.pool(self.frames(moves)))
        voice = self.out(pooled)
        if self.config.colour:
            voice = voice + torch.sigmoid(self.trust(pooled)) * self.colour(spectrum)
        return F.normalize(self.out_norm(voice).float(), dim=1)


SHORTEST = 0.5  # seconds


class SpeakerEncoder(SpeakerNetwork):
    """Speech to a voice, with all that one needs to use it."""

    @classmethod
    def from_config(cls, config: dict) -> "SpeakerEncoder":
        """The untrained model that the configuration of a checkpoint describes."""
        return cls(SpeakerConfig(**config))

    @torch.inference_mode()
    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """The voice (embedding,) of length 1 in a waveform (time,) at 16 kHz, whatever its level.

        Below one second it is unsure, and an AudioWarning says so. It answers for noise and music, too:
        `course_utils.references` says whether one person speaks.

        Raises:
            AudioError (a ValueError): not mono, not finite, shorter than 0.5 s, or silent.
        """
        samples = check(waveform, min_seconds=SHORTEST)
        if np.abs(samples).max() < 1e-5:
            raise AudioError("the waveform is silent, so there is no voice in it; use another recording")
        if len(samples) < 16000:
            warnings.warn(f"{len(samples) / 16000:.2f} s say little about a voice; 3 s are better", AudioWarning, 2)  # fmt: skip
        training = self.training
        self.eval()
        try:
            log_mel = torch.from_numpy(features.log_mel(samples))[None]
            return self(log_mel.to(self.out.weight.device))[0].cpu().numpy()
        finally:
            self.train(training)
