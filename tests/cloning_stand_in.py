"""Stand-ins for what clones and converts: they hum at the pitch of the voice that they are given."""

import threading
from dataclasses import dataclass

import numpy as np

from course_utils import data
from tests.speaking_stand_in import sound

PITCHES = {"f01": 250, "f02": 280, "m01": 110, "m02": 130}


@dataclass(frozen=True)
class Line(data.Utterance):
    """An utterance whose sound is a hum at the pitch of its voice."""

    @property
    def audio(self):
        return sound(0.8, PITCHES[self.voice])

    @property
    def duration(self):
        return 0.8


@dataclass(frozen=True)
class Twin(data.Pair):
    """An aligned pair that hums."""

    @property
    def source_audio(self):
        return sound(0.8, PITCHES[self.source])

    @property
    def target_audio(self):
        return sound(0.8, PITCHES[self.target])


def line(voice, text, number=0):
    return Line(
        id=f"{voice}_{number}",
        split="test",
        text=text,
        phones=(),
        durations=(),
        words=(),
        voice=voice,
        kind="x",
    )


def twin(source, target, text="the same"):
    files = {"source_file": "", "target_file": ""}
    return Twin(
        id="t",
        split="test",
        text=text,
        phones=(),
        durations=(),
        words=(),
        source=source,
        target=target,
        **files,
    )


REFERENCES = {"f01, female": line("f01", "heard before"), "m01, male": line("m01", "heard before")}
RECORDINGS = {
    voice: [line(voice, text, number) for number, text in enumerate(texts)]
    for voice, texts in {
        "f01": ["heard before", "good morning to all of you", "only the first says this"],
        "m01": ["heard before", "good morning to all of you"],
    }.items()
}
PAIRS = {"f01: the same": twin("f01", "m01"), "m01: the same": twin("m01", "f01")}


def pitch_of(waveform):
    """The strongest frequency in Hz."""
    return np.abs(np.fft.rfft(waveform, 16000)).argmax()


class Copies:
    """Clones and converts. `gate` makes it wait, `fail` makes it fail, `asked` is what it was given."""

    def __init__(self, fail=None, gate=None):
        self.fail, self.gate, self.asked, self.begun = fail, gate, [], threading.Event()

    def _hum(self, reference, seconds):
        self.begun.set()
        if self.gate is not None:
            self.gate.wait(10)
        if self.fail is not None:
            raise self.fail
        return sound(seconds, pitch_of(getattr(reference, "audio", reference)), 0.1)

    def clone(self, reference, text, consent=None, *, guidance=0.5):
        self.asked.append((reference, text, consent, guidance))
        return self._hum(reference, 0.05 * len(text))

    def convert(self, source, reference, consent=None, *, pitch=None):
        self.asked.append((source, reference, consent, pitch))
        return self._hum(reference, len(source) / 16000)


def embed(waveform):
    """Three numbers that say how high it hums."""
    octaves = np.log2(pitch_of(waveform) / 180)
    return np.array([np.cos(octaves), np.sin(octaves), 0.1])
