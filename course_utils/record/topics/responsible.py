"""Notebook 07: what the watermark costs and survives, false alarms, and a spoof detector on generators it never heard."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import soundfile
from tqdm.auto import tqdm

from course_utils import audio, data, features, fingerprint, metrics, noise, peers, shipped, tables
from course_utils.models import watermark
from course_utils.models.spoof import SpoofDetector
from course_utils.record import results
from course_utils.record.entry import Entry, checkpoint_key, differences, load
from course_utils.record.grids import seed_of, summarise

NOTEBOOK = "07"
CHECKPOINTS = ()
LIBRARIES = ("resemble-perth", "espeakng-loader", "piper-tts", "pesq", "soundfile", "numpy", "torch")
GRIDS = {
    "marking": "what the watermark costs: marked beside unmarked",
    "false alarms": "sounds without the mark in which it was found",
    "attacks": "marked sounds in which the mark is found after an attack, in %",
    "spoof": "equal error rate of the spoof detector, by who made the speech",
}
OURS, PERTH = "this course", "PerTh"
REAL, OWN = "real readers", "own voices"
SECONDS = 3.0
"""Length of the pieces that real recordings are cut into."""
UNMARKED = 3000
TRAIN_READERS = 60

Waveform = np.ndarray


# --- the attacks ---------------------------------------------------------------------------------------


def mp3(waveform: Waveform) -> Waveform:
    """Coded as MP3 with 64 kbit/s and decoded."""
    file = io.BytesIO()
    # libsndfile counts from 0 (160 kbit/s at 16 kHz) to 1 (8).
    level = (160 - 64) / (160 - 8)
    soundfile.write(
        file, waveform, audio.SAMPLE_RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=level
    )
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def telephone(waveform: Waveform) -> Waveform:
    """To 8 kHz and back: all above 4 kHz is lost."""
    return audio.resample(audio.resample(waveform, audio.SAMPLE_RATE, 8000), 8000, audio.SAMPLE_RATE)


def noisy(waveform: Waveform, snr_db: float = 20.0) -> Waveform:
    """With white noise, `snr_db` below the sound."""
    hiss = noise.white(len(waveform) / audio.SAMPLE_RATE, seed_of("noise", len(waveform)))[: len(waveform)]
    hiss = np.pad(hiss, (0, len(waveform) - len(hiss)))
    return waveform + hiss * np.sqrt((waveform**2).mean() / (hiss**2).mean() / 10 ** (snr_db / 10))


def cropped(waveform: Waveform) -> Waveform:
    """Without its first 0.37 s and its last 10 %."""
    return waveform[5921 : int(0.9 * len(waveform))]


def faster(waveform: Waveform, speed: float = 1.02) -> Waveform:
    """Played `speed` times as fast, and as much higher."""
    return audio.resample(waveform, audio.SAMPLE_RATE * speed, audio.SAMPLE_RATE)


def room(waveform: Waveform, decay: float = 0.4) -> Waveform:
    """Heard across a room: a direct sound and an echo that falls by 60 dB in `decay` seconds."""
    time = np.arange(int(decay * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    tail = np.random.default_rng(0).standard_normal(len(time)) * 10 ** (-3 * time / decay)
    tail *= 0.7 / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    size = len(waveform) + len(tail)
    heard = np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(tail, size), size)[: len(waveform)]
    return (heard / max(1.0, np.abs(heard).max())).astype(np.float32)


def revocoded(waveform: Waveform) -> Waveform:
    """Its log-mel, made into sound again by the course's vocoder."""
    return load("vocoder")(features.log_mel(waveform), len(waveform))


def griffin_lim(waveform: Waveform) -> Waveform:
    """Its log-mel, made into sound again by Griffin-Lim."""
    return features.griffin_lim(features.log_mel(waveform), length=len(waveform))


def marked_again(waveform: Waveform) -> Waveform:
    """Marked a second time, with another key."""
    return watermark.embed(waveform, key=watermark.KEY + 1)


def fought(waveform: Waveform) -> Waveform:
    """By somebody who has the key: the opposite gains."""
    spectrum = features.stft(waveform, watermark.WINDOW, watermark.HOP)
    factor = 10 ** (-watermark.gains_db(np.abs(spectrum) ** 2) / 20)
    return features.istft((spectrum * factor).astype(np.complex64), len(waveform), watermark.HOP)


