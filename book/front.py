"""What the first page lets you see and hear: made by the shipped checkpoints when the book is built."""

from __future__ import annotations

import html
from collections.abc import Callable

from course_utils import audio, checkpoints, cloning, data, metrics, plotting
from course_utils.models.assistant import mixed
from course_utils.record import mixtures
from course_utils.record.topics import capstone
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
    return PianoRoll(grid, title="Eight bars", metre=(16, 4)).fallback_html()


def recognised() -> str:
    """Two real people, and what is written while one listens: easy for one network, hard for the other."""
    reader = next(one for one in data.real("librispeech", "test") if 6 < one.duration < 8)
    return _written("phrases", data.real("digits")[3], "a row of digits") + _written(
        "recognition", reader, "any words, a reader"
    )


def _written(checkpoint: str, clip: data.Recording, name: str) -> str:
    stream, chunk, before, rows = checkpoints.load(checkpoint).stream(160), SAMPLE_RATE // 10, [], []
    for end in range(chunk, len(clip.audio) + chunk, chunk):
        now = stream.push(clip.audio[end - chunk : end])
        if now.endpoint:
            before.append(stream.next_utterance().text)
        if end % SAMPLE_RATE == 0:
            rows.append((f"{end // SAMPLE_RATE} s", " ".join([*before, "" if now.endpoint else now.text])))
    text = " ".join([*before, stream.finish().text]).strip()
    (wrong,), (count,) = metrics.error_counts(clip.text, text)
    rows.append(("at the end", f"{text} ({wrong} of {count} words wrong)"))
    lines = "".join(f"<tr><td>{when}</td><td>{html.escape(text)}</td></tr>" for when, text in rows)
    return f'{audio.play(clip.audio, name, clip.text).data}<table class="words">{lines}</table>'


def spoken() -> str:
    """One sentence in three voices."""
    tts, text = checkpoints.load("tts"), "Nobody has ever said this sentence."
    voices = {"a woman": "f01", "a man": "m03", "another woman": "f02"}
    return audio.compare({name: tts.say(text, voice) for name, voice in voices.items()}, text).data


def cloned() -> str:
    """A voice that no network was trained on, and a sentence that it never said."""
    text = "I have never said this, and yet you hear it."
    voice = next(one for one in data.speech("test", kind="sentence") if one.duration > 4)
    clips = {"the voice": voice.audio, "its copy": cloning.clone(voice, text)}
    return audio.compare(clips, text).data


def answered() -> str:
    """A real person asks, the assistant answers."""
    clip, it = data.real("digits")[3], capstone.made(capstone.GRAPH, checkpoints.load("tts").stream)
    events = capstone.replies(it, clip.audio)
    reply = next((event.text for event in events if event.kind == "reply"), "no reply")
    return audio.play(mixed(clip.audio, events), "question and reply", f"{clip.text} / {reply}").data


PIECES: dict[str, Callable[[], str]] = {
    "denoised": denoised,
    "composed": composed,
    "recognised": recognised,
    "spoken": spoken,
    "cloned": cloned,
    "answered": answered,
}
"""By the name that stands in `index.md`."""
