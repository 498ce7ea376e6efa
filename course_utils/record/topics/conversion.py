"""Notebook 06: whose voice is heard after a conversion, what is still understood, and how late a stream comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from course_utils import checkpoints, data, features, fingerprint, paths, peers, pitch, shipped, tables
from course_utils.recipes import converter as recipe
from course_utils.record import likeness, results
from course_utils.record.entry import (
    OURS,
    Entry,
    by_column,
    checkpoint_key,
    differences,
    load,
    rows_of,
    sample_of,
)
from course_utils.record.grids import in_turn, seed_of, summarise
from course_utils.record.topics import tts as speech

NOTEBOOK = "06"
CHECKPOINTS = ("converter",)
LIBRARIES = ("faster-whisper", "resemblyzer", "numpy", "torch")
REAL, PAIRS, COST = "real readers", "pairs", "cost"
GRIDS = {
    REAL: "conversion: what a held-out reader of LibriSpeech says, in the voice of another one",
    PAIRS: "conversion: aligned pairs of unseen virtual voices, whose true answer is known",
    COST: "what conversion costs",
}
SOURCE, TRUE, VOCODED = "source unchanged (control)", "true answer", "true answer, vocoded"
KNN, MEAN = "kNN-VC, k = 4", "mean voice (control)"
HEARD = f"{OURS}, heard only"
"""Without learning from the reference."""
NEIGHBOURS = 4
EACH = 6
"""Sentences of each of the 8 directions of the aligned pairs."""
REFERENCE_SECONDS = 8.0
"""Length of the speech of the target that is heard: other sentences than the one that is said."""
JUDGE = "resemblyzer"
_SAMPLE = 3


# --- what is said, and by whom -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Item:
    """`source()` says `text`; it is to be said in the voice of `reference()`; `truth()` is the target saying it, where that is known."""

    id: str
    voice: str
    sex: str
    text: str
    source: Callable[[], np.ndarray]
    reference: Callable[[], np.ndarray]
    truth: Callable[[], np.ndarray] | None
    speaker: str


@cache
def items(grid: str) -> tuple[Item, ...]:
    """The fixed material of a grid. ValueError: this grid has none."""
    if grid == REAL:
        return _real()
    if grid == PAIRS:
        return _pairs()
    raise ValueError(f"there is no material of {grid!r}; there is of {REAL}, {PAIRS}")


def _real() -> tuple[Item, ...]:
    found = data.real("librispeech", "test")
    deal, rows = in_turn(found, "conversion", "whose voice"), []
    for one in found:
        other = deal()
        while other.speaker == one.speaker:
            other = deal()
        rows.append(
            Item(
                f"{one.id} as {other.speaker}", str(other.speaker), str(other.sex), one.text,
                partial(getattr, one, "audio"), partial(_first_half, other), None, str(one.speaker),
            )
        )  # fmt: skip
    return tuple(rows)


def _first_half(one: data.Recording) -> np.ndarray:
    return one.audio[: len(one.audio) // 2]


def _second_half(one: data.Recording) -> np.ndarray:
    return one.audio[len(one.audio) // 2 :]


def _pairs() -> tuple[Item, ...]:
    sex = {voice.name: voice.sex for voice in data.voices("test")}
    ways: dict[tuple[str, str], list] = {}
    for pair in data.pairs("test"):
        ways.setdefault((pair.source, pair.target), []).append(pair)
    rows = []
    for turn in range(EACH):
        for (source, target), own in ways.items():
            pair = own[(seed_of("pair", source, target) + 3 * turn) % len(own)]
            rows.append(
                Item(
                    pair.id, target, sex[target], pair.text, partial(getattr, pair, "source_audio"),
                    partial(reference, target, pair.text), partial(getattr, pair, "target_audio"), source,
                )
            )  # fmt: skip
    return tuple(rows)


def reference(voice: str, without: str = "", seconds: float = REFERENCE_SECONDS) -> np.ndarray:
    """The first `seconds` of what a test voice says, in other sentences than `without`; none that it is judged by."""
    own = data.speech("test", voice, "sentence")[likeness.CLIPS :]
    parts, size = [], int(seconds * paths.SAMPLE_RATE)
    for one in own:
        if one.text != without:
            parts.append(one.audio)
        if sum(map(len, parts)) >= size:
            break
    return np.concatenate(parts)[:size]


@cache
def described(grid: str, voice: str) -> np.ndarray:
    """A voice as the judge describes it (dim,): three of its clips, or the half of its recording that is no reference."""
    if grid == PAIRS:
        clips = [one.audio for one in data.speech("test", voice, "sentence")[: likeness.CLIPS]]
    else:
        found = next(one for one in data.real("librispeech", "test") if str(one.speaker) == voice)
        clips = [_second_half(found)]
    return likeness.middle(np.stack([likeness.ear(JUDGE)(clip) for clip in clips]))


def _sounds(grid: str) -> str:
    made = fingerprint.code("record.topics.conversion", "items", "reference", "described")
    real = shipped.manifest().files["real/index.jsonl"]["sha256"]
    return fingerprint.digest(made, real if grid == REAL else shipped.manifest().speech_key)


def require() -> None:
    """DataError where the readers or the pairs are not here."""
    items(REAL), items(PAIRS)


# --- the systems ---------------------------------------------------------------------------------------


def content(model: Any, waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Content features (n, 192) and log-mel (2 n, 80) of a waveform (time,), as a converter hears them."""
    log_mel = features.log_mel(waveform)
    log_mel = log_mel[: len(log_mel) // 2 * 2]
    with torch.inference_mode():
        found = model.cut(model.recogniser)(torch.from_numpy(log_mel)[None], chunk=model.CHUNK)
    return found.content[0].numpy(), log_mel


def nearest_frames(query: np.ndarray, key: np.ndarray, values: np.ndarray, k: int) -> np.ndarray:
    """For each row of query (n, d) the mean of the values (m, v) whose keys (m, d) are most like it by cosine -> (n, v)."""
    likeness_ = (
        query
        / np.linalg.norm(query, axis=1, keepdims=True)
        @ (key / np.linalg.norm(key, axis=1, keepdims=True)).T
    )
    best = np.argpartition(-likeness_, min(k, len(key)) - 1, axis=1)[:, :k]
    return values[best].mean(1)


def knn_mel(model: Any, source: np.ndarray, target: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """Log-mel (frames, 80) of a source (time,) put together from frames of a target (time,): kNN-VC (Baas et al., 2023)."""
    query, _ = content(model, source)
    key, log_mel = content(model, target)
    return nearest_frames(query, key, log_mel.reshape(len(key), -1), k).reshape(-1, features.N_MELS)


def knn(model: Any, source: np.ndarray, target: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """What a source (time,) says in the voice of a target (time,) by kNN-VC and the vocoder, as long as the source."""
    return model.vocoder(knn_mel(model, source, target, k).astype(np.float32), len(source))


@cache
def nobody() -> np.ndarray:
    """Half a second of each of sixteen training voices, one after the other: a reference that is nobody's."""
    some = data.voices("train")[::3]
    return np.concatenate([data.speech(voice=one.name, kind="sentence")[0].audio[8000:16000] for one in some])


def convert(model: Any, item: Item) -> np.ndarray:
    """What the converter makes of an item."""
    return model.convert(item.source(), item.reference())


def _knn(item: Item) -> np.ndarray:
    return knn(load("converter"), item.source(), item.reference())


def _converted(item: Item) -> np.ndarray:
    return convert(load("converter"), item)


def _learnt(item: Item) -> np.ndarray:
    return convert(_fitted(item.reference().astype(np.float32).tobytes()), item)


@cache
def _fitted(reference: bytes) -> Any:
    """As `cloning.convert` does: the converter after some steps on a reference."""
    return recipe.fit(load("converter"), np.frombuffer(reference, np.float32).copy())


def _mean(item: Item) -> np.ndarray:
    return load("converter").convert(item.source(), nobody())


def _vocoded(item: Item) -> np.ndarray:
    return speech.vocoded(item.truth())


# --- the judges ----------------------------------------------------------------------------------------

_whisper = cache(peers.WhisperTiny)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance in dB of the log-mels of two waveforms (time,) of one timing, where either is above -60 dB."""
    first, second = (np.maximum(features.log_mel(x), -4.0) for x in (one, other))
    n = min(len(first), len(second))
    return float(20 * np.abs(first[:n] - second[:n]).mean())


def tune(waveform: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in semitones of two F0 curves of one timing, where both are voiced; nan where that is nowhere."""
    one, other = pitch.f0(waveform), pitch.f0(truth)
    n = min(len(one), len(other))
    both = (one[:n] > 0) & (other[:n] > 0)
    return float(np.abs(12 * np.log2(one[:n][both] / other[:n][both])).mean()) if both.any() else float("nan")


def judged(grid: str, item: Item, waveform: np.ndarray) -> dict[str, Any]:
    """What a waveform (time,) is: how like the target and the source, what is understood, and how far from the truth.

    `clone`, `same` and `nearest` (with the judge's name) are cosines to the target of the waveform, of the target
    itself, and of the known voice that is most like it; `source` is the waveform's cosine to the source's voice.
    """
    hear, target = likeness.ear(JUDGE), described(grid, item.voice)
    known = likeness.known(JUDGE)
    said = hear(waveform)
    own = item.truth() if item.truth else item.reference()
    found = {
        f"clone_{JUDGE}": float(said @ target),
        f"same_{JUDGE}": float(hear(own) @ target),
        f"nearest_{JUDGE}": float(np.mean(known.clips[known.nearest(target)] @ target)),
        "source": float(said @ described(grid, item.speaker)),
    }
    found["nearer"] = float(found[f"clone_{JUDGE}"] > found["source"])
    wrong, words = speech.word_errors(item.text, _whisper().transcribe(waveform))
    found |= {"words": words, "wer": wrong / words}
    if item.truth:
        truth = item.truth()
        found |= {"mel_db": distance(waveform, truth), "f0": tune(waveform, truth)}
    return found


def live(grid: str, few: Sequence[Item], clips: dict[str, Sequence[np.ndarray]]) -> list[dict[str, Any]]:
    """A row for each system: how like target and source its clips of `few` are, and the words that are wrong in them."""
    for judge in (peers.Resemblyzer(), peers.WhisperTiny()):
        if not judge.available():
            return [{"system": "not judged", "note": judge.missing()}]
    hear, rows = likeness.ear(JUDGE), []
    for name, sounds in clips.items():
        near, wrong = [], []
        for item, sound in zip(few, sounds, strict=True):
            said = hear(sound)
            near.append([said @ described(grid, who) for who in (item.voice, item.speaker)])
            wrong.append(speech.word_errors(item.text, _whisper().transcribe(sound)))
        target, source = np.array(near).T
        errors, words = np.array(wrong).sum(0)
        rows.append(
            {
                "system": name, "cosine to the target": float(target.mean()), "to the source": float(source.mean()),
                f"nearer to the target, of {len(few)}": int((target > source).sum()),
                "words wrong, %": 100 * float(errors / words),
            }
        )  # fmt: skip
    return rows


def _row(grid: str, make: Callable[[Item], np.ndarray], item: Item) -> dict[str, Any]:
    return {"voice": item.voice, "sex": item.sex, **judged(grid, item, make(item))}


# --- what is recorded ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _System:
    key: str
    row: Callable[[Item], dict[str, Any]]


def _keys() -> tuple[str | None, str | None]:
    """Fingerprints of the vocoder, and of the converter with all it needs; None where a checkpoint is not there yet."""
    there = checkpoints.available()
    vocoder = checkpoint_key("vocoder") if "vocoder" in there else None
    needed = ("converter", "recognition", "vocoder")
    whole = fingerprint.digest(*map(checkpoint_key, needed)) if set(needed) <= set(there) else None
    return vocoder, whole


def _systems() -> dict[str, dict[str, _System]]:
    vocoder, whole = _keys()
    found: dict[str, dict[str, _System]] = {REAL: {}, PAIRS: {}}
    for grid, systems in found.items():
        ways = {
            SOURCE: ("", lambda item: item.source(), "items"),
            **({TRUE: ("", lambda item: item.truth(), "items")} if grid == PAIRS else {}),
            **({VOCODED: (vocoder, _vocoded, "_vocoded")} if grid == PAIRS else {}),
            KNN: (whole, _knn, "_knn"),
            OURS: (whole, _learnt, "_learnt"),
            HEARD: (whole, _converted, "_converted"),
            MEAN: (whole, _mean, "_mean"),
        }
        for name, (key, make, used) in ways.items():
            if key is not None:
                code = fingerprint.code("record.topics.conversion", "_row", used)
                systems[name] = _System(
                    fingerprint.digest(key, code, _sounds(grid), [grid, name]), partial(_row, grid, make)
                )
    return found


def entries() -> Iterator[Entry]:
    """Every system on its grid, and what the converter costs."""
    for grid, systems in _systems().items():
        for name, system in systems.items():
            yield Entry(grid, name, system.key, partial(_grid, grid, name, system),
                        partial(_grid_sample, grid, name, system))  # fmt: skip
    _, whole = _keys()
    if whole:
        key = fingerprint.digest(whole, fingerprint.code("record.topics.conversion", "_cost"))
        yield Entry(COST, OURS, key, _cost, _cost_sample)


def _grid(grid: str, name: str, system: _System) -> dict[str, Any]:
    rows = rows_of(items(grid), system.row, system.key, f"{name} on {grid}")
    return {**_summary(rows), "each": by_column(rows)}


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means with 95 % intervals over target voices, the share of the gap among them; by sex of the target, too."""
    by_sex = {sex: means([row for row in rows if row["sex"] == sex]) for sex in ("f", "m")}
    return {
        "count": len(rows),
        "known": len(likeness.known(JUDGE).names),
        "mean": means(rows),
        "by sex": by_sex,
    }


def means(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[float, float, float]]:
    """Means with 95 % intervals of rows of `judged` with their voices; "gap" is the share of the gap."""
    if not rows:
        return {}
    columns = [name for name in rows[0] if name not in ("id", "voice", "sex", "words")]
    return {**summarise(rows, columns), "gap": likeness.gap_interval(rows, JUDGE)}


def _grid_sample(grid: str, name: str, system: _System, record: dict[str, Any]) -> list[str]:
    return sample_of(items(grid), system.row, record, _SAMPLE, grid, name)


def _cost() -> dict[str, Any]:
    """Size; and of a stream, on one thread: processor seconds for a second of sound, and the delay in ms."""
    model, item = load("converter"), items(REAL)[0]
    source = np.tile(item.source(), 3)[: 20 * paths.SAMPLE_RATE]
    heard = item.reference()
    times = []
    for _ in range(4):
        stream, start = model.stream(heard), time.process_time()
        for begin in range(0, len(source), 2560):
            stream.push(source[begin : begin + 2560])
        stream.finish()
        times.append((time.process_time() - start) / (len(source) / paths.SAMPLE_RATE))
    return {
        **_size(), "real_time_factor": float(np.median(times[1:])),
        "delay_ms": 1000 * worst_delay(model.stream(heard), source[: 4 * paths.SAMPLE_RATE]),
    }  # fmt: skip


def worst_delay(stream: Any, source: np.ndarray, chunk: int = 160) -> float:
    """Seconds by which a stream is behind at most, when it is fed with a source (time,) in chunks of 10 ms."""
    behind, given = 0, 0
    for begin in range(0, len(source), chunk):
        given += len(stream.push(source[begin : begin + chunk]))
        behind = max(behind, min(begin + chunk, len(source)) - given)
    return behind / paths.SAMPLE_RATE


def _size() -> dict[str, Any]:
    """Parameters of the converter, and MB of its file, without recogniser and vocoder."""
    file = paths.checkpoints_folder() / "converter" / "model.safetensors"
    count = sum(parameter.numel() for parameter in load("converter").parameters())
    return {"parameters": count, "mb": round(file.stat().st_size / 1e6, 2)}


def _cost_sample(record: dict[str, Any]) -> list[str]:
    """The size; a speed is that of the machine and the day that it was measured on."""
    return differences(_size(), record, "the converter")


def card_figures(model: torch.nn.Module) -> dict[str, str]:
    """What stands in the card: nearer to the target, share of the gap and WER, on both grids."""
    figures = {}
    try:
        for attribute, name in (("recogniser", "recognition"), ("vocoder", "vocoder")):
            if getattr(model, attribute) is None:
                vars(model)[attribute] = load(name)
        for grid in (REAL, PAIRS):
            rows = [_row(grid, partial(convert, model), item) for item in items(grid)]
            found = {"mean": means(rows)}
            for column in ("nearer", "gap", "wer"):
                figures[f"{_TITLES[column]}, {grid}"] = _shown(column, found)
    except (data.DataError, peers.MissingPeer, checkpoints.CheckpointError) as missing:
        figures["not measured"] = str(missing)  # a machine for training may not have them
    return figures


# --- the tables ----------------------------------------------------------------------------------------

_TITLES = {
    "nearer": "nearer to the target than to the source, %",
    "gap": "share of the gap, %",
    f"clone_{JUDGE}": "cosine to the target",
    "wer": "WER by Whisper, %",
    "mel_db": "distance to the truth, dB",
    "f0": "F0 off by, semitones",
}
_PERCENT = ("nearer", "gap", "wer")
_DIGITS = {"nearer": 0, "gap": 0, "wer": 1, "mel_db": 1}
_NOTHING = {"system": "nothing recorded yet: course scoreboard conversion"}


def records(grid: str) -> dict[str, dict[str, Any]]:
    """What was recorded on a grid, by system."""
    return results.read("conversion").get("systems", {}).get(grid, {})


def figure(grid: str, name: str, column: str, sex: str | None = None) -> tuple[float, float, float]:
    """A recorded mean with its interval, nan where there is none; by sex of the target if that is named."""
    record = records(grid).get(name, {})
    found = (record.get("by sex", {}).get(sex, {}) if sex else record.get("mean", {})).get(column)
    return tuple(float("nan") if x is None else float(x) for x in found or (None,) * 3)


def _shown(column: str, record: dict[str, Any]) -> str:
    if column not in record["mean"]:
        return "–"
    scale, digits = 100 if column in _PERCENT else 1, _DIGITS.get(column, 2)
    found = [float("nan") if x is None else scale * x for x in record["mean"][column]]
    if not np.isfinite(found[1:]).all():
        return f"{found[0]:.{digits}f}" if np.isfinite(found[0]) else "–"
    return tables.with_interval(found, digits)


def table(grid: str) -> tables.MarkdownTable:
    """The recorded comparison on a grid: means with 95 % intervals over target voices."""
    there = records(grid)
    if grid == COST:
        rows = [
            {"system": name, "parameters": f"{one['parameters'] / 1e6:.2f} M", "MB": f"{one['mb']:.2f}",
             "RTF of the stream": f"{one['real_time_factor']:.3f}", "delay, ms": f"{one['delay_ms']:.0f}"}
            for name, one in there.items()
        ]  # fmt: skip
        return tables.table(rows or [_NOTHING])
    columns = [column for column in _TITLES if any(column in one["mean"] for one in there.values())]
    rows = [
        {
            "system": name,
            "clips": one["count"],
            **{_TITLES[column]: _shown(column, one) for column in columns},
        }
        for name, one in there.items()
    ]
    return tables.table(rows or [_NOTHING])


def sex_table(grid: str) -> tables.MarkdownTable:
    """The recorded figures of the converter by sex of the target."""
    rows = []
    for sex, title in (("f", "women"), ("m", "men")):
        record = {"mean": records(grid).get(OURS, {}).get("by sex", {}).get(sex, {})}
        if record["mean"]:
            rows.append(
                {"targets": title, **{_TITLES[c]: _shown(c, record) for c in ("nearer", "gap", "wer")}}
            )
    return tables.table(rows or [_NOTHING])


def reading(grid: str) -> str:
    """Sentences on a recorded table, made of its figures: who won, and by how much."""
    there = records(grid)
    if OURS not in there:
        return ""
    if grid == COST:
        one = there[OURS]
        return (
            f"A second of sound costs {one['real_time_factor']:.2f} s of computing on one thread, and the stream is "
            f"{one['delay_ms']:.0f} ms behind."
        )
    found = [
        f"{100 * figure(grid, OURS, 'nearer')[0]:.0f} % of the conversions are nearer to the target than to the source, and "
        f"{100 * figure(grid, OURS, 'gap')[0]:.0f} % of the gap to the target is recovered"
    ]
    if KNN in there:
        best = OURS if figure(grid, OURS, "gap")[0] > figure(grid, KNN, "gap")[0] else KNN
        other = KNN if best == OURS else OURS
        found.append(
            f"{best[0].upper() + best[1:]} comes nearer to the voice ({100 * figure(grid, best, 'gap')[0]:.0f} % of the gap against "
            f"{100 * figure(grid, other, 'gap')[0]:.0f} %)"
        )
        clear = OURS if figure(grid, OURS, "wer")[0] <= figure(grid, KNN, "wer")[0] else KNN
        other = KNN if clear == OURS else OURS
        words = f"{clear} is understood better ({100 * figure(grid, clear, 'wer')[0]:.1f} % of the words wrong against {100 * figure(grid, other, 'wer')[0]:.1f} %"
        if SOURCE in there:
            words += f"; the source itself {100 * figure(grid, SOURCE, 'wer')[0]:.1f} %"
        found.append(words[0].upper() + words[1:] + ")")
    return ". ".join(found) + "."


def headline() -> list[dict[str, str]]:
    """Whose voice is heard and what is understood, real readers first, beside kNN-VC."""
    rows = []
    for grid in (REAL, PAIRS):
        for column, better in (("gap", "higher"), ("wer", "lower")):
            there = records(grid)
            if OURS in there and KNN in there:
                rows.append(
                    {
                        "task": "" if rows else "voice conversion",
                        "measured on": GRIDS[grid].partition(": ")[2],
                        "measure": f"{_TITLES[column]} ({better} is better)",
                        OURS: _shown(column, there[OURS]),
                        "best of the others": f"{KNN}: {_shown(column, there[KNN])}",
                    }
                )
    return rows


def text() -> str:
    """All recorded tables in Markdown, real recordings first."""
    about = {
        REAL: "24 readers, each in the voice of another one of whom half a recording is heard; the other half describes the voice.",
        PAIRS: f"{8 * EACH} sentences in 8 directions among 8 test voices; {REFERENCE_SECONDS:.0f} s of other sentences are heard.",
        COST: "One thread, processor time; chunks of 160 ms. MB: the converter's own file, beside recogniser and vocoder.",
    }
    parts = [
        "### Voice conversion",
        "Mean with 95 % interval over target voices. Resemblyzer judges the voice; share of the gap: (converted - nearest) / "
        "(same - nearest), cosines to the target, *nearest* is the most similar of all training voices. WER: words wrong of 100.",
    ]
    for grid, title in GRIDS.items():
        parts += [f"**{title[0].upper() + title[1:]}.** {about[grid]}", table(grid), reading(grid)]
        if grid != COST:
            parts.append(sex_table(grid))
    return "\n\n".join(str(part) for part in parts if part)