ATTACKS: dict[str, Callable[[Waveform], Waveform]] = {
    "none": lambda waveform: waveform,
    "MP3, 64 kbit/s": mp3,
    "8 kHz": telephone,
    "noise, 20 dB": noisy,
    "crop": cropped,
    "speed 2 %": faster,
    "speed 5 %": partial(faster, speed=1.05),
    "a room": room,
    "a second mark": marked_again,
    "our vocoder": revocoded,
    "Griffin-Lim": griffin_lim,
    "the key, undone": fought,
}
PROMISED = ("none", "MP3, 64 kbit/s", "8 kHz", "noise, 20 dB")


# --- the material --------------------------------------------------------------------------------------


def cut(waveform: Waveform, seconds: float = SECONDS) -> list[Waveform]:
    """Whole pieces of a waveform (time,) one after the other."""
    size = int(seconds * audio.SAMPLE_RATE)
    return [waveform[at : at + size] for at in range(0, len(waveform) - size + 1, size)]


@cache
def clips(kind: str) -> tuple[tuple[str, Waveform], ...]:
    """(speaker, waveform) to be marked and attacked: pieces of the 24 readers, or sentences of the 24 test voices."""
    if kind == REAL:
        return tuple(
            (str(one.speaker), piece)
            for one in data.real("librispeech", "test")
            for piece in cut(one.audio)[:3]
        )
    found = []
    for voice in data.voices("test"):
        long_enough = [one for one in data.speech(voice=voice.name, kind="sentence") if one.duration >= 2]
        found += [(voice.name, one.audio) for one in long_enough[:3]]
    return tuple(found)


def unmarked() -> Iterator[Waveform]:
    """`UNMARKED` sounds nobody marked: pieces of real recordings, then sentences of the corpus.

    Raises:
        DataError: the complete LibriSpeech readers are not here.
    """
    left = UNMARKED
    readers = [*data.real("librispeech", "train"), *data.real("librispeech", "test", complete=True)]
    for one in readers:
        for piece in cut(one.audio):
            if left > UNMARKED // 2:
                left -= 1
                yield piece
    sentences = [one for one in data.speech(kind="sentence") if one.duration >= 2]
    order = np.random.default_rng(seed_of("unmarked")).permutation(len(sentences))
    for place in order[:left]:
        yield sentences[place].audio


def require() -> None:
    """DataError where the readers or the corpus are not here."""
    clips(REAL), clips(OWN)


def material() -> str:
    """Fingerprint of the sounds."""
    real = shipped.manifest().files["real/index.jsonl"]["sha256"]
    return fingerprint.digest(real, shipped.manifest().speech_key)


# --- what is measured ----------------------------------------------------------------------------------


def share(right: int, of: int) -> tuple[float, float, float]:
    """A share in % with its 95 % interval after Wilson (1927), which says something at 100 % too."""
    z, p = 1.96, right / of
    middle, half = p + z * z / 2 / of, z * math.sqrt(p * (1 - p) / of + z * z / 4 / of**2)
    low, high = ((middle + sign * half) / (1 + z * z / of) for sign in (-1, 1))
    return 100 * p, 100 * max(0.0, low), 100 * min(1.0, high)


def _watermarker(system: str) -> tuple[Callable[[Waveform], Waveform], Callable[[Waveform], bool]]:
    if system == OURS:
        return watermark.embed, lambda waveform: watermark.detect(waveform).found
    library = peers.Perth()
    return library.mark, library.found


@cache
def marked(system: str, kind: str) -> tuple[tuple[str, Waveform], ...]:
    """The clips of a kind with the mark of a system."""
    embed, _ = _watermarker(system)
    return tuple((speaker, embed(waveform)) for speaker, waveform in clips(kind))


def _marking(system: str, kind: str, every: int = 1) -> dict[str, Any]:
    rows = []
    pairs = zip(clips(kind)[::every], marked(system, kind)[::every], strict=True)
    for (speaker, before), (_, after) in tqdm(list(pairs), f"{system} on {kind}", delay=2):
        rows.append({"voice": speaker, "pesq": metrics.pesq(after, before)})
    return {
        "mean": summarise(rows, ["pesq"]),
        "lowest": min(row["pesq"] for row in rows),
        "clips": len(rows),
    }


def _attacked(system: str, attack: str, take: int | None = None) -> dict[str, Any]:
    _, found = _watermarker(system)
    record: dict[str, Any] = {}
    for kind in (REAL, OWN):
        hits = [found(ATTACKS[attack](waveform)) for _, waveform in marked(system, kind)[:take]]
        record[kind] = share(sum(hits), len(hits))
        record[f"clips, {kind}"] = len(hits)
    return record


