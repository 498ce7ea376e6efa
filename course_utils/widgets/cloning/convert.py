"""Choose what is said and whose voice shall say it, and hear the same sentence in another voice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from course_utils import cloning, data

from .demo import Asked, VoiceDemo, headline
from .voices import Chosen, Sound, VoiceInput, bundled_references

MOST_SEMITONES = 12
TRUE = "true answer"


def bundled_pairs() -> dict[str, data.Pair]:
    """One aligned test pair of each two voices by label."""
    found: dict[tuple[str, str], data.Pair] = {}
    for pair in data.pairs("test"):
        found.setdefault((pair.source, pair.target), pair)
    return {f"{pair.source}: {pair.text}": pair for pair in found.values()}


class ConvertDemo(VoiceDemo):
    """A source, a target and the pitch; the result beside both, and beside the true answer where there is one.

    The first conversion is made at once from bundled voices, so `.waveform` is there without a click. A target that is
    not a bundled voice shows a form, and nothing is made before it is filled in. `convert()` does what the button does,
    and waits; the button leaves the work to a thread.

    Args:
        convert: convert(source, reference, consent, pitch=semitones or None) -> waveform; None:
            `course_utils.cloning.convert`.
        sources: by label; None: one aligned test pair of each two voices. A `data.Pair` has a true answer.
        targets: by label; None: the target voices of those pairs. Only a `data.Utterance` needs no consent.
        folder: where results are saved; None: `recordings/own_voice/converted`.
        max_seconds: longest source, and longest target.
        name: how the call is printed.
    """

    def __init__(
        self,
        convert: Callable[..., np.ndarray] | None = None,
        sources: Mapping[str, Sound] | None = None,
        targets: Mapping[str, Sound] | None = None,
        folder: str | Path | None = None,
        max_seconds: float = 15.0,
        name: str = "cloning.convert",
    ):
        self._convert, self._name = convert or cloning.convert, name
        sources = bundled_pairs() if sources is None else sources
        if targets is None:
            named = [sound.target for sound in sources.values() if isinstance(sound, data.Pair)]
            targets = bundled_references(list(dict.fromkeys(named)) or None)
        self.source = VoiceInput(sources, max_seconds)
        """Where what is said is chosen, recorded or uploaded."""
        self.target = VoiceInput(targets, max_seconds)
        """Where the voice that shall say it is chosen, recorded or uploaded."""
        controls = {
            "own pitch": widgets.Checkbox(
                True, description="to the target's pitch", indent=False, layout={"width": "auto"}
            ),
            "pitch": widgets.FloatSlider(
                0.0,
                min=-MOST_SEMITONES,
                max=MOST_SEMITONES,
                step=0.5,
                readout_format="+.1f",
                description="or semitones",
                disabled=True,
                style={"description_width": "90px"},
                layout={"width": "min(380px, 96%)"},
            ),
        }
        super().__init__(
            "converted",
            "Converting",
            "Convert",
            [self.source, self.target],
            self.target,
            controls,
            None,
            folder,
        )
        own, pitch = controls.values()
        own.observe(lambda change: setattr(pitch, "disabled", change["new"]), names="value")
        presses = [self.buttons[each] for each in ("convert", "cancel", "save", "delete")]
        row = {"flex_flow": "row wrap", "margin": "4px 0"}
        self.children = [
            headline("The source:", " what is said, and how"),
            self.source,
            headline("The target:", " whose voice shall say it"),
            self.target,
            self.form,
            widgets.HBox([own, pitch], layout=row | {"align_items": "center"}),
            widgets.HBox(presses, layout=row),
            *self._result,
        ]
        self._begin_at_once()

    # --- use -------------------------------------------------------------------------------------------

    @property
    def truth(self) -> np.ndarray | None:
        """The target voice saying the same with the same timing (time,), where the corpus has it."""
        return self.real

    def convert(self) -> np.ndarray:
        """Convert what is chosen, show it, and return the waveform (time,).

        Raises:
            ConsentError: a target that is not bundled, and the form is not filled in.
            ValueError: no source or no target.
            Exception: whatever the converter raises.
        """
        return self._run()

    # --- inside ----------------------------------------------------------------------------------------

    def _ask(self) -> Asked:
        source, target = self.source.chosen, self.target.chosen
        consent = self._consent(target.handed)
        pitch = None if self.controls["own pitch"].value else self.controls["pitch"].value
        beside, said = {"source": source.waveform, "target": target.waveform}, {}
        if source.text is not None:
            said |= {"converted": source.text, "source": source.text}
        if target.text is not None:
            said["target"] = target.text
        real = None
        if source.pair is not None and source.pair.target == target.voice:
            real = TRUE
            beside[real], said[real] = source.pair.target_audio, source.pair.text
        return Asked(
            make=lambda: self._convert(source.waveform, target.handed, consent, pitch=pitch),
            call=self._call(target, consent, pitch),
            consent=consent,
            beside=beside,
            said=said,
            real=real,
        )

    def _call(self, target: Chosen, consent: cloning.Consent | None, pitch: float | None) -> str:
        turned = "" if pitch is None else f", pitch={pitch:g}"
        if consent is None:
            utterance = target.handed
            return (
                f"target = next(one for one in data.speech(voice={utterance.voice!r}) if one.id == {utterance.id!r})\n"
                f"{self._name}(demo.source.audio, target{turned})"
            )
        return f"consent = cloning.{consent!r}\n{self._name}(demo.source.audio, demo.target.audio, consent{turned})"

    def __repr__(self) -> str:
        return f"ConvertDemo({self.source!r}, {self.target!r})"
