"""Folders that widgets write to."""

from __future__ import annotations

from pathlib import Path

from course_utils import audio


def make_folder(folder: Path) -> None:
    """Make it with its parents. Raises AudioError where that is not allowed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise audio.AudioError(f"{folder} can not be made: {error.strerror}; choose another place") from error
