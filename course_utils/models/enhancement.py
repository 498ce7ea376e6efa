# Written from notebooks/01_speech_enhancement.ipynb by `course export`: edit the notebook, not this file.
"""A noise remover that runs in real time: recurrent gain, dual-path network, stream; built in notebook 01."""

__all__ = ['BINS', 'POWER', 'checked', 'WaveformAutoencoder', 'erb', 'band_matrix', 'BandGRU', 'denoise', 'enhance_whole',
           'EnhancerConfig', 'compress', 'BandConv', 'DualPathBlock', 'DualPathNetwork', 'DualPathEnhancer',
           'EnhancerStream']


from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import features
from course_utils.waveform import check


def checked(waveform: np.ndarray) -> torch.Tensor:
    """The waveform (time,) as a float32 tensor; AudioError says what is wrong with it otherwise."""
    return torch.tensor(check(waveform))


class WaveformAutoencoder(nn.Module):
    """Four convolutions over samples, the model most tutorials stop at: noisy (B, time) -> clean (B, time)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 64, 3, padding=1), nn.ReLU(), nn.Conv1d(64, 128, 3, padding=1), nn.ReLU(),
            nn.ConvTranspose1d(128, 64, 3, padding=1), nn.ReLU(), nn.ConvTranspose1d(64, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """(B, time) -> (B, time)."""
        return self.layers(noisy[:, None])[:, 0]

    @torch.inference_mode()
    def enhance(self, waveform: np.ndarray) -> np.ndarray:
        """waveform (time,) -> (time,)."""
        return self.eval()(checked(waveform)[None])[0].numpy()


BINS = features.STFT_N_FFT // 2 + 1  # 257


def erb(hz: np.ndarray) -> np.ndarray:
    """Place on the ERB scale, one step for each auditory filter (Glasberg and Moore, 1990, eq. 4)."""
    return 21.4 * np.log10(1 + 0.00437 * hz)


def band_matrix(bands: int = 32) -> torch.Tensor:
    """Triangles (257, bands), equally spaced in ERB, that add up to 1 in every bin."""
    place = erb(np.linspace(0, features.SAMPLE_RATE / 2, BINS))
    centre = np.linspace(0, place[-1], bands)
    return torch.from_numpy(np.maximum(0, 1 - np.abs(place[:, None] - centre) / centre[1])).float()


class BandGRU(nn.Module):
    """A gain between 0 and 1 for each band and frame from what was heard so far; the idea of RNNoise (Valin, 2018)."""

    def __init__(self, bands: int = 32, width: int = 80):
        super().__init__()
        self.register_buffer("matrix", band_matrix(bands), persistent=False)
        self.dense = nn.Linear(bands, 96)
        self.gru = nn.GRU(96, width, batch_first=True)
        self.gain = nn.Linear(width, bands)

    def gains(self, power: torch.Tensor, state: torch.Tensor | None = None):
        """Power of the bins (B, T, 257) and state (1, B, width) -> gains (B, T, 257) and the next state."""
        energy = power @ self.matrix / self.matrix.sum(0)  # (B, T, bands)
        x, state = self.gru(torch.tanh(self.dense(torch.log10(energy + 1e-6) / 3)), state)
        return torch.sigmoid(self.gain(x)) @ self.matrix.T, state

    def forward(self, spectrum: torch.Tensor, state: torch.Tensor | None = None):
        """Complex spectrum (B, T, 257) and state (1, B, width) -> both, enhanced and one call later."""
        gains, state = self.gains(spectrum.abs().square(), state)
        return spectrum * gains, state

    def enhance(self, waveform: np.ndarray) -> np.ndarray:
        """waveform (time,) -> (time,)."""
        return enhance_whole(self, waveform)


def denoise(model: nn.Module, noisy: torch.Tensor) -> torch.Tensor:
    """Through the STFT, a model of spectra, and back: (B, time) -> (B, time)."""
    spectrum, _ = model(features.stft(noisy))
    return features.istft(spectrum, length=noisy.shape[-1])


@torch.inference_mode()
def enhance_whole(model: nn.Module, waveform: np.ndarray) -> np.ndarray:
    """waveform (time,) -> (time,), all of it at once: simple, and in need of memory for all of it."""
    noisy = checked(waveform)
    return denoise(model.eval(), noisy[None])[0].numpy() if len(noisy) else noisy.numpy()


@dataclass
class EnhancerConfig:
    """Sizes of the model."""

    channels: int = 32  # per frequency in the encoder
    bands: int = 32  # frequencies of the dual path
    width: int = 32  # per frequency of the dual path
    blocks: int = 2
    heads: int = 4
    gain_bands: int = 32  # of the recurrent gain that comes first
    gain_width: int = 64


POWER = 0.3


def compress(spectrum: torch.Tensor) -> torch.Tensor:
    """Complex spectrum with magnitudes to the power of 0.3, phases kept: soft sounds count, as for the ear."""
    return spectrum * (spectrum.abs() + 1e-5) ** (POWER - 1)


class BandConv(nn.Module):
    """Two convolutions along frequency with a shortcut: (N, channels, bands) -> the same. Time is left alone."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm1d(channels)
        self.norm2 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, bands) -> the same shape."""
        y = F.silu(self.norm1(self.conv1(x)))
        return F.silu(self.norm2(x + self.conv2(y)))


class DualPathBlock(nn.Module):
    """A GRU along time in each band, then attention along the bands in each frame; both added to what came in."""

    def __init__(self, config: EnhancerConfig):
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.gru = nn.GRU(d, d, batch_first=True)
        self.mix = nn.Linear(d, d)
        self.place = nn.Parameter(0.02 * torch.randn(config.bands, d))  # tells the bands apart
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d)

    def forward(self, x: torch.Tensor, state: torch.Tensor | None = None):
        """x (B, T, bands, D) and state (1, B * bands, D) -> both."""
        b, t, f, d = x.shape
        y = self.norm1(x).transpose(1, 2).reshape(b * f, t, d)  # every band is a sequence of its own
        y, state = self.gru(y, state)
        x = x + self.mix(y).view(b, f, t, d).transpose(1, 2)
        y = self.norm2(x) + self.place
        q, k, v = self.qkv(y).view(b * t, f, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).reshape(b, t, f, d)), state


class DualPathNetwork(nn.Module):
    """From what is heard to a mask, in real numbers; causal, in the family of GTCRN and FastEnhancer."""

    def __init__(self, config: EnhancerConfig):
        super().__init__()
        c, d = config.channels, config.width
        self.config = config
        self.encode = nn.Conv1d(3, c, 8, stride=4, padding=2)  # 256 bins -> 64
        self.deepen = nn.Sequential(BandConv(c), BandConv(c))
        self.to_bands = nn.Linear(64, config.bands, bias=False)
        self.to_width = nn.Linear(c, d)
        self.blocks = nn.ModuleList(DualPathBlock(config) for _ in range(config.blocks))
        self.from_width = nn.Linear(d, c)
        self.from_bands = nn.Linear(config.bands, 64, bias=False)
        self.join = nn.Conv1d(2 * c, c, 1)
        self.shallow = nn.Sequential(BandConv(c), BandConv(c))
        self.decode = nn.ConvTranspose1d(c, 2, 8, stride=4, padding=2)  # 64 -> 256 bins

    def mask(self, x: torch.Tensor, state: torch.Tensor | None = None):
        """Features (B, T, 256, 3) of the bins, state (blocks, 1, B * bands, D) -> parts of the mask, state."""
        b, t, _, _ = x.shape
        skip = self.deepen(F.silu(self.encode(x.flatten(0, 1).transpose(1, 2))))  # (B * T, C, 64)
        x = self.to_width(self.to_bands(skip).transpose(1, 2)).view(b, t, self.config.bands, -1)
        states = []
        for i, block in enumerate(self.blocks):
            x, new = block(x, None if state is None else state[i])
            states.append(new)
        x = self.from_bands(self.from_width(x.flatten(0, 1)).transpose(1, 2))
        x = self.shallow(F.silu(self.join(torch.cat([x, skip], 1))))
        return self.decode(x).transpose(1, 2).unflatten(0, (b, t)).float(), torch.stack(states)


class DualPathEnhancer(DualPathNetwork):
    """Removes noise from speech, frame by frame: a complex mask on the spectrum."""

    delay_samples = features.STFT_N_FFT  # 32 ms: a sample is final when both frames that hold it are known

    def __init__(self, config: EnhancerConfig):
        super().__init__(config)
        self.rough = BandGRU(config.gain_bands, config.gain_width)
        nn.init.zeros_(self.decode.weight)  # it begins as the gain alone
        nn.init.zeros_(self.decode.bias)

    @classmethod
    def from_config(cls, config: dict) -> "DualPathEnhancer":
        """Build the model of a checkpoint's config.json."""
        return cls(EnhancerConfig(**config))

    def masks(self, parts: torch.Tensor, state: tuple | None = None):
        """Real and imaginary parts of the bins (B, T, 257, 2), state -> those of the mask, and the next state."""
        rough_state, state = (None, None) if state is None else state
        power = parts.square().sum(-1)
        gains, rough_state = self.rough.gains(power, rough_state)
        magnitude = power[..., 1:, None].clamp_min(1e-12).sqrt()
        heard = gains[..., 1:, None] * parts[..., 1:, :] * (magnitude + 1e-5) ** (POWER - 1)
        loudness = torch.log10(magnitude + 1e-4) / 2 + 0.5
        mask, state = self.mask(torch.cat([heard, loudness], -1), state)
        # The lowest bin holds no speech, and 256 divides well: it has its gain and no more.
        correction = F.pad(mask, (0, 0, 1, 0))
        return correction + torch.stack([gains, torch.zeros_like(gains)], -1), (rough_state, state)

    def forward(self, spectrum: torch.Tensor, state: tuple | None = None):
        """Complex spectrum (B, T, 257) and state (None at the beginning) -> both, enhanced and T frames later."""
        mask, state = self.masks(torch.view_as_real(spectrum), state)
        return spectrum * torch.view_as_complex(mask.contiguous()), state

    def stream(self) -> "EnhancerStream":
        """A stream with `push(chunk) -> samples that are ready` and `finish() -> the rest`."""
        return EnhancerStream(self)

    def enhance(self, waveform: np.ndarray) -> np.ndarray:
        """waveform (time,) of any length -> the same without noise, in step with it and as long."""
        stream = self.stream()
        return np.concatenate([stream.push(waveform), stream.finish()])


