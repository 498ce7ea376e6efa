# Written from notebooks/08_capstone.ipynb by `course export`: edit the notebook, not this file.
"""A voice assistant: sound in, words, a reply, sound out, while it listens; built in notebook 08."""

__all__ = ['listening_for', 'CommandEars', 'OpenEars', 'ClipEars', 'Event', 'Turn', 'Mouth', 'StreamingMouth', 'Answering',
           'Assistant', 'converse', 'mixed']


import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
import numpy as np
from course_utils.models.assistant_skills import Reply, Skills, Talk


import time
from collections import deque
from dataclasses import replace

import torch

from course_utils.decoding.graph import bigrams
from course_utils.decoding.partial import Partial
from course_utils.decoding.stream import RecogniserStream
from course_utils.waveform import SAMPLE_RATE, check


def listening_for(recogniser, skills: Skills):
    """A recogniser of phrases that knows the words of some skills, and which of them follow each other."""
    model = recogniser.listening_for(skills.vocabulary).eval()
    model.grammar.copy_(torch.from_numpy(bigrams(skills.sentences, model.vocabulary, trust=0.5)))
    return model


class CommandEars(RecogniserStream):
    """Ears of a model that knows the words of some skills; `doubt` says how badly its word graph fits the sound."""

    def __init__(self, model, chunk_ms: int = 160, pause: float = 0.8):
        super().__init__(model, chunk_ms, pause)
        self.free, self.units = 0.0, 0

    def push(self, chunk: np.ndarray) -> Partial:
        """Take samples (time,); returns what is understood by now."""
        partial = super().push(chunk)
        self.free += float(self.log_probs.max(1).sum())  # the best phones, whatever words they make
        self.units += int((self.log_probs.argmax(1) > 0).sum())
        # A word whose last phone was swallowed is never over for the graph. Silence ends it.
        return replace(partial, text=self.decoder.finish().text) if partial.silence > 0.3 else partial

    def doubt(self) -> float:
        """Nats per step with a phone that the best path of words lies behind the best phones."""
        words = max(self.decoder.score.max(), self.decoder.exits.max())
        return (self.free - float(words)) / max(1, self.units)

    def next_utterance(self) -> Partial:
        """The final text; goes on with an empty one."""
        self.free, self.units = 0.0, 0
        return super().next_utterance()


class OpenEars:
    """A recogniser of any words; each word of its text becomes the nearest one that a skill knows."""

    def __init__(
        self, recogniser, skills: Skills, chunk_ms: int = 160, pause: float = 0.8, likeness: float = 0.5
    ):
        self.stream, self.likeness = RecogniserStream(recogniser, chunk_ms, pause), likeness
        self.vocabulary = skills.vocabulary

    def nearest(self, text: str) -> str:
        """The text in words of the skills; a word that is like none of them stays."""
        near = (
            difflib.get_close_matches(word, self.vocabulary, 1, self.likeness) or [word]
            for word in text.split()
        )
        return " ".join(words[0] for words in near)

    def push(self, chunk: np.ndarray) -> Partial:
        """Take samples (time,); returns what is understood by now."""
        partial = self.stream.push(chunk)
        return replace(partial, text=self.nearest(partial.text))

    def next_utterance(self) -> Partial:
        """The final text; goes on with an empty one."""
        partial = self.stream.next_utterance()
        return replace(partial, text=self.nearest(partial.text))

    def doubt(self) -> float:
        """Always 0: here the patterns alone decide what is a command."""
        return 0.0


class ClipEars:
    """A recogniser that needs whole clips, for the comparison: other ears say when an utterance is over."""

    LONGEST = 20.0  # seconds that are kept

    def __init__(self, ears, transcribe: Callable[[np.ndarray], str]):
        self.ears, self.transcribe, self.kept = ears, transcribe, np.zeros(0, np.float32)

    def push(self, chunk: np.ndarray) -> Partial:
        """Take samples (time,); there is no text before the end."""
        self.kept = np.concatenate([self.kept, chunk])[-int(self.LONGEST * SAMPLE_RATE) :]
        return replace(self.ears.push(chunk), text="")

    def next_utterance(self) -> Partial:
        """The text of all that was kept."""
        self.ears.next_utterance()
        kept, self.kept = self.kept, self.kept[:0]
        return Partial(self.transcribe(kept))

    def doubt(self) -> float:
        """Always 0: the patterns alone decide what is a command."""
        return 0.0


