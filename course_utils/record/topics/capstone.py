"""Notebook 08: which spoken commands are answered rightly, how often noise is, and how long an answer takes."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from course_utils import audio, data, fingerprint, metrics, music, peers, tables
from course_utils.models import assistant, assistant_skills
from course_utils.models.assistant import Assistant, Event
from course_utils.models.assistant_skills import COMMANDS, Skills, Talk
from course_utils.record import results, utterances
from course_utils.record.entry import Entry, checkpoint_key, differences, load

from .responsible import share

NOTEBOOK = "08"
CHECKPOINTS = ()
LIBRARIES = ("faster-whisper", "piper-tts", "numpy", "torch")
GRIDS = {
    "commands": "commands that are answered rightly, in % with 95 % interval",
    "nobody asked": "replies where nobody asked for anything",
    "latency": "from the true end of a question to the first sound of its reply, in ms (p50 / p95); the pause is time of "
    "the sound, the other stages are time of the processor, one thread",
}
GRAPH, NO_DOUBT, OPEN = "graph", "graph, never in doubt", "any words, nearest command"
WHISPER = "Whisper tiny.en, nearest command"
ENHANCED = "graph, enhanced before"
SLOW = "graph, long pause always"
MOST_DOUBT = 0.9
"""Nats; `python -m course_utils.record.doubt` chooses it on what is kept for validation."""
DIGITS, PIPER, OWN, NOISY = "real digits", "Piper", "24 unseen voices", "the same in noise, 5 dB"
COUNTS = {DIGITS: 60, PIPER: 24, OWN: 48, NOISY: 48}
NOBODY = READERS, PROMPTS, SENTENCES, NOISE = "real readers", "real prompts", "sentences", "fan and babble"
TURNS = 24
"""Commands whose latency is measured."""
SILENCE = np.zeros(2 * audio.SAMPLE_RATE, np.float32)
LONG = 8000
NOON = datetime(2030, 1, 1, 12, 0)


# --- the assistant -----------------------------------------------------------------------------------------


@cache
def skills() -> Skills:
    """What it can do in all measurements."""
    return Skills(COMMANDS)


@cache
def _graph() -> Any:
    return assistant.listening_for(load("phrases"), skills())


def chorale(seed: int) -> np.ndarray:
    """Two bars of new music (time,)."""
    return music.synthesise(load("music").generate(32, seed=seed, strict=True))


def talk(voice: int = 0) -> Talk:
    """A new conversation, always at noon."""
    voices = load("tts").speakers
    return Talk(voices, voices[voice], chorale, now=lambda: NOON)


def as_spoken(text: str) -> str:
    """A text as Whisper writes it, in words: "3+4" -> "three plus four", "3,1,4" and "314" -> "three one four"."""
    text = re.sub(r"(?<=\d)[,.\- ]+(?=\d)", "", text.lower())
    for sign, word in {"+": "plus", "×": "times", "x": "times", "*": "times", "-": "minus"}.items():
        text = re.sub(rf"(?<=\d)\s*{re.escape(sign)}\s*(?=\d)", f" {word} ", text)

    def words(found: re.Match) -> str:
        number = int(found[0])
        if number <= 20 and (len(found[0]) < 3):
            return assistant_skills.UP_TO_TWENTY[number]
        return " ".join(assistant_skills.UP_TO_TWENTY[int(digit)] for digit in found[0])

    return metrics.normalise(re.sub(r"\d+", words, text))


def ears(system: str) -> Callable[[], Any]:
    """What listens in one of the systems."""
    if system == OPEN:
        return lambda: assistant.OpenEars(load("recognition"), skills())
    if system == WHISPER:
        peer = peers.WhisperTiny()
        nearest = assistant.OpenEars(load("recognition"), skills()).nearest
        return lambda: assistant.ClipEars(
            assistant.CommandEars(_graph()), lambda sound: nearest(as_spoken(peer.transcribe(sound)))
        )
    return lambda: (_Enhancing if system == ENHANCED else assistant.CommandEars)(_graph())


class _Enhancing(assistant.CommandEars):
    """Ears that hear what the enhancer leaves."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.cleaner = load("enhancement").stream()

    def push(self, chunk: np.ndarray) -> Any:
        return super().push(self.cleaner.push(chunk))


def made(system: str, speak: Callable | None = None) -> Assistant:
    """An assistant; without `speak` its replies have no sound."""
    clean = load("enhancement") if speak else None  # it is for the sound of "clean this up" alone
    doubt = np.inf if system == NO_DOUBT else MOST_DOUBT
    quick = None if system == SLOW else 0.35
    return Assistant(
        ears(system),
        skills(),
        speak or (lambda text, voice: iter(())),
        talk(),
        clean,
        quick=quick,
        most_doubt=doubt,
    )


