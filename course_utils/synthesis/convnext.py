"""Blocks of the vocoder: they see a fixed number of frames ahead, so that a stream can wait for those."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Convolution(nn.Conv1d):
    """Convolution over (B, channels, time) that keeps the length and sees `ahead` frames of the future."""

    def __init__(self, n_in: int, n_out: int, kernel: int, ahead: int, groups: int = 1):
        super().__init__(n_in, n_out, kernel, groups=groups)
        self.pads = (kernel - 1 - ahead, ahead)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, time) -> as long."""
        return super().forward(F.pad(x, self.pads))


class ConvNeXt(nn.Module):
    """ConvNeXt block (Liu et al., 2022): mix over time channel by channel, then over channels frame by frame.

    `scale` is what the block counts at first: a little, so that a stack of blocks begins near the identity.
    """

    def __init__(self, dim: int, hidden: int, kernel: int, ahead: int, scale: float):
        super().__init__()
        self.conv = Convolution(dim, dim, kernel, ahead, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, time, dim) -> the same shape."""
        y = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return x + self.scale * self.down(F.gelu(self.up(y)))
