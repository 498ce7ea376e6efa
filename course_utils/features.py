"""The spectrograms of the course: one log-mel for every model that speaks or listens, one STFT for enhancement.

Everything here is batched and differentiable torch. Numpy in gives numpy out, a tensor in gives a tensor
out, and leading batch axes are kept. A streaming class gives the same frames as the function of its name.

The log-mel has the settings of SpeechT5 (transformers' `SpeechT5FeatureExtractor`), so that SpeechT5's
vocoder and the course's own can be exchanged. Only torch and numpy are needed, so that training runs on a
machine that has nothing else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F

Array = TypeVar("Array", np.ndarray, torch.Tensor)

SAMPLE_RATE = 16000
N_FFT = 1024
"""Window of the log-mel in samples: 64 ms."""
HOP_LENGTH = 256
"""Step between frames in samples, the same for log-mel and STFT: 16 ms."""
N_MELS = 80
F_MIN, F_MAX = 80.0, 7600.0
LOG_FLOOR = 1e-10
STFT_N_FFT = 512
"""Window of the enhancement STFT in samples: 32 ms, half overlapped."""


def _as_tensor(values: Array) -> tuple[torch.Tensor, bool]:
    is_numpy = not isinstance(values, torch.Tensor)
    tensor = torch.as_tensor(np.ascontiguousarray(values)) if is_numpy else values
    return (tensor.float() if not tensor.is_complex() else tensor), is_numpy


def _like(tensor: torch.Tensor, is_numpy: bool) -> Array:
    return tensor.numpy() if is_numpy else tensor


# --- windows and filters -------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _window(kind: str, n_fft: int, device: torch.device) -> torch.Tensor:
    hann = torch.hann_window(n_fft, device=device)
    # The square root on both sides multiplies to a Hann window, whose half-overlapped copies add up to 1:
    # an unchanged spectrum comes back as the unchanged signal.
    return hann.sqrt() if kind == "sqrt_hann" else hann


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear below 1000 Hz, logarithmic above."""
    hz = np.asarray(hz, dtype=np.float64)
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1000) / 1000) * 27 / np.log(6.4))


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    mel = np.asarray(mel, dtype=np.float64)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((np.maximum(mel, 15) - 15) * np.log(6.4) / 27))


