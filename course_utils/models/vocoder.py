# Written from notebooks/04_multispeaker_tts.ipynb by `course export`: edit the notebook, not this file.
"""A vocoder: log-mel to waveform; built in notebook 04."""

__all__ = ['VocoderConfig', 'overlap_add', 'envelope_of_mel', 'Spectra', 'Vocoder']


import math
from dataclasses import dataclass
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from course_utils import features


from course_utils.synthesis.convnext import ConvNeXt, Convolution
from course_utils.synthesis.pulses import PitchReader, clock, doubled, pulses
from course_utils.synthesis.vocoder_stream import VocoderStream, checked


@dataclass
class VocoderConfig:
    """Sizes of the vocoder; kernels are in frames, of which `ahead` lie in the future."""

    dim: int = 192
    hidden: int = 352
    slow_blocks: int = 3  # at the rate of the log-mel, 16 ms
    fast_blocks: int = 5  # at twice that rate, 8 ms
    kernel: int = 9
    ahead: int = 1
    first_kernel: int = 7
    first_ahead: int = 2
    gates: int = 17  # frequencies, evenly from 0 to 8 kHz, at which the share of the pulses is said
    n_fft: int = 512  # of the inverse transform: windows of 32 ms,
    hop_length: int = 128  # every 8 ms

    @property
    def look_ahead(self) -> int:
        """Frames of the log-mel after frame t that can change the samples 256 t to 256 (t + 1)."""
        fast = 3 + self.fast_blocks * self.ahead  # the last sample is in the window of fast frame 2 t + 3
        return max(fast // 2 + self.slow_blocks * self.ahead + self.first_ahead, 2 + PitchReader.AHEAD)

    @property
    def look_back(self) -> int:
        """Frames before frame t that can change them."""
        past = self.kernel - 1 - self.ahead
        fast = 1 + self.fast_blocks * past  # the first sample is in the window of fast frame 2 t - 1
        frames = (fast + 1) // 2 + self.slow_blocks * past + self.first_kernel - 1 - self.first_ahead
        return max(frames, 1 + PitchReader.BEHIND)


def overlap_add(frames: torch.Tensor, hop_length: int) -> torch.Tensor:
    """Frames (B, n, width), the width a multiple of the hop -> (B, (n - 1) * hop + width)."""
    batch, n, width = frames.shape
    k = width // hop_length
    parts = frames.reshape(batch, n, k, hop_length)
    return sum(F.pad(parts[:, :, i], (0, 0, i, k - 1 - i)) for i in range(k)).reshape(batch, -1)


def envelope_of_mel(bins: int) -> torch.Tensor:
    """(bins, 80): the log-mel read between the centres of its bands, natural logarithm; a first guess of magnitudes."""
    low, high = (features.hz_to_mel(hz) for hz in (features.F_MIN, features.F_MAX))
    at = (features.hz_to_mel(np.linspace(0, 8000, bins)) - low) / (high - low) * (features.N_MELS + 1) - 1
    at = np.clip(at, 0, features.N_MELS - 1)
    between = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(features.N_MELS)))
    return torch.from_numpy(between * math.log(10)).float()