@dataclass(frozen=True)
class Event:
    """Something that happened at second `at` of the sound: a "partial", "final", "ignored", "reply", "sound", "stop"
    or "error", with its text or its samples (time,)."""

    kind: str
    at: float
    text: str = ""
    sound: np.ndarray | None = None


@dataclass
class Turn:
    """One question: seconds of the sound until the last unit and until the decision, milliseconds of computing."""

    heard: str
    reply: str
    last_unit: float
    endpoint: float
    final_ms: float = 0.0
    reply_ms: float = 0.0
    audio_ms: float = 0.0


class Mouth:
    """Says replies piece by piece. The number of samples that were heard is its clock, so it can be simulated."""

    AHEAD = 1.0  # seconds of a reply that are made before they are needed: a chorale does not pile up
    TAIL = 0.3  # seconds after its end in which a reply may still echo
    clock = staticmethod(time.perf_counter)  # for computing; `time.thread_time` leaves out all that waits

    def __init__(self, speak: Callable[[str, str], Iterator[np.ndarray]], talk: Talk):
        self.speak, self.talk = speak, talk
        self.samples = self.plays_until = self.silent_from = 0
        self.reply: Iterator[np.ndarray] | None = None
        self.turns: deque[Turn] = deque(maxlen=1000)

    @property
    def seconds(self) -> float:
        """Seconds of sound so far."""
        return self.samples / SAMPLE_RATE

    @property
    def speaking(self) -> bool:
        """Whether a reply plays, or its end may still echo."""
        return self.reply is not None or self.samples < self.silent_from

    def sound_of(self, reply: Reply) -> Iterator[np.ndarray]:
        """Speech, and what comes after it, as pieces (time,)."""
        yield from self.speak(reply.text, self.talk.voice)
        if reply.sound is not None:
            yield from reply.sound()

    def stop(self) -> list[Event]:
        """Stop the reply that plays."""
        was = self.reply is not None or self.samples < self.plays_until
        self.reply, self.plays_until, self.silent_from = None, min(self.plays_until, self.samples), 0
        return [Event("stop", self.seconds)] if was else []


class StreamingMouth(Mouth):
    """Makes pieces of a reply as they are needed."""

    def play(self) -> list[Event]:
        """Pieces of the reply, until `AHEAD` seconds wait to be played."""
        events = []
        while self.reply is not None and self.plays_until - self.samples < self.AHEAD * SAMPLE_RATE:
            try:
                piece = next(self.reply, None)
            except Exception as error:  # of a voice, a composer or a skill: the conversation goes on
                self.reply = None
                return [*events, Event("error", self.seconds, f"{type(error).__name__}: {error}")]
            if piece is None:
                self.reply = None
            elif len(piece):
                turn = self.turns[-1]
                turn.audio_ms = turn.audio_ms or 1000 * (self.clock() - self.asked)
                self.plays_until = max(self.plays_until, self.samples) + len(piece)
                self.silent_from = self.plays_until + int(self.TAIL * SAMPLE_RATE)
                events.append(Event("sound", self.seconds, sound=piece))
        return events


