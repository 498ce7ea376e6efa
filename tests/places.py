"""Where the tests find things."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def real_folder() -> Path:
    """Real recordings outside of the repository, if there are any."""
    return Path(os.environ.get("COURSE_REAL_DATA", ROOT.parent / "shared" / "real"))
