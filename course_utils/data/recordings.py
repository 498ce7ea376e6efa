"""Real recordings: a small set for tests comes with the course, larger ones are found where you have them."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from course_utils import paths, shipped
from course_utils.data.layouts import COLLECTIONS
from course_utils.shipped import DataError

_INDEX = "real/index.jsonl"


@dataclass(frozen=True)
class Recording:
    """A real recording: somebody says something, or something sounds.

    `text` is what is said (None where it is not known), `speaker` and `sex` ("f", "m") who says it, `label`
    the kind of an environmental sound. Recordings that come with the course name their `author` and `licence`;
    the words of their readings were written down by machines and corrected by reading (see data/README.md).
    """

    id: str
    collection: str
    split: str
    path: Path
    duration: float
    text: str | None = None
    speaker: str | None = None
    sex: str | None = None
    label: str | None = None
    author: str | None = None
    licence: str | None = None
    file: str | None = None  # in the data folder, where it comes with the course

    @property
    def audio(self) -> np.ndarray:
        """The waveform (time,), mono at 16 kHz whatever the file has."""
        from course_utils import audio

        source = self.path if self.file is None else io.BytesIO(shipped.read(self.file))
        try:
            return audio.load(source)
        except audio.AudioError as error:
            if self.file is not None:
                raise shipped.damaged(self.file, str(error)) from error
            raise DataError(f"{self.path} can not be used: {error}. Fetch or copy it again") from error


def real(name: str, split: str | None = None, complete: bool = False) -> list[Recording]:
    """Real recordings: all, or one split.

    - "librispeech": one utterance of each of 251 readers; 51 of them are held out ("test").
    - "esc10": environmental sounds; two classes are held out ("test"), "valid" are other clips of the rest.
    - "digits": strings of digits, put together from single digits of one speaker; for tests only.
    - "fsdd": spoken digits; three speakers are "train", the other three "test".
    - "asterisk_en", "asterisk_words": prompts of one speaker with text; for tests only, and not to be cloned.
    - "debian_sounds": sounds of free games and programs, label = package; for training, "valid" are other packages.

    The "test" split of the first three comes with the course: 24 readers with their words (at most nine
    seconds of each), 16 sounds, six strings. They are for testing only. `complete=True` passes them by and asks for
    all that was published. Other splits never hold them; `split=None` gives the whole collection where it is, else
    them.

    A whole collection is looked for in COURSE_REAL_DATA, in `recordings/` beside `notebooks/` (one folder per collection in
    both), and among what `data.download` has fetched. `data/real_heldout.json` says what is held out, and why.

    Raises:
        DataError: not found, or with `complete` not all of it; the message says how to get it.
        ValueError: no such name or split.
    """
    if name not in COLLECTIONS:
        raise ValueError(f"unknown recordings {name!r}; there are {', '.join(COLLECTIONS)}")
    collection = COLLECTIONS[name]
    if split is not None and split not in collection.splits:
        raise ValueError(f"{name} has the split {', '.join(collection.splits)}, not {split!r}")
    with_course = [recording for recording in _shipped() if recording.collection == name]
    if with_course and (name == "digits" or (split == "test" and not complete)):
        return with_course
    places = [folder / name for folder in paths.recordings_folders()]
    if collection.downloads:
        places.append(paths.downloads_folder() / collection.downloads)
    lacking = "they are not here"
    for place in places:
        if place.is_dir() and (found := _recordings(name, place, shipped.manifest().key)):
            if complete and (missing := _missing(name, split, found)):
                lacking = f"{place} holds only a part, without {missing[0]} and {len(missing) - 1} more"
                continue
            return [recording for recording in found if split in (None, recording.split)]
    if with_course and split is None and not complete:
        return with_course
    raise DataError(
        f"the recordings {name!r}: {lacking} (looked in {', '.join(map(str, places))}): {collection.how}, or put "
        f"a folder {name}/ with them into the folder that COURSE_REAL_DATA names. The course works without: what "
        "it needs comes with it"
    )


def _plan(name: str) -> dict:
    """What `real_heldout.json` says of a collection."""
    file = "real_heldout.json"
    plans = shipped.read_json(file)
    with shipped.sound_rows(file):
        return dict(plans.get(name, {}))


def _missing(name: str, split: str | None, found: tuple[Recording, ...]) -> list[str]:
    """Readings that the plan names and that are not among `found`; of other collections no list of names is kept."""
    if name != "librispeech":
        return []
    plan, present = _plan(name), {recording.id for recording in found}
    with shipped.sound_rows("real_heldout.json"):
        wanted = [one for part in ("train", "test") if split in (None, part) for one in plan[part]]
        return [one for one in wanted if one not in present]


@shipped.remembered
def _shipped() -> tuple[Recording, ...]:
    """The recordings that come with the course, from their index."""
    if _INDEX not in shipped.manifest().files:  # a data folder of one's own
        return ()
    rows = shipped.read_json_lines(_INDEX)
    with shipped.sound_rows(_INDEX):
        return tuple(
            Recording(
                **{key: str(row[key]) for key in ("id", "collection", "author", "licence", "file")},
                **{key: row.get(key) for key in ("text", "speaker", "sex", "label")},
                split="test",
                path=shipped.root() / row["file"],
                duration=row["samples"] / paths.SAMPLE_RATE,
            )
            for row in rows
        )


def check_real_index() -> None:
    """The index of the recordings that come with the course names files of the manifest. Raises DataError."""
    for recording in _shipped():
        if recording.file not in shipped.manifest().files:
            raise shipped.damaged(recording.file, "the index names it, but the manifest does not")


@lru_cache(maxsize=16)
def _recordings(name: str, folder: Path, _key: str) -> tuple[Recording, ...]:
    """Everything in `folder` whose header can be read; what can not is named in a warning and left out."""
    import soundfile

    found, broken = [], []
    for entry in _entries(name, folder):
        try:
            info = soundfile.info(str(entry["path"]))
        except (soundfile.LibsndfileError, OSError):
            broken.append(entry["path"].name)
            continue
        if info.frames > 0:
            found.append(Recording(collection=name, duration=info.frames / info.samplerate, **entry))
        else:
            broken.append(entry["path"].name)
    if broken:
        warnings.warn(
            f"left out of {folder}, because no sound can be read from them: {', '.join(broken[:5])}"
            + (f" and {len(broken) - 5} more" if len(broken) > 5 else ""),
            stacklevel=3,
        )
    return tuple(found)


def _entries(name: str, folder: Path) -> list[dict]:
    plan, how = _plan(name), COLLECTIONS[name].how
    try:
        return list(COLLECTIONS[name].read(folder, plan))
    except (OSError, ValueError) as error:
        raise DataError(f"the texts or tables in {folder} can not be read ({error}): {how}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise shipped.damaged(
            "real_heldout.json", f"{name} does not hold what it should ({error!r})"
        ) from error
