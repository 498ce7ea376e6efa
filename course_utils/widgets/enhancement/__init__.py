"""What one presses in notebook 01."""

from .denoise import Denoiser, NoiseExplorer, denoise_demo
from .mask_pad import MaskPad

__all__ = ["Denoiser", "MaskPad", "NoiseExplorer", "denoise_demo"]
