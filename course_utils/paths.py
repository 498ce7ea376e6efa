"""Where everything is: the folders of the course, the COURSE_* variables that move them, and the sample rate.

Each is defined here and nowhere else. The functions look at the environment when they are called, expand `~`,
and create nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

SAMPLE_RATE = 16_000
"""Samples per second of every waveform in the course, in Hz."""

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
"""The repository: notebooks/, data/, results/ and the package stand in it."""


def _named(variable: str) -> Path | None:
    """The folder that an environment variable names, absolute; None where it is not set or empty."""
    value = os.environ.get(variable, "").strip()
    try:
        return Path(value).expanduser().absolute() if value else None
    except RuntimeError as error:
        raise ValueError(
            f"{variable} names {value!r}, and there is no such home folder; give a whole path"
        ) from error


def data_folder() -> Path:
    """The data of the course: COURSE_DATA, or `data/` beside the package. It may not be there."""
    return _named("COURSE_DATA") or ROOT / "data"


def checkpoints_folder() -> Path:
    """Trained models, one folder each."""
    return data_folder() / "checkpoints"


def results_folder() -> Path:
    """Recorded measurements, the source of every table that the course prints."""
    return ROOT / "results"


def notebooks_folder() -> Path:
    """The notebooks."""
    return ROOT / "notebooks"


def cache_folder() -> Path:
    """What can be made or fetched again: COURSE_CACHE, or this user's cache folder."""
    import platformdirs  # here, so that features and noise run on a machine with torch and numpy alone

    return _named("COURSE_CACHE") or platformdirs.user_cache_path("audio-speech-course")


def downloads_folder() -> Path:
    """Downloaded data sets, one folder each."""
    return cache_folder() / "downloads"


def training_folder() -> Path:
    """States of trainings that were stopped, and trials that must not replace what is shipped."""
    return cache_folder() / "training"


def recordings_folders() -> list[Path]:
    """Where real recordings of one's own are looked for, in this order: COURSE_REAL_DATA, then `recordings/`.

    Each holds one folder per collection ("librispeech", "esc10", ...). `recordings/` stands beside `notebooks/`
    and is not part of the repository.
    """
    named = _named("COURSE_REAL_DATA")
    return [folder for folder in (named, ROOT / "recordings") if folder is not None]


def own_voice_folder() -> Path:
    """Where widgets keep what you record and save: `recordings/own_voice/`, which is not part of the repository."""
    return ROOT / "recordings" / "own_voice"
