"""Choose a voice, type a text, and hear the voice say it, beside what the voice really sounds like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from course_utils import cloning, data

from ..messages import problem
from .demo import Asked, VoiceDemo, headline
from .voice_map import VoiceMap
from .voices import Chosen, Sound, VoiceInput, bundled_references

MOST_CHARACTERS = 400
MOST_GUIDANCE = 3.0
OTHERWISE = "Good morning. This is a voice that was heard for a few seconds."
PUSHED = '<div style="font-size:12px;line-height:1.3">0: as the model guesses it; more: pushed towards the reference</div>'


class CloneDemo(VoiceDemo):
    """A reference, a text and the strength of guidance; the result beside the reference, and blind beside the real voice.

    The first clone is made at once from a bundled voice, so `.waveform` is there without a click. Every voice but the
    bundled ones shows a form, and nothing is made before it is filled in. `clone()` does what the button does, and
    waits; the button leaves the work to a thread.

    Args:
        clone: clone(reference, text, consent, guidance=...) -> waveform; None: `course_utils.cloning.clone`.
        references: by label; None: three bundled test voices of each sex. Only a `data.Utterance` needs no consent.
        text: where it starts, at most 400 characters; None: what the first reference's voice says in the corpus.
        guidance: where the slider starts, 0 to 3.
        map: a map with `embed`, on which reference and clone are marked after each run.
        folder: where results are saved; None: `recordings/own_voice/clone`.
        max_seconds: longest reference.
        name: how the call is printed.
        recordings: what a voice says, by name, for the comparison; None: the corpus.
    """

    def __init__(
        self,
        clone: Callable[..., np.ndarray] | None = None,
        references: Mapping[str, Sound] | None = None,
        text: str | None = None,
        guidance: float = 0.5,
        map: VoiceMap | None = None,
        folder: str | Path | None = None,
        max_seconds: float = 15.0,
        name: str = "cloning.clone",
        recordings: Mapping[str, Sequence[Any]] | None = None,
    ):
        self._clone, self._name, self._recordings = clone or cloning.clone, name, recordings
        references = bundled_references() if references is None else references
        self.input = VoiceInput(references, max_seconds)
        """Where the reference is chosen, recorded or uploaded."""
        looks = {"style": {"description_width": "70px"}, "layout": {"width": "min(480px, 96%)"}}
        controls = {
            "text": widgets.Textarea(
                self._first_text(references) if text is None else text,
                description="text",
                rows=3,
                style=looks["style"],
                layout={"width": "min(640px, 96%)", "height": "78px"},
            ),
            "guidance": widgets.FloatSlider(
                guidance,
                min=0.0,
                max=MOST_GUIDANCE,
                step=0.25,
                readout_format=".2f",
                description="guidance",
                **looks,
            ),
        }
        super().__init__("clone", "Cloning", "Clone", [self.input], self.input, controls, map, folder)
        self.buttons["its own"] = self._button(
            "A sentence of its own", "180px", self._take_sentence, tooltip="Then the real voice says it too"
        )
        unit = widgets.HTML(PUSHED, layout={"margin": "0 0 0 78px"})
        presses = [self.buttons[each] for each in ("clone", "cancel", "its own", "save", "delete")]
        self.children = [
            headline("The reference:", " a few seconds of the voice"),
            self.input,
            self.form,
            headline("What it shall say"),
            self.controls["text"],
            self.controls["guidance"],
            unit,
            widgets.HBox(presses, layout={"flex_flow": "row wrap", "margin": "4px 0"}),
            *self._result,
            self._about_map,
        ]
        self._begin_at_once()

    # --- use -------------------------------------------------------------------------------------------

    @property
    def reference(self) -> np.ndarray:
        """The sound that is chosen as reference now (time,)."""
        return self.input.audio

    def clone(self) -> np.ndarray:
        """Clone what is chosen, show it, and return the waveform (time,).

        Raises:
            ConsentError: a voice that is not bundled, and the form is not filled in.
            ValueError: nothing to say, too long, or no reference.
            Exception: whatever the cloner raises.
        """
        return self._run()

    # --- inside ----------------------------------------------------------------------------------------

    def _ask(self) -> Asked:
        text, guidance, chosen = (
            self.controls["text"].value.strip(),
            self.controls["guidance"].value,
            self.input.chosen,
        )
        consent = self._consent(chosen.handed)
        if not text:
            raise ValueError("there is nothing to say: type a text")
        if len(text) > MOST_CHARACTERS:
            raise ValueError(f"{len(text)} characters are more than {MOST_CHARACTERS}: shorten the text")
        beside, said = {"reference": chosen.waveform}, {"clone": text}
        if chosen.text is not None:
            said["reference"] = chosen.text
        real, recording = self._real(chosen, text)
        if recording is not None:
            beside[real], said[real] = recording.audio, text
        return Asked(
            make=lambda: self._clone(chosen.handed, text, consent, guidance=guidance),
            call=self._call(chosen, consent, text, guidance),
            consent=consent,
            beside=beside,
            said=said,
            real=real,
            marked="reference",
        )

    def _call(self, chosen: Chosen, consent: cloning.Consent | None, text: str, guidance: float) -> str:
        if consent is None:
            utterance = chosen.handed
            before = f"reference = next(one for one in data.speech(voice={utterance.voice!r}) if one.id == {utterance.id!r})\n"
            return f"{before}{self._name}(reference, {text!r}, guidance={guidance:g})"
        return (
            f"consent = cloning.{consent!r}\n"
            f"{self._name}(demo.reference, {text!r}, consent, guidance={guidance:g})"
        )

    def _says(self, voice: str) -> Sequence[Any]:
        return data.speech(voice=voice) if self._recordings is None else self._recordings.get(voice, ())

    def _others(self, chosen: Chosen) -> list[Any]:
        """What the chosen voice says in the corpus besides the reference."""
        if chosen.voice is None:
            return []
        return [one for one in self._says(chosen.voice) if one.text != chosen.text]

    def _real(self, chosen: Chosen, text: str) -> tuple[str | None, Any]:
        same = [one for one in self._others(chosen) if one.text == text]
        return (f"real {chosen.voice}", same[0]) if same else (None, None)

    def _first_text(self, references: Mapping[str, Sound]) -> str:
        """What most of the voices say, the first among them, so that all can be compared with their real voice."""
        bundled = [one for one in references.values() if isinstance(one, data.Utterance)]
        if not bundled:
            return OTHERWISE
        taken = {one.text for one in bundled}
        counted = Counter(
            text
            for one in bundled
            for text in {each.text for each in self._says(one.voice) if each.text not in taken}
        )
        own = [one for one in self._says(bundled[0].voice) if one.text in counted and len(one.text) >= 20]
        return max(own, key=lambda one: counted[one.text]).text if own else OTHERWISE

    def _take_sentence(self, _: object = None) -> None:
        self._calm()
        try:
            chosen = self.input.chosen
        except ValueError:
            chosen = None
        texts = (
            [one.text for one in self._others(chosen) if len(one.text) <= MOST_CHARACTERS] if chosen else []
        )
        if not texts:
            self._note.value = problem("There is no other recording of this voice; a bundled voice has some.")
            return
        now = self.controls["text"].value
        self.controls["text"].value = texts[(texts.index(now) + 1) % len(texts) if now in texts else 0]

    def __repr__(self) -> str:
        return f"CloneDemo({self.input!r})"
