# Written from notebooks/01_speech_enhancement.ipynb by `course export`: edit the notebook, not this file.
"""What the noise remover of notebook 01 learns to minimise, and what was tried beside it."""

__all__ = ['waveform_loss', 'naive_loss', 'si_sdr_loss', 'compressed_loss', 'snr_loss', 'combined_loss', 'loss_fn']


import torch
from torch import nn
from course_utils import features
from course_utils.models.enhancement import compress, denoise


from collections.abc import Callable


def waveform_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Mean distance of samples (L1), (B, time) each: what looks natural for sound, and weighs loud sounds most."""
    return (estimate - clean).abs().mean()


def naive_loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Loss of a model that maps samples to samples, on a batch of noisy and clean (B, time)."""
    noisy, clean = batch
    return waveform_loss(model(noisy), clean)


def si_sdr_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Negative SI-SDR in dB (Le Roux et al., 2019, eq. 3), (B, time) each, mean over the batch."""
    scale = (estimate * clean).sum(-1, keepdim=True) / (clean.square().sum(-1, keepdim=True) + 1e-8)
    target = scale * clean
    error = estimate - target
    ratio = (target.square().sum(-1) + 1e-8) / (error.square().sum(-1) + 1e-8)
    return -10 * torch.log10(ratio).mean()


def compressed_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Distance of the compressed spectra of two waveforms (B, time) (Ephrat et al., 2018; Braun and Tashev, 2021)."""
    a, b = compress(features.stft(estimate)), compress(features.stft(clean))
    return 0.3 * (a - b).abs().square().mean() + 0.7 * (a.abs() - b.abs()).square().mean()


def snr_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Negative SNR in dB, at best -30: as `si_sdr_loss`, but the volume has to be right, too; (B, time) each."""
    power, error = clean.square().sum(-1), (estimate - clean).square().sum(-1)
    return -10 * torch.log10((power + 1e-8) / (error + 1e-3 * power + 1e-8)).mean()


def combined_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Details of the spectrum, and the samples; weights chosen for the SI-SDR of validation mixtures."""
    return 30 * compressed_loss(estimate, clean) + 0.3 * snr_loss(estimate, clean)


def loss_fn(
    model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], distance: Callable = combined_loss
) -> torch.Tensor:
    """Loss of a model of spectra on noisy and clean waveforms (B, time); `distance` compares two such batches."""
    noisy, clean = batch
    return distance(denoise(model, noisy), clean)