def _false_alarms(take: int | None = None) -> dict[str, Any]:
    sounds, scores, alarms = unmarked(), [], 0
    for number, waveform in enumerate(tqdm(sounds, "unmarked", total=take or UNMARKED, delay=2)):
        if number == take:
            break
        detection = watermark.detect(waveform)
        scores.append(detection.score)
        alarms += detection.found
    # With none seen, 3 / n bounds the rate at 95 %.
    return {
        "alarms": alarms,
        "clips": len(scores),
        "highest score": max(scores),
        "scores": np.quantile(scores, [0.5, 0.99]).tolist(),
    }


# --- the spoof detector --------------------------------------------------------------------------------

COPIES: dict[str, Callable[[Waveform], Waveform]] = {"our vocoder": revocoded, "Griffin-Lim": griffin_lim}
"""The generators from which the detector learns: each copies a real recording."""
SENTENCES = (
    "The small boat crossed the river before sunrise.",
    "Nobody had seen it leave the harbour that night.",
    "Late in the evening it came back without a sound.",
    "She asked for the way to the old railway station.",
    "Seven people waited in front of the closed door.",
    "In winter the lake is frozen for eleven weeks.",
    "He found the letter between two heavy books.",
    "The price of bread went up again in September.",
)


def trained(real: Sequence[Waveform]) -> SpoofDetector:
    """The detector, trained on real clips and on their copies by the generators of `COPIES`."""
    return SpoofDetector().fit(list(real), [copy(clip) for clip in real for copy in COPIES.values()])


def unseen() -> dict[str, Callable[[], list[Waveform]]]:
    """Speech of generators from which the detector did not learn, by name."""
    tts = lambda: [load("tts").say(text, seed=1) for text in SENTENCES]  # noqa: E731
    engine = lambda: [waveform for _, waveform in clips(OWN)[::3]]  # noqa: E731
    found = {"our synthesiser": tts, "the corpus's engine": engine}
    for kind in (peers.Espeak, peers.Piper):
        found[kind.name] = partial(_said_by, kind)
    return found


def _said_by(kind: type[peers.Synthesiser]) -> list[Waveform]:
    return [kind().say(text) for text in SENTENCES]


def two_seconds(sounds: Sequence[Waveform]) -> list[Waveform]:
    """All sounds cut into pieces of two seconds, so that no length tells anything."""
    return [piece for sound in sounds for piece in cut(sound, 2.0)]


@cache
def _detector() -> SpoofDetector:
    readers = data.real("librispeech", "train")[:TRAIN_READERS]
    return trained(two_seconds([one.audio[: 4 * audio.SAMPLE_RATE] for one in readers]))


@cache
def _genuine() -> tuple[Waveform, ...]:
    return tuple(two_seconds([waveform for _, waveform in clips(REAL)]))


def _spoofed(generator: str) -> dict[str, Any]:
    detector, genuine = _detector(), _genuine()
    if generator in COPIES:
        fakes = [COPIES[generator](clip) for clip in genuine]
    else:
        fakes = two_seconds(unseen()[generator]())
    real, fake = (np.array([detector.score(clip) for clip in some]) for some in (genuine, fakes))
    return {
        "eer": 100 * metrics.eer(fake, real)[0],
        "missed": share(int((fake < 0).sum()), len(fake)),
        "false alarms": share(int((real >= 0).sum()), len(real)),
        "clips": [len(real), len(fake)],
    }


# --- entries -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    grid: str
    system: str
    key: str
    measure: Callable[[], dict[str, Any]]
    again: Callable[[], dict[str, Any]]


