"""Real recordings, found where they are: in a folder of yours, beside the repository, or among the downloads."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from course_utils import shipped
from course_utils.data.download import downloads_folder
from course_utils.shipped import DataError


@dataclass(frozen=True)
class Recording:
    """A real recording from outside of the repository.

    `text` is what is said (None where it is not known), `speaker` and `sex` ("f", "m") who says it, `label`
    the kind of an environmental sound.
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

    @property
    def audio(self) -> np.ndarray:
        """The waveform (time,), mono at 16 kHz whatever the file has."""
        from course_utils import audio

        try:
            return audio.load(self.path)
        except audio.AudioError as error:
            raise DataError(f"{self.path} can not be used: {error}. Fetch or copy it again") from error


def _librispeech(folder: Path, plan: dict) -> Iterable[dict]:
    """One utterance of each speaker, from a flat folder or from LibriSpeech's own speaker/chapter/ folders."""
    homes = [folder, folder / "LibriSpeech" / "train-clean-100", folder / "train-clean-100"]
    for split in ("train", "test"):
        for name in plan[split]:
            speaker, chapter, _ = name.split("-")
            for home in homes:
                inner = home / speaker / chapter
                for path in (home / f"{name}.flac", inner / f"{name}.flac"):
                    if path.is_file():
                        text = _librispeech_text(inner / f"{speaker}-{chapter}.trans.txt", name)
                        yield {
                            "id": name,
                            "split": split,
                            "path": path,
                            "text": text,
                            "speaker": speaker,
                            "sex": plan["sex"][speaker],
                        }


def _librispeech_text(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    lines = (line.partition(" ") for line in path.read_text(encoding="utf-8").splitlines())
    return next((text.lower() for key, _, text in lines if key == name), None)


def _asterisk(folder: Path, plan: dict) -> Iterable[dict]:
    listing = folder / "transcripts.tsv"
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition("\t")
            yield {
                "id": Path(name).stem,
                "split": "test",
                "path": folder / name,
                "text": " ".join(text.split()),
                "speaker": plan["speaker"],
                "sex": plan["sex"],
            }


_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _fsdd(folder: Path, plan: dict) -> Iterable[dict]:
    for path in sorted(folder.rglob("*.wav")):
        match = re.fullmatch(r"(\d)_([a-z]+)_\d+", path.stem)
        for split in ("train", "test"):
            if match and match[2] in plan[split]:
                yield {
                    "id": path.stem,
                    "split": split,
                    "path": path,
                    "text": _DIGITS[int(match[1])],
                    "speaker": match[2],
                }


def _esc10(folder: Path, plan: dict) -> Iterable[dict]:
    """Class folders with files named fold-clip-take, or ESC-50 as published (audio/ and meta/esc50.csv)."""
    found = []
    for table in sorted(folder.glob("**/meta/esc50.csv")):
        for line in table.read_text(encoding="utf-8").splitlines()[1:]:
            name, _, _, label, esc10, *_ = line.split(",")
            if esc10 == "True":
                found.append((table.parent.parent / "audio" / name, label))
    if not found:
        for path in sorted(folder.glob("*/*.*")):
            if re.fullmatch(r"\d-\d+-[A-Z]", path.stem):
                found.append((path, plan["other_names"].get(path.parent.name, path.parent.name)))
    for path, label in found:
        fold = int(path.name[0])
        if label in plan["test_classes"]:
            split = "test"
        else:
            split = "valid" if fold in plan["valid_folds"] else "train"
        yield {"id": path.stem, "split": split, "path": path, "label": label}


def _debian_sounds(folder: Path, plan: dict) -> Iterable[dict]:
    """Folders split/package/ as `data.build.sounds` writes them."""
    for path in sorted(folder.glob("*/*/*.flac")):
        package = path.parent.name
        yield {"id": f"{package}/{path.stem}", "split": path.parts[-3], "path": path, "label": package}


@dataclass(frozen=True)
class _Collection:
    read: Callable[[Path, dict], Iterable[dict]]
    splits: tuple[str, ...]
    how: str  # to get it
    downloads: str = ""  # its folder among the downloads


def _published(read: Callable, splits: tuple[str, ...], dataset: str) -> _Collection:
    """A collection that `course download` brings."""
    return _Collection(read, splits, f"fetch it with `course download {dataset}`", dataset)


_ASTERISK = (
    "it comes from the Asterisk Core Sounds (package asterisk-core-sounds-en of Debian); convert it to "
    "FLAC with a transcripts.tsv"
)
_COLLECTIONS = {
    "librispeech": _published(_librispeech, ("train", "test"), "librispeech-train-clean-100"),
    "asterisk_en": _Collection(_asterisk, ("test",), _ASTERISK),
    "asterisk_words": _Collection(_asterisk, ("test",), _ASTERISK),
    "fsdd": _published(_fsdd, ("train", "test"), "fsdd"),
    "esc10": _published(_esc10, ("train", "valid", "test"), "esc-50"),
    "debian_sounds": _Collection(
        _debian_sounds,
        ("train", "valid"),
        "fetch it (9 GB) with `python -m data.build.sounds MIRROR`",
        "debian-sounds",
    ),
}


def real(name: str, split: str | None = None) -> list[Recording]:
    """Real recordings, which are not in the repository: all, or one split.

    - "librispeech": one utterance of each of 251 readers; 51 of them are held out ("test").
    - "asterisk_en", "asterisk_words": prompts of one speaker with text; for tests only, and not to be cloned.
    - "fsdd": spoken digits; three speakers are "train", the other three "test".
    - "esc10": environmental sounds; two classes are held out ("test"), "valid" are other clips of the rest.
    - "debian_sounds": sounds of free games and programs, label = package; for training, "valid" are other packages.

    Looked for in COURSE_REAL_DATA, in `../shared/real` beside the repository, and among what
    `data.download` has fetched. `data/real_heldout.json` says what is held out, and why.

    Raises:
        DataError: not found; the message says how to get it.
        ValueError: no such name or split.
    """
    if name not in _COLLECTIONS:
        raise ValueError(f"unknown recordings {name!r}; there are {', '.join(_COLLECTIONS)}")
    collection = _COLLECTIONS[name]
    if split is not None and split not in collection.splits:
        raise ValueError(f"{name} has the split {', '.join(collection.splits)}, not {split!r}")
    places = []
    if os.environ.get("COURSE_REAL_DATA"):
        places.append(Path(os.environ["COURSE_REAL_DATA"]) / name)
    places.append(Path(__file__).resolve().parent.parent.parent / "shared" / "real" / name)
    if collection.downloads:
        places.append(downloads_folder() / collection.downloads)
    for place in places:
        if place.is_dir() and (found := _recordings(name, place, shipped.manifest().key)):
            return [recording for recording in found if split in (None, recording.split)]
    looked = ", ".join(map(str, places))
    raise DataError(
        f"the recordings {name!r} are not here (looked in {looked}): {collection.how}, or set COURSE_REAL_DATA to the "
        f"folder that holds {name}/. The course works without: its own voices are always there"
    )


@lru_cache(maxsize=16)
def _recordings(name: str, folder: Path, _key: str) -> tuple[Recording, ...]:
    """Everything in `folder` whose header can be read; what can not is named in a warning and left out."""
    import soundfile

    plan = json.loads(shipped.read("real_heldout.json")).get(name, {})
    found, broken = [], []
    for entry in _COLLECTIONS[name].read(folder, plan):
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
            stacklevel=4,
        )
    return tuple(found)