class EnhancerStream:
    """A model of spectra fed with chunks of any size; all that comes out is what the whole would give."""

    BLOCK = 10 * features.SAMPLE_RATE  # computed at once at most, so that an hour needs no more than 10 s

    def __init__(self, model: nn.Module):
        self.model, self.state = model.eval(), None
        self.begin()

    def begin(self) -> None:
        """Nothing has been heard yet."""
        self.analysis, self.synthesis = features.StreamingSTFT(), features.StreamingISTFT()
        self.samples, self.finished = 0, False

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Take a chunk (time,), also an empty one; returns the samples (time,) that are ready."""
        if self.finished:
            raise RuntimeError("this stream is finished; begin another one with model.stream()")
        chunk = checked(chunk).numpy()
        self.samples += len(chunk)
        parts = [chunk[i : i + self.BLOCK] for i in range(0, len(chunk), self.BLOCK)]
        ready = [self.synthesis.push(self.step(self.analysis.push(part))) for part in parts]
        return np.concatenate([np.zeros(0, np.float32), *ready])

    @torch.inference_mode()
    def step(self, frames: np.ndarray) -> np.ndarray:
        """Enhance complex frames (T, 257), the next ones of the stream."""
        if len(frames) == 0:
            return frames
        device = next(self.model.parameters()).device
        spectrum, self.state = self.model(torch.from_numpy(frames)[None].to(device), self.state)
        return spectrum[0].cpu().numpy()

    def finish(self) -> np.ndarray:
        """The rest (time,): as many samples have come out now as went in."""
        self.finished = True
        rest = self.synthesis.push(self.step(self.analysis.finish()))
        return np.concatenate([rest, self.synthesis.finish(self.samples)])
