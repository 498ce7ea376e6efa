"""What the synthesiser learns from: clips side by side."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Batch(NamedTuple):
    """Clips side by side: B of them, P phones, T frames, R frames of the reference."""

    phones: torch.Tensor  # (B, P), numbers of text.PHONES
    starts: torch.Tensor  # (B, P), 1 where a word begins
    prosody: torch.Tensor  # (B, P, 4): log of the frames, normalised pitch, share voiced, normalised level
    bounds: torch.Tensor  # (B, P + 1), first frame of each phone, and the end
    mel: torch.Tensor  # (B, T, 80), normalised
    n_phones: torch.Tensor  # (B,)
    n_frames: torch.Tensor  # (B,)
    reference: torch.Tensor  # (B, R, 80), log-mel of other words of the same voice
    voice: torch.Tensor  # (B,), number of the voice


def inside(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    """(B,) -> (B, longest, 1): 1 inside, 0 in the padding."""
    return (torch.arange(longest, device=lengths.device) < lengths[:, None])[..., None].float()
