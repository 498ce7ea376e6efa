"""Hear what a denoiser does: to a noise and a level of your choice, and to your own recording."""

from __future__ import annotations

import base64
import html
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import ipywidgets as widgets
import numpy as np

from course_utils import audio, metrics, plotting

from ..ab_player import ABPlayer, one_level
from ..audio_input import AudioInput
from ..fallback import HtmlFallback
from ..messages import problem, replace, saying, words_of

System = Callable[[np.ndarray], np.ndarray]
"""Noisy waveform (time,) in, cleaned waveform (time,) of the same length out."""

NOISY, CLEAN = "noisy", "clean"
SILENT_DB = -80.0
SHORTEST_SECONDS = 0.1
PRESS = "Remove the noise"


def run_system(system: System, waveform: np.ndarray, name: str = "the denoiser") -> np.ndarray:
    """What `system` makes of `waveform` (time,), or what is wrong with it.

    Raises:
        AudioError: it returned no waveform, NaN, or another length than it got.
        Exception: whatever `system` itself raises.
    """
    result = audio.check(np.asarray(system(waveform.copy())), f"what {name} returned")
    if len(result) != len(waveform):
        raise audio.AudioError(
            f"{name} returned {len(result)} samples for {len(waveform)}; pad or cut its result to the length it got"
        )
    return result


