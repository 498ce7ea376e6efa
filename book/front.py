"""What the first page lets you see and hear: made by the shipped checkpoints when the book is built."""

from __future__ import annotations

import html
from collections.abc import Callable

from course_utils import audio, checkpoints, data, plotting
from course_utils.record import mixtures
from course_utils.waveform import SAMPLE_RATE
from course_utils.widgets.music import PianoRoll


def denoised() -> str:
    """A real reader in real noise, before and after."""
    outdoors = next(each for each in mixtures.grid("shipped", 10) if each.snr_db == 0)
    clips = {"with noise": outdoors.noisy, "cleaned": checkpoints.load("enhancement").enhance(outdoors.noisy)}
    return audio.compare(clips, outdoors.text).data + plotting.spectrograms(clips)._repr_html_()


def composed() -> str:
    """Eight bars of a chorale that nobody wrote."""
    grid = checkpoints.load("music").generate(128, metre=(16, 4), top_p=0.95, seed=7)
    return PianoRoll(grid, title="A chorale that nobody wrote", metre=(16, 4)).fallback_html()


def recognised() -> str:
    """A real reader, and what is written while one listens."""
    reader = next(one for one in data.real("librispeech", "test") if 6 < one.duration < 8)
    stream, chunk, before, rows = checkpoints.load("recognition").stream(160), SAMPLE_RATE // 10, [], []
    for end in range(chunk, len(reader.audio) + chunk, chunk):
        now = stream.push(reader.audio[end - chunk : end])
        if now.endpoint:
            before.append(stream.next_utterance().text)
        if end % SAMPLE_RATE == 0:
            rows.append((f"{end // SAMPLE_RATE} s", " ".join([*before, "" if now.endpoint else now.text])))
    rows.append(("at the end", " ".join([*before, stream.finish().text])))
    lines = "".join(f"<tr><td>{when}</td><td>{html.escape(text)}</td></tr>" for when, text in rows)
    return (
        f'{audio.play(reader.audio, "a real reader", reader.text).data}<table class="words">{lines}</table>'
    )


def spoken() -> str:
    """One sentence in three voices."""
    tts, text = checkpoints.load("tts"), "Every sound on this page was made on a laptop."
    clips = {name: tts.say(text, name) for name in ("f01", "m03", "f02")}
    return audio.compare(clips, text).data


PIECES: dict[str, Callable[[], str]] = {
    "denoised": denoised,
    "composed": composed,
    "recognised": recognised,
    "spoken": spoken,
}
"""By the name that stands in `index.md`."""
