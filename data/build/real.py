"""Make the sounds of `data/real/`: short cuts of real recordings, for tests.

    python -m data.build.real SOURCES       make every file that `data/real/index.jsonl.xz` names
    python -m data.build.real --card        write the table of `data/README.md` from the index
    python -m data.build.real --check       fail when the table or a length in the index is stale

SOURCES is a folder like the one that COURSE_REAL_DATA names: `librispeech/`, `esc10/`, `asterisk_words/`.

The index is written by hand and is the recipe too: each line names the parts a recording is made of (file with
SHA-256, first and last second), what is said in it, who made it, and under which licence it may be shared. A part
is resampled to 16 kHz mono; several parts are joined with a pause. Run `python -m data.build.manifest` afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from course_utils import audio
from course_utils.paths import SAMPLE_RATE
from course_utils.shipped import content

REAL = Path(__file__).resolve().parents[1] / "real"
README = REAL.parent / "README.md"
BEGIN, END = "<!-- real table: begin -->", "<!-- real table: end -->"
PAUSE = 0.15  # seconds between joined words
FADE = 0.01  # seconds at a cut, so that it does not click
COMPRESSION = {"librispeech": 0.85, "digits": 0.85, "esc10": 0.8}
"""libsndfile's `compression_level`: 45 kbit/s for speech, 58 for noise, which a codec finds harder."""


def load(folder: Path = REAL) -> list[dict[str, Any]]:
    """Return the lines of the index."""
    return [json.loads(line) for line in content(folder, "index.jsonl").decode("utf-8").splitlines()]


def cut(part: dict[str, Any], sources: Path) -> np.ndarray:
    """Return one part of a recording (time,), from its source.

    Raises:
        ValueError: the source is another file than the one of the index.
    """
    path = sources / part["file"]
    seen = hashlib.sha256(path.read_bytes()).hexdigest()
    if seen != part["sha256"]:
        raise ValueError(f"{path}: sha256 is {seen}, expected {part['sha256']}")
    waveform = audio.load(path)
    start, end = (
        round(second * SAMPLE_RATE) for second in part.get("seconds", (0, len(waveform) / SAMPLE_RATE))
    )
    piece = waveform[start:end].copy()
    ramp = np.linspace(0, 1, round(FADE * SAMPLE_RATE), dtype=np.float32)
    if start > 0:
        piece[: len(ramp)] *= ramp
    if end < len(waveform):
        piece[-len(ramp) :] *= ramp[::-1]
    return piece


def joined(row: dict[str, Any], sources: Path) -> np.ndarray:
    """Return the waveform (time,) of one line of the index."""
    pause = np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)
    pieces = [piece for part in row["parts"] for piece in (pause, cut(part, sources))]
    return np.concatenate(pieces[1:])


def build(sources: Path, folder: Path = REAL) -> int:
    """Make every file of the index; return their size in bytes."""
    size = 0
    for row in load(folder):
        path = folder.parent / row["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        waveform = joined(row, sources)
        if len(waveform) != row["samples"]:
            raise ValueError(f"{row['id']}: {len(waveform)} samples, but the index says {row['samples']}")
        sf.write(
            path, waveform, SAMPLE_RATE, format="OGG", subtype="OPUS",
            compression_level=COMPRESSION[row["collection"]],
        )  # fmt: skip
        size += path.stat().st_size
    return size


def table(rows: list[dict[str, Any]]) -> str:
    """Return the Markdown table of the data card: every file, what it is, whose, and its licence."""
    lines = ["| file | what | author, source | licence |", "| --- | --- | --- | --- |"]
    for row in rows:
        what = row["text"] if row.get("text") else row["label"].replace("_", " ")
        cells = (
            f"`{row['file'].removeprefix('real/')}`",
            what,
            f"{row['author']}: {row['title']}",
            row["licence"],
        )
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines)


def write_table(readme: Path = README, folder: Path = REAL) -> None:
    """Put the table between the two marks in the data card."""
    text = readme.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    readme.write_text(f"{head}{BEGIN}\n{table(load(folder))}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def check(readme: Path = README, folder: Path = REAL) -> list[str]:
    """Return what is stale."""
    rows = load(folder)
    stale = [
        f"data/{row['file']} does not have the length that its index says"
        for row in rows
        if sf.info(str(folder.parent / row["file"])).frames != row["samples"]
    ]
    if f"{BEGIN}\n{table(rows)}\n{END}" not in readme.read_text(encoding="utf-8"):
        stale.append("the table of real recordings in data/README.md does not fit their index")
    return stale


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "sources", nargs="?", type=Path, help="folder with librispeech/, esc10/, asterisk_words/"
    )
    parser.add_argument("--card", action="store_true", help="only write the table of the data card")
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    options = parser.parse_args(arguments)
    if options.check:
        stale = check()
        sys.exit("; ".join(stale) + ": run python -m data.build.real --card" if stale else 0)
    if options.sources is None and not options.card:
        parser.error("SOURCES: name the folder of the recordings")
    if options.sources is not None:
        print(f"{build(options.sources) / 1e6:.2f} MB in {REAL}; now run python -m data.build.manifest")
    write_table()


if __name__ == "__main__":
    main()
