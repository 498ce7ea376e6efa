# Written from notebooks/04_multispeaker_tts.ipynb by `course export`: edit the notebook, not this file.
"""A vocoder: log-mel to waveform; built in notebook 04."""

__all__ = ['VocoderConfig', 'overlap_add', 'Convolution', 'VocoderBlock', 'envelope_of_mel', 'Spectra', 'Vocoder']


import math
from dataclasses import dataclass
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from course_utils import features


from course_utils.synthesis.vocoder_stream import VocoderStream, checked


@dataclass
class VocoderConfig:
    """Sizes of the vocoder; kernels are in frames, of which `ahead` lie in the future."""

    dim: int = 192
    hidden: int = 384
    slow_blocks: int = 3  # at the rate of the log-mel, 16 ms
    fast_blocks: int = 5  # at twice that rate, 8 ms
    kernel: int = 9
    ahead: int = 1
    first_kernel: int = 7
    first_ahead: int = 2
    n_fft: int = 512  # of the inverse transform: windows of 32 ms,
    hop_length: int = 128  # every 8 ms

    @property
    def look_ahead(self) -> int:
        """Frames of the log-mel after frame t that can change the samples 256 t to 256 (t + 1)."""
        fast = 3 + self.fast_blocks * self.ahead  # the last sample is in the window of fast frame 2 t + 3
        return fast // 2 + self.slow_blocks * self.ahead + self.first_ahead

    @property
    def look_back(self) -> int:
        """Frames before frame t that can change them."""
        past = self.kernel - 1 - self.ahead
        fast = 1 + self.fast_blocks * past  # the first sample is in the window of fast frame 2 t - 1
        return (fast + 1) // 2 + self.slow_blocks * past + self.first_kernel - 1 - self.first_ahead


def overlap_add(frames: torch.Tensor, hop_length: int) -> torch.Tensor:
    """Frames (B, n, width), the width a multiple of the hop -> (B, (n - 1) * hop + width)."""
    batch, n, width = frames.shape
    k = width // hop_length
    parts = frames.reshape(batch, n, k, hop_length)
    return sum(F.pad(parts[:, :, i], (0, 0, i, k - 1 - i)) for i in range(k)).reshape(batch, -1)


class Convolution(nn.Conv1d):
    """Convolution over (B, channels, time) that keeps the length and sees `ahead` frames of the future."""

    def __init__(self, n_in: int, n_out: int, kernel: int, ahead: int, groups: int = 1):
        super().__init__(n_in, n_out, kernel, groups=groups)
        self.pads = (kernel - 1 - ahead, ahead)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, time) -> as long."""
        return super().forward(F.pad(x, self.pads))


class VocoderBlock(nn.Module):
    """ConvNeXt block: mix over time channel by channel, then over channels frame by frame."""

    def __init__(self, config: VocoderConfig):
        super().__init__()
        d = config.dim
        self.conv = Convolution(d, d, config.kernel, config.ahead, groups=d)
        self.norm = nn.LayerNorm(d, eps=1e-6)
        self.up, self.down = nn.Linear(d, config.hidden), nn.Linear(config.hidden, d)
        self.scale = nn.Parameter(torch.full((d,), 1 / (config.slow_blocks + config.fast_blocks)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, time, dim) -> the same shape."""
        y = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return x + self.scale * self.down(F.gelu(self.up(y)))


def envelope_of_mel(bins: int) -> torch.Tensor:
    """(bins, 80): the log-mel read between the centres of its bands, natural logarithm; a first guess of magnitudes."""
    low, high = (features.hz_to_mel(hz) for hz in (features.F_MIN, features.F_MAX))
    at = (features.hz_to_mel(np.linspace(0, 8000, bins)) - low) / (high - low) * (features.N_MELS + 1) - 1
    at = np.clip(at, 0, features.N_MELS - 1)
    between = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(features.N_MELS)))
    return torch.from_numpy(between * math.log(10)).float()


class Spectra(nn.Module):
    """Log-mel -> magnitude and phase. Nothing is normalised over time, so that a stream gives what the whole gives."""

    def __init__(self, config: VocoderConfig | None = None):
        super().__init__()
        self.config = config = config or VocoderConfig()
        d, bins = config.dim, config.n_fft // 2 + 1
        self.first = Convolution(features.N_MELS, d, config.first_kernel, config.first_ahead)
        self.first_norm, self.last_norm = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        self.slow = nn.ModuleList(VocoderBlock(config) for _ in range(config.slow_blocks))
        self.fast = nn.ModuleList(VocoderBlock(config) for _ in range(config.fast_blocks))
        self.split, self.head = nn.Linear(d, 2 * d), nn.Linear(d, 2 * bins)
        self.envelope = nn.Linear(features.N_MELS, bins)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                nn.init.trunc_normal_(module.weight, std=0.02), nn.init.zeros_(module.bias)
        self.envelope.weight.data.copy_(envelope_of_mel(bins))
        self.envelope.bias.data.fill_(0.95 * math.log(10))

    def forward(self, log_mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """log_mel (B, frames, 80) -> log-magnitude and phase, (B, 2 frames, bins) each."""
        log_mel = log_mel.clamp(min=-6)
        x = self.first_norm(self.first((log_mel + 2.5).transpose(1, 2)).transpose(1, 2))
        for block in self.slow:
            x = block(x)
        x = self.split(x).reshape(len(x), -1, self.config.dim)  # each frame becomes two
        for block in self.fast:
            x = block(x)
        correction, phase = self.head(self.last_norm(x)).chunk(2, -1)
        next_one = torch.cat([log_mel[:, 1:], log_mel[:, -1:]], 1)
        doubled = torch.stack([log_mel, (log_mel + next_one) / 2], 2).flatten(1, 2)
        return self.envelope(doubled) + correction, phase


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
        if isinstance(log_mel, np.ndarray):
            with torch.inference_mode():
                return self(torch.from_numpy(checked(log_mel))[None].to(self.window.device), length)[0].cpu().numpy()  # fmt: skip
        n_fft, hop_length = self.config.n_fft, self.config.hop_length
        log_magnitude, phase = (part.float() for part in self.spectra(log_mel))
        magnitude = log_magnitude.clamp(max=5.5).exp() * self.signs
        real, imaginary = magnitude * phase.cos(), magnitude * phase.sin()
        imaginary = F.pad(imaginary[..., 1:-1], (1, 1))  # a real signal's lowest and highest bin have none
        frames = torch.fft.irfft(torch.complex(real, imaginary), n=n_fft)
        waveform = overlap_add(frames * self.window, hop_length)
        weight = overlap_add((self.window**2).expand(1, frames.shape[1], -1), hop_length)
        waveform = (waveform / weight.clamp(min=0.1))[:, n_fft // 2 :]
        length = (log_mel.shape[1] - 1) * features.HOP_LENGTH if length is None else length
        return F.pad(waveform, (0, max(0, length - waveform.shape[1])))[:, :length]

    def stream(self) -> "VocoderStream":
        """A stream: `push(log_mel)` and `finish()` give the samples that are certain by then."""
        return VocoderStream(self)