# --- one comparison --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """Noisy speech and what each system made of it; the notebook shows it as a table and players.

    Attributes:
        clips: waveform (time,) by name: "noisy", each system, "clean".
        rows: for each clip but the last {"system", "si_sdr", "gain"} in dB, and "pesq" where it is installed.
        failures: the error of each system that failed; it is not among the clips.
    """

    clips: dict[str, np.ndarray]
    rows: list[dict[str, str | float]]
    failures: dict[str, Exception] = field(default_factory=dict)

    def table(self) -> str:
        """The measures as an HTML table."""
        columns = {"si_sdr": "SI-SDR (dB)", "gain": "better than noisy (dB)", "pesq": "PESQ (1.04 to 4.64)"}
        columns = {key: title for key, title in columns.items() if any(key in row for row in self.rows)}
        cell = 'style="text-align:right;padding:2px 12px"'
        head = "".join(f'<th scope="col" {cell}>{title}</th>' for title in columns.values())
        lines = [
            f'<tr><th scope="row" style="text-align:left;padding:2px 12px">{html.escape(str(row["system"]))}</th>'
            + "".join(f"<td {cell}>{_figure(row.get(key), key)}</td>" for key in columns)
            for row in self.rows
        ]
        without = (
            "" if "pesq" in columns else "<p><small>PESQ: run <code>course install judges</code></small></p>"
        )
        failed = "".join(
            problem(f"{name} failed: {words_of(error)}") for name, error in self.failures.items()
        )
        return (
            '<table style="border-collapse:collapse"><thead><tr><th scope="col" style="text-align:left;padding:2px 12px">'
            f"clip</th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>{without}{failed}"
        )

    def spectrograms(self) -> plotting.Picture:
        """Log-mel spectrograms of all clips on one colour scale."""
        return plotting.spectrograms(self.clips)

    def _repr_html_(self) -> str:
        return self.table() + audio.compare(self.clips).data

    def __repr__(self) -> str:
        figures = ", ".join(f"{row['system']} {_figure(row['si_sdr'])} dB" for row in self.rows)
        return f"Comparison(SI-SDR: {figures})"


def _figure(value: float | None, key: str = "si_sdr") -> str:
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "nothing is left" if value < 0 else "perfect"
    return f"{value:+.1f}" if key == "gain" else f"{value:.2f}" if key == "pesq" else f"{value:.1f}"


def _measures(estimate: np.ndarray, clean: np.ndarray, noisy_si_sdr: float | None) -> dict[str, float]:
    si_sdr = metrics.si_sdr(estimate, clean)
    row = {"si_sdr": si_sdr, "gain": math.nan if noisy_si_sdr is None else si_sdr - noisy_si_sdr}
    try:
        row["pesq"] = (
            metrics.pesq(estimate, clean)
            if len(clean) >= metrics.MIN_SECONDS * audio.SAMPLE_RATE
            else math.nan
        )
    except metrics.MissingJudge:
        pass  # the table says how to install it
    return row


def _check_names(systems: Mapping[str, System]) -> None:
    for name in (NOISY, CLEAN):
        if name in systems:
            raise ValueError(f"a system can not be called {name!r}: that is the name of another clip")


def _compare(
    speech: np.ndarray, noise: np.ndarray, snr_db: float, systems: Mapping[str, System]
) -> Comparison:
    speech = audio.check(speech, "speech", SHORTEST_SECONDS)
    _check_names(systems)
    noisy, _ = audio.mix(speech, noise, snr_db)
    # Turned down together if the sum would overload, as a recording would be; the ratio stays.
    gain = np.float32(audio.shared_gain([noisy, speech]))
    noisy, speech = noisy * gain, speech * gain
    clips, failures = {NOISY: noisy}, {}
    for name, system in systems.items():
        try:
            clips[name] = run_system(system, noisy, name)
        except Exception as error:  # whatever a learner writes may fail here; the others are still heard
            failures[name] = error
    before = metrics.si_sdr(noisy, speech)
    rows = [
        {"system": name, **_measures(clip, speech, None if name == NOISY else before)}
        for name, clip in clips.items()
    ]
    return Comparison({**clips, CLEAN: speech}, rows, failures)


def denoise_demo(
    speech: np.ndarray, noise: np.ndarray, snr_db: float, systems: Mapping[str, System]
) -> Comparison:
    """Mix speech and noise, let each system clean it, and measure: what `NoiseExplorer` shows, as one call.

    Args:
        speech: clean waveform (time,).
        noise: waveform (time,); a longer one is cut, a shorter one repeated.
        snr_db: ratio of their powers over the whole clip, in dB.
        systems: by name, each a function of the noisy waveform that returns one of the same length.

    Raises:
        AudioError: a waveform that is none, silence, or a system that returns no waveform of that length.
        ValueError: a system is called "noisy" or "clean".
        Exception: whatever a system raises.
    """
    comparison = _compare(speech, noise, snr_db, systems)
    for name, error in comparison.failures.items():
        error.add_note(f"raised by the system {name!r}")
        raise error
    return comparison


# --- widgets ---------------------------------------------------------------------------------------------


class NoiseExplorer(HtmlFallback, widgets.VBox):
    """Choose a noise and its level, and hear and see what each system makes of it; or be tested blind.

    In the blind test two clips are brought to one level and played as X without their names; `score`,
    `trials` and `p_value` say how well you tell them apart. Another noise or level begins a new test.
    A system that fails is named below the table, and the others go on.

    Args:
        speech: clean waveform (time,).
        noises: waveform (time,) by name.
        systems: by name, each a function of the noisy waveform that returns one of the same length.
        snr_db: where the slider starts, -5 to 20.
        transcript: the words of `speech`.
        seed: of the choices of X in the blind test; None is different each time.

    Raises:
        AudioError: `speech` or a noise is no waveform.
        ValueError: no noises, no systems, or a system is called "noisy" or "clean".
    """

    def __init__(
        self,
        speech: np.ndarray,
        noises: Mapping[str, np.ndarray],
        systems: Mapping[str, System],
        snr_db: int = 5,
        transcript: str | None = None,
        seed: int | None = None,
    ):
        if not noises or not systems:
            raise ValueError(f"expected noises and systems by name, got {len(noises)} and {len(systems)}")
        _check_names(systems)
        self._speech = audio.check(speech, "speech", SHORTEST_SECONDS)
        self._noises = {name: audio.check(noise, name, 0.01) for name, noise in noises.items()}
        self._systems, self._transcript, self._seed = dict(systems), transcript, seed
        self._lock = threading.Lock()
        self._shown: tuple | None = None
        self._heard: tuple | None = None
        self.comparison: Comparison | None = None
        """Waveforms and measures of what is shown; None if the last run failed."""
        self.player: ABPlayer | None = None
        """The player that is shown, blind or not; None if the last run failed."""

        names = [NOISY, *systems, CLEAN]
        looks = {"style": {"description_width": "90px"}, "layout": {"width": "350px"}}
        pair = {"style": {"description_width": "90px"}, "layout": {"width": "280px"}}
        self.controls: dict[str, widgets.Widget] = {
            "noise": widgets.Dropdown(options=list(noises), description="noise", **looks),
            # One run at the end of a drag, not for each step of it.
            "snr_db": widgets.IntSlider(
                snr_db, min=-5, max=20, description="SNR (dB)", continuous_update=False, **looks
            ),
            "blind": widgets.Checkbox(
                False, description="blind test of two clips", indent=False, layout={"width": "190px"}
            ),
            "first": widgets.Dropdown(
                options=names, value=names[1] if len(systems) > 1 else NOISY, description="first", **pair
            ),
            "second": widgets.Dropdown(
                options=names, value=names[2 if len(systems) > 1 else 1], description="second", **pair
            ),
        }
        """The controls by name; `controls["snr_db"].value = 0` does what moving it does."""
        self._note, self._table = widgets.HTML(), widgets.HTML()
        self._place = widgets.VBox()
        noise, snr, blind, first, second = self.controls.values()
        super().__init__(
            [
                widgets.HBox([noise, snr]),
                widgets.HBox([blind, first, second]),
                self._note,
                self._place,
                self._table,
            ]
        )
        for control in self.controls.values():
            control.observe(self._draw, names="value")
        self._draw()

    @property
    def trials(self) -> int:
        """How many guesses were made in this blind test."""
        return self.player.trials if self.player else 0

    @property
    def score(self) -> int:
        """How many of them were right."""
        return self.player.score if self.player else 0

    @property
    def p_value(self) -> float:
        """Probability of this score or a better one by pure guessing; 1 at the start."""
        return self.player.p_value if self.player else 1.0

    def _draw(self, _: object = None) -> None:
        # May run on another thread than the cells, and later than the next move: then there is nothing to do.
        with self._lock:
            settings = tuple(control.value for control in self.controls.values())
            blind = settings[2]
            for name in ("first", "second"):
                self.controls[name].layout.display = "" if blind else "none"
            wanted = settings if blind else settings[:3]
            if wanted == self._shown:
                return
            try:
                self._run(*settings[:2])
                self._show(*settings[2:])
            except Exception as error:  # shown in its place, so that the controls stay alive
                self.player = None
                replace(self._place)
                self._table.value, self._note.value = "", problem(words_of(error))
            self._shown = wanted

    def _run(self, noise: str, snr_db: int) -> None:
        if self._heard == (noise, snr_db):
            return
        self._heard = self.comparison = None
        self._note.value = saying("Working …")
        self.comparison = _compare(self._speech, self._noises[noise], snr_db, self._systems)
        self._heard = (noise, snr_db)

    def _show(self, blind: bool, first: str, second: str) -> None:
        clips = self.comparison.clips
        if not blind:
            self.player = ABPlayer(clips, self._transcript)
            self._table.value = self.comparison.table()
            self._note.value = ""
        else:
            self.player = ABPlayer(self._pair(first, second), self._transcript, blind=True, seed=self._seed)
            self._table.value = ""  # figures would lead the ear
            self._note.value = saying(
                "Both clips have one level. X is one of them: listen, then say which. "
                "Ten trials or more tell whether you hear it."
            )
        replace(self._place, self.player)

    def _pair(self, first: str, second: str) -> dict[str, np.ndarray]:
        if first == second:
            raise audio.AudioError("a blind test needs two different clips: choose another one")
        for name in (first, second):
            if error := self.comparison.failures.get(name):
                raise audio.AudioError(f"{name} failed, so it can not be heard: {words_of(error)}")
        return one_level({name: self.comparison.clips[name] for name in (first, second)})

    def fallback_html(self) -> str:
        """Table, players and spectrograms of the settings that were shown last."""
        if self.comparison is None:
            return self._note.value
        noise, snr = self.controls["noise"].value, self.controls["snr_db"].value
        words = f"<p><i>“{html.escape(self._transcript)}”</i></p>" if self._transcript else ""
        return (
            f"<p>{html.escape(noise)} at {snr} dB</p>{words}{self.comparison._repr_html_()}"
            f"{self.comparison.spectrograms()._repr_html_()}"
        )

    def __repr__(self) -> str:
        noise, snr = self.controls["noise"].value, self.controls["snr_db"].value
        return f"NoiseExplorer({noise} at {snr} dB, {', '.join(self._systems)})"


def _factor(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


class Denoiser(HtmlFallback, widgets.VBox):
    """Remove the noise from your voice, your file or a bundled clip, compare, and save the result.

    The first bundled clip is cleaned at once, so `.result` is there without a click. `clean(waveform)` does
    what the button does with a waveform of your own.

    Args:
        enhance: noisy waveform (time,) in, cleaned waveform (time,) of the same length out.
        bundled: noisy waveform (time,) by name; None if there is only the microphone and the upload.
        max_seconds: longest recording and longest file.
    """

    def __init__(
        self,
        enhance: System,
        bundled: Mapping[str, np.ndarray] | None = None,
        max_seconds: float = 30.0,
    ):
        self._enhance, self.max_seconds = enhance, max_seconds
        self._lock = threading.Lock()
        self._before = self._result = self._gone_wrong = None
        self.real_time_factor = math.nan
        """Seconds of computing per second of sound in the last run."""
        self.input = AudioInput(bundled, max_seconds)
        self.button = widgets.Button(description=PRESS, button_style="primary", layout={"width": "180px"})
        self._note, self._download = widgets.HTML(), widgets.HTML()
        self._place = widgets.VBox()
        super().__init__([self.input, self.button, self._note, self._place, self._download])
        self.button.on_click(self._press)
        if bundled:
            self._press()

    @property
    def result(self) -> np.ndarray:
        """The cleaned waveform (time,) of the last run.

        Raises:
            AudioError: nothing was cleaned yet, or why the last run failed.
        """
        if self._result is None:
            raise audio.AudioError(
                self._gone_wrong or f"nothing was cleaned yet: choose a sound and press “{PRESS}”"
            )
        return self._result

    def clean(self, waveform: np.ndarray, source: str = "your waveform") -> np.ndarray:
        """Clean `waveform` (time,), show it before and after, and return it.

        Raises:
            AudioError: not a waveform, NaN, too short, too long, silent; or what `enhance` returned is wrong.
            Exception: whatever `enhance` raises.
        """
        with self._lock:
            self._result, self._gone_wrong = None, None
            self.button.disabled = True
            try:
                return self._clean(waveform, source)
            except Exception as error:  # `enhance` is the learner's: shown here, and raised again
                self._gone_wrong = words_of(error)
                self._download.value, self._note.value = "", problem(self._gone_wrong)
                replace(self._place)
                raise
            finally:
                self.button.disabled = False

    def _clean(self, waveform: np.ndarray, source: str) -> np.ndarray:
        waveform = audio.check(waveform, source, SHORTEST_SECONDS)
        seconds = len(waveform) / audio.SAMPLE_RATE
        if seconds > self.max_seconds:
            raise audio.AudioError(
                f"{source}: {seconds:.0f} s is longer than {self.max_seconds:g} s; cut it, or allow more with "
                "Denoiser(max_seconds=...)"
            )
        if audio.level_db(waveform) < SILENT_DB:
            raise audio.AudioError(
                f"{source} is silent, so there is nothing to clean. Is the microphone muted, or is it another file?"
            )
        self._note.value = saying(f"Cleaning {seconds:.1f} s …")
        start = time.perf_counter()
        result = run_system(self._enhance, waveform)
        took = time.perf_counter() - start
        self.real_time_factor = took / seconds
        self._before, self._result = waveform, result
        change = audio.level_db(result) - audio.level_db(waveform)
        self._note.value = saying(
            f"{source[0].upper()}{source[1:]}: {seconds:.1f} s cleaned in {took:.2f} s, real-time factor "
            f"{_factor(self.real_time_factor)}. "
            + ("Nothing is left." if math.isinf(change) else f"The level changed by {change:+.1f} dB.")
        )
        replace(self._place, ABPlayer({"before": waveform, "after": result}))
        self._download.value = self._link()
        return result

    def _link(self) -> str:
        gain = audio.shared_gain([self._result])
        wav = base64.b64encode(audio.encode(self._result * np.float32(gain), "wav")).decode("ascii")
        softer = f" ({-20 * math.log10(gain):.1f} dB softer, so that nothing is clipped)" if gain < 1 else ""
        return (
            f'<a download="cleaned.wav" href="data:audio/wav;base64,{wav}">Save the result as wav</a>{softer}'
        )

    def _press(self, _: object = None) -> None:
        try:
            sound, source = self.input.audio, self.input.source
        except audio.AudioError as error:
            # The recorder speaks to those who use it in a cell.
            words = str(error).replace("run this cell again", f"press “{PRESS}”")
            self._result, self._gone_wrong = None, words
            self._download.value, self._note.value = "", problem(words)
            replace(self._place)
            return
        try:
            self.clean(sound, source)
        except Exception:  # shown by `clean`, and raised again by `.result`
            pass

    def fallback_html(self) -> str:
        """Players and spectrograms before and after, if something was cleaned."""
        if self._result is None:
            return self.input.fallback_html()
        clips = {"before": self._before, "after": self._result}
        return (
            "<p><em>Open this notebook in JupyterLab to clean your own recording.</em></p>"
            f"{audio.compare(clips).data}{plotting.spectrograms(clips)._repr_html_()}"
        )

    def __repr__(self) -> str:
        return f"Denoiser({self.input!r})"
