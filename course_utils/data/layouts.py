"""How each collection of real recordings lies in its folder: which file is which recording, and of which split.

Each reader takes the folder and the entry of its collection in `data/real_heldout.json`, and yields the fields of
a `Recording`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


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
class Collection:
    """Its reader, its splits, and where it comes from."""

    read: Callable[[Path, dict], Iterable[dict]]
    splits: tuple[str, ...]
    how: str  # to get it
    downloads: str = ""  # its folder among the downloads


def _published(read: Callable, splits: tuple[str, ...], dataset: str) -> Collection:
    """A collection that `course download` brings."""
    return Collection(read, splits, f"fetch it with `course download {dataset}`", dataset)


def _only_shipped(folder: Path, plan: dict) -> Iterable[dict]:
    return ()


_ASTERISK = (
    "it comes from the Asterisk Core Sounds (package asterisk-core-sounds-en of Debian); convert it to "
    "FLAC with a transcripts.tsv"
)
COLLECTIONS = {
    "librispeech": _published(_librispeech, ("train", "test"), "librispeech-train-clean-100"),
    "esc10": _published(_esc10, ("train", "valid", "test"), "esc-50"),
    "digits": Collection(_only_shipped, ("test",), "it comes with the course: `git checkout -- data/real`"),
    "fsdd": _published(_fsdd, ("train", "test"), "fsdd"),
    "asterisk_en": Collection(_asterisk, ("test",), _ASTERISK),
    "asterisk_words": Collection(_asterisk, ("test",), _ASTERISK),
    "debian_sounds": Collection(
        _debian_sounds,
        ("train", "valid"),
        "fetch it (9 GB) with `python -m data.build.sounds MIRROR`",
        "debian-sounds",
    ),
}
