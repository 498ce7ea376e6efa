# Written from notebooks/04_multispeaker_tts.ipynb by `course export`: edit the notebook, not this file.
"""What the synthesiser of notebook 04 learns from."""

__all__ = ['losses']


import torch
import torch.nn.functional as F
from torch import nn


from course_utils.synthesis.batch import Batch, inside


def losses(model: nn.Module, batch: Batch, keep, t, noise, voice=None, jitter: float = 0.05) -> torch.Tensor:
    """keep, t (B,), noise (B, T, 80), voice (B, voice) or None for that of the reference -> (6,).

    Mean squares of flow, guess, then of log duration (Huber), pitch, voicing, level.
    """
    of_phones = inside(batch.n_phones, batch.phones.shape[1])
    of_frames = inside(batch.n_frames, batch.mel.shape[1])
    steer = model.steer(model.voice_encoder(batch.reference) if voice is None else voice, keep)
    x, prosody = model.read(batch.phones, batch.starts, steer, of_phones)
    error = prosody.float() - batch.prosody
    error = torch.cat([F.huber_loss(error[..., :1], 0 * error[..., :1], reduction="none"), error[..., 1:] ** 2], -1)  # fmt: skip
    # When it speaks it gets its own predictions, which are not exact.
    given = batch.prosody[..., 1:] + jitter * torch.randn_like(batch.prosody[..., 1:])
    frames, guess = model.frames(x, given, batch.bounds, F.silu(steer), 0, batch.mel.shape[1], of_frames)
    guess, way = guess.float(), t[:, None, None]
    on_the_way = (1 - way) * noise + way * batch.mel
    velocity = model.flow(on_the_way, t, frames, guess.detach(), steer, of_frames).float()

    def mean(square: torch.Tensor) -> torch.Tensor:
        return (square * of_frames).sum() / (of_frames.sum() * square.shape[-1])

    flow, guess = mean((velocity - (batch.mel - noise)) ** 2), mean((guess - batch.mel) ** 2)
    return torch.cat([torch.stack([flow, guess]), (error * of_phones).sum((0, 1)) / of_phones.sum()])
