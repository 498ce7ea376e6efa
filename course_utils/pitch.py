"""Fundamental frequency by YIN, many clips at once and on any device; checked against librosa."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from course_utils import features
from course_utils.paths import SAMPLE_RATE

WINDOW = features.N_FFT
LAGS = (32, 288)
"""Periods that are looked for, in samples: 500 Hz down to 56 Hz."""
PERIODIC, VOICED, QUIET = 0.15, 0.45, 1e-4
"""A dip below `PERIODIC` is taken at once; above `VOICED`, or 40 dB below the loudest frame, there is no pitch."""


def f0(clips: np.ndarray | torch.Tensor, quiet: float | None = None) -> np.ndarray | torch.Tensor:
    """F0 in Hz of each frame of the log-mel, 0 where unvoiced: (..., time) at 16 kHz -> (..., 1 + time // 256).

    A frame whose mean power is below `quiet` has none; by default 40 dB below the loudest frame. A stream, which does
    not know the loudest frame yet, names a level.

    YIN (de Cheveigne and Kawahara, 2002, eq. 6 to 8): how little a signal differs from itself one period later, relative
    to the mean of all shorter lags; the first clear dip is the period, and a parabola through it gives its place.

    Raises:
        ValueError: empty, or not finite.
    """
    if not isinstance(clips, torch.Tensor):
        return f0(torch.from_numpy(np.ascontiguousarray(clips, dtype=np.float32)), quiet).numpy()
    if clips.ndim == 0 or clips.shape[-1] == 0:
        raise ValueError(
            f"expected a waveform of shape (..., time) with samples in it, got {tuple(clips.shape)}"
        )
    if not torch.isfinite(clips).all():
        raise ValueError(
            "the waveform has samples that are not finite numbers; use numpy.nan_to_num if that is expected"
        )
    low, high = LAGS
    width = WINDOW - high
    padded = F.pad(clips.float(), (WINDOW // 2, WINDOW // 2))
    frames = padded.unfold(-1, WINDOW, features.HOP_LENGTH)[
        ..., : 1 + clips.shape[-1] // features.HOP_LENGTH, :
    ]
    frames = frames - frames.mean(-1, keepdim=True)
    spectrum = torch.fft.rfft(frames[..., :width], n=WINDOW).conj() * torch.fft.rfft(frames)
    correlation = torch.fft.irfft(spectrum, n=WINDOW)[..., : high + 1]  # no wrap: width + high = WINDOW
    power = F.pad(frames.double().square().cumsum(-1), (1, 0))
    energy = (power[..., width:] - power[..., : WINDOW - width + 1]).float()  # of the shifted window, by lag
    difference = (energy[..., :1] + energy - 2 * correlation).clamp(min=0)[..., 1:]  # from lag 1
    lags = torch.arange(1, high + 1, device=clips.device)
    difference = difference * lags / difference.cumsum(-1).clamp(min=1e-9)
    before, here, after = (difference[..., low - 2 + k : high - 2 + k] for k in range(3))
    dip = (here <= before) & (here < after)
    clear = dip & (here < PERIODIC)
    lowest = torch.where(dip, here, here + 10).argmin(-1)
    best = torch.where(clear.any(-1), clear.float().argmax(-1), lowest)[..., None]
    a, b, c = (values.gather(-1, best)[..., 0] for values in (before, here, after))
    period = best[..., 0] + low + (0.5 * (a - c) / (a - 2 * b + c).clamp(min=1e-6)).clamp(-0.5, 0.5)
    level = energy[..., 0] / width
    loud = level > (level.amax(-1, keepdim=True) * QUIET if quiet is None else quiet)
    return torch.where((b < VOICED) & loud, SAMPLE_RATE / period, torch.zeros_like(period))
