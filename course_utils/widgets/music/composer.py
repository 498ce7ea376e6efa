"""Play with a model that composes: temperature and top-p with roll and rules, and a melody to be harmonised."""

from __future__ import annotations

import html
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets

from course_utils import music

from ..fallback import HtmlFallback
from .piano_roll import PianoRoll, roll_html

FOLDER = Path(__file__).parent
STEPS_PER_COLUMN = 2


class Composing(Protocol):
    """What the widgets need of a model."""

    def generate(self, steps: int, *, temperature: float, top_p: float, seed: int) -> np.ndarray:
        """New music (steps, 4)."""
        ...

    def harmonise(self, soprano: np.ndarray, *, seed: int) -> np.ndarray:
        """Four voices for a soprano (steps,)."""
        ...


def rule_table(grid: np.ndarray) -> str:
    """Rule breaks of a grid as one HTML line."""
    counts = ", ".join(f"{rule} {count}" for rule, count in music.rule_breaks(grid).items())
    return f"<small>Rule breaks: {counts}. Pitch classes: {music.pitch_class_entropy(grid):.2f} bits.</small>"


class ComposerExplorer(HtmlFallback, widgets.VBox):
    """Sliders for temperature and top-p, a seed, and the piece that they give, with its rule breaks.

    Args:
        model: what composes (`checkpoints.load("music")`, or yours).
        steps: length of a piece, in 16ths.
        temperature: where its slider starts.
        top_p: where its slider starts.
        seed: the first piece.
    """

    def __init__(
        self,
        model: Composing,
        steps: int = 128,
        temperature: float = 1.0,
        top_p: float = 0.95,
        seed: int = 0,
    ):
        self._model, self._steps, self._lock = model, steps, threading.Lock()
        looks = {
            "style": {"description_width": "90px"},
            "layout": {"width": "300px"},
            "continuous_update": False,
        }
        self.controls: dict[str, widgets.Widget] = {
            "temperature": widgets.FloatSlider(
                temperature, min=0.2, max=1.6, step=0.1, description="temperature", **looks
            ),
            "top_p": widgets.FloatSlider(top_p, min=0.5, max=1.0, step=0.05, description="top-p", **looks),
            "seed": widgets.BoundedIntText(
                seed, min=0, max=9999, description="seed", layout={"width": "190px"}
            ),
        }
        """The controls by name; `controls["temperature"].value = 0.5` does what moving it does."""
        self._note = widgets.HTML()
        grid = self._compose()
        self.roll = PianoRoll(grid, title=self._title())
        row = widgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, self.roll, self._note])
        self._note.value = rule_table(grid)
        for control in self.controls.values():
            control.observe(self._draw, names="value")

    @property
    def grid(self) -> np.ndarray:
        """The piece that is shown (steps, 4)."""
        return self.roll.grid

    def _title(self) -> str:
        return ", ".join(f"{name} {control.value:g}" for name, control in self.controls.items())

    def _compose(self) -> np.ndarray:
        settings = {name: control.value for name, control in self.controls.items()}
        return self._model.generate(self._steps, **settings)

    def _draw(self, _: object = None) -> None:
        with self._lock:
            grid = self._compose()
            self.roll.show(grid, title=self._title())
            self._note.value = rule_table(grid)

    def fallback_html(self) -> str:
        """The piece without its controls, and what they stood on."""
        return (
            f"<p>Composed with {html.escape(self._title())}.</p>"
            + self.roll.fallback_html()
            + self._note.value
        )

    def __repr__(self) -> str:
        return f"ComposerExplorer({self._title()})"


