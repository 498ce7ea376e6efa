"""Choose a voice: a bundled one, which belongs to nobody, or somebody's, which needs consent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_utils import audio, data

from ..audio_input import AudioInput
from .voice_map import longest

SEXES = {"f": "female", "m": "male"}
Sound = np.ndarray | data.Utterance | data.Pair | data.Recording


@dataclass(frozen=True)
class Chosen:
    """A sound that was chosen, and what is known of it.

    `handed` is what `course_utils.cloning` gets as a reference: an utterance of a bundled voice, a recording whose
    speaker the consent has to name, or a waveform. `voice` is the name of a bundled voice.
    """

    handed: Any
    waveform: np.ndarray
    source: str
    text: str | None = None
    voice: str | None = None
    pair: data.Pair | None = None


def waveform_of(sound: Sound) -> np.ndarray:
    """The waveform (time,) of anything that can be chosen."""
    if isinstance(sound, np.ndarray):
        return sound
    return sound.source_audio if isinstance(sound, data.Pair) else sound.audio


def label_of(utterance: data.Utterance, sex: str) -> str:
    """How a bundled voice is called in a menu."""
    return f"{utterance.voice}, {SEXES[sex]}, {utterance.duration:.1f} s"


def bundled_references(names: list[str] | None = None) -> dict[str, data.Utterance]:
    """The longest sentence of each of these voices by label; None: of three test voices of each sex."""
    voices = data.voices()
    if names is None:
        test = [voice for voice in voices if voice.split == "test"]
        chosen = [voice for sex in "fm" for voice in [v for v in test if v.sex == sex][:3]]
    else:
        chosen = [next(voice for voice in voices if voice.name == name) for name in names]
    return {label_of(one, voice.sex): one for voice in chosen for one in [longest(voice.utterances)]}


class VoiceInput(AudioInput):
    """An input that knows which of its sounds belong to nobody.

    Args:
        sounds: by label; only a `data.Utterance` needs no consent.
        max_seconds: longest recording and longest file.
    """

    def __init__(self, sounds: Mapping[str, Sound], max_seconds: float):
        self._sounds = dict(sounds)
        super().__init__({label: waveform_of(sound) for label, sound in sounds.items()}, max_seconds)

    @property
    def needs_consent(self) -> bool:
        """Whether the voice that is chosen is a person's."""
        return not isinstance(self._sounds.get(self.chosen_clip), data.Utterance)

    @property
    def chosen(self) -> Chosen:
        """What is chosen now.

        Raises:
            AudioError: nothing recorded or uploaded yet, or what is wrong with it.
        """
        sound = self._sounds.get(self.chosen_clip)
        waveform = audio.check(self.audio, self.source, 0.01)
        text = getattr(sound, "text", None)
        if isinstance(sound, data.Utterance):
            return Chosen(sound, waveform, self.source, text, sound.voice)
        handed = sound if isinstance(sound, data.Recording) else waveform
        return Chosen(
            handed, waveform, self.source, text, pair=sound if isinstance(sound, data.Pair) else None
        )
