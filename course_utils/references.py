"""Is this recording fit to take a voice from? What a speaker encoder can not say by itself."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from course_utils import checkpoints, pitch
from course_utils.models.speaker_encoder import SHORTEST
from course_utils.models.speech_detector import speech_probability
from course_utils.paths import SAMPLE_RATE
from course_utils.waveform import AudioError, AudioWarning, check

WINDOW = 1.6
"""Seconds of speech that are compared with each other."""
LEAST_SPEECH = 0.35
"""Share of the frames in which somebody must speak."""
LEAST_VOICED = 0.15
"""Share of the frames that must have a pitch; in speech it is about half. Whispering and chords have none."""
MOST_STILL = 0.6
"""Share of the frames with a pitch that stays within 0.05 semitones from frame to frame: in speech a tenth, in music most."""
LEAST_AGREEMENT = 0.4
"""Cosine of the two halves of a recording under which two people are supposed. Of 23 validation voices the two halves
had 0.62 at least, 2.5 s each; 90 % of halves of different ones had less than 0.38."""


@dataclass(frozen=True)
class Reference:
    """A voice (dim,) of length 1; the share of frames with speech; the least cosine of parts of it (NaN below 3.2 s).

    `warnings` are sentences, none where all is well.
    """

    embedding: np.ndarray
    speech: float
    agreement: float
    warnings: tuple[str, ...]


@cache
def _detector() -> torch.nn.Module:
    return checkpoints.load("speech_detector")


@cache
def _encoder() -> torch.nn.Module:
    return checkpoints.load("speaker_encoder")


def _pitch(samples: np.ndarray) -> tuple[float, float]:
    """Share of the frames with a pitch, and of these the share in which it stands still."""
    f0 = pitch.f0(samples)
    both = (f0[1:] > 0) & (f0[:-1] > 0)
    if not both.any():
        return 0.0, 0.0
    return float(both.mean()), float(np.mean(np.abs(12 * np.log2(f0[1:][both] / f0[:-1][both])) < 0.05))


def examine(waveform: np.ndarray, encoder: torch.nn.Module | None = None) -> Reference:
    """The voice in a waveform (time,), and what is to be said against it.

    Two people who speak one after the other are told from one by the voice of the first half and that of the second,
    which then differ. Two who speak at once are not noticed: their mixture is a voice, too. Nor are singing, and chords
    that beat like syllables.

    Args:
        waveform: speech at 16 kHz.
        encoder: with `embed`; None: the checkpoint "speaker_encoder".

    Raises:
        AudioError (a ValueError): not mono, not finite, silent, shorter than 0.5 s, or noise or music: the speech
            detector of notebook 00 hears hardly anybody, or there is no pitch, or one that stands still as a tone does.
    """
    samples, encoder = check(waveform, min_seconds=SHORTEST), encoder or _encoder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)  # it is among the sentences
        embedding = encoder.embed(samples)
    level = np.sqrt(np.mean(samples**2))
    speech = float(np.mean(speech_probability(0.1 / level * samples, _detector()) > 0.5))
    voiced, still = _pitch(samples)
    if speech < LEAST_SPEECH or voiced < LEAST_VOICED or still > MOST_STILL:
        raise AudioError(
            f"this seems to be noise or music: somebody speaks in {speech:.0%} of it, {voiced:.0%} has a pitch, which stands "
            f"still in {still:.0%} of that; use a clean recording of one person who speaks aloud"
        )
    said, agreement = [], float("nan")
    if len(samples) < 3 * SAMPLE_RATE:
        said.append(f"{len(samples) / SAMPLE_RATE:.1f} s are short for a voice: use 3 to 10 s")
    if len(samples) >= 2 * WINDOW * SAMPLE_RATE:
        first, second = np.array_split(samples, 2)
        try:
            agreement = float(encoder.embed(first) @ encoder.embed(second))
        except AudioError:  # one half is silent
            said.append("half of the recording is silent: cut it off")
        if agreement < LEAST_AGREEMENT:
            said.append("its beginning and its end sound like different people: cut it to one of them")
    return Reference(embedding, speech, agreement, tuple(said))
