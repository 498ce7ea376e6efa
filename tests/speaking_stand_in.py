"""A stand-in for the model of notebook 04: it hums, each voice and each phone at a pitch of its own."""

from dataclasses import dataclass

import numpy as np
import torch

from course_utils import features
from course_utils.synthesis.sentences import sentences

HOP = features.HOP_LENGTH


@dataclass
class Plan:
    phones: list
    prosody: torch.Tensor
    bounds: torch.Tensor


@dataclass
class Line:
    text: str
    audio: np.ndarray


def sound(seconds=0.5, hz=200, level=0.2):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(16000 * seconds)) / 16000)).astype(np.float32)


def hum(log_mel):
    """A vocoder: the first band is the pitch in semitones above 100 Hz."""
    hz = np.repeat(100 * 2 ** (log_mel[:, 0] / 12), HOP)[: (len(log_mel) - 1) * HOP]
    return (0.2 * np.sin(2 * np.pi * np.cumsum(hz) / 16000)).astype(np.float32)


class Humming:
    """A phone is a letter and lasts four frames; the first number of a voice is its pitch in octaves."""

    TEMPERATURE = 0.8
    pitch_scale = torch.tensor([8.0, 6.0])

    def __init__(self, fail=None, gate=None):
        self.fail, self.gate, self.decoded = fail, gate, 0
        self.speakers = ("f01", "f02", "m01", "m02")
        places = [(0.9, 0.4), (0.9, -0.4), (-0.9, 0.4), (-0.9, -0.4)]
        self.table = np.array([(*place, 0.1) for place in places], np.float32)
        self.table /= np.linalg.norm(self.table, axis=1, keepdims=True)
        self.vocoder = hum

    def voice(self, speaker):
        if speaker not in self.speakers:
            raise ValueError(f"there is no speaker {speaker!r}")
        return self.table[self.speakers.index(speaker)].copy()

    def plan(self, sentence, voice, speed=1.0, pitch=0.0, guided=True):
        phones = [letter.upper() for letter in sentence if letter.isalpha()]
        frames = torch.full((2, len(phones)), max(1, round(4 / speed)))
        prosody = torch.zeros(2, len(phones), 3)
        prosody[..., 0] = (pitch + 12 * float(voice[0])) / 6
        return Plan(phones, prosody, torch.nn.functional.pad(frames.cumsum(1), (1, 0)))

    def decode(self, plan, noise):
        self.decoded += 1
        if self.gate is not None:
            self.gate.wait(10)
        if self.fail is not None:
            raise self.fail
        pitch = torch.repeat_interleave(plan.prosody[0, :, 0], plan.bounds[0].diff())
        assert len(noise) == len(pitch)
        mel = np.full((len(pitch), 80), -2.0, np.float32)
        mel[:, 0] = 6 * pitch
        return mel

    def stream(self, text, speaker=None, spk_emb=None, seed=0, speed=1.0, pitch=0.0):
        voice = self.voice(speaker) if spk_emb is None else spk_emb / np.linalg.norm(spk_emb)
        for part in sentences(text):
            plan = self.plan(part, voice, speed, pitch)
            yield hum(self.decode(plan, torch.zeros(int(plan.bounds[0, -1]), 80)))

    def say(self, *args, **how):
        return np.concatenate(list(self.stream(*args, **how)))


RECORDINGS = {
    "f01": [Line("one two", sound(hz=250)), Line("three", sound(hz=260))],
    "f02": [Line("four", sound(hz=270))],
    "m01": [Line("one two", sound(hz=100))],
}
SEXES = {"f01": "f", "f02": "f", "m01": "m", "m02": "m"}