@lru_cache(maxsize=8)
def _mel_filters(n_fft: int, n_mels: int, f_min: float, f_max: float) -> torch.Tensor:
    bins = np.linspace(0, SAMPLE_RATE / 2, n_fft // 2 + 1)
    edges = mel_to_hz(np.linspace(hz_to_mel(f_min), hz_to_mel(f_max), n_mels + 2))
    rising = (bins[None] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins[None]) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    # Slaney's norm: equal area, so that a wide high band does not win over a narrow low one.
    return torch.from_numpy((triangles * 2 / (edges[2:] - edges[:-2])[:, None]).astype(np.float32))


def mel_filterbank(
    n_fft: int = N_FFT, n_mels: int = N_MELS, f_min: float = F_MIN, f_max: float = F_MAX
) -> np.ndarray:
    """Triangular filters (n_mels, n_fft // 2 + 1) on Slaney's scale with equal area, as librosa's default."""
    return _mel_filters(n_fft, n_mels, f_min, f_max).numpy().copy()


# --- offline -------------------------------------------------------------------------------------------


def _frames_of(n_samples: int, hop_length: int) -> int:
    return 1 + n_samples // hop_length


def _centre(waveform: torch.Tensor, n_fft: int) -> torch.Tensor:
    """Mirror n_fft / 2 samples at both ends, so that frame t is centred on sample t * hop."""
    half = n_fft // 2
    short = half + 1 - waveform.shape[-1]
    if short > 0:  # too short to mirror: silence first
        waveform = F.pad(waveform, (0, short))
    flat = waveform.reshape(-1, 1, waveform.shape[-1])
    return F.pad(flat, (half, half), mode="reflect").reshape(*waveform.shape[:-1], -1)


def _spectrum(waveform: torch.Tensor, n_fft: int, hop_length: int, kind: str) -> torch.Tensor:
    if waveform.ndim < 1 or waveform.shape[-1] == 0:
        raise ValueError(
            f"expected a waveform of shape (..., time) with samples in it, got {tuple(waveform.shape)}"
        )
    padded = _centre(waveform, n_fft)
    frames = padded.unfold(-1, n_fft, hop_length)[..., : _frames_of(waveform.shape[-1], hop_length), :]
    return torch.fft.rfft(frames * _window(kind, n_fft, waveform.device))


def stft(waveform: Array, n_fft: int = STFT_N_FFT, hop_length: int = HOP_LENGTH) -> Array:
    """Short-time Fourier transform with a square-root Hann window, centred.

    Args:
        waveform: (..., time) at 16 kHz.
        n_fft: window length in samples.
        hop_length: step in samples.

    Returns:
        complex (..., frames, n_fft // 2 + 1) with frames = 1 + time // hop_length.
    """
    tensor, is_numpy = _as_tensor(waveform)
    return _like(_spectrum(tensor, n_fft, hop_length, "sqrt_hann"), is_numpy)


def istft(spectrum: Array, length: int | None = None, hop_length: int = HOP_LENGTH) -> Array:
    """Inverse of `stft` by weighted overlap-add (Griffin and Lim, 1984, eq. 6).

    Args:
        spectrum: complex (..., frames, bins), changed or not.
        length: wanted number of samples; None gives (frames - 1) * hop_length.

    Returns:
        waveform (..., time).
    """
    tensor, is_numpy = _as_tensor(spectrum)
    n_frames, n_fft = tensor.shape[-2], 2 * (tensor.shape[-1] - 1)
    window = _window("sqrt_hann", n_fft, tensor.device)
    frames = torch.fft.irfft(tensor, n=n_fft) * window
    total = n_fft + (n_frames - 1) * hop_length
    batch = frames.reshape(-1, n_frames, n_fft).transpose(1, 2)
    weights = (window**2)[None, :, None].expand(1, -1, n_frames)
    added, weight = (
        F.fold(x, (1, total), (1, n_fft), stride=(1, hop_length))[:, 0, 0] for x in (batch, weights)
    )
    waveform = (added / weight.clamp(min=1e-8))[:, n_fft // 2 :]
    length = (n_frames - 1) * hop_length if length is None else length
    waveform = F.pad(waveform, (0, max(0, length - waveform.shape[-1])))[:, :length]
    return _like(waveform.reshape(*tensor.shape[:-2], length), is_numpy)


def log_mel(waveform: Array) -> Array:
    """The one spectrogram of the course: log10 of 80 mel bands, 64 ms windows every 16 ms.

    Args:
        waveform: (..., time) at 16 kHz.

    Returns:
        (..., frames, 80) with frames = 1 + time // 256; magnitude, not power; floor -10.
    """
    tensor, is_numpy = _as_tensor(waveform)
    return _like(_log_mel_of(_spectrum(tensor, N_FFT, HOP_LENGTH, "hann")), is_numpy)


def _log_mel_of(spectrum: torch.Tensor) -> torch.Tensor:
    filters = _mel_filters(N_FFT, N_MELS, F_MIN, F_MAX).to(spectrum.device)
    return (spectrum.abs() @ filters.T).clamp(min=LOG_FLOOR).log10()


def griffin_lim(log_mel: Array, iterations: int = 32, length: int | None = None, seed: int = 0) -> np.ndarray:
    """A waveform whose log-mel is near `log_mel` (frames, 80): the vocoder that needs no training.

    The mel bands are spread over the bins by the pseudo-inverse; the phases are guessed and improved by
    librosa's fast Griffin-Lim (Perraudin, Balazs, Sondergaard, 2013). Expect a metallic sound.
    """
    import librosa

    log_mel = np.asarray(log_mel, dtype=np.float32)
    magnitude = np.maximum(0, 10**log_mel @ np.linalg.pinv(mel_filterbank()).T)
    return librosa.griffinlim(
        magnitude.T, n_iter=iterations, hop_length=HOP_LENGTH, n_fft=N_FFT, length=length, random_state=seed
    ).astype(np.float32)


# --- streaming -----------------------------------------------------------------------------------------


class StreamingSTFT:
    """`stft` for a stream: every frame comes out as soon as its last sample is in.

    The first frame waits for n_fft / 2 + 1 samples, because the beginning is mirrored.
    """

    _kind = "sqrt_hann"

    def __init__(self, n_fft: int = STFT_N_FFT, hop_length: int = HOP_LENGTH):
        self.n_fft, self.hop_length = n_fft, hop_length
        self._half = n_fft // 2
        self._samples = torch.zeros(0)  # waiting; starts with the mirrored beginning once `_seen` allows
        self._recent = torch.zeros(0)  # the last n_fft / 2 + 1 samples, to mirror the end
        self._seen = 0
        self._emitted = 0

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Take a waveform chunk (time,) of any length, return the new frames (frames, features)."""
        return self._out(self._push(torch.as_tensor(np.asarray(chunk, dtype=np.float32)))).numpy()

    def _push(self, chunk: torch.Tensor) -> torch.Tensor:
        before, self._seen = self._seen, self._seen + len(chunk)
        self._samples = torch.cat([self._samples, chunk])
        self._recent = torch.cat([self._recent, chunk])[-self._half - 1 :]
        if before <= self._half < self._seen:
            self._samples = torch.cat([self._samples[1 : self._half + 1].flip(0), self._samples])
        return self._take(None) if self._seen > self._half else self._samples.new_zeros(0, self.n_fft)

    def _take(self, most: int | None) -> torch.Tensor:
        count = max(0, 1 + (len(self._samples) - self.n_fft) // self.hop_length)
        count = count if most is None else min(count, most)
        if count == 0:
            return self._samples.new_zeros(0, self.n_fft)
        frames = self._samples.unfold(0, self.n_fft, self.hop_length)[:count].clone()
        self._samples = self._samples[count * self.hop_length :]
        self._emitted += count
        return frames

    def finish(self) -> np.ndarray:
        """Mirror the end and return the last frames. Nothing was pushed: no frames."""
        if self._seen == 0:
            return self._out(self._samples.new_zeros(0, self.n_fft)).numpy()
        if self._seen <= self._half:  # never started: short enough to be done at once
            padded = _centre(self._samples, self.n_fft)
        else:
            padded = torch.cat([self._samples, self._recent[:-1].flip(0)])
        self._samples = padded
        return self._out(self._take(_frames_of(self._seen, self.hop_length) - self._emitted)).numpy()

    def _out(self, frames: torch.Tensor) -> torch.Tensor:
        if len(frames) == 0:  # the FFT library refuses an empty batch
            return torch.zeros(0, self.n_fft // 2 + 1, dtype=torch.complex64)
        return torch.fft.rfft(frames * _window(self._kind, self.n_fft, frames.device))


class StreamingLogMel(StreamingSTFT):
    """`log_mel` for a stream."""

    _kind = "hann"

    def __init__(self):
        super().__init__(N_FFT, HOP_LENGTH)

    def _out(self, frames: torch.Tensor) -> torch.Tensor:
        return _log_mel_of(super()._out(frames))


class StreamingISTFT:
    """`istft` for a stream: a sample comes out once no later frame can change it."""

    def __init__(self, n_fft: int = STFT_N_FFT, hop_length: int = HOP_LENGTH):
        self.n_fft, self.hop_length = n_fft, hop_length
        self._window = _window("sqrt_hann", n_fft, torch.device("cpu")).numpy()
        self._added = np.zeros(n_fft, dtype=np.float32)
        self._weight = np.zeros(n_fft, dtype=np.float32)
        self._skip = n_fft // 2  # the mirrored beginning
        self._sent = 0

    def push(self, frames: np.ndarray) -> np.ndarray:
        """Take complex frames (frames, bins), return the samples (time,) that are now final."""
        done = []
        for frame in np.fft.irfft(np.asarray(frames).reshape(-1, self.n_fft // 2 + 1), n=self.n_fft, axis=-1):
            self._added += (frame * self._window).astype(np.float32)
            self._weight += self._window**2
            done.append(self._pop(self.hop_length))
        return np.concatenate(done) if done else np.zeros(0, dtype=np.float32)

    def _pop(self, count: int) -> np.ndarray:
        samples = self._added[:count] / np.maximum(self._weight[:count], 1e-8)
        self._added = np.append(self._added[count:], np.zeros(count, dtype=np.float32))
        self._weight = np.append(self._weight[count:], np.zeros(count, dtype=np.float32))
        skip, self._skip = min(self._skip, count), self._skip - min(self._skip, count)
        self._sent += count - skip
        return samples[skip:]

    def finish(self, length: int | None = None) -> np.ndarray:
        """Return the tail; with `length`, so much of it that all samples together are `length`."""
        rest = self._pop(self.n_fft)
        if length is None:
            return rest[: max(0, len(rest) - self.n_fft // 2)]
        missing = length - (self._sent - len(rest))
        return np.append(rest, np.zeros(max(0, missing - len(rest)), dtype=np.float32))[: max(0, missing)]
