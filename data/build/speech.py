"""Build the speech corpus: sentences and phrases of every voice, checked by a recogniser, and the pairs.

    python -m data.build.speech --hours 2.5 --out data

OUT becomes a data folder like `data/`: the speech is made, everything else is copied, and `COURSE_DATA=OUT`
lets the course use it. Resumable by voice: a finished voice lies in OUT/speech/.parts/<voice>/ (16-bit FLAC,
labels, F0) and is not made again. `index.jsonl.xz`, `voices.json`, the pairs and the Opus files are written at
the end. Nothing is random but what is drawn from a seed made of the utterance's name.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import lzma
import os
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile as sf

from course_utils.paths import SAMPLE_RATE
from course_utils.shipped import content, shipped_files
from data.build import engine, listen, manifest, phrases, voices
from data.build.engine import UNIT_SAMPLES, Timing

DATA = Path(__file__).resolve().parents[1]
TEXTS = Path(__file__).with_name("texts")
SHIPPED_HOURS = 2.5
LONG_VOICES = ("f01", "m01")  # for single-voice work
# Utterances of one voice at the shipped size.
SENTENCES, PHRASES = 24, 11
LONG_SENTENCES, LONG_PHRASES = 190, 60
# A voice that stays below this many minutes reads spare sentences (at the shipped size and above).
LEAST_MINUTES, LEAST_LONG_MINUTES = 1.52, 12.1
SPARE = 12

VOICE_LEVEL = -26.0  # dBFS of the speech (pauses left out), the same for every voice
ROOM_TONE = -80.0  # dBFS of faint white noise: the engine's pauses are digital silence
PEAK = 0.97
SPEEDS = (1.0, 0.94)  # a rejected utterance is made once more, a little slower
LEAD_UNITS, TRAIL_UNITS = (4, 8), (6, 10)  # silence left at the two ends, drawn per utterance
# Of libsndfile: 0.945 gives about 10 MB per hour. A clip below the least PESQ takes the next one.
COMPRESSION_LEVELS = (0.945, 0.93, 0.92, 0.9, 0.87, 0.84, 0.8)
LEAST_PESQ = 4.3

PAIR_VOICES = 8  # per split, four of each sex
PAIR_SENTENCES = 20  # each way


@dataclass(frozen=True)
class Item:
    """One line to be read."""

    id: str
    kind: str
    text: str


@dataclass
class Take:
    """One reading: `waveform` before the level of the voice is set, `f0` in Hz per 12.5 ms."""

    item: Item
    waveform: np.ndarray
    timing: Timing
    f0: np.ndarray
    start: int  # units cut off at the start
    speed: float
    errors: int = 0


def seed_of(name: str) -> int:
    """Return a seed that depends on nothing but `name`."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


# ----------------------------------------------------------------------------- who reads what
def spare_lines(voice: voices.Voice, own: list[Item]) -> list[Item]:
    """Return sentences for a voice that has too little, from a place of its own in the split's list."""
    lines = sentences(voice.split)
    start = seed_of(voice.name) % len(lines)
    read = {item.text for item in own}
    others = (t for t in lines[start:] + lines[:start] if t not in read)
    chosen = itertools.islice(others, SPARE)
    return [Item(f"{voice.name}_{k:04d}", "sentence", t) for k, t in enumerate(chosen, start=len(own) + 1)]