def _jobs() -> Iterator[_Job]:
    mark = fingerprint.digest(fingerprint.code("models.watermark"), material())
    here = partial(fingerprint.code, "record.topics.responsible")
    vocoder = checkpoint_key("vocoder")
    perth = fingerprint.digest(fingerprint.code("peers.perth_watermark"), material())
    systems = {OURS: mark}
    # Where the library is neither here nor recorded, the tables have a row that says so.
    if peers.Perth().available() or any(PERTH in name for grid in GRIDS for name in records(grid)):
        systems[PERTH] = perth
    for system, own in systems.items():
        for kind in (REAL, OWN):
            key = fingerprint.digest(own, here("_marking", "clips"), kind)
            job = partial(_marking, system, kind)
            yield _Job("marking", f"{system}, {kind}", key, job, job)
    key = fingerprint.digest(mark, here("_false_alarms", "unmarked"), UNMARKED)
    yield _Job("false alarms", OURS, key, _false_alarms, partial(_false_alarms, 30))
    for system, own in systems.items():
        for attack in ATTACKS:
            if system == PERTH and attack == "the key, undone":
                continue
            key = fingerprint.digest(own, here("_attacked", "ATTACKS"), attack, vocoder)
            job = partial(_attacked, system, attack)
            yield _Job("attacks", attack if system == OURS else f"{PERTH}: {attack}", key, job, job)
    for generator in (*COPIES, *unseen()):
        parts = here("_spoofed", "_detector", "unseen"), fingerprint.code("models.spoof"), material()
        if generator == "our synthesiser":
            parts += (checkpoint_key("tts"),)
        job = partial(_spoofed, generator)
        yield _Job("spoof", generator, fingerprint.digest(vocoder, generator, *parts), job, job)


def entries() -> Iterator[Entry]:
    """Every measurement of the topic."""
    for job in _jobs():
        yield Entry(job.grid, job.system, job.key, job.measure, partial(_differs, job))


def _differs(job: _Job, record: dict[str, Any]) -> list[str]:
    new = job.again()
    if job.grid == "false alarms":
        return (
            []
            if not new["alarms"]
            else [f"{job.system} on {job.grid}: an alarm, recorded {record['alarms']}"]
        )
    flat = {name: value for name, value in new.items() if isinstance(value, int | float)}
    return differences(flat, record, f"{job.system} on {job.grid},")


# --- tables --------------------------------------------------------------------------------------------


def records(grid: str) -> dict[str, dict[str, Any]]:
    """What was recorded on a grid, by system."""
    return results.read("responsible").get("systems", {}).get(grid, {})


def _percent(figures: Sequence[float]) -> str:
    return tables.with_interval(figures, 0)


_NOTHING = {"system": "–", "note": "not recorded; run `course scoreboard responsible`"}


def table(grid: str) -> tables.MarkdownTable:
    """A recorded table.

    Raises:
        ValueError: there is no such grid.
    """
    if grid not in GRIDS:
        raise ValueError(f"there is no grid {grid!r}; there are {', '.join(GRIDS)}")
    found, rows = records(grid), []
    for system, record in found.items():
        if grid == "marking":
            pesq = tables.with_interval(record["mean"]["pesq"])
            rows.append(
                {"mark": system, "PESQ": pesq, "lowest": f"{record['lowest']:.2f}", "clips": record["clips"]}
            )
        elif grid == "false alarms":
            rows.append(
                {"mark": system, **{name: record[name] for name in ("clips", "alarms", "highest score")}}
            )
        elif grid == "attacks":
            rows.append({"attack": system, **{kind: _percent(record[kind]) for kind in (REAL, OWN)}})
        else:
            shares = {name: _percent(record[name]) for name in ("missed", "false alarms")}
            heard = "learnt from" if system in COPIES else "never heard"
            rows.append(
                {"generator": system, "to the detector": heard, "EER, %": f"{record['eer']:.1f}", **shares}
            )
    if grid in ("marking", "attacks") and not any(PERTH in name for name in found):
        first = "mark" if grid == "marking" else "attack"
        rows.append({first: PERTH, "note": peers.Perth().missing() or _NOTHING["note"]})
    for kind in (peers.Espeak, peers.Piper) if grid == "spoof" else ():
        if kind.name not in found:
            rows.append({"generator": kind.name, "note": kind().missing() or _NOTHING["note"]})
    return tables.table(rows or [_NOTHING])


def headline() -> list[dict[str, str]]:
    """The row of the README: the mark after MP3."""
    found, rows = records("attacks"), []
    for attack in ("MP3, 64 kbit/s", "noise, 20 dB"):
        if attack in found:
            library = found.get(f"{PERTH}: {attack}")
            rows.append({
                "task": f"watermark after {attack}",
                "measured on": "real readers, 3 s",
                "measure": "found, %",
                "this course": _percent(found[attack][REAL]),
                "best of the others": f"{_percent(library[REAL])} ({PERTH})" if library else "–",
            })  # fmt: skip
    return rows


def text() -> str:
    """All recorded tables of the topic in Markdown."""
    parts = ["## 07 Responsible voices"]
    for grid, title in GRIDS.items():
        parts += [f"### {title[0].upper()}{title[1:]}", str(table(grid))]
    return "\n\n".join(parts)
