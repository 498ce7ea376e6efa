"""Where the tests find things."""

from pathlib import Path

from course_utils import paths

ROOT = Path(__file__).resolve().parents[1]


def real_folder() -> Path:
    """Real recordings outside of the repository: the first place that is there, or the last one that is not."""
    places = paths.recordings_folders()
    return next((place for place in places if place.is_dir()), places[-1])
