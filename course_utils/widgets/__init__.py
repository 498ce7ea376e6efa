"""Widgets to record, choose, compare and look at sound in a notebook.

They need JupyterLab with a kernel to be alive, and show plain HTML players elsewhere. Those of one notebook stand
in a folder with the name of its topic: `from course_utils.widgets.enhancement import MaskPad`.
"""

from .ab_player import ABPlayer
from .audio_input import AudioInput
from .mic import MicRecorder, PcmAssembler
from .spectrogram import SpectrogramExplorer, spectrogram_figure

__all__ = [
    "ABPlayer",
    "AudioInput",
    "MicRecorder",
    "PcmAssembler",
    "SpectrogramExplorer",
    "spectrogram_figure",
]
