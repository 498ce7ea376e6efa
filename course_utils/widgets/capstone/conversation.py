"""Talk to the assistant: microphone, file or bundled clip in, words and a spoken reply out, while cells run."""

from __future__ import annotations

import html
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets
import numpy as np

from course_utils import audio, plotting
from course_utils.models.assistant import Assistant, Event, mixed
from course_utils.paths import SAMPLE_RATE

from ..fallback import players
from ..listening import Listening
from ..messages import GREY, problem, saying, scrolling, words_of
from .loop import Loop
from .player import ReplyPlayer

LOUDSPEAKER, HEADPHONES, WITHOUT_ECHO = "loudspeaker", "headphones", "browser's echo cancellation"
WAYS = {
    LOUDSPEAKER: "Half duplex: while it replies it does not listen, or it would hear itself. The button stops a reply.",
    HEADPHONES: "With headphones: speak, and the reply stops.",
    WITHOUT_ECHO: "The browser takes the reply out of the microphone, for this widget alone: speak, and the reply stops.",
}
SHOWN = 30


def conversation_picture(events: Sequence[Event], seconds: float) -> plotting.Picture:
    """Who speaks when: what was understood, and the pieces of the replies, over the seconds of the sound."""
    begin, free, words, you, it = 0.0, 0.0, "", [], []
    for event in events:
        if event.kind in ("partial",) and not begin:
            begin = max(0.0, event.at - 0.6)
        elif event.kind in ("final", "ignored"):
            you.append((begin or event.at - 0.6, event.at, event.text))
            begin = 0.0
        elif event.kind == "reply":
            words = event.text  # with the first piece of its sound
        elif event.kind == "sound":
            start = max(free, event.at)
            free = start + len(event.sound) / SAMPLE_RATE
            it.append((start, free, words))
            words = ""
        elif event.kind == "stop":
            it = [(start, min(end, event.at), label) for start, end, label in it if start < event.at]
            free = event.at
    replies = [event.text for event in events if event.kind == "reply"]
    alt = f"{len(you)} utterances and {len(replies)} replies: {' / '.join(replies)}"
    return plotting.timeline({"heard": you, "reply": it or [(seconds, seconds, "")]}, "time (s)", alt)


def log_html(lines: Sequence[tuple[str, str]], now: str, empty: str) -> str:
    """Lines of (who, text) with the newest below, and in grey what is being said."""
    rows = [f"<b>{html.escape(who)}:</b> {html.escape(text)}" for who, text in list(lines)[-SHOWN:]]
    if now:
        rows.append(f'<span style="color:{GREY}">{html.escape(now)}</span>')
    return scrolling(rows, "The conversation", empty)


