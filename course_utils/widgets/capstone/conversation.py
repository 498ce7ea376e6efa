"""Talk to the assistant: microphone, file or bundled clip in, words and a spoken reply out, while cells run."""

from __future__ import annotations

import html
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import ipywidgets as widgets
import numpy as np

from course_utils import audio, plotting
from course_utils.models.assistant import Assistant, Event, mixed
from course_utils.paths import SAMPLE_RATE

from ..audio_input import MICROPHONE, AudioInput
from ..fallback import HtmlFallback, players
from ..messages import BOX, problem, saying, words_of
from .loop import CHUNK, Loop
from .player import ReplyPlayer

LOUDSPEAKER, HEADPHONES, WITHOUT_ECHO = "loudspeaker", "headphones", "browser's echo cancellation"
WAYS = {
    LOUDSPEAKER: "Half duplex: while it replies it does not listen, or it would hear itself. The button stops a reply.",
    HEADPHONES: "With headphones: speak, and the reply stops.",
    WITHOUT_ECHO: "The browser takes the reply out of the microphone, for this widget alone: speak, and the reply stops.",
}
SHOWN = 30
GREY = "#6b747e"
PAUSE = 1.5
"""Seconds of silence that follow a clip, so that its end can be noticed."""


def conversation_picture(events: Sequence[Event], seconds: float) -> plotting.Picture:
    """Who speaks when: what was understood, and the pieces of the replies, over the seconds of the sound."""
    begin, free, you, it = 0.0, 0.0, [], []
    for event in events:
        if event.kind in ("partial",) and not begin:
            begin = max(0.0, event.at - 0.6)
        elif event.kind in ("final", "ignored"):
            you.append((begin or event.at - 0.6, event.at, event.text))
            begin = 0.0
        elif event.kind == "sound":
            start = max(free, event.at)
            free = start + len(event.sound) / SAMPLE_RATE
            it.append((start, free, ""))
        elif event.kind == "stop":
            it = [(start, min(end, event.at), "") for start, end, _ in it if start < event.at]
            free = event.at
    replies = [event.text for event in events if event.kind == "reply"]
    alt = f"{len(you)} utterances and {len(replies)} replies: {' / '.join(replies)}"
    return plotting.timeline({"heard": you, "reply": it or [(seconds, seconds, "")]}, "time (s)", alt)


def log_html(lines: Sequence[tuple[str, str]], now: str, empty: str) -> str:
    """Lines of (who, text) with the newest below, and in grey what is being said."""
    rows = [f"<b>{html.escape(who)}:</b> {html.escape(text)}" for who, text in list(lines)[-SHOWN:]]
    if now:
        rows.append(f'<span style="color:{GREY}">{html.escape(now)}</span>')
    body = "".join(f'<div style="padding:2px 0">{row}</div>' for row in rows)
    body = body or f'<div style="color:{GREY};font-size:14px">{html.escape(empty)}</div>'
    return (
        f'<div style="{BOX}display:flex;flex-direction:column-reverse;min-height:86px;max-height:260px;overflow:auto;'
        f'font:17px/1.45 system-ui,sans-serif;overflow-wrap:anywhere"><div role="log" aria-label="The conversation" '
        f'style="margin-bottom:auto">{body}</div></div>'
    )


