"""Build data/music/chorales.npz: Bach's four-part chorales on a grid of 16th notes.

Needs `music21` (10.5), whose corpus carries the scores; the finished file needs only numpy:

    python -m venv /path/to/throwaway && /path/to/throwaway/bin/pip install music21==10.5.0 numpy
    /path/to/throwaway/bin/python data/build/chorales.py

Every voice is sampled at the start of each 16th: the pitch that sounds there (MIDI number, 0 = rest), and
whether it begins there. Faster notes are dropped, repeats are not played out (the score is taken as
written), ties are one note. Which piece belongs to which split stands in chorales_split.json.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
STEPS_PER_QUARTER = 4
SPLITS = ("train", "valid", "test")


def voice_grid(part, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """One voice as (pitches, onsets), both (steps,) uint8: what sounds at each 16th, and what begins there."""
    pitches = np.zeros(steps, np.uint8)
    onsets = np.zeros(steps, np.uint8)
    for note in part.flatten().stripTies().notes:
        start = float(note.offset) * STEPS_PER_QUARTER
        end = start + float(note.quarterLength) * STEPS_PER_QUARTER
        first, last = int(np.ceil(start)), int(np.ceil(end))
        if first >= last:  # a grace note, or one that lies between two grid points
            continue
        pitches[first:last] = note.pitches[-1].midi
        onsets[first] = 1
    return pitches, onsets


def metre(part, name: str) -> tuple[int, int]:
    """Steps in a bar, and steps before the first full bar. Every full bar must start on a bar line."""
    bar = round(part.recurse().getElementsByClass("TimeSignature")[0].barDuration.quarterLength * 4)
    measures = [
        (round(float(m.offset) * 4), round(float(m.quarterLength) * 4))
        for m in part.getElementsByClass("Measure")
    ]
    pickup = measures[0][1] % bar
    astray = [start for start, length in measures if length == bar and (start - pickup) % bar]
    if astray:
        print(f"{name}: {len(astray)} of {len(measures)} bars start off the bar line of the first signature")
    return bar, pickup


def read_piece(path: Path) -> dict:
    """One score as a dictionary of its grid, key signature and metre."""
    from music21 import converter

    score = converter.parse(path)
    parts = list(score.parts)
    if len(parts) != 4:
        raise ValueError(f"{path.name}: expected four parts, got {len(parts)}; take it out of the split file")
    steps = round(float(score.highestTime) * STEPS_PER_QUARTER)
    grids = [voice_grid(part, steps) for part in parts]
    bar, pickup = metre(parts[0], path.name)
    return {
        "pitches": np.stack([pitches for pitches, _ in grids], axis=1),
        "onsets": np.stack([onsets for _, onsets in grids], axis=1),
        "key_signature": parts[0].recurse().getElementsByClass("KeySignature")[0].sharps,
        "steps_per_bar": bar,
        "pickup_steps": pickup,
    }


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Like numpy.savez_compressed, but the same arrays always give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue())


def build(scores: Path, split_file: Path, out: Path) -> None:
    """Read all pieces of the split file from the folder `scores` and write the packed grid to `out`."""
    names = json.loads(split_file.read_text())
    pieces, split = {}, []
    for number, key in enumerate(SPLITS):
        for name in sorted(names[key]):
            pieces[Path(name).stem] = read_piece(scores / name)
            split.append(number)
    lengths = [len(piece["pitches"]) for piece in pieces.values()]

    def column(key: str, dtype: type) -> np.ndarray:
        return np.array([piece[key] for piece in pieces.values()], dtype)

    arrays = {
        "pitches": np.concatenate([piece["pitches"] for piece in pieces.values()]),
        "onsets": np.concatenate([piece["onsets"] for piece in pieces.values()]),
        "starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        "split": np.array(split, np.uint8),
        "names": np.array(list(pieces)),
        "key_signature": column("key_signature", np.int8),
        "steps_per_bar": column("steps_per_bar", np.int16),
        "pickup_steps": column("pickup_steps", np.int16),
    }
    write_npz(out, arrays)
    print(f"{len(pieces)} chorales, {sum(lengths)} steps, {out.stat().st_size} bytes: {out}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scores", type=Path, help="folder of the scores (default: music21's corpus)")
    parser.add_argument("--split", type=Path, default=HERE / "chorales_split.json")
    parser.add_argument("--out", type=Path, default=HERE.parent / "music" / "chorales.npz")
    arguments = parser.parse_args()
    scores = arguments.scores
    if scores is None:
        import music21

        scores = Path(music21.__file__).parent / "corpus" / "bach"
    build(scores, arguments.split, arguments.out)


if __name__ == "__main__":
    main()
