"""Type a text, choose a voice on a map, turn speed and pitch, and hear it beside a recording of that voice."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ipywidgets as widgets
import numpy as np

from course_utils import audio, data, features
from course_utils.synthesis.sentences import sentences

from ..ab_player import ABPlayer
from ..fallback import HtmlFallback, players
from ..messages import code, problem, replace, saying, words_of
from ..worker import Worker
from .plans import Speaks
from .speaker_map import SpeakerMap

MOST_CHARACTERS = 400
MIXTURE = "(a mixture)"
TEXT = "Good morning. Any voice can say this, or one between two of them."


class Recorded(Protocol):
    """A recording of a voice: an utterance of the corpus, or anything like it."""

    text: str
    audio: np.ndarray


@dataclass(frozen=True)
class Settings:
    """What is asked for; `shares` by name of the speaker."""

    text: str
    shares: dict[str, float]
    speed: float
    pitch: float
    seed: int

    def call(self, model: str) -> str:
        """The plain call that gives the same waveform."""
        how = {"seed": self.seed, "speed": self.speed, "pitch": self.pitch}
        usual = {"seed": 0, "speed": 1.0, "pitch": 0.0}
        turned = "".join(f", {name}={value:g}" for name, value in how.items() if value != usual[name])
        if len(self.shares) == 1:
            return f"{model}.say({self.text!r}, {next(iter(self.shares))!r}{turned})"
        return (
            f"shares = {self.shares}\n"
            f"voice = sum(share * {model}.voice(name) for name, share in shares.items())\n"
            f"{model}.say({self.text!r}, spk_emb=voice{turned})"
        )


def corpus_recordings(speakers: Sequence[str]) -> dict[str, Sequence[Recorded]]:
    """What those of the speakers who stand in the corpus say in it, by name."""
    return {voice.name: voice.utterances for voice in data.voices() if voice.name in speakers}


class SayIt(HtmlFallback, widgets.VBox):
    """A text, a map of the voices, speed and pitch; the result in step with a recording of the same voice.

    The first text is said at once, so `.waveform` is there without a click. `say()` does what the button does, and
    waits; the button leaves the work to a thread, and is off meanwhile. Of a mixture the recording is that of the
    voice with the largest share; it says the same text where the corpus has it.

    Args:
        model: what speaks (`checkpoints.load("tts")`, or yours).
        text: where it starts, at most 400 characters.
        speaker: where it starts; None: the first one.
        recordings: by name of the speaker, each with `text` and `audio`; None: those of the corpus.
        sexes: "f" or "m" by name of the speaker; None: those of the corpus.
        name: what the model is called in the printed call.

    Raises:
        ValueError: there is no such speaker.
    """

    def __init__(
        self,
        model: Speaks,
        text: str = TEXT,
        speaker: str | None = None,
        recordings: Mapping[str, Sequence[Recorded]] | None = None,
        sexes: Mapping[str, str] | None = None,
        name: str = "model",
    ):
        self._model, self._name = model, name
        self._recordings = corpus_recordings(model.speakers) if recordings is None else dict(recordings)
        self._sexes = {voice.name: voice.sex for voice in data.voices()} if sexes is None else dict(sexes)
        self._worker, self._lock = Worker("SayIt"), threading.Lock()
        self._done: Settings | None = None
        self._clips: dict[str, np.ndarray] = {}
        self._gone_wrong = ""
        voices = np.stack([model.voice(each) for each in model.speakers])
        self.map = SpeakerMap(voices, model.speakers, self._sexes, speaker)
        """The map of the voices; `map.at = [0.1, 0.2]` does what a click does."""

        looks = {"style": {"description_width": "60px"}, "layout": {"width": "310px"}}
        self.controls: dict[str, widgets.Widget] = {
            "text": widgets.Textarea(
                text,
                description="text",
                rows=3,
                style=looks["style"],
                layout={"width": "310px", "height": "78px"},
            ),
            "speaker": widgets.Dropdown(
                options=[*model.speakers, MIXTURE], value=self.map.names[0], description="voice", **looks
            ),
            "speed": widgets.FloatSlider(
                1.0, min=0.5, max=2.0, step=0.1, readout_format=".1f", description="speed", **looks
            ),
            "pitch": widgets.FloatSlider(
                0.0, min=-12, max=12, step=0.5, readout_format="+.1f", description="pitch", **looks
            ),
            "seed": widgets.BoundedIntText(
                0, min=0, max=9999, description="seed", style=looks["style"], layout={"width": "160px"}
            ),
        }
        """The controls by name; `controls["speed"].value = 2.0` does what moving it does."""
        self.buttons = {
            "say": widgets.Button(
                description="Say", icon="play", button_style="primary", layout={"width": "80px"}
            ),
            "its own": widgets.Button(
                description="A sentence of its own",
                layout={"width": "165px"},
                tooltip="Then both say the same",
            ),
        }
        """The buttons by name; `buttons["say"].click()` does what pressing it does."""
        self._progress = widgets.FloatProgress(
            0.0, min=0, max=1, layout={"width": "310px", "height": "10px", "visibility": "hidden"}
        )
        self._note, self._code, self._words = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._place = widgets.VBox(layout={"min_height": "230px"})
        left = widgets.VBox(
            [self.map, widgets.HTML(self.map.legend(), layout={"width": "310px"})], layout={"width": "330px"}
        )
        unit = widgets.HTML(
            "<small>pitch in semitones, 12 are an octave</small>", layout={"margin": "0 0 0 64px"}
        )
        right = widgets.VBox(
            [
                *(self.controls[each] for each in ("text", "speaker", "speed", "pitch")),
                unit,
                self.controls["seed"],
                widgets.HBox(list(self.buttons.values()), layout={"margin": "4px 0 0 60px"}),
                self._progress,
            ]
        )
        top = widgets.HBox([left, right], layout={"flex_flow": "row wrap"})
        super().__init__([top, self._note, self._code, self._words, self._place])
        self._show_voice()
        self.map.observe(self._show_voice, names="shares")
        self.controls["speaker"].observe(self._choose, names="value")
        self.buttons["say"].on_click(self._press)
        self.buttons["its own"].on_click(self._take_sentence)
        try:
            self.say()
        except Exception:  # shown in its place
            pass

    # --- use -------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """What the controls say now."""
        values = {name: control.value for name, control in self.controls.items() if name != "speaker"}
        return Settings(**values | {"shares": dict(self.map.shares), "text": values["text"].strip()})

    @property
    def call(self) -> str:
        """The plain call for what the controls say now."""
        return self.settings.call(self._name)

    @property
    def waveform(self) -> np.ndarray:
        """What was said last (time,); waits while something is being said.

        Raises:
            AudioError: nothing was said, and why.
        """
        self._worker.wait()
        if self._done is None:
            raise audio.AudioError(self._gone_wrong or "nothing was said yet: press Say")
        return self._clips["model"]

    def say(self) -> np.ndarray:
        """Say what the controls ask for, show it, and return the waveform (time,).

        Raises:
            ValueError: nothing to say, or too long.
            Exception: whatever the model raises.
        """
        settings = self.settings
        self._worker.wait()
        self._work(settings)
        return self._clips["model"]

    # --- inside ----------------------------------------------------------------------------------------

    def _choose(self, change: dict) -> None:
        if change["new"] != MIXTURE and self.map.shares != {change["new"]: 1.0}:
            self.map.choose(change["new"])

    def _show_voice(self, _: object = None) -> None:
        shares = self.map.shares
        self.controls["speaker"].value = next(iter(shares)) if len(shares) == 1 else MIXTURE

    def _recorded(self, settings: Settings) -> tuple[str, Recorded | None]:
        """The main voice, and what it says in the corpus: this text, else its first."""
        speaker = max(settings.shares, key=settings.shares.get)
        said = self._recordings.get(speaker) or [None]
        same = [one for one in said if one is not None and one.text == settings.text]
        return speaker, (same or said)[0]

    def _take_sentence(self, _: object = None) -> None:
        speaker, _ = self._recorded(self.settings)
        texts = [one.text for one in self._recordings.get(speaker, ()) if len(one.text) <= MOST_CHARACTERS]
        if not texts:
            self._note.value = problem(f"There is no recording of {speaker}.")
            return
        now = self.controls["text"].value
        self.controls["text"].value = texts[(texts.index(now) + 1) % len(texts) if now in texts else 0]

    def _press(self, _: object = None) -> None:
        settings = self.settings
        self.buttons["say"].disabled = True

        def work() -> None:
            try:
                self._work(settings)
            except Exception:  # shown in its place, so that the controls stay alive
                pass
            finally:
                self.buttons["say"].disabled = False

        self._worker.do(work)

    def _work(self, settings: Settings) -> None:
        with self._lock:
            try:
                self._progress.value, self._progress.layout.visibility = 0.0, "visible"
                self._done, self._gone_wrong = None, ""
                self._speak(settings)
            except Exception as error:
                self._gone_wrong = str(error) if isinstance(error, ValueError) else words_of(error)
                self._note.value, self._code.value, self._words.value = problem(self._gone_wrong), "", ""
                replace(self._place)
                raise
            finally:
                self._progress.layout.visibility = "hidden"

    def _speak(self, settings: Settings) -> None:
        if len(settings.text) > MOST_CHARACTERS:
            raise ValueError(
                f"{len(settings.text)} characters are more than {MOST_CHARACTERS}: shorten the text, or use "
                f"{self._name}.stream for long ones"
            )
        self._note.value = saying("Working …")
        parts, speaker, spk_emb = list(sentences(settings.text)), None, None
        if len(settings.shares) == 1:
            (speaker,) = settings.shares
            voice = self._model.voice(speaker)
        else:
            voice = spk_emb = sum(share * self._model.voice(name) for name, share in settings.shares.items())
        start, how = time.perf_counter(), {"speed": settings.speed, "pitch": settings.pitch}
        # A plan costs little, and tells how much there will be.
        frames = sum(
            int(self._model.plan(part, voice, settings.speed, settings.pitch, False).bounds[0, -1])
            for part in parts
        )
        expected, pieces = max(1, frames) * features.HOP_LENGTH, []
        for piece in self._model.stream(settings.text, speaker, spk_emb, settings.seed, **how):
            pieces.append(piece)
            self._progress.value = min(1.0, sum(map(len, pieces)) / expected)
        waveform = audio.check(np.concatenate(pieces), "what the model said", 0.05)
        took, seconds = time.perf_counter() - start, len(waveform) / audio.SAMPLE_RATE
        self._show(
            settings,
            waveform,
            f"{seconds:.1f} s of speech in {took:.1f} s, real-time factor {took / seconds:.2f}.",
        )

    def _show(self, settings: Settings, waveform: np.ndarray, note: str) -> None:
        speaker, recorded = self._recorded(settings)
        clips, said = {"model": waveform}, {"model": settings.text}
        if recorded is not None:
            clips[f"recording of {speaker}"] = recorded.audio
            said[f"recording of {speaker}"] = recorded.text
        self._clips, self._done = clips, settings
        self._note.value = saying(note)
        self._code.value = code(settings.call(self._name))
        self._words.value = _transcripts(said)
        replace(self._place, ABPlayer(clips))

    def fallback_html(self) -> str:
        """Map, call, players and spectrograms of what was said last."""
        self._worker.wait()
        shown = f'<div style="max-width:420px">{self.map.fallback_html()}</div>'
        if self._done is None:
            return shown + self._note.value
        return f"{shown}{self._code.value}{self._words.value}{players(self._clips)}"

    def __repr__(self) -> str:
        return f"SayIt({len(self.map.names)} voices; {self.call.splitlines()[-1]})"


def _transcripts(said: Mapping[str, Any]) -> str:
    if len(set(said.values())) == 1:
        return f"<div><i>“{html.escape(next(iter(said.values())))}”</i></div>"
    return "".join(
        f"<div>{html.escape(name)}: <i>“{html.escape(text)}”</i></div>" for name, text in said.items()
    )