class Conversation(HtmlFallback, widgets.VBox):
    """Press Record and speak, or choose a clip or a file and press Start; the reply is played while it is made.

    Args:
        make: an assistant from `barge_in`; one is made for each start.
        clips: waveform (time,) by name, where there is no microphone.
        max_seconds: longest recording and longest file, at most 600.

    Raises:
        AudioError: a clip that is no waveform.
    """

    def __init__(
        self, make: Callable[[bool], Assistant], clips: Mapping[str, np.ndarray], max_seconds: float = 300.0
    ):
        self._make, self.max_seconds = make, max_seconds
        self._lock = threading.RLock()
        self._loop: Loop | None = None
        self._spoken: Loop | None = None  # that of the microphone
        self._now = ""
        self.lines: deque[tuple[str, str]] = deque(maxlen=200)
        """(who, text) of what was said."""
        self._example: tuple[np.ndarray, list[Event]] | None = None

        self.input = AudioInput(clips, max_seconds)
        self.mic = self.input.mic
        self.way = widgets.ToggleButtons(options=list(WAYS), style={"button_width": "230px"})
        """How you hear the replies; it counts from the next start."""
        self.player = ReplyPlayer(self._press_stop_reply)
        tip = "Play the clip or file through"
        self.start_button = widgets.Button(
            description="Start", icon="play", tooltip=tip, button_style="primary"
        )
        self.stop_button = widgets.Button(
            description="Stop", icon="stop", tooltip="Stop the clip and the reply"
        )
        self.start_button.on_click(self._press_start)
        self.stop_button.on_click(lambda _: self.stop())
        self._log, self._figures, self._note, self._says = (widgets.HTML() for _ in range(4))
        buttons = widgets.HBox([self.start_button, self.stop_button])
        super().__init__([
            self.way, self._says, self.input, buttons, self._log, self.player, self._figures, self._note,
        ])  # fmt: skip
        self.way.observe(self._on_way, names="value")
        self.input.observe_way(self._show_buttons)
        self.mic.on_chunk(self._on_chunk, self._on_end)
        self._on_way()
        self._show_buttons()
        self._draw()

    # --- use ---------------------------------------------------------------------------------------------

    @property
    def turns(self) -> list:
        """The questions since the last start, with their latencies."""
        return list(self._loop.assistant.turns) if self._loop else []

    def feed(self, waveform: np.ndarray, speed: float | None = None) -> list[Event]:
        """Say a waveform (time,) to the assistant, with a pause after it; all events.

        Args:
            waveform: (time,) at 16 kHz.
            speed: 1 feeds it by the clock, as if it were spoken; None as fast as it can be computed.

        Raises:
            AudioError: no waveform, too long, or the microphone is recording.
            Exception: whatever the assistant raises.
        """
        loop, events = self._play(waveform, speed)
        loop.wait()
        if loop.error is not None:
            raise loop.error
        self._example = (waveform, events)
        return events

    def stop(self) -> None:
        """Stop the clip or file and its reply; the microphone has its own button."""
        with self._lock:
            if self._loop is not None:
                self._loop.interrupt()
                if self._loop is not self._spoken:
                    self._loop.close()
        self.player.stop()

    # --- sound comes in ------------------------------------------------------------------------------------

    def _begin(self, events: list[Event] | None = None) -> Loop:
        with self._lock:
            if self._loop is not None:
                self._loop.interrupt()
                self._loop.close()
            assistant = self._make(self.way.value != LOUDSPEAKER)

            def take(event: Event) -> None:
                if events is not None:
                    events.append(event)
                self._on_event(event)

            loop = Loop(assistant, take, lambda: self._on_over(loop))
            self._loop = loop
            return loop

    def _on_chunk(self, waveform: np.ndarray) -> None:
        """A piece from the microphone, on its thread: into the ring with it, no more."""
        with self._lock:
            if self._spoken is None or self._spoken.closed:
                self._spoken = self._begin()
            loop = self._spoken
        loop.write(waveform)

    def _on_end(self) -> None:
        if self._spoken is not None:
            self._spoken.close()

    def _play(self, waveform: np.ndarray, speed: float | None) -> tuple[Loop, list[Event]]:
        waveform = audio.check(waveform, "the waveform", 0.01)
        if len(waveform) > self.max_seconds * SAMPLE_RATE:
            raise audio.AudioError(
                f"{len(waveform) / SAMPLE_RATE:.0f} s are longer than {self.max_seconds:g} s; cut it, or allow more "
                "with Conversation(max_seconds=...)"
            )
        if self.mic.status == "recording":
            raise audio.AudioError("still recording: press Stop in the recorder first")
        events: list[Event] = []
        loop, begin = self._begin(events), time.monotonic()
        waveform = np.concatenate([waveform, np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)])
        for end in range(CHUNK, len(waveform) + CHUNK, CHUNK):
            if speed is not None:
                loop.until(begin + min(end, len(waveform)) / SAMPLE_RATE / speed)
            if loop.closed:
                break
            loop.write(waveform[end - CHUNK : end], wait=speed is None)
        loop.close()
        return loop, events

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
        if loop is self._loop:
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
                f"The last reply: {pause:.0f} ms of pause, then {compute:.0f} ms of computing until its first sound."
            )

    # --- buttons, on any thread ------------------------------------------------------------------------------

    def _on_way(self, _: object = None) -> None:
        self._says.value = saying(WAYS[self.way.value])
        if self.mic.status != "recording":
            self.mic.echo_cancellation = self.way.value == WITHOUT_ECHO

    def _show_buttons(self, _: object = None) -> None:
        self.start_button.layout.display = "none" if self.input.way == MICROPHONE else ""

    def _press_start(self, _: object = None) -> None:
        try:
            waveform = self.input.audio
        except audio.AudioError as error:
            self._note.value = problem(str(error))
            return
        self._note.value = ""
        threading.Thread(target=self._play_aloud, args=[waveform], name="Conversation", daemon=True).start()

    def _play_aloud(self, waveform: np.ndarray) -> None:
        try:
            self._play(waveform, speed=1.0)
        except audio.AudioError as error:
            self._note.value = problem(str(error))

    def _press_stop_reply(self) -> None:
        if self._loop is not None:
            self._loop.interrupt()

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