# --- the material ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """Somebody asks `text`."""

    text: str
    waveform: np.ndarray


def _sentences(count: int) -> list[str]:
    draw = random.Random(8)
    return [" ".join(assistant_skills.example(list(COMMANDS)[i % len(COMMANDS)], draw)) for i in range(count)]


@cache
def asked(kind: str) -> tuple[Asked, ...]:
    """What is asked, of one kind.

    Raises:
        DataError: the real digits are not here.
        MissingPeer: Piper is not installed.
    """
    count = COUNTS[kind]
    if kind == DIGITS:
        return tuple(Asked(" ".join(one.words), one.waveform) for one in utterances.grid(DIGITS)[:count])
    if kind == PIPER:
        peer = peers.Piper()
        return tuple(Asked(text, peer.say(f"{text.capitalize()}.")) for text in _sentences(count))
    clean = said("test", count)
    if kind == OWN:
        return clean
    noises = data.noise("test")
    return tuple(
        Asked(one.text, in_noise(one.waveform, noises[place % len(noises)].audio))
        for place, one in enumerate(clean)
    )


@cache
def said(split: str, count: int) -> tuple[Asked, ...]:
    """Commands in the voices of a split, said by our synthesiser; each voice goes through all patterns."""
    voices, tts, found = data.voices(split), load("tts"), []
    for place, text in enumerate(_sentences(count)):
        voice = voices[(place + place // len(voices)) % len(voices)].name
        clip = next(one for one in data.speech(split, voice, "sentence") if one.duration >= 3)
        sound = tts.say(f"{text.capitalize()}.", spk_emb=tts.embed(clip.audio), seed=place)
        found.append(Asked(text, sound))
    return tuple(found)


def in_noise(sound: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A command (time,) in noise at 5 dB, which begins half a second before it."""
    around = np.pad(sound, (8000, len(SILENCE)))
    return audio.mix(around, np.resize(noise, len(around)), 5.0)[0][: -len(SILENCE)]


def require() -> None:
    """DataError where what it measures on is not here."""
    asked(DIGITS), data.real("librispeech", "test")


def material() -> str:
    """Fingerprint of the sounds."""
    return fingerprint.digest(
        [utterances.sounds(grid) for grid in (DIGITS, PROMPTS, "readers")], COUNTS, TURNS
    )


def nobody(kind: str) -> list[np.ndarray]:
    """Sounds in which nobody asks for anything."""
    if kind == READERS:
        return [one.audio for one in data.real("librispeech", "test")]
    if kind == PROMPTS:
        return [one.waveform for one in utterances.grid(PROMPTS)[:40]]
    if kind == SENTENCES:
        return [one.audio for one in data.speech("test", kind="sentence")[::10]]
    return [one.audio for one in data.noise("test")]


# --- what is measured ----------------------------------------------------------------------------------------


def replies(one: Assistant, waveform: np.ndarray, chunk: int = 1600) -> list[Event]:
    """The events of a waveform (time,) with silence behind it; in long chunks it is faster, and decides later."""
    return assistant.converse(one, np.concatenate([waveform, SILENCE]), chunk)


def answered(system: str, one: Asked) -> bool:
    """Whether the first reply is the one to what was asked, and the only one."""
    events = replies(made(system), one.waveform, LONG)
    wanted = skills().answer(one.text, talk()).text
    return [event.text for event in events if event.kind == "reply"] == [wanted]


def _commands(system: str, take: int | None = None) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for kind in COUNTS:
        hits = [answered(system, one) for one in tqdm(asked(kind)[:take], f"{system}, {kind}", delay=2)]
        record[kind] = share(sum(hits), len(hits))
        record[f"count, {kind}"] = len(hits)
    return record


def _nobody(system: str, take: int | None = None) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for kind in NOBODY:
        sounds, wrong = nobody(kind)[:take], 0
        for sound in tqdm(sounds, f"{system}, {kind}", delay=2):
            wrong += sum(event.kind == "reply" for event in replies(made(system), sound, LONG))
        hours = sum(map(len, sounds)) / audio.SAMPLE_RATE / 3600
        record[kind] = [wrong, wrong / hours, hours]
    return record


def speech_end(waveform: np.ndarray) -> float:
    """Second at which a clean recording (time,) was last within 35 dB of its loudest 20 ms."""
    frames = waveform[: len(waveform) // 320 * 320].reshape(-1, 320)
    power = (frames**2).mean(1)
    return float((np.flatnonzero(power > power.max() * 10**-3.5)[-1] + 1) * 320 / audio.SAMPLE_RATE)


STAGES = ("pause", "final text", "reply", "first sound", "all")


def _latency(system: str, take: int | None = None) -> dict[str, Any]:
    tts, rows = load("tts"), []
    for one in tqdm(asked(OWN)[: take or TURNS], system, delay=2):
        it = made(system, lambda text, voice: tts.stream(text, voice))
        it.clock = time.thread_time  # whatever else runs on the machine
        replies(it, one.waveform)
        for turn in list(it.turns)[:1]:
            pause = 1000 * (turn.endpoint - speech_end(one.waveform))
            computing = turn.final_ms, turn.reply_ms, turn.audio_ms
            rows.append((pause, *computing, pause + sum(computing)))
    p50, p95 = np.percentile(rows, [50, 95], axis=0)
    return {"p50": dict(zip(STAGES, p50, strict=True)), "p95": dict(zip(STAGES, p95, strict=True)), "count": len(rows)}  # fmt: skip


# --- entries ---------------------------------------------------------------------------------------------------

SYSTEMS = {
    "commands": (GRAPH, OPEN, WHISPER, ENHANCED),
    "nobody asked": (GRAPH, NO_DOUBT),
    "latency": (GRAPH, SLOW),
}
_MEASURE = {"commands": _commands, "nobody asked": _nobody, "latency": _latency}


def entries() -> Iterator[Entry]:
    """Every measurement of the topic."""
    models = [checkpoint_key(name) for name in ("phrases", "enhancement", "tts", "music")]
    code = [fingerprint.code(f"models.{name}") for name in ("assistant", "assistant_skills")]
    for grid, systems in SYSTEMS.items():
        measure = _MEASURE[grid]
        here = fingerprint.code("record.topics.capstone", measure.__name__, "made", "asked", "nobody")
        for system in systems:
            if system == WHISPER and system not in records(grid) and not peers.WhisperTiny().available():
                continue  # the table has a row that says so
            own = [checkpoint_key("recognition")] if system in (OPEN, WHISPER) else []
            peer = [fingerprint.code("peers.whisper")] if system == WHISPER else []
            key = fingerprint.digest(models, code, here, system, material(), own, peer)
            yield Entry(grid, system, key, partial(measure, system), partial(_differs, grid, system))


def _differs(grid: str, system: str, record: dict[str, Any]) -> list[str]:
    if grid != "latency":  # a share of few clips is another figure than that of all, so all are measured
        new = _MEASURE[grid](system)
        pairs = {kind: value[0] for kind, value in new.items() if isinstance(value, tuple | list)}
        return differences(
            pairs, {kind: record[kind][0] for kind in pairs}, f"{system} on {grid},", 0.03, 2.5
        )
    new = _latency(system)
    return differences({"pause": new["p50"]["pause"]}, {"pause": record["p50"]["pause"]}, system, 0.05, 40)


# --- tables ------------------------------------------------------------------------------------------------------


def records(grid: str) -> dict[str, dict[str, Any]]:
    """What was recorded on a grid, by system."""
    return results.read("capstone").get("systems", {}).get(grid, {})


def table(grid: str) -> tables.MarkdownTable:
    """The recorded table of one of `GRIDS`, real speech first.

    Raises:
        ValueError: there is no such grid.
    """
    if grid not in GRIDS:
        raise ValueError(f"there is no grid {grid!r}; there are {', '.join(GRIDS)}")
    rows = []
    for system, record in records(grid).items():
        row: dict[str, Any] = {"ears": system}
        if grid == "commands":
            row |= {kind: tables.with_interval(record[kind], 0) for kind in COUNTS}
        elif grid == "nobody asked":
            for kind in NOBODY:
                wrong, _, hours = record[kind]
                row[f"{kind}, {60 * hours:.0f} min"] = wrong
        else:
            row |= {stage: f"{record['p50'][stage]:.0f} / {record['p95'][stage]:.0f}" for stage in STAGES}
        rows.append(row)
    if grid == "commands" and WHISPER not in records(grid):
        rows.append({"ears": WHISPER, "note": peers.WhisperTiny().missing() or "not recorded"})
    return tables.table(rows)


def headline() -> list[dict[str, str]]:
    """The row of the README: real voices that are answered rightly."""
    found = records("commands")
    if GRAPH not in found:
        return []
    best = tables.with_interval(found[WHISPER][DIGITS], 0) + f" ({WHISPER})" if WHISPER in found else "–"
    return [{
        "task": "assistant: rows of digits added up",
        "measured on": "a real speaker",
        "measure": "answered rightly, %",
        "this course": tables.with_interval(found[GRAPH][DIGITS], 0),
        "best of the others": best,
    }]  # fmt: skip


def text() -> str:
    """All recorded tables of the topic in Markdown."""
    parts = ["## 08 Capstone"]
    for grid, title in GRIDS.items():
        parts += [f"### {title[0].upper()}{title[1:]}", str(table(grid))]
    return "\n\n".join(parts)
