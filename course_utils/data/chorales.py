"""Chorales by J. S. Bach as grids of notes."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from course_utils import shipped
from course_utils.data.splits import SPLITS, check_split


@dataclass(frozen=True, eq=False)
class Chorale:
    """A four-part chorale by J. S. Bach on a grid of 16th notes.

    `pitches` (steps, 4) are MIDI numbers of soprano, alto, tenor, bass, 0 for a rest; `onsets` (steps, 4) are
    True where a note begins; `key_signature` counts sharps (negative: flats); `steps_per_bar` and
    `pickup_steps` say where the bars are.
    """

    name: str
    split: str
    pitches: np.ndarray
    onsets: np.ndarray
    key_signature: int
    steps_per_bar: int
    pickup_steps: int

    @property
    def step_in_bar(self) -> np.ndarray:
        """Place of each step in its bar (steps,), 0 on the first beat; four steps are a quarter note."""
        return (np.arange(len(self.pitches)) - self.pickup_steps) % self.steps_per_bar


@shipped.remembered
def _all_chorales() -> tuple[Chorale, ...]:
    file = "music/chorales.npz"
    content = shipped.read(file)
    with shipped.sound_rows(file):
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as packed:
                arrays = {name: packed[name] for name in packed.files}
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
            raise ValueError(error) from error
        starts = arrays["starts"]
        pitches, onsets = arrays["pitches"].astype(np.int64), arrays["onsets"].astype(bool)
        for grid in (pitches, onsets):  # shared by everyone who asks
            grid.setflags(write=False)
        return tuple(
            Chorale(
                str(name),
                SPLITS[arrays["split"][i]],
                pitches[starts[i] : starts[i + 1]],
                onsets[starts[i] : starts[i + 1]],
                int(arrays["key_signature"][i]),
                int(arrays["steps_per_bar"][i]),
                int(arrays["pickup_steps"][i]),
            )
            for i, name in enumerate(arrays["names"])
        )


def chorales(split: str | None = None) -> list[Chorale]:
    """Bach chorales; the splits follow JSB-Chorales by content and are not any paper's own."""
    check_split(split)
    return [chorale for chorale in _all_chorales() if split in (None, chorale.split)]