class Conversation(Listening):
    """Press Record and speak, or choose a clip or a file and press Start; the reply is played while it is made.

    Args:
        make: an assistant from `barge_in`; one is made for each start.
        clips: waveform (time,) by name, where there is no microphone.
        max_seconds: longest recording and longest file, at most 600.

    Raises:
        AudioError: a clip that is no waveform.
    """

    PAUSE = 1.5  # so that the end of a clip is noticed

    def __init__(
        self, make: Callable[[bool], Assistant], clips: Mapping[str, np.ndarray], max_seconds: float = 300.0
    ):
        self._make = make
        self._now = ""
        self.lines: deque[tuple[str, str]] = deque(maxlen=200)
        """(who, text) of what was said."""
        self._example: tuple[np.ndarray, list[Event]] | None = None

        super().__init__(clips, max_seconds)
        self.way = widgets.ToggleButtons(options=list(WAYS), style={"button_width": "230px"})
        """How you hear the replies; it counts from the next start."""
        self.player = ReplyPlayer(self._press_stop_reply)
        self._log, self._figures, self._says = (widgets.HTML() for _ in range(3))
        self.children = [
            self.way, self._says, self.input, self._playing, self._log, self.player, self._figures, self._note,
        ]  # fmt: skip
        self.way.observe(self._on_way, names="value")
        self._on_way()
        self._draw()

    # --- use ---------------------------------------------------------------------------------------------

    @property
    def turns(self) -> list:
        """The questions since the last start, with their latencies."""
        return list(self._session.assistant.turns) if self._session else []

    def feed(self, waveform: np.ndarray, speed: float | None = None) -> list[Event]:
        """Say a waveform (time,) to the assistant, with a pause after it; all events.

        Args:
            waveform: (time,) at 16 kHz.
            speed: 1 feeds it by the clock, as if it were spoken; None as fast as it can be computed.

        Raises:
            AudioError: no waveform, too long, or the microphone is recording.
            Exception: whatever the assistant raises.
        """
        events: list[Event] = []
        loop = self._play(waveform, speed, lambda: self._begin(events))
        loop.wait()
        if loop.error is not None:
            raise loop.error
        self._example = (waveform, events)
        return events

    def stop(self) -> None:
        """Stop the clip or file and its reply; the microphone has its own button."""
        with self._lock:
            if self._session is not None:
                self._session.interrupt()
        super().stop()
        self.player.stop()

    # --- sound comes in ------------------------------------------------------------------------------------

    def _begin(self, events: list[Event] | None = None) -> Loop:
        with self._lock:
            if self._session is not None:
                self._session.interrupt()
                self._session.close()
            assistant = self._make(self.way.value != LOUDSPEAKER)

            def take(event: Event) -> None:
                if events is not None:
                    events.append(event)
                self._on_event(event)

            loop = Loop(assistant, take, lambda: self._on_over(loop))
            self._session = loop
            return loop

    # --- events, on the loop's thread ------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if event.kind == "sound":
            self.player.play(event.sound)
            return
        if event.kind == "stop":
            self.player.stop()
        elif event.kind == "reply":
            self.player.begin()
            self.lines.append(("reply", event.text))
        elif event.kind == "final":
            self.lines.append(("you", event.text))
        elif event.kind == "ignored":
            self.lines.append(("not understood", event.text))
        elif event.kind == "error":
            self._note.value = problem(event.text)
        self._now = event.text if event.kind == "partial" else ""
        self._draw()

    def _on_over(self, loop: Loop) -> None:
        if loop.error is not None:
            self._note.value = problem(words_of(loop.error))
        if loop.lost:
            self._note.value = problem(f"{loop.lost:.1f} s came too fast and were not heard")
        if loop is self._session:
            self._draw()

    def _draw(self) -> None:
        self._log.value = log_html(self.lines, self._now, "The conversation appears here.")
        turn = self.turns[-1] if self.turns else None
        if turn is not None:
            pause, compute = (
                1000 * (turn.endpoint - turn.last_unit),
                turn.final_ms + turn.reply_ms + turn.audio_ms,
            )
            self._figures.value = saying(
                f"The last reply: {pause:.0f} ms of pause since the last phone, then {compute:.0f} ms of computing until its first sound."
            )

    # --- buttons, on any thread ------------------------------------------------------------------------------

    def _on_way(self, _: object = None) -> None:
        self._says.value = saying(WAYS[self.way.value])
        if self.mic.status != "recording":
            self.mic.echo_cancellation = self.way.value == WITHOUT_ECHO

    def _press_stop_reply(self) -> None:
        if self._session is not None:
            self._session.interrupt()

    # --- display ---------------------------------------------------------------------------------------------

    def fallback_html(self) -> str:
        """The last conversation that was fed, as text, picture and sound, where no kernel runs."""
        shown = "<p><em>Open this notebook in JupyterLab to talk to the assistant.</em></p>"
        if self._example is None:
            return shown + players(self.input.bundled)
        waveform, events = self._example
        heard = mixed(waveform, events)[: 60 * SAMPLE_RATE]
        picture = conversation_picture(events, len(heard) / SAMPLE_RATE)._repr_html_()
        player = audio.play(heard * np.float32(audio.shared_gain([heard])), "question and reply").data
        return shown + log_html(self.lines, "", "Nothing was understood.") + picture + player

    def __repr__(self) -> str:
        return f"Conversation({self.way.value})"
