"""The pictures of the README, drawn by the shipped checkpoints: `python -m book.pictures`, after a checkpoint has changed.

They are small, because the history of a repository never shrinks.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from course_utils import audio, checkpoints, data, plotting
from course_utils.record import mixtures
from course_utils.widgets.music import pictures

FOLDER = Path(__file__).resolve().parent / "_static" / "readme"
WIDTH = 640


def denoised() -> plotting.Picture:
    """A real reader in real noise, before and after."""
    street = next(each for each in mixtures.grid("shipped", 10) if each.snr_db == 0)
    cleaned = checkpoints.load("enhancement").enhance(street.noisy)
    cut = slice(0, 4 * audio.SAMPLE_RATE)
    return plotting.spectrograms({"a reader, with noise": street.noisy[cut], "cleaned": cleaned[cut]})


def heard() -> plotting.Picture:
    """A real row of digits: when each word was said, and when it was on the screen."""
    clip = data.real("digits")[3]
    stream, shown = checkpoints.load("phrases").stream(160), []
    step = 160 * audio.SAMPLE_RATE // 1000
    for end in range(step, len(clip.audio) + step, step):
        count = len(stream.push(clip.audio[end - step : end]).text.split())
        shown += [min(end, len(clip.audio)) / audio.SAMPLE_RATE] * (count - len(shown))
    last = stream.finish()
    words = [word.text for word in last.words]
    shown += [len(clip.audio) / audio.SAMPLE_RATE] * (len(words) - len(shown))
    said = [(word.start, word.end, word.text) for word in last.words]
    there = [(at, at + 0.22, word) for at, word in zip(shown, words, strict=True)]
    return plotting.timeline({"heard": said, "on the screen": there}, "time (s)", " ".join(words), words)


def composed() -> plotting.Picture:
    """Four bars of a chorale that nobody wrote."""
    grid = checkpoints.load("music").generate(64, metre=(16, 4), top_p=0.95, seed=7)
    return pictures.score(grid, "four voices")


def main() -> None:
    """Draw them again."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for make in (denoised, heard, composed):
        image = Image.open(io.BytesIO(make().png())).convert("RGB")
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
        path = FOLDER / f"{make.__name__}.webp"
        image.save(path, quality=25, method=6)
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