class Answering(StreamingMouth):
    """Decides what an utterance was, and begins the reply."""

    def begin(self) -> None:
        """Listen afresh: nothing of this utterance has been heard."""
        self.ears, self.cleaner = self.listen(), self.clean.stream() if self.clean else None
        self.kept, self.shown, self.heard = np.zeros(0, np.float32), "", 0  # samples that the ears had

    def decide(self, partial: Partial) -> list[Event]:
        """The utterance is over: final text, reply, and the stream of its sound."""
        start, doubt = self.clock(), self.ears.doubt()
        text, kept = self.ears.next_utterance().text, self.kept
        final, self.kept, self.shown, self.heard = self.clock(), self.kept[:0], "", 0
        reply = self.skills.answer(text, self.talk) if doubt <= self.most_doubt else None
        if reply is None:
            self.talk.cleaned = kept if text else self.talk.cleaned  # perhaps "clean this up" comes next
            return [Event("ignored", self.seconds, text)] if text else []
        turn = Turn(text, reply.text, self.seconds - partial.silence, self.seconds, 1000 * (final - start))
        self.asked = self.clock()
        turn.reply_ms, self.talk.said = 1000 * (self.asked - final), reply.text
        self.turns.append(turn)
        self.reply = self.sound_of(reply)
        return [Event("final", self.seconds, text), Event("reply", self.seconds, reply.text)]


class Assistant(Answering):
    """Sound in, events out; the parts are passed in.

    `listen()` gives fresh ears, `speak(text, voice)` pieces of waveform (time,), `clean` is an enhancer or None. While
    a reply plays, and a little longer, it does not listen (half duplex); with `barge_in` it does, and a word stops the
    reply. A sentence that is complete needs a pause of `quick` seconds only; None: as any other.
    """

    KEPT, LONGEST = 10.0, 20.0  # seconds that are kept; that an utterance may last

    def __init__(
        self, listen: Callable, skills: Skills, speak: Callable, talk: Talk, clean=None,
        barge_in: bool = False, quick: float | None = 0.35, most_doubt: float = np.inf,
    ):  # fmt: skip
        super().__init__(speak, talk)
        self.listen, self.skills, self.clean = listen, skills, clean
        self.barge_in, self.quick, self.most_doubt = barge_in, quick, most_doubt
        self.begin()

    def hear(self, chunk: np.ndarray) -> list[Event]:
        """Recognise, keep what was said without its noise, and notice when the utterance is over."""
        cleaned = self.cleaner.push(chunk) if self.cleaner else chunk
        self.kept = np.concatenate([self.kept, cleaned])[-int(self.KEPT * SAMPLE_RATE) :]
        self.heard += len(chunk)
        partial, events = self.ears.push(chunk), []  # as it was: the ears learnt in noise
        if partial.text and not self.shown:
            self.heard = 0  # the silence before its first word is no part of an utterance
        if partial.text and partial.text != self.shown:
            events = [*self.stop(), Event("partial", self.seconds, partial.text)]
        self.shown = partial.text
        soon = self.quick is not None and partial.silence >= self.quick and self.skills.complete(partial.text)
        over = partial.endpoint or soon or self.heard >= self.LONGEST * SAMPLE_RATE
        return [*events, *self.decide(partial)] if over else events

    def push(self, chunk: np.ndarray) -> list[Event]:
        """Take samples (time,) at 16 kHz; what happened. AudioError: no mono sound, or not finite."""
        chunk = check(chunk, "chunk")
        deaf, self.samples = self.speaking and not self.barge_in, self.samples + len(chunk)
        events = [*([] if deaf else self.hear(chunk)), *self.play()]
        if deaf and not self.speaking:
            self.begin()
        return events


def converse(assistant: Assistant, waveform: np.ndarray, chunk: int = 1600) -> list[Event]:
    """All events of a waveform (time,) that is heard in chunks, as from a microphone."""
    return [e for at in range(0, len(waveform), chunk) for e in assistant.push(waveform[at : at + chunk])]


def mixed(waveform: np.ndarray, events: Sequence[Event]) -> np.ndarray:
    """What a listener in the room hears: the sound (time,) and the replies, each from when it was there."""
    ends, free = [], 0
    for event in events:
        if event.kind == "sound":
            at = max(free, round(event.at * SAMPLE_RATE))
            free = at + len(event.sound)
            ends.append((at, event.sound))
        elif event.kind == "stop":
            free = round(event.at * SAMPLE_RATE)
            ends = [(at, piece[: max(0, free - at)]) for at, piece in ends]
    out = np.zeros(max([len(waveform), *(at + len(piece) for at, piece in ends)]), np.float32)
    out[: len(waveform)] = waveform
    for at, piece in ends:
        out[at : at + len(piece)] += piece
    return out