def sentences(split: str) -> list[str]:
    """Return the sentences written for `split`."""
    lines = content(TEXTS, f"{split}.txt").decode("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def plan(hours: float = SHIPPED_HOURS, seed: int = 0) -> dict[str, list[Item]]:
    """Return the lines of every voice.

    The sentences of a split are dealt out in order and from the start again when they run out; a phrase is
    read once. With more hours every voice reads more; with few every voice still reads one of each.
    """
    scale = hours / SHIPPED_HOURS
    result: dict[str, list[Item]] = {}
    for split in voices.COUNTS:
        lines = itertools.cycle(sentences(split))
        spoken = phrases.phrases(split, seed)
        for voice in voices.load():
            if voice.split != split:
                continue
            long = voice.name in LONG_VOICES
            n_sentences = max(1, round((LONG_SENTENCES if long else SENTENCES) * scale))
            n_phrases = max(1, round((LONG_PHRASES if long else PHRASES) * scale))
            texts = [("sentence", t) for t in itertools.islice(lines, n_sentences)]
            texts += [("phrase", t) for t in itertools.islice(spoken, n_phrases)]
            result[voice.name] = [
                Item(f"{voice.name}_{k:04d}", kind, text) for k, (kind, text) in enumerate(texts, start=1)
            ]
    return result


# ----------------------------------------------------------------------------- one utterance
def trim(waveform: np.ndarray, timing: Timing, lead: int, trail: int) -> tuple[np.ndarray, Timing, int]:
    """Set the silence at the two ends to `lead` and `trail` units; also return how much the start lost."""
    start = timing.durations[0] - lead
    stop = sum(timing.durations) - timing.durations[-1] + trail
    begin = max(0, -start) * UNIT_SAMPLES
    cut = np.pad(waveform, (begin, max(0, stop * UNIT_SAMPLES - len(waveform))))
    cut = cut[(max(0, start) * UNIT_SAMPLES) :][: (stop - start) * UNIT_SAMPLES]
    return cut, Timing(timing.phones, [lead, *timing.durations[1:-1], trail], timing.words), start


def read(
    speaker: engine.Engine, item: Item, table: np.ndarray, speed: float, prosody: np.ndarray | None = None
) -> Take:
    """Let a voice read one line and cut the silence at its ends; `prosody` may come from another table."""
    script = engine.script(item.text)
    spoken = speaker.say(script, table, prosody=prosody, speed=speed)
    timing = engine.timing(script, spoken.durations, spoken.waveform)
    draw = np.random.default_rng(seed_of(item.id))
    lead, trail = (int(draw.integers(low, high + 1)) for low, high in (LEAD_UNITS, TRAIL_UNITS))
    waveform, timing, start = trim(spoken.waveform, timing, lead, trail)
    return Take(item, waveform, timing, spoken.f0, start, speed)


def faults(waveform: np.ndarray, timing: Timing) -> list[str]:
    """Return what is wrong with an utterance: length, rate, level, silence (empty when nothing is)."""
    found = []
    phones = sum(p != "sil" for p in timing.phones)
    seconds = len(waveform) / SAMPLE_RATE
    speech = sum(d for p, d in zip(timing.phones, timing.durations, strict=True) if p != "sil") * 0.025
    if not np.isfinite(waveform).all():
        return ["not finite"]
    if sum(timing.durations) * UNIT_SAMPLES != len(waveform):
        found.append("labels and audio differ in length")
    if min(timing.durations) < 1:
        found.append("a label without length")
    if not 0.6 <= seconds <= 12:
        found.append(f"{seconds:.1f} s long")
    if not 5 <= phones / max(speech, 0.025) <= 22:
        found.append(f"{phones / max(speech, 0.025):.1f} phones per second")
    if (np.abs(waveform) > 0.999 * np.abs(waveform).max()).sum() > 8:
        found.append("clipped")  # flat tops; above full scale alone is no fault before the gain is set
    levels = engine.unit_levels(waveform)
    if engine.speech_level(levels) < -45:
        found.append("too quiet")
    pauses = [d for p, d in zip(timing.phones, timing.durations, strict=True) if p == "sil"][1:-1]
    if pauses and max(pauses) > 40:
        found.append("a pause of more than a second")
    _, hole = engine.longest_run(levels < engine.speech_level(levels) - 50)
    if hole > max([*pauses, *timing.durations[:1], *timing.durations[-1:]]) + 4:
        found.append("a silence that has no label")
    return found


def finish(waveform: np.ndarray, gain: float, name: str) -> np.ndarray:
    """Apply the gain of the voice, keep peaks below full scale, add the room tone."""
    waveform = gain * waveform
    waveform = waveform * min(1.0, PEAK / max(float(np.abs(waveform).max()), 1e-9))
    noise = np.random.default_rng(seed_of(name) + 1).standard_normal(len(waveform))
    return (waveform + 10 ** (ROOM_TONE / 20) * noise).astype(np.float32)


def voice_gain(takes: Iterable[Take]) -> float:
    """Return the gain that brings the speech of all takes together to `VOICE_LEVEL`."""
    power = []
    for take in takes:
        flags = np.repeat([p != "sil" for p in take.timing.phones], take.timing.durations)
        power.append((take.waveform.reshape(-1, UNIT_SAMPLES)[flags] ** 2).mean(1))
    return float(10 ** (VOICE_LEVEL / 20) / np.sqrt(np.concatenate(power).mean()))


# ----------------------------------------------------------------------------- one voice
@cache
def speaker() -> engine.Engine:
    """Return the engine of this process."""
    return engine.Engine()


def read_all(items: list[Item], table: np.ndarray) -> tuple[list[Take], dict[str, str]]:
    """Read lines, those with a fault or a misheard word twice; return the takes to keep and the refused."""
    best: dict[str, Take] = {}
    todo, problems = list(items), {}
    for speed in SPEEDS:
        takes = []
        for item in todo:
            take = read(speaker(), item, table, speed)
            wrong = faults(take.waveform, take.timing)
            if wrong:
                problems[item.id] = "; ".join(wrong)
            else:
                takes.append(take)
        heard = listen.errors([(t.waveform, t.item.text) for t in takes])
        for take, errors in zip(takes, heard, strict=True):
            take.errors = errors
            if take.item.id not in best or errors < best[take.item.id].errors:
                best[take.item.id] = take
        todo = [i for i in todo if i.id not in best or best[i.id].errors]
    kept, rejected = [], {}
    for item in items:
        if item.id not in best:
            rejected[item.id] = problems[item.id]
        elif not listen.acceptable(best[item.id].errors, len(engine.script(item.text).words)):
            rejected[item.id] = f"{best[item.id].errors} words misheard"
        else:
            kept.append(best[item.id])
    return kept, rejected


def make_voice(
    name: str, items: list[Item], parts: Path, spare: list[Item] = (), least_minutes: float = 0.0
) -> dict:
    """Read, check and store the lines of one voice; return what is worth a line in the log.

    While the voice has less than `least_minutes`, it goes on with the spare lines.
    """
    folder = parts / name
    if (folder / "done.json").exists():
        return json.loads((folder / "done.json").read_text(encoding="utf-8"))
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    table = next(v for v in voices.load() if v.name == name).table
    kept, rejected = read_all(items, table)
    gain = voice_gain(kept) if kept else None
    while spare and (not kept or sum(len(t.waveform) for t in kept) < least_minutes * 60 * SAMPLE_RATE):
        takes, refused = read_all(spare[:3], table)
        kept, rejected, spare = kept + takes, rejected | refused, spare[3:]
    if not kept:
        raise RuntimeError(f"every line of {name} was rejected: {rejected}; ask for more hours")
    gain = gain or voice_gain(kept)
    rows, curves = [], {}
    for take in kept:
        audio = finish(take.waveform, gain, take.item.id)
        sf.write(folder / f"{take.item.id}.flac", audio, SAMPLE_RATE, subtype="PCM_16")
        curves[take.item.id] = take.f0.astype(np.float32)
        rows.append({"id": take.item.id, "voice": name, "kind": take.item.kind, "text": take.item.text,
                     "phones": take.timing.phones, "durations": take.timing.durations,
                     "words": [list(w) for w in take.timing.words],
                     "start": take.start, "speed": take.speed, "errors": take.errors})  # fmt: skip
    np.savez(folder / "f0.npz", **curves)
    write_lines(folder / "index.jsonl", rows)
    seconds = sum(sum(r["durations"]) for r in rows) * engine.UNIT_SECONDS
    report = {"voice": name, "utterances": len(rows), "minutes": round(seconds / 60, 2), "gain": gain,
              "rejected": rejected, "slower": sum(r["speed"] != 1 for r in rows),
              "misheard": sum(r["errors"] for r in rows),
              "compute_s": round(time.perf_counter() - began)}  # fmt: skip
    write_text(folder / "done.json", json.dumps(report))
    return report


def order(names: Iterable[str]) -> list[str]:
    """Test, validation and training voices in turn, so that any first part is of use; long voices early."""
    by_split: dict[str, list[str]] = {split: [] for split in ("test", "train", "valid")}
    split_of = {v.name: v.split for v in voices.load()}
    names = list(names)
    for name in names:
        if name not in LONG_VOICES:
            by_split[split_of[name]].append(name)
    ranked = [
        ((k + 0.5) / len(group), n)
        for group in by_split.values()
        for k, n in enumerate(sorted(group, key=lambda name: (name[1:], name[0])))
    ]
    ranked += [(0.1, name) for name in names if name in LONG_VOICES]
    return [name for _, name in sorted(ranked)]


# ----------------------------------------------------------------------------- pairs for conversion
def pairings(split: str) -> list[tuple[str, str]]:
    """Return (source, target) voices, each pair both ways: two across the sexes, one within each."""
    names = {
        sex: [
            v.name for v in voices.load() if v.split == split and v.sex == sex and v.name not in LONG_VOICES
        ]
        for sex in "fm"
    }
    f, m = (names[sex][: PAIR_VOICES // 2] for sex in "fm")
    both = [(f[0], m[0]), (f[1], m[1]), (f[2], f[3]), (m[2], m[3])]
    return [way for a, b in both for way in ((a, b), (b, a))]


def median_f0(curve: np.ndarray) -> float:
    """Return the median of the voiced part (above 50 Hz) of an F0 curve in Hz."""
    return float(np.median(curve[curve > 50]))


def make_pairs(split: str, source: str, target: str, parts: Path) -> list[dict]:
    """Say sentences of `source` again with the timbre of `target`, same timing, F0 moved to its median."""
    folder = parts / "pairs"
    folder.mkdir(exist_ok=True)
    done = folder / f"{source}_{target}.jsonl"
    if done.exists():
        return read_lines(done)
    tables = {v.name: v.table for v in voices.load() if v.name in (source, target)}
    with np.load(parts / source / "f0.npz") as a, np.load(parts / target / "f0.npz") as b:
        curves = {name: a[name] for name in a.files}
        ratio = median_f0(np.concatenate([b[n] for n in b.files])) / median_f0(
            np.concatenate(list(curves.values()))
        )
    gain = json.loads((parts / target / "done.json").read_text(encoding="utf-8"))["gain"]
    made = []
    for row in read_lines(parts / source / "index.jsonl"):
        if row["kind"] != "sentence" or len(made) == PAIR_SENTENCES + 1:
            continue
        spoken = speaker().say(
            engine.script(row["text"]), timbre=tables[target], prosody=tables[source],
            f0=curves[row["id"]] * ratio, speed=row["speed"],
        )  # fmt: skip
        units = sum(row["durations"])
        begin = row["start"] * UNIT_SAMPLES
        audio = np.pad(spoken.waveform, (max(0, -begin), units * UNIT_SAMPLES))
        audio = audio[max(0, begin) :][: units * UNIT_SAMPLES]
        made.append((row, audio))
    heard = listen.errors([(audio, row["text"]) for row, audio in made])
    rows = []
    for (row, audio), errors in zip(made, heard, strict=True):
        if not listen.acceptable(errors, len(row["words"])) or len(rows) == PAIR_SENTENCES:
            continue
        name = f"{row['id']}_as_{target}"
        sf.write(folder / f"{name}.flac", finish(audio, gain, name), SAMPLE_RATE, subtype="PCM_16")
        rows.append({"id": name, "split": split, "source": source, "target": target, "text": row["text"],
                     "phones": row["phones"], "durations": row["durations"], "words": row["words"],
                     "source_file": f"{source}/{row['id']}.opus", "target_file": f"pairs/{name}.opus"})  # fmt: skip
    write_lines(done, rows)
    return rows


# ----------------------------------------------------------------------------- files
def read_lines(path: Path) -> list[dict]:
    """Return the objects of a .jsonl file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: a file that is there is whole, whenever the build was stopped."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step, like `write_text`."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def as_lines(rows: Iterable[dict]) -> str:
    """One object a line."""
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


def write_lines(path: Path, rows: Iterable[dict]) -> None:
    """Write one object a line."""
    write_text(path, as_lines(rows))


def write_packed(path: Path, rows: Iterable[dict]) -> None:
    """Write one object a line into a packed file."""
    write_bytes(path, lzma.compress(as_lines(rows).encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))


@cache
def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return table


def _with_serial(ogg: bytes, serial: int) -> bytes:
    """Replace the random serial number of an Ogg stream and its checksums: same audio, same bytes."""
    data, table, position = bytearray(ogg), _crc_table(), 0
    while position < len(data):
        segments = data[position + 26]
        size = 27 + segments + sum(data[position + 27 : position + 27 + segments])
        struct.pack_into("<I", data, position + 14, serial)
        struct.pack_into("<I", data, position + 22, 0)
        crc = 0
        for byte in data[position : position + size]:
            crc = ((crc << 8) & 0xFFFFFFFF) ^ table[(crc >> 24) ^ byte]
        struct.pack_into("<I", data, position + 22, crc)
        position += size
    return bytes(data)


def encode(flac: Path, opus: Path, level: float = COMPRESSION_LEVELS[0]) -> int:
    """Write `flac` as Ogg Opus with a serial number made from its name; return the number of bytes."""
    audio, rate = sf.read(flac, dtype="float32")
    stream = io.BytesIO()
    sf.write(stream, audio, rate, format="OGG", subtype="OPUS", compression_level=level)
    content = _with_serial(stream.getvalue(), seed_of(opus.stem) & 0xFFFFFFFF)
    opus.parent.mkdir(parents=True, exist_ok=True)
    opus.write_bytes(content)
    return len(content)


def pesq_of_codec(flac: Path, opus: Path) -> float:
    """Return the wideband PESQ of an Opus file against its original."""
    from pesq import pesq

    original, _ = sf.read(flac, dtype="float32")
    decoded, _ = sf.read(opus, dtype="float32")
    return float(pesq(SAMPLE_RATE, original, decoded, "wb"))


def encode_well(flac: Path, opus: Path) -> tuple[int, float, float]:
    """Encode at the first of `COMPRESSION_LEVELS` that reaches `LEAST_PESQ`; return bytes, level and PESQ."""
    for level in COMPRESSION_LEVELS:
        size = encode(flac, opus, level)
        score = pesq_of_codec(flac, opus)
        if score >= LEAST_PESQ:
            break
    return size, level, score


def collect(out: Path, names: Iterable[str], workers: int = 2) -> int:
    """Write index, voices, pairs and Opus files from what lies in OUT/.parts; return the bytes of audio."""
    from joblib import Parallel, delayed

    parts = out / ".parts"
    rows, jobs, done = [], [], []
    for name in names:
        done.append(json.loads((parts / name / "done.json").read_text(encoding="utf-8")))
        for row in read_lines(parts / name / "index.jsonl"):
            jobs.append((parts / name / f"{row['id']}.flac", out / name / f"{row['id']}.opus"))
            rows.append({k: v for k, v in row.items() if k not in ("start", "speed", "errors")})
    write_packed(out / "index.jsonl.xz", rows)
    described = {
        v.name: {"sex": v.sex, "split": v.split, "parents": v.languages}
        for v in voices.load()
        if v.name in names
    }
    (out / "voices.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    pairs = []
    for split in ("train", "test"):
        for source, target in pairings(split):
            labels = parts / "pairs" / f"{source}_{target}.jsonl"
            pairs += read_lines(labels) if labels.exists() else []
    write_packed(out / "pairs.jsonl.xz", pairs)
    jobs += [(parts / "pairs" / f"{row['id']}.flac", out / row["target_file"]) for row in pairs]
    encoded = Parallel(workers)(delayed(encode_well)(source, target) for source, target in jobs)
    sizes, levels, scores = zip(*encoded, strict=True)
    summary = {
        "made": sum(d["utterances"] + len(d["rejected"]) for d in done),
        "rejected": sum(len(d["rejected"]) for d in done),
        "slower": sum(d["slower"] for d in done),
        "misheard": sum(d["misheard"] for d in done),
        "words": sum(len(row["words"]) for row in rows),
        "compression_levels": {str(level): levels.count(level) for level in COMPRESSION_LEVELS},
        "pesq_clips": len(scores),
        "pesq_mean": round(float(np.mean(scores)), 3),
        "pesq_worst": round(min(scores), 3),
    }
    (out / "build.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return sum(sizes)


def build(
    hours: float, out: str | Path, seed: int = 0, workers: int = 2, pairs: bool = True,
    report: Callable[[str], None] = print,
) -> Path:  # fmt: skip
    """Make about `hours` of speech in the data folder `out`, continuing what is there; see `complete`.

    Needs the judges (`course install judges`), and npm and a network the first time (the engine).

    Raises:
        ValueError: no hours, or `out` holds another build.
        RuntimeError: every line of a voice was rejected.
    """
    from joblib import Parallel, delayed

    if not hours > 0:
        raise ValueError(f"expected a number of hours above zero, got {hours}")
    out = Path(out)
    parts = out / "speech" / ".parts"
    begin(parts, {"hours": float(hours), "seed": seed})
    engine.fetch()
    lines = plan(hours, seed)
    names = order(lines)
    run = Parallel(workers, return_as="generator_unordered", batch_size=1)
    by_name = {v.name: v for v in voices.load()}
    share = min(1.0, hours / SHIPPED_HOURS)
    jobs = [
        (name, lines[name], parts, spare_lines(by_name[name], lines[name]),
         share * (LEAST_LONG_MINUTES if name in LONG_VOICES else LEAST_MINUTES))
        for name in names
    ]  # fmt: skip
    for done in run(delayed(make_voice)(*job) for job in jobs):
        report(json.dumps(done))
    if pairs:
        ways = [(split, a, b) for split in ("train", "test") for a, b in pairings(split)]
        for rows in run(delayed(make_pairs)(split, a, b, parts) for split, a, b in ways):
            report(f"conversion pairs: {len(rows)} sentences" + (f" ({rows[0]['id']}, ...)" if rows else ""))
    size = collect(out / "speech", list(lines), workers=workers)
    complete(out)
    report(f"{size / 1e6:.1f} MB of audio; use it with COURSE_DATA={out.resolve()}")
    return out


def begin(parts: Path, asked: dict) -> None:
    """Make the folder of the unfinished parts; refuse to go on with those of another build."""
    parts.mkdir(parents=True, exist_ok=True)
    (parts / ".gitignore").write_text("*\n", encoding="utf-8")
    note = parts / "build.json"
    there = json.loads(note.read_text(encoding="utf-8")) if note.exists() else asked
    if there != asked:
        raise ValueError(
            f"{parts.parents[1]} holds a build of {there['hours']} hours with seed {there['seed']}, expected "
            f"{asked['hours']} and {asked['seed']}; give the same numbers to continue it, or another folder"
        )
    write_text(note, json.dumps(asked))


def complete(out: Path) -> None:
    """Make `out` a whole data folder: copy what is not speech from `data/`, write the manifest."""
    for file in shipped_files(DATA):
        if not file.startswith("speech/") and not (out / file).exists():
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(out / file, content(DATA, file))
    manifest.write(out)


def main(arguments: list[str] | None = None) -> None:
    """Command line of `build`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hours", type=float, default=SHIPPED_HOURS)
    parser.add_argument("--out", type=Path, required=True, help="a data folder, new or to be continued")
    parser.add_argument("--seed", type=int, default=0, help="other phrases")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    build(
        options.hours, options.out, options.seed, options.workers, report=lambda line: print(line, flush=True)
    )


if __name__ == "__main__":
    from data.build import speech  # under its own name, so that worker processes find its functions

    speech.main()
