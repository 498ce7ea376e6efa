"""Widgets to record, choose, compare and look at sound in a notebook.

They need JupyterLab with a kernel to be alive, and show plain HTML players elsewhere.
"""

from .ab_player import ABPlayer
from .audio_input import AudioInput
from .denoise import Denoiser, NoiseExplorer, denoise_demo
from .mask_pad import MaskPad
from .mic import MicRecorder, PcmAssembler
from .spectrogram import SpectrogramExplorer, spectrogram_figure

__all__ = [
    "ABPlayer",
    "AudioInput",
    "Denoiser",
    "MaskPad",
    "MicRecorder",
    "NoiseExplorer",
    "PcmAssembler",
    "SpectrogramExplorer",
    "denoise_demo",
    "spectrogram_figure",
]
