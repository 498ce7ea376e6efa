"""Sound that is still arriving, through a network with a state, to partial results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_utils import features
from course_utils.decoding.greedy import Endpointer
from course_utils.decoding.partial import STEP_SECONDS, Partial

SILENCE = -4.0  # of a log-mel: the floor of the networks
TAIL = 15  # steps of silence after the end


def steps_of(chunk_ms: int) -> int:
    """Steps of 32 ms in a chunk. Raises ValueError where it is no multiple of 32 from 32 to 640."""
    if not isinstance(chunk_ms, int) or chunk_ms % 32 or not 32 <= chunk_ms <= 640:
        raise ValueError(f"chunk_ms: expected a multiple of 32 from 32 to 640, got {chunk_ms!r}")
    return chunk_ms // 32


def with_tail(log_mel: torch.Tensor, chunk: int) -> torch.Tensor:
    """Frames (frames, 80) with 0.5 s of silence, in which late units come, up to the end of a chunk."""
    frames = len(log_mel) + len(log_mel) % 2 + 2 * TAIL
    frames += -frames % (2 * chunk)
    return F.pad(log_mel, (0, 0, 0, frames - len(log_mel)), value=SILENCE)


class RecogniserStream:
    """A recogniser for sound that is still arriving; the same text as `transcribe` with this chunk, however it is cut.

    `model` is called with log_mel, state and chunk, and has `config`, `initial_state()` and `decoder()`.
    """

    def __init__(self, model: Any, chunk_ms: int = 160, pause: float = 0.8):
        self.model, self.chunk, self.pause = model, steps_of(chunk_ms), pause
        self.mel, self.state = features.StreamingLogMel(), model.initial_state()
        self.device = getattr(self.state[1], "device", "cpu")  # where the network computes
        self.frames = np.zeros((0, features.N_MELS), np.float32)
        self.log_probs = np.zeros((0, len(model.config.units) + 1), np.float32)  # of the last push
        self._begin(0)

    def _begin(self, step: int) -> None:
        self.decoder, self.endpointer = self.model.decoder(), Endpointer(self.pause)
        self.decoder.step = step

    def push(self, chunk: np.ndarray) -> Partial:
        """Take samples (time,) at 16 kHz; returns what is understood by now. ValueError: no finite floats (time,)."""
        self.frames = np.concatenate([self.frames, self.mel.push(chunk)])
        return self._run(len(self.frames) // (2 * self.chunk) * 2 * self.chunk)

    @torch.inference_mode()
    def _run(self, ready: int) -> Partial:
        parts, size = [self.log_probs[:0]], 2 * self.chunk * max(1, 40 // self.chunk)
        for begin in range(0, ready, size):
            log_mel = torch.from_numpy(self.frames[begin : min(ready, begin + size)])[None]
            heard = self.model(log_mel.to(self.device), self.state, self.chunk)
            self.state = heard.state
            parts.append(heard.units[0].cpu().numpy())
        self.frames, self.log_probs = self.frames[ready:], np.concatenate(parts)
        self.decoder.push(self.log_probs)
        endpoint, silence = self.endpointer.push(self.log_probs), self.endpointer.silent * STEP_SECONDS
        return replace(self.decoder.partial(), endpoint=endpoint, silence=silence)

    def next_utterance(self) -> Partial:
        """The final text of the utterance so far; the stream goes on with an empty one."""
        final = self.decoder.finish()
        self._begin(self.decoder.step)
        return final

    def finish(self) -> Partial:
        """No more sound comes: the final text. The stream is used up."""
        rest = np.concatenate([self.frames, self.mel.finish()])
        self.frames = with_tail(torch.from_numpy(rest), self.chunk).numpy()
        self._run(len(self.frames))
        return self.decoder.finish()