class MelodyPad(HtmlFallback, anywidget.AnyWidget):
    """A melody to be drawn with the mouse or the arrow keys: one column an eighth, one row a semitone.

    Args:
        melody: where it starts, (steps,) of a 16th as `music.melody` gives it; None: an empty pad.
        columns: how many eighths there are when it starts empty.
    """

    _esm = FOLDER / "melody_pad.js"
    _css = FOLDER.parent / "style.css"
    pitches = traitlets.List(traitlets.Int()).tag(sync=True)
    """MIDI number of each eighth, 0 = rest."""
    lowest = traitlets.Int(60).tag(sync=True)
    highest = traitlets.Int(81).tag(sync=True)

    def __init__(self, melody: Sequence[int] | None = None, columns: int = 32, **kwargs: object):
        super().__init__(pitches=[0] * columns, **kwargs)
        if melody is not None:
            self.pitches = [int(p) for p in np.asarray(melody)[::STEPS_PER_COLUMN]]

    @traitlets.validate("pitches")
    def _check(self, proposal: dict) -> list[int]:
        for pitch in proposal["value"]:
            if pitch and not self.lowest <= pitch <= self.highest:
                raise music.MusicError(
                    f"{music.pitch_name(pitch)} lies outside a soprano's {music.pitch_name(self.lowest)} "
                    f"to {music.pitch_name(self.highest)}; transpose the melody"
                )
        return proposal["value"]

    @property
    def soprano(self) -> np.ndarray:
        """The melody in 16ths (steps,), up to its last note."""
        drawn = np.flatnonzero(self.pitches)
        length = drawn[-1] + 1 if len(drawn) else 0
        return np.repeat(np.array(self.pitches[:length], np.int64), STEPS_PER_COLUMN)

    def fallback_html(self) -> str:
        """The melody in words, as a roll and as sound."""
        words = f"<p>Melody in eighths: {' '.join(map(music.pitch_name, self.pitches))}</p>"
        soprano = self.soprano
        alone = np.zeros((len(soprano), len(music.VOICES)), np.int64)
        alone[:, 0] = soprano
        return words + (roll_html(alone, title="The melody")[0] if len(soprano) else "")

    def __repr__(self) -> str:
        return f"MelodyPad({np.count_nonzero(self.pitches)} of {len(self.pitches)} eighths)"


class HarmoniserExplorer(HtmlFallback, widgets.VBox):
    """Draw or type a soprano and have it harmonised.

    Args:
        model: what harmonises.
        melody: the melody to start with, as `music.melody` reads it.
    """

    def __init__(self, model: Composing, melody: str = "G4 A4 B4 C5 D5*2 B4 G4 | C5 B4 A4 G4 A4*2 G4*2"):
        self._model, self._lock = model, threading.Lock()
        soprano = music.melody(melody)
        self.pad = MelodyPad(soprano)
        self.text = widgets.Text(
            melody, description="or type", continuous_update=False, layout={"width": "560px"}
        )
        self.seed = widgets.BoundedIntText(0, min=0, max=9999, description="seed")
        self.button = widgets.Button(description="Harmonise")
        self._note = widgets.HTML()
        grid = model.harmonise(soprano, seed=0)
        self.roll = PianoRoll(grid, title="Harmonised")
        self._note.value = rule_table(grid)
        row = widgets.HBox([self.text, self.seed, self.button], layout={"flex_flow": "row wrap"})
        super().__init__([self.pad, row, self.roll, self._note])
        self.text.observe(self._typed, names="value")
        self.button.on_click(self._draw)

    def _typed(self, _: object = None) -> None:
        try:
            self.pad.pitches = MelodyPad(music.melody(self.text.value)).pitches
        except music.MusicError as error:
            self._note.value = f'<span class="note problem">{html.escape(str(error))}</span>'

    def _draw(self, _: object = None) -> None:
        with self._lock:
            soprano = self.pad.soprano
            if not len(soprano):
                self._note.value = '<span class="note problem">The pad is empty: draw a melody first.</span>'
                return
            grid = self._model.harmonise(soprano, seed=self.seed.value)
            self.roll.show(grid, title="Harmonised")
            self._note.value = rule_table(grid)

    def fallback_html(self) -> str:
        """The melody in words and what it was harmonised to, without the controls."""
        return self.pad.fallback_html() + self.roll.fallback_html() + self._note.value

    def __repr__(self) -> str:
        return f"HarmoniserExplorer({self.pad!r})"
