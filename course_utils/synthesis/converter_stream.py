"""A converter that is fed with sound as it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from course_utils import features, pitch
from course_utils.features import HOP_LENGTH, N_FFT, N_MELS, SAMPLE_RATE
from course_utils.waveform import AudioError, check

QUIET = 1e-7
"""Mean power below which a frame has no pitch: -70 dB of full scale."""
LONGEST = 60
"""Seconds of a reference that are listened to: more does not help, and each step of the source looks at all of them."""
SHORTEST = 0.5
SILENT = 1e-4


def semitones(f0: np.ndarray) -> np.ndarray:
    """F0 in Hz of the voiced frames (0 elsewhere) -> semitones above 100 Hz of those frames alone."""
    return 12 * np.log2(f0[f0 > 0] / 100)


def middle(waveform: np.ndarray, default: float = 0.0) -> float:
    """Median pitch of a waveform (time,) in semitones above 100 Hz; `default` where nothing is voiced."""
    piece = 60 * SAMPLE_RATE  # a long recording needs no more memory than a short one
    parts = [waveform[i : i + piece] for i in range(0, len(waveform), piece)]
    found = np.concatenate([semitones(pitch.f0(part, QUIET)) for part in parts])
    return float(np.median(found)) if len(found) else default


@dataclass(frozen=True)
class Reference:
    """What a converter keeps of a reference: `kept` by its network, and the median pitch in semitones above 100 Hz."""

    kept: tuple
    semitones: float

    @classmethod
    @torch.inference_mode()
    def of(cls, model: Any, waveform: np.ndarray) -> Reference:
        """Listen to a waveform (time,). AudioError (a ValueError): stereo, not finite, shorter than 0.5 s, or silent."""
        sound = check(waveform, "reference", SHORTEST)[: LONGEST * SAMPLE_RATE]
        if np.abs(sound).max() < SILENT:
            raise AudioError(
                "reference: it is silent, so there is no voice in it; record it again, nearer to the microphone"
            )
        log_mel = features.log_mel(sound)
        log_mel = torch.from_numpy(log_mel[: len(log_mel) // 2 * 2])[None].to(model.head.weight.device)
        content = model.cut(model.recogniser)(log_mel, chunk=model.CHUNK).content
        return cls(model.hear(content, log_mel), middle(sound))


class StreamingF0:
    """`pitch.f0` for a stream, with a fixed level of silence: a frame comes out once its last sample is in."""

    def __init__(self):
        self._samples, self._start, self._done = np.zeros(0, np.float32), 0, 0

    @property
    def kept_samples(self) -> int:
        """How many samples it remembers."""
        return len(self._samples)

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Samples (time,) -> F0 in Hz of the new frames (frames,)."""
        self._samples = np.concatenate([self._samples, chunk])
        seen = self._start + len(self._samples)
        return self._give(max(0, 1 + (seen - N_FFT // 2) // HOP_LENGTH) if seen > N_FFT // 2 else 0)

    def finish(self) -> np.ndarray:
        """The last frames."""
        seen = self._start + len(self._samples)
        return self._give(1 + seen // HOP_LENGTH if seen else 0)

    def _give(self, end: int) -> np.ndarray:
        if end <= self._done:
            return np.zeros(0, np.float32)
        first = self._done - self._start // HOP_LENGTH
        found = pitch.f0(self._samples, QUIET)[first : first + end - self._done]
        self._done = end
        drop = max(0, end * HOP_LENGTH - N_FFT // 2 - self._start) // HOP_LENGTH * HOP_LENGTH
        self._samples, self._start = self._samples[drop:], self._start + drop
        return found


class ConverterStream:
    """The samples of the whole, piece by piece: it keeps what it can still need, and waits for what it must know.

    It waits for a chunk of the recogniser, the look-ahead of the network and that of the vocoder: `delay` seconds.
    """

    def __init__(self, model: Any, reference: Reference, pitch: float | None = None):
        if pitch is not None and not -36 <= pitch <= 36:
            raise ValueError(f"pitch: expected semitones from -36 to 36, or None, got {pitch!r}")
        self.model, self.reference, self.pitch = model, reference, pitch
        self.listener, self.vocoder = model.cut(model.recogniser), model.vocoder.stream()
        self.group = 2 * model.CHUNK
        self._begin()

    @property
    def delay(self) -> float:
        """Seconds between a sample and the earliest moment at which the sample that replaces it is surely there."""
        frames = self.group + self.model.config.look_ahead + self.model.vocoder.config.look_ahead
        return (N_FFT // 2 + frames * HOP_LENGTH) / SAMPLE_RATE

    def _begin(self) -> None:
        self.mel, self.tune = features.StreamingLogMel(), StreamingF0()
        self.waiting = np.zeros((0, N_MELS + 1), np.float32)  # log-mel and F0 of less than a group
        self.state, self.heard = None, (0, 0.0)  # of the recogniser; voiced frames and the sum of their pitch
        self.content = self.prosody = None  # what can still be needed: (1, n, content), (1, 2 n, 2)
        self.done = self.frames = 0  # frames of it that are out; of the source
        self.vocoder.finish()

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Take samples (time,) at 16 kHz; returns the converted samples that are certain now, which may be none.

        AudioError: not mono, or not finite numbers; the stream is unharmed.
        """
        chunk = check(chunk, "chunk")
        size = 10 * SAMPLE_RATE
        parts = [self._push(chunk[i : i + size]) for i in range(0, len(chunk), size)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _push(self, chunk: np.ndarray) -> np.ndarray:
        self._take(self.mel.push(chunk), self.tune.push(chunk))
        ready = len(self.waiting) // self.group * self.group
        return self.vocoder.push(self._convert(ready, self.model.config.look_ahead))

    def finish(self) -> np.ndarray:
        """The rest; the stream begins anew."""
        self._take(self.mel.finish(), self.tune.finish())
        odd = len(self.waiting) % 2
        if odd:
            self.waiting = np.concatenate([self.waiting, self.waiting[-1:]])
        log_mel = self._convert(len(self.waiting), 0)
        rest = [self.vocoder.push(log_mel[: len(log_mel) - odd]), self.vocoder.finish()]
        self._begin()
        return np.concatenate(rest)

    def _take(self, log_mel: np.ndarray, f0: np.ndarray) -> None:
        self.waiting = np.concatenate([self.waiting, np.c_[log_mel, f0].astype(np.float32)])

    def _shift(self, f0: np.ndarray) -> np.ndarray:
        """F0 (frames,) in the height of the reference: each frame knows the mean of the source up to itself."""
        if self.pitch is not None:
            return f0 * 2 ** (self.pitch / 12)
        voiced, tune = f0 > 0, 12 * np.log2(np.maximum(f0, 1) / 100)
        count = self.heard[0] + np.cumsum(voiced)
        total = self.heard[1] + np.cumsum(np.where(voiced, tune, 0.0))
        self.heard = (int(count[-1]), float(total[-1])) if len(f0) else self.heard
        return f0 * 2 ** ((self.reference.semitones - total / np.maximum(count, 1)) / 12)

    @torch.inference_mode()
    def _convert(self, ready: int, ahead: int) -> np.ndarray:
        """Listen to `ready` frames that wait, and give the log-mels (frames, 80) that need no more than what is there."""
        if ready:
            log_mel, f0 = self.waiting[:ready, :N_MELS], self._shift(self.waiting[:ready, N_MELS])
            self.waiting = self.waiting[ready:]
            device = self.model.head.weight.device
            log_mel = torch.from_numpy(np.ascontiguousarray(log_mel))[None].to(device)
            found = self.listener(log_mel, self.state, self.model.CHUNK)
            self.state = found.state
            f0 = torch.from_numpy(f0.astype(np.float32))[None].to(device)
            self._keep(found.content, torch.stack([f0, self.model.level(log_mel)], -1))
        end = 0 if self.prosody is None else self.prosody.shape[1] - ahead
        if end <= self.done:
            return np.zeros((0, N_MELS), np.float32)
        _, result = self.model(self.content, self.prosody, self.reference.kept)
        log_mel = result[0, self.done : end].cpu().numpy()
        drop = max(0, end - self.model.config.look_back) // 2
        self.content, self.prosody = self.content[:, drop:], self.prosody[:, 2 * drop :]
        self.done = end - 2 * drop
        return log_mel

    def _keep(self, content: torch.Tensor, prosody: torch.Tensor) -> None:
        if self.prosody is not None:
            content, prosody = torch.cat([self.content, content], 1), torch.cat([self.prosody, prosody], 1)
        self.content, self.prosody = content, prosody
