"""Four-part music to look at and to hear: coloured notes, a player, and a cursor that follows it."""

from __future__ import annotations

import html
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from course_utils import audio, music

from ..fallback import HtmlFallback

FOLDER = Path(__file__).parent
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#000000")  # as in the figures: readable with every colour vision
LEFT, NOTE_HEIGHT = 34, 5


def _svg(notes: list[music.Note], steps: int, bar: int, pickup: int, seconds: float, alt: str) -> str:
    """The roll as SVG: bar lines, the Cs with their names, a rectangle a note, and the cursor."""
    pitches = [note.pitch for note in notes] or [60]
    low, high = min(pitches) - 2, max(pitches) + 2
    step = max(3.0, min(12.0, 700 / steps))
    width, height = step * steps, (high - low + 1) * NOTE_HEIGHT

    def y(pitch: int) -> int:
        return (high - pitch) * NOTE_HEIGHT

    lines = [
        f'<line x1="{LEFT + t * step:.1f}" x2="{LEFT + t * step:.1f}" y1="0" y2="{height}" stroke="#dfe3e8"/>'
        for t in range(pickup % bar, steps + 1, bar)
    ]
    for pitch in range(-(-low // 12) * 12, high + 1, 12):
        middle = y(pitch) + NOTE_HEIGHT / 2
        lines.append(
            f'<line x1="{LEFT}" x2="{LEFT + width:.1f}" y1="{middle}" y2="{middle}" stroke="#dfe3e8" stroke-dasharray="2 3"/>'
            f'<text x="{LEFT - 6}" y="{middle + 4}" font-size="11" text-anchor="end">{music.pitch_name(pitch)}</text>'
        )
    rectangles = [
        f'<rect x="{LEFT + n.start * step + 0.5:.1f}" y="{y(n.pitch)}" width="{n.length * step - 1:.1f}" '
        f'height="{NOTE_HEIGHT}" rx="1.5" fill="{COLOURS[n.voice]}"><title>{music.VOICES[n.voice]} '
        f"{music.pitch_name(n.pitch)}</title></rect>"
        for n in notes
    ]
    return (
        f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="0 0 {LEFT + width + 4:.0f} {height}" '
        f'style="width:100%;max-width:{LEFT + width + 4:.0f}px;display:block;cursor:pointer;background:#fff" '
        f'data-left="{LEFT}" data-width="{width:.1f}" data-seconds="{seconds:.4f}">'
        f"{''.join(lines)}{''.join(rectangles)}"
        f'<line class="cursor" x1="{LEFT}" x2="{LEFT}" y1="0" y2="{height}" stroke="#b3261e" stroke-width="1.5"/></svg>'
    )


def roll_html(
    grid: np.ndarray,
    onsets: np.ndarray | None = None,
    title: str = "",
    tempo: float = 76.0,
    metre: tuple[int, int] = (16, 0),
) -> tuple[str, str]:
    """Roll and player as HTML, and what they are in words; arguments as for `PianoRoll`."""
    player = audio.audio_tag(music.synthesise(grid, onsets, tempo), title or "piano roll")
    notes = music.notes(grid, onsets)
    seconds = len(grid) / music.STEPS_PER_BEAT * 60 / tempo
    about = f"{title + ': ' if title else ''}{len(notes)} notes in {len(grid) / music.STEPS_PER_BEAT:g} beats"
    present = [k for k in range(len(music.VOICES)) if grid[:, k].any()]
    sung = ", ".join(music.VOICES[k] for k in present) or "no voice"
    if len(present) == len(music.VOICES):
        sung = f"four voices from {music.VOICES[0]} to {music.VOICES[3]}"
    alt = f"Piano roll, {about}, {sung}"
    # The names are black: two of the colours are too pale for letters.
    names = " ".join(f'<span style="color:{COLOURS[k]}">■</span> {music.VOICES[k]}' for k in present)
    svg = _svg(notes, len(grid), *metre, seconds, alt)
    shown = (
        f'<div class="course-widget" data-piano-roll><div class="row"><b>{html.escape(title)}</b>'
        f"<small>{names}</small></div>{svg}{player}<small>{html.escape(about)}</small></div>"
    )
    return shown, about


class PianoRoll(HtmlFallback, anywidget.AnyWidget):
    """Notes of a grid as a picture with a player. Works without a kernel too: the page carries sound and script.

    Args:
        grid: (steps, 4) MIDI numbers, 0 = rest, as in `course_utils.music`.
        onsets: (steps, 4), 1 where a note begins; without it repeated notes are drawn and played as one.
        title: above the roll.
        tempo: beats a minute.
        metre: (steps in a bar, steps before the first bar line), for the bar lines.

    Raises:
        MusicError: not a grid, onsets of another shape, or a tempo outside 10 to 600.
    """

    _esm = FOLDER / "piano_roll.js"
    _css = FOLDER.parent / "style.css"
    _html = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        grid: np.ndarray,
        onsets: np.ndarray | None = None,
        title: str = "",
        tempo: float = 76.0,
        metre: tuple[int, int] = (16, 0),
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        self.show(grid, onsets, title, tempo, metre)

    def show(
        self,
        grid: np.ndarray,
        onsets: np.ndarray | None = None,
        title: str = "",
        tempo: float = 76.0,
        metre: tuple[int, int] = (16, 0),
    ) -> None:
        """Other music in the same place; arguments as for the class."""
        self.grid = music.check_grid(grid)
        """The grid that is shown."""
        self._html, self._about = roll_html(self.grid, onsets, title, tempo, metre)

    def fallback_html(self) -> str:
        """Picture, player and, where scripts may run, the moving cursor."""
        script = (FOLDER / "piano_roll.js").read_text(encoding="utf-8").partition("export default")[0]
        return (
            f"{self._html}<script>(() => {{ {script} "
            "document.querySelectorAll('[data-piano-roll]:not([data-alive])').forEach((root) => "
            "{ root.dataset.alive = 1; bindPianoRoll(root); }); })();</script>"
        )

    def __repr__(self) -> str:
        return f"PianoRoll({self._about})"
