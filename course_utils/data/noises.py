"""Background noise of each split: nothing is stored, all of it is made from seeds."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from course_utils import noise as generators
from course_utils.data import corpus
from course_utils.data.splits import SPLITS

_NOISE_SECONDS = 10.0
_NOISE_CLIPS = {"train": 8, "valid": 2, "test": 8}
_BABBLE_TALKERS = 6


def _seed(*names: object) -> int:
    """A seed that depends on names only, the same on every machine."""
    return zlib.crc32("/".join(map(str, names)).encode())


@dataclass(frozen=True)
class Noise:
    """A clip of background noise, made from its seed whenever it is asked for."""

    id: str
    kind: str
    split: str
    duration: float
    seed: int

    @property
    def audio(self) -> np.ndarray:
        """The waveform (time,), about -20 dBFS."""
        if self.kind != "babble":
            return generators.generate(self.kind, self.duration, self.seed)
        rng = np.random.default_rng(self.seed)
        names = [voice.name for voice in corpus.voices(self.split)]
        talkers = rng.choice(names, min(_BABBLE_TALKERS, len(names)), replace=False)
        clips = []
        for name in talkers:
            said = corpus.speech(voice=str(name), kind="sentence")
            clips += [said[i].audio for i in rng.choice(len(said), min(3, len(said)), replace=False)]
        return generators.babble(clips, self.duration, self.seed, len(talkers))


def noise(split: str) -> list[Noise]:
    """Background noise of one split: clips of 10 s, always the same ones.

    "train" and "valid" hold white, pink, brown, hum, clicks, rain, and babble of voices of that split.
    "test" holds what no model of the course is trained on: fan, and babble of test voices.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    kinds = generators.TEST_TYPES if split == "test" else generators.TRAIN_TYPES
    return [
        Noise(f"{kind}-{split}-{i}", kind, split, _NOISE_SECONDS, _seed("noise", split, kind, i))
        for kind in (*kinds, "babble")
        for i in range(_NOISE_CLIPS[split])
    ]
