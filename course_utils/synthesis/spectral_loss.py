"""What the vocoder of notebook 04 learns from: two sounds compared in spectra of four window lengths."""

from __future__ import annotations

import numpy as np
import torch

from course_utils import features

WINDOWS = {256: 32, 512: 64, 1024: 80, 2048: 128}  # samples in a window, and mel bands it is summed up in


def spectrum(waveform: torch.Tensor, n_fft: int) -> torch.Tensor:
    """(B, time) -> complex (B, frames, n_fft // 2 + 1), a Hann window every quarter of its length."""
    window = torch.hann_window(n_fft, device=waveform.device)
    return torch.stft(waveform, n_fft, n_fft // 4, window=window, return_complex=True).transpose(1, 2)


def bands_of(n_fft: int) -> torch.Tensor:
    """(n_fft // 2 + 1, bands): each column a mel band that means over its bins, narrow ones at low frequencies."""
    filters = features.mel_filterbank(n_fft, WINDOWS[n_fft], 20.0, 8000.0).T
    return torch.from_numpy(filters / np.maximum(filters.sum(0), 1e-8))


def turning(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Spectra (B, frames, bins), weight (B, frames - 1, bins) -> 0 where both turn by the same angle per frame, to 2."""
    a, b = (x[:, 1:] * x[:, :-1].conj() for x in (a, b))  # its angle is by how much the phase turned
    a, b = (x / (x.real**2 + x.imag**2 + 1e-6).sqrt() for x in (a, b))
    apart = (a.real - b.real) ** 2 + (a.imag - b.imag) ** 2
    return (weight * apart).sum() / weight.sum() / 2


def spectral_loss(made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Two waveforms (B, time) -> one number, 0 for equal sounds; the mean over four lengths of window.

    Short windows hear when something happens, long ones which pitch it has. Logarithms of bins and bands count quiet
    parts, too; loudness (power ** 0.23; Zwicker and Fastl, 1999) the parts that are heard most; `turning` the exact
    frequency. Bands are narrow where the ear is exact, so that low frequencies count more.
    """
    total = 0
    for n_fft in WINDOWS:
        bands = bands_of(n_fft).to(made.device)
        a, b = spectrum(made.float(), n_fft), spectrum(real.float(), n_fft)
        power_a, power_b = (x.real**2 + x.imag**2 + 1e-6 for x in (a, b))  # 1e-6: a root has no slope at 0
        in_bins = (power_a.log() - power_b.log()).abs().mean() / 2
        band_a, band_b = power_a.sqrt() @ bands, power_b.sqrt() @ bands
        in_bands = (band_a.log() - band_b.log()).abs().mean()
        loud_a, loud_b = band_a**0.46, band_b**0.46
        loudness = ((loud_a - loud_b) / loud_b.mean((1, 2), keepdim=True)).abs().mean()
        weight = (power_b[:, 1:] * power_b[:, :-1]) ** 0.23
        total = total + 4 * in_bins + 12 * in_bands + 12 * loudness + turning(a, b, weight)
    return total / len(WINDOWS)
