"""What the demos of cloning and conversion share: a run on a thread, the player, save and delete."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from course_utils import audio, cloning, data, paths

from ..ab_player import ABPlayer, one_level
from ..fallback import HtmlFallback, players
from ..folders import make_folder
from ..messages import code, problem, replace, saying, words_of
from ..worker import Worker
from .consent import ConsentForm
from .voice_map import VoiceMap
from .voices import VoiceInput

WORKING = (
    '<progress aria-label="working" style="width:200px;height:10px;margin-right:10px"></progress>'
    "{doing} … this takes about as long as the result will be."
)
SURE = "Press again to delete"


@dataclass(frozen=True)
class Asked:
    """What is to be made: all settings as they stood when the button was pressed.

    `beside` are the clips that are played beside the result, by name, `said` what is said in each; `real` is the name of
    the one that the result is compared with blind, and `marked` of the one that is marked on the map.
    """

    make: Callable[[], np.ndarray]
    call: str
    consent: cloning.Consent | None
    beside: dict[str, np.ndarray]
    said: dict[str, str]
    real: str | None
    marked: str | None = None


@dataclass(frozen=True)
class Made:
    """What was asked for, and what came of it."""

    asked: Asked
    waveform: np.ndarray
    clips: dict[str, np.ndarray]


def headline(text: str, more: str = "") -> widgets.HTML:
    """A line above a part of a demo."""
    return widgets.HTML(f'<div style="line-height:1.4;margin-top:4px"><b>{text}</b>{more}</div>')


def in_words(error: Exception) -> str:
    """An error of the course as it speaks, others with their kind."""
    plain = isinstance(error, (ValueError, cloning.ConsentError, data.DataError))
    return str(error) if plain else words_of(error)


class VoiceDemo(HtmlFallback, widgets.VBox):
    """Not to be used itself: `_ask()` of its children says what is wanted.

    Args:
        made: what the result is called.
        doing: what is said meanwhile.
        main: the word on the button that begins, and its name.
        inputs: what is let go of when everything is deleted.
        voice: the one of them whose owner has to agree.
        controls: by name, without those that are the same for all.
        map: where the result is marked.
        folder: where results are saved; None: below `recordings/own_voice/`.
    """

    def __init__(
        self,
        made: str,
        doing: str,
        main: str,
        inputs: Sequence[VoiceInput],
        voice: VoiceInput,
        controls: Mapping[str, widgets.Widget],
        map: VoiceMap | None,
        folder: str | Path | None,
    ):
        self._called, self._doing, self._main = made, doing, main
        self._inputs, self._voice = list(inputs), voice
        self.map = map
        """The map on which the result is marked, or None."""
        self.folder = Path(folder) if folder is not None else paths.own_voice_folder() / made
        """Where results are saved, and what is emptied when everything is deleted."""
        self._worker, self._lock = Worker(type(self).__name__), threading.RLock()
        self._turn = 0  # results of earlier turns are dropped
        self._made: Made | None = None
        self._gone_wrong, self._sure = "", False

        self.form = ConsentForm()
        """The consent; shown for every voice but the bundled ones."""
        self.controls = {
            **controls,
            "blind": widgets.Checkbox(
                False, description="blind test", indent=False, disabled=True, layout={"width": "auto"}
            ),
        }
        """The controls by name; setting the value of one does what moving it does."""
        self.buttons = {
            main.lower(): self._button(main, "150px", self._press, icon="play", button_style="primary"),
            "cancel": self._button("Cancel", "90px", self._press_cancel, disabled=True),
            "save": self._button("Save", "90px", self._press_save, icon="download", disabled=True),
            "delete": self._button(
                "Delete everything of my voice", "240px", self._press_delete, icon="trash"
            ),
        }
        """The buttons by name; `buttons["save"].click()` does what pressing it does."""
        self._note, self._code, self._words = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._place = widgets.VBox()
        self._blind = widgets.HBox([self.controls["blind"]], layout={"display": "none"})
        self._result = [self._note, self._code, self._words, self._blind, self._place]
        self._about_map = widgets.VBox(
            [headline(f"Where the {made} is"), map] if map is not None else [], layout={"max_width": "460px"}
        )
        super().__init__()
        self.controls["blind"].observe(self._show_player, names="value")
        voice.on_change(self._show_form)
        self._show_form()

    def _begin_at_once(self) -> None:
        """The first result without a click, if nobody has to agree."""
        if self._voice.chosen_clip is None or self._voice.needs_consent:
            self._note.value = saying(f"Choose a voice, fill in the consent, and press “{self._main}”.")
            return
        try:
            self._run()
        except Exception:  # shown in its place
            pass

    def _button(
        self, text: str, width: str, press: Callable[[object], object], **more: object
    ) -> widgets.Button:
        button = widgets.Button(description=text, layout={"width": width}, **more)
        button.on_click(press)
        return button

    # --- use -------------------------------------------------------------------------------------------

    @property
    def waveform(self) -> np.ndarray:
        """What was made last (time,); waits while something is being made.

        Raises:
            AudioError: nothing was made, and why.
        """
        self._worker.wait()
        return self._last().waveform

    @property
    def real(self) -> np.ndarray | None:
        """The true recording that the result is compared with (time,), or None."""
        made = self._last()
        return None if made.asked.real is None else made.clips[made.asked.real]

    @property
    def call(self) -> str:
        """The plain call for what is chosen now."""
        return self._ask().call

    def save(self) -> Path:
        """Write the result as wav with its consent beside it, and return where.

        Raises:
            AudioError: nothing was made, or the folder can not be written.
        """
        made = self._last()
        make_folder(self.folder)
        path = self.folder / f"{self._called}_{datetime.now():%Y-%m-%d_%H-%M-%S_%f}.wav"
        waveform = made.waveform * np.float32(audio.shared_gain([made.waveform]))
        cloning.save(path, waveform, made.asked.consent)
        return path

    def delete(self) -> None:
        """Delete a learner's voice and all that was made from it: in the folder, in the kernel, and on the page.

        A run that is under way is dropped.
        """
        with self._lock:
            self._drop()
            self._clear()
        for each in self._inputs:
            each.forget()
        self.form.clear()
        if self.map is not None:
            self.map.forget()
        if self.folder.exists():
            cloning.forget(self.folder)

    def cancel(self) -> None:
        """Take back what was asked for; its result is dropped when it comes."""
        with self._lock:
            self._drop()

    # --- the run ---------------------------------------------------------------------------------------

    def _ask(self) -> Asked:
        """What is wanted now; raises ValueError where it can not be."""
        raise NotImplementedError

    def _consent(self, handed: object) -> cloning.Consent | None:
        """The consent for what is handed to `cloning`; only utterances of bundled voices need none."""
        return None if isinstance(handed, data.Utterance) else self.form.consent

    def _last(self) -> Made:
        made = self._made
        if made is None:
            raise audio.AudioError(self._gone_wrong or f"nothing was made yet: press “{self._main}”")
        return made

    def _run(self) -> np.ndarray:
        """Do what the button does, wait, and return the waveform; raise what goes wrong."""
        self._calm()
        turn, asked = self._begin()
        self._worker.wait()
        self._work(turn, asked)
        return self._last().waveform

    def _press(self, _: object = None) -> None:
        self._calm()
        try:
            turn, asked = self._begin()
        except Exception:  # shown in its place, so that the controls stay alive
            return

        def work() -> None:
            try:
                self._work(turn, asked)
            except Exception:  # shown in its place
                pass

        self._worker.do(work)

    def _begin(self) -> tuple[int, Asked]:
        with self._lock:
            self._drop()
            self._clear()
            try:
                asked = self._ask()
            except Exception as error:
                self._fail(error)
                raise
            self._note.value = f'<div role="status">{WORKING.format(doing=self._doing)}</div>'
            self._switch(busy=True)
            return self._turn, asked

    def _work(self, turn: int, asked: Asked) -> None:
        with self._lock:
            if turn != self._turn:
                return
        try:
            start = time.perf_counter()
            waveform = audio.check(asked.make(), f"the {self._called}", 0.05)
            took = time.perf_counter() - start
        except Exception as error:
            with self._lock:
                if turn != self._turn:
                    return
                self._fail(error)
            raise
        with self._lock:
            if turn == self._turn:  # else it was cancelled or deleted meanwhile
                self._finish(Made(asked, waveform, {self._called: waveform, **asked.beside}), took)

    def _finish(self, made: Made, took: float) -> None:
        self._made, seconds = made, len(made.waveform) / audio.SAMPLE_RATE
        self._switch(busy=False)
        self._code.value = code(made.asked.call)
        self._words.value = _transcripts(
            {name: made.asked.said[name] for name in made.clips if name in made.asked.said}
        )
        blind = self.controls["blind"]
        blind.disabled = made.asked.real is None
        if made.asked.real is not None:
            blind.description = f"blind test: {self._called} or {made.asked.real}?"
        self._blind.layout.display = "none" if made.asked.real is None else ""
        self._show_player()
        note = saying(f"{seconds:.1f} s in {took:.1f} s, real-time factor {took / seconds:.2f}.")
        if self.map is not None:
            try:
                self.map.hear(
                    **{made.asked.marked: made.clips[made.asked.marked], self._called: made.waveform}
                )
            except Exception as error:  # the sound is there all the same
                note += problem(f"It can not be marked on the map: {in_words(error)}")
        self._note.value = note

    def _fail(self, error: Exception) -> None:
        self._clear()
        self._gone_wrong = in_words(error)
        self._note.value = problem(self._gone_wrong)
        self._switch(busy=False)

    def _drop(self) -> None:
        self._turn += 1
        self._switch(busy=False)

    def _clear(self) -> None:
        if self._made is not None and self.map is not None:
            for name in (self._called, self._made.asked.marked):
                self.map.forget(name)
        self._made, self._gone_wrong = None, ""
        self._note.value = self._code.value = self._words.value = ""
        self.controls["blind"].disabled = True
        self._blind.layout.display = "none"
        replace(self._place)
        self._switch(busy=False)

    def _switch(self, busy: bool) -> None:
        self.buttons[self._main.lower()].disabled = busy
        self.buttons["cancel"].disabled = not busy
        self.buttons["save"].disabled = self._made is None

    # --- what is shown -----------------------------------------------------------------------------------

    def _show_form(self) -> None:
        self.form.layout.display = "" if self._voice.needs_consent else "none"

    def _show_player(self, _: object = None) -> None:
        with self._lock:
            made = self._made
            if made is None:
                return
            real = made.asked.real
            if self.controls["blind"].value and real is not None:
                try:
                    pair = one_level({name: made.clips[name] for name in (self._called, real)})
                    replace(self._place, ABPlayer(pair, blind=True, seed=None))
                except audio.AudioError as error:
                    replace(self._place, widgets.HTML(problem(str(error))))
            else:
                replace(self._place, ABPlayer(made.clips))

    def _press_cancel(self, _: object) -> None:
        self._calm()
        self.cancel()
        self._note.value = saying("Cancelled.")

    def _press_save(self, _: object) -> None:
        self._calm()
        try:
            made, path = self._last(), self.save()
        except Exception as error:
            self._note.value = problem(in_words(error))
            return
        beside = (
            " with the consent beside it"
            if made.asked.consent is not None
            else " (a bundled voice: no consent needed)"
        )
        self._note.value = saying(f"Saved{beside}: {path}")

    def _press_delete(self, _: object) -> None:
        if not self._sure:
            self._sure = True
            self.buttons["delete"].description, self.buttons["delete"].button_style = SURE, "danger"
            self._note.value = saying(
                f"This deletes what you recorded or uploaded here, what was made from it, and what is in {self.folder}."
            )
            return
        self._calm()
        try:
            self.delete()
        except Exception as error:
            self._note.value = problem(f"Not everything is deleted: {in_words(error)}")
            return
        self._note.value = saying(f"Deleted here and in {self.folder}.")

    def _calm(self) -> None:
        """Another button than "delete" was pressed: it asks anew."""
        self._sure = False
        self.buttons["delete"].description = "Delete everything of my voice"
        self.buttons["delete"].button_style = ""

    def fallback_html(self) -> str:
        """Call, words, players and spectrograms of what was made last, and the map."""
        self._worker.wait()
        made = self._made
        if made is None:
            return f"{self._note.value}{self.form.fallback_html()}"
        return (
            "<p><em>Open this notebook in JupyterLab to try it with your own voice.</em></p>"
            f"{self._code.value}{self._words.value}{players(made.clips)}{self.map.fallback_html() if self.map is not None else ''}"
        )


def _transcripts(said: Mapping[str, str]) -> str:
    """What is said in which clip, each text once."""
    names: dict[str, list[str]] = {}
    for name, text in said.items():
        names.setdefault(text, []).append(name)
    return "".join(
        f"<div>{html.escape(', '.join(each))}: <i>“{html.escape(text)}”</i></div>"
        for text, each in names.items()
    )