class Spectra(nn.Module):
    """Log-mel -> magnitude, phase, and the pulses. Nothing is normalised over time: a stream gives what the whole gives."""

    def __init__(self, config: VocoderConfig | None = None):
        super().__init__()
        self.config = config = config or VocoderConfig()
        d, bins = config.dim, config.n_fft // 2 + 1
        self.first = Convolution(features.N_MELS, d, config.first_kernel, config.first_ahead)
        self.first_norm, self.last_norm = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        blocks, c = config.slow_blocks + config.fast_blocks, config
        blocks = [ConvNeXt(d, c.hidden, c.kernel, c.ahead, scale=1 / blocks) for _ in range(blocks)]
        self.slow, self.fast = (nn.ModuleList(b) for b in (blocks[: c.slow_blocks], blocks[c.slow_blocks :]))
        self.split, self.head = nn.Linear(d, 2 * d), nn.Linear(d, 2 * bins)
        self.envelope, self.gate = nn.Linear(features.N_MELS, bins), nn.Linear(d, config.gates)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.trunc_normal_(module.weight, std=0.02), nn.init.zeros_(module.bias)
        self.envelope.weight.data.copy_(envelope_of_mel(bins))
        self.envelope.bias.data.fill_(0.95 * math.log(10))
        self.gate.bias.data.copy_(torch.linspace(3, -2, config.gates))  # at first: pulses below 4 kHz
        apart = torch.linspace(0, config.gates - 1, bins) - torch.arange(config.gates)[:, None]
        self.register_buffer("between", (1 - apart.abs()).clamp(min=0), persistent=False)
        self.pitch = PitchReader().double().requires_grad_(False)

    def forward(self, log_mel: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """log_mel (B, frames, 80) -> log-magnitude, phase, share of the pulses (B, 2 frames, bins); F0 (B, 2 frames)."""
        log_mel = log_mel.clamp(min=-6)
        hz, voiced = (doubled(read).float() for read in self.pitch.read(log_mel))
        x = self.first_norm(self.first((log_mel + 2.5).transpose(1, 2)).transpose(1, 2))
        for block in self.slow:
            x = block(x)
        x = self.split(x).reshape(len(x), -1, self.config.dim)  # each frame becomes two
        for block in self.fast:
            x = block(x)
        correction, phase = self.head(x := self.last_norm(x)).chunk(2, -1)
        share = voiced[..., None] * (self.gate(x) @ self.between).sigmoid()
        return self.envelope(doubled(log_mel)) + correction, phase, share, hz


class Vocoder(nn.Module):
    """Log-mel -> waveform: magnitudes and phases by a network, samples by one inverse Fourier transform."""

    def __init__(self, config: VocoderConfig | None = None):
        super().__init__()
        self.config = config = config or VocoderConfig()
        self.spectra = Spectra(config)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        # With signs that alternate, phase 0 is a pulse in the middle of the window.
        self.register_buffer("signs", (-1.0) ** torch.arange(config.n_fft // 2 + 1), persistent=False)

    @classmethod
    def from_config(cls, config: dict) -> "Vocoder":
        """The untrained model that the configuration of a checkpoint describes."""
        return cls(VocoderConfig(**config))

    def forward(self, log_mel, length: int | None = None):
        """log_mel (B, frames, 80) -> (B, length), by default (frames - 1) * 256; an array (frames, 80) -> array (length,)."""
        return self.follow(log_mel, length)[0]

    def follow(self, log_mel, length: int | None = None, at: int = 0, ticks: int = 0):
        """The same, and the clock of the pulses in each frame, (B, frames) or (frames,), if it is `ticks` in frame `at`."""
        if isinstance(log_mel, np.ndarray):
            with torch.inference_mode():
                given = torch.from_numpy(checked(log_mel))[None].to(self.window.device)
                return tuple(x[0].cpu().numpy() for x in self.follow(given, length, at, ticks))
        n_fft, hop_length = self.config.n_fft, self.config.hop_length
        log_magnitude, phase, share, hz = (part.float() for part in self.spectra(log_mel))
        since = clock(hz, hop_length, 2 * at, ticks)
        pulse = torch.complex(*pulses(since, hz, len(self.signs), hop_length))
        spectrum = torch.polar(log_magnitude.clamp(max=5.5).exp(), phase) * (1 - share + share * pulse)
        frames = torch.fft.irfft(spectrum * self.signs, n=n_fft)
        waveform = overlap_add(frames * self.window, hop_length)
        weight = overlap_add((self.window**2).expand(1, frames.shape[1], -1), hop_length)
        waveform = (waveform / weight.clamp(min=0.1))[:, n_fft // 2 :]
        length = (log_mel.shape[1] - 1) * features.HOP_LENGTH if length is None else length
        return F.pad(waveform, (0, max(0, length - waveform.shape[1])))[:, :length], since[:, ::2]

    def stream(self) -> "VocoderStream":
        """A stream: `push(log_mel)` and `finish()` give the samples that are certain by then."""
        return VocoderStream(self)
