"""Notebook 03: recognisers side by side, how right, how early and how stable their words are, and the tables."""

from __future__ import annotations

import importlib
import importlib.util
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from course_utils import checkpoints, data, fingerprint, metrics, paths, peers, shipped, tables
from course_utils import text as english
from course_utils.decoding import measures
from course_utils.record import results, speaker_probe, utterances
from course_utils.record.entry import OURS, Entry, Unfinished, checkpoint_key, differences, load
from course_utils.record.grids import summarise
from course_utils.record.utterances import GRIDS, PHRASES, Spoken

NOTEBOOK = "03"
LIBRARIES = ("pocketsphinx", "faster-whisper", "ctranslate2", "onnxruntime", "jiwer", "numpy", "torch")
CHECKPOINTS = ("recognition", "phrases")
LADDER = "phrases"  # the recipe that has the rungs
"""Their cards hold what `card_figures` measures."""

CHUNK_MS = 160
OTHER_CHUNKS_MS = (32, 320, 640)
EVERY = 1.0
"""Seconds between two decodings of a growing recording."""

CLOCK = time.process_time
"""Of the processor: everything runs on one thread, and the clock on the wall would count what runs beside it, too."""

FEW, MORE = 24, 40
"""Utterances of a grid that slow systems are measured on: Whisper, and PocketSphinx where it knows many words."""

SPEAKER = "speaker"
"""What stands in the place of a grid where the speaker is asked for, not the words."""

TOLD = ("real digits", "real phrases")
"""Grids whose words are told to the recognisers of phrases: ours and PocketSphinx."""

_SAMPLE = 2
"""How many utterances are measured again before a record is stamped anew."""


def require() -> None:
    """DataError where a grid that a rung is measured on is not here, before anything is trained for it."""
    for grid in PHRASES:
        utterances.grid(grid)


def material() -> str:
    """Fingerprint of the sounds that a rung learns from and is measured on."""
    return fingerprint.digest(shipped.manifest().speech_key, [utterances.sounds(grid) for grid in PHRASES])


def rung_figures(model: torch.nn.Module) -> dict[str, float]:
    """Figures of a rung of the ladder on phrases: WER and unstable words in %, delay in ms; of the first 40 of a grid."""
    figures = {}
    for grid in PHRASES:
        # On a computer that takes no time: the same figures everywhere.
        rows = [
            _row(spoken, _watched(model, spoken.waveform, lambda: 0.0))
            for spoken in utterances.grid(grid)[:40]
        ]
        found = _summary(rows)
        figures[f"{grid} wer"] = 100 * found["wer"][0]
        figures[f"{grid} unstable"] = 100 * found["unstable"]
        if found["delay"]:  # some word was right
            figures[f"{grid} delay_ms"] = found["delay"]["median"]
    return figures


def card_figures(model: torch.nn.Module) -> dict[str, str]:
    """WER with 95 % intervals, unstable words and emission delay, as they stand in the card."""
    figures = {}
    phrases = " " not in model.config.units
    for grid, title in GRIDS.items():
        if phrases and grid not in PHRASES:
            continue
        try:
            spoken = utterances.grid(grid)
        except data.DataError as missing:  # a machine for training may not have them
            figures[grid] = f"not measured: {missing}"
            continue
        found = _summary([_row(one, _watched(model, one.waveform)) for one in spoken])
        figures[f"WER in %, {title}"] = _percent(found["wer"])
        if found["delay"]:
            figures[f"emission delay in ms, {title}"] = _milliseconds(found["delay"])
    return figures


def _watched(
    model: Any, waveform: np.ndarray, clock: Callable[[], float] = time.perf_counter
) -> list[measures.Shown]:
    stream = model.stream(chunk_ms=CHUNK_MS) if hasattr(model, "stream") else Whole(model.transcribe)
    return measures.watch(stream, waveform, CHUNK_MS, clock)


# --- systems that hear whole recordings, as streams ----------------------------------------------------


class Whole:
    """A recogniser of whole clips as a stream: it says nothing before the end."""

    def __init__(self, transcribe: Callable[[np.ndarray], str]):
        self.transcribe, self.heard = transcribe, []

    def push(self, chunk: np.ndarray) -> str:
        """Keep a chunk (time,)."""
        self.heard.append(chunk)
        return ""

    def finish(self) -> str:
        """The text of all of it."""
        return self.transcribe(np.concatenate(self.heard)) if self.heard else ""


class Rereading(Whole):
    """All that was heard is decoded again every `every` seconds.

    `agree`: shows only words that two decodings in a row began with (LocalAgreement, Liu et al., 2020), and never
    takes one back before the end.
    """

    def __init__(self, transcribe: Callable[[np.ndarray], str], every: float = EVERY, agree: bool = False):
        super().__init__(transcribe)
        self.every, self.agree, self.next = every, agree, every
        self.text, self.words = "", []

    def push(self, chunk: np.ndarray) -> str:
        """Take a chunk (time,); the text so far."""
        super().push(chunk)
        if sum(map(len, self.heard)) >= self.next * paths.SAMPLE_RATE:
            self.next += self.every
            text = super().finish()
            self.text = self._agreed(text.split()) if self.agree else text
        return self.text

    def _agreed(self, words: list[str]) -> str:
        shown, before = self.text.split(), self.words
        self.words = words
        same = [_plain(a) == _plain(b) for a, b in zip(before, words, strict=False)]
        count = same.index(False) if False in same else len(same)
        return " ".join(shown + words[len(shown) : count])


class Remembered:
    """A recogniser that keeps what it wrote of each beginning of a clip and how long that took.

    `spent` is a clock that runs only while it works, also where it need not work a second time.
    """

    def __init__(self, transcribe: Callable[[np.ndarray], str]):
        self.transcribe, self.kept, self.spent = transcribe, {}, 0.0

    def __call__(self, waveform: np.ndarray) -> str:
        """The text of a waveform (time,)."""
        key = fingerprint.digest(len(waveform), float(np.abs(waveform).sum()))
        if key not in self.kept:
            start = CLOCK()
            written = self.transcribe(waveform)
            self.kept[key] = written, CLOCK() - start
        written, took = self.kept[key]
        self.spent += took
        return written


# --- who is measured where -----------------------------------------------------------------------------


@dataclass(frozen=True)
class System:
    """A system on a grid: its fingerprint, and how many utterances it is given (None: all).

    `stream()` gives a fresh stream, and the clock that its work is counted with.
    """

    key: str
    stream: Callable[[], tuple[Any, Callable[[], float]]]
    count: int | None = None
    chunk_ms: int = CHUNK_MS


@cache
def _whisper() -> Remembered:
    return Remembered(peers.WhisperTiny().transcribe)


def _reread(make: Callable[[Callable], Any]) -> tuple[Any, Callable[[], float]]:
    remembered = _whisper()
    return make(remembered), lambda: remembered.spent


def _ours(name: str, chunk_ms: int, grid: str = "") -> tuple[Any, Callable[[], float]]:
    model = load(name)
    if name == "phrases" and grid in TOLD:
        model = model.listening_for(_words_of(grid))
    return model.stream(chunk_ms=chunk_ms), CLOCK


def _words_of(grid: str) -> list[str]:
    return sorted({word for one in utterances.grid(grid) for word in one.words})


@cache
def _pocket_sphinx(grid: str) -> peers.PocketSphinx:
    """With its best grammar: bigrams of strings of digits, of words in a row or of phrases; or its own language model."""
    if grid == "own phrases":
        return peers.PocketSphinx(
            sentences=[[word for word, _, _ in one.words] for one in data.phrases("train")]
        )
    if grid not in PHRASES:
        return peers.PocketSphinx()
    words, chance = _words_of(grid), random.Random(0)
    lengths = (3, 4, 5, 6) if grid == "real digits" else (3,)
    return peers.PocketSphinx(
        sentences=[chance.choices(words, k=chance.choice(lengths)) for _ in range(3000)]
    )


def _systems(grid: str) -> dict[str, System]:
    """All systems on a grid by name; checkpoints that are not there yet are left out."""
    found, there = {}, checkpoints.available()
    first, *others = ("phrases", "recognition") if grid in PHRASES else ("recognition",)
    for name, title in ((first, OURS), *((other, f"{OURS}, open vocabulary") for other in others)):
        if name in there:
            found[title] = System(checkpoint_key(name), partial(_ours, name, CHUNK_MS, grid))
    for chunk_ms in OTHER_CHUNKS_MS if grid == "own" and "recognition" in there else ():
        stream = partial(_ours, "recognition", chunk_ms)
        found[f"{OURS}, {chunk_ms} ms"] = System(checkpoint_key("recognition"), stream, chunk_ms=chunk_ms)
    sphinx, whisper = (fingerprint.code(f"peers.{name}") for name in ("pocket_sphinx", "whisper"))
    found["PocketSphinx"] = System(
        sphinx,
        lambda: (_pocket_sphinx(grid).stream(), CLOCK),
        None if grid in PHRASES else MORE,
    )
    found["Whisper tiny.en, whole clip"] = System(whisper, partial(_reread, Whole), FEW)
    if grid in ("real digits", "real prompts", "own"):
        found["Whisper tiny.en, again every second"] = System(whisper, partial(_reread, Rereading), FEW)
        agreed = partial(_reread, partial(Rereading, agree=True))
        found["the same with LocalAgreement"] = System(whisper, agreed, FEW)
    return found


def entries() -> Iterator[Entry]:
    """Every system on every grid, and what each costs."""
    streams = ("_reread", "_ours", "_pocket_sphinx", "Whole", "Rereading", "Remembered")
    measured = fingerprint.code("record.topics.realtime", "_grid", *streams)
    for grid in GRIDS:
        for name, system in _systems(grid).items():
            key = fingerprint.digest(
                system.key, system.chunk_ms, system.count, measured, utterances.sounds(grid)
            )
            measure, sample = (
                partial(_grid, grid, name, system, key),
                partial(_grid_sample, grid, name, system),
            )
            yield Entry(grid, name, key, measure, sample)
    timed = fingerprint.code("record.topics.realtime", "_speed", "Whole", "Rereading")
    for name, key in _costly().items():
        key = fingerprint.digest(key, timed)
        yield Entry("cost", name, key, partial(_cost, name), partial(_cost_sample, name))
    if "recognition" in checkpoints.available():
        probe = fingerprint.code("record.speaker_probe", "measure")
        key = fingerprint.digest(checkpoint_key("recognition"), probe, utterances.sounds("own"))
        yield Entry(SPEAKER, OURS, key, _probe, _probe_sample)


# --- what is measured ----------------------------------------------------------------------------------


def _plain(written: str) -> str:
    return metrics.normalise(written)


def _readings(written: str) -> tuple[str, ...]:
    """A transcript as spoken words: as it stands; numbers as one reads them, or digit by digit."""
    if not re.search(r"[\d%$&@+]", written):
        return (_plain(written),)
    digits = re.sub(r"(\d)", r" \1 ", written)
    numbers, single = (" ".join(english.words(one)) for one in (written, digits))
    return numbers, re.sub(r"\bhundred (?!and\b|thousand\b|million\b)", "hundred and ", numbers), single


def _read_alike(spoken: Spoken, shown: Sequence[measures.Shown]) -> list[measures.Shown]:
    """All texts in the reading in which the final one has the fewest errors; signs and case are no words."""
    said = " ".join(spoken.words)
    final = _readings(shown[-1].text)
    which = int(np.argmin([metrics.error_counts(said, reading)[0][0] for reading in final]))
    return [one._replace(text=_readings(one.text)[min(which, len(_readings(one.text)) - 1)]) for one in shown]


def _row(spoken: Spoken, shown: Sequence[measures.Shown]) -> dict[str, Any]:
    """What one utterance says of a system: errors, words taken back, delays in ms."""
    shown = _read_alike(spoken, shown)
    errors, lengths = metrics.error_counts(" ".join(spoken.words), shown[-1].text)
    back = sum(measures.unstable_words(a.text, b.text) for a, b in pairwise(shown))
    row = {
        "id": spoken.id,
        "voice": spoken.voice,
        "words": int(lengths[0]),
        "wer": float(errors[0] / lengths[0]),
        "written": len(shown[-1].text.split()),
        "taken_back": back,
        "final_ms": 1000 * measures.final_latency(shown),
    }
    if spoken.times is not None:
        row["delays_ms"] = (1000 * measures.emission_delays(shown, spoken.words, spoken.times)).tolist()
        first = 1000 * measures.first_partial(shown, spoken.words, spoken.times)
        row["first_ms"] = first if first == first else None
    return row


def _quantiles(values: Sequence[float | None]) -> dict[str, float]:
    known = [value for value in values if value is not None]
    return {"median": float(np.median(known)), "p95": float(np.quantile(known, 0.95))} if known else {}


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    written = sum(row["written"] for row in rows)
    return {
        "count": len(rows),
        "wer": summarise(rows, ("wer",))["wer"],
        "unstable": sum(row["taken_back"] for row in rows) / max(1, written),
        "delay": _quantiles([delay for row in rows for delay in row.get("delays_ms", ())]),
        "first": _quantiles([row.get("first_ms") for row in rows]),
        "final": _quantiles([row["final_ms"] for row in rows]),
    }


def _measure(system: System, spoken: Spoken) -> dict[str, Any]:
    stream, clock = system.stream()
    return _row(spoken, measures.watch(stream, spoken.waveform, system.chunk_ms, clock))


def _grid(grid: str, name: str, system: System, key: str) -> dict[str, Any]:
    every = utterances.grid(grid)[: system.count]
    with Unfinished(key) as unfinished:
        for spoken in tqdm(every, f"{name} on {grid}", delay=2):
            if spoken.id not in unfinished.rows:
                unfinished.add([_measure(system, spoken)])
        rows = [unfinished.rows[spoken.id] for spoken in every]
    kept = ("id", "voice", "words", "wer", "taken_back")
    return {**_summary(rows), "each": {column: [row[column] for row in rows] for column in kept}}


def _grid_sample(grid: str, name: str, system: System, record: dict[str, Any]) -> list[str]:
    """WER and words taken back of some utterances; a time is that of the machine and the day."""
    every, found = utterances.grid(grid)[: system.count], []
    if record["each"]["id"] != [spoken.id for spoken in every]:
        found.append(f"the utterances of {grid} are others")
    for i in range(0, len(every), -(-len(every) // _SAMPLE)):
        old = {column: values[i] for column, values in record["each"].items()}
        new = _measure(system, every[i])
        found += differences(
            {column: new[column] for column in old}, old, f"{name} on {grid}, {every[i].id},"
        )
    return found


def _costly() -> dict[str, str]:
    """Systems whose size and speed are measured, with their fingerprints."""
    found = {}
    for name in CHECKPOINTS:
        if name in checkpoints.available():
            found[f"{OURS}: {name}"] = checkpoint_key(name)
            if importlib.util.find_spec("course_utils.recognition_onnx"):
                onnx = fingerprint.code("recognition_onnx", "to_onnx", "OnnxRecogniserStream")
                found[f"{OURS}: {name}, ONNX Runtime"] = fingerprint.digest(checkpoint_key(name), onnx)
    whisper = fingerprint.code("peers.whisper")
    return found | {
        "PocketSphinx": fingerprint.code("peers.pocket_sphinx"),
        "Whisper tiny.en, whole clip": whisper,
        "Whisper tiny.en, again every second": whisper,
    }


def _ten_seconds() -> np.ndarray:
    """Speech to be timed with: utterances of the grid "own" in a row."""
    return np.concatenate([spoken.waveform for spoken in utterances.grid("own")[:6]])[
        : 10 * paths.SAMPLE_RATE
    ]


def _speed(make: Callable[[], Any]) -> float:
    def run(waveform: np.ndarray) -> None:
        measures.watch(make(), waveform, CHUNK_MS)

    return metrics.real_time_factor(run, _ten_seconds(), repeats=1, processor=True)


def _cost(name: str) -> dict[str, Any]:
    """Size in MB, and seconds of computing per second of sound on one thread of this machine."""

    ours, _, how = name.removeprefix(f"{OURS}: ").partition(", ")
    if name.startswith(OURS) and how:
        module = importlib.import_module("course_utils.recognition_onnx")
        with tempfile.TemporaryDirectory() as folder:
            path = module.to_onnx(load(ours), Path(folder) / "model.onnx", CHUNK_MS)
            return {
                **_size(name, path),
                "real_time_factor": _speed(lambda: module.OnnxRecogniserStream(path)),
            }
    if name.startswith(OURS):
        make = partial(load(ours).stream, chunk_ms=CHUNK_MS)
    elif name == "PocketSphinx":
        make = peers.PocketSphinx().stream
    else:
        make = partial(Rereading if "again" in name else Whole, peers.WhisperTiny().transcribe)
    return {**_size(name), "real_time_factor": _speed(make)}


def _size(name: str, path: Path | None = None) -> dict[str, float]:
    """MB of the files that it needs besides its program."""
    if name.startswith(OURS):
        files = [path or paths.checkpoints_folder() / name.removeprefix(f"{OURS}: ") / "model.safetensors"]
    else:
        files = (peers.PocketSphinx if name == "PocketSphinx" else peers.WhisperTiny)().files()
    return {"mb": round(sum(file.stat().st_size for file in files) / 1e6, 1)}


def _cost_sample(name: str, record: dict[str, Any]) -> list[str]:
    """The size; a speed is that of the machine and the day that it was measured on."""
    if name.endswith("ONNX Runtime"):  # would have to be exported for it
        return []
    return differences(_size(name), record, name)


def _probe() -> dict[str, Any]:
    return speaker_probe.measure(load("recognition"))


def _probe_sample(record: dict[str, Any]) -> list[str]:
    """All of it, in half a minute; another processor may turn one or two sentences."""
    new, old = (
        {name: found[name] for name in ("voices", "tested")}
        | {name: found[name][0] for name in ("content", "log_mel")}
        for found in (_probe(), record)
    )
    return differences(new, old, SPEAKER, absolute=0.025)


# --- the tables ----------------------------------------------------------------------------------------

_NOTHING = {"system": "nothing recorded yet: course scoreboard realtime"}
_OPTIONAL = {
    "system": "wav2vec2 or Whisper (transformers)",
    "note": "not recorded: its weights are a download; peers.TransformersRecogniser(online=True) fetches them when asked",
}


def _records(grid: str) -> dict[str, dict[str, Any]]:
    return results.read("realtime").get("systems", {}).get(grid, {})


def _percent(figures: Sequence[float]) -> str:
    scaled = [None if figure is None else 100 * figure for figure in figures]
    if any(figure is None or figure != figure for figure in scaled[1:]):
        return f"{scaled[0]:.1f}"
    return tables.with_interval(scaled, 1)


def _milliseconds(figures: dict[str, float] | None) -> str:
    return f"{figures['median']:.0f} / {figures['p95']:.0f}" if figures else "–"


def table(grid: str) -> tables.MarkdownTable:
    """The recorded comparison on a grid: errors, words taken back, delays as median / 95th percentile."""
    rows = [
        {
            "system": name,
            "utterances": record["count"],
            "WER, %": _percent(record["wer"]),
            "unstable words, %": f"{100 * record['unstable']:.1f}",
            "first partial, ms": _milliseconds(record["first"]),
            "emission delay, ms": _milliseconds(record["delay"]),
            "final latency, ms": _milliseconds(record["final"]),
        }
        for name, record in _records(grid).items()
    ]
    return tables.table([*rows, _OPTIONAL] if rows else [_NOTHING])


def cost_table() -> tables.MarkdownTable:
    """Recorded size and speed on one thread."""
    rows = [
        {"system": name, "MB": f"{record['mb']:.1f}", "RTF": f"{record['real_time_factor']:.3f}"}
        for name, record in _records("cost").items()
    ]
    return tables.table(rows or [_NOTHING])


def reading(grid: str) -> str:
    """Two sentences on a recorded table: who makes the fewest errors, and who is early or takes words back."""
    records = _records(grid)
    if len(records) < 2:
        return ""
    best = min(records, key=lambda name: records[name]["wer"][0])
    others = [name for name in records if not name.startswith(OURS)]
    rival = (
        min(others, key=lambda name: records[name]["wer"][0]) if best.startswith(OURS) and others else OURS
    )
    compared = (
        f", {rival} {100 * records[rival]['wer'][0]:.1f} %" if rival in records and rival != best else ""
    )
    sentences = [
        f"{_capital(best)} makes the fewest errors ({100 * records[best]['wer'][0]:.1f} %{compared})"
    ]
    if compared and not _apart(records[best]["wer"], records[rival]["wer"]):
        sentences[0] += ", but their intervals overlap"
    flicker = max(records, key=lambda name: records[name]["unstable"])
    delays = {name: record["delay"]["median"] for name, record in records.items() if record["delay"]}
    second = (
        f"{_capital(flicker)} takes back {100 * records[flicker]['unstable']:.0f} words for 100 that it keeps"
    )
    if not records[flicker]["unstable"]:
        second = "Nobody takes a word back"
    if len(delays) > 1:
        soon, late = min(delays, key=delays.get), max(delays, key=delays.get)
        second += f"; words stand earliest with {soon} ({delays[soon]:.0f} ms after they were said), "
        second += f"latest with {late} ({delays[late]:.0f} ms)"
    return ". ".join([*sentences, second]) + "."


def _apart(one: Sequence[float | None], other: Sequence[float | None]) -> bool:
    known = all(figure is not None and figure == figure for figure in (*one, *other))
    return known and (one[2] < other[1] or other[2] < one[1])


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _fewer(records: dict[str, dict[str, Any]], name: str) -> str:
    """That a system heard only the first utterances, where it did."""
    count = records[name]["count"]
    return f", first {count} of {records[OURS]['count']}" if count < records[OURS]["count"] else ""


def headline() -> list[dict[str, str]]:
    """WER on every grid beside the best of those that can be installed."""
    rows, task = [], "speech recognition, streaming"
    for grid, title in GRIDS.items():
        records = _records(grid)
        others = [name for name in records if not name.startswith(OURS)]
        if OURS in records:
            best = min(others, key=lambda name: records[name]["wer"][0], default=None)
            rows.append(
                {
                    "task": task,
                    "measured on": title,
                    "measure": "WER, % (lower is better)",
                    OURS: _percent(records[OURS]["wer"]),
                    "best of the others": f"{best}: {_percent(records[best]['wer'])}{_fewer(records, best)}"
                    if best
                    else "–",
                }
            )
            task = ""  # named once
    return rows


def _speaker() -> list[str]:
    """What the probe found, where it was recorded."""
    record = _records(SPEAKER).get(OURS)
    if not record:
        return []
    return [
        "**Who speaks.** The recogniser's content features (what it knows after the block that writes phones) are meant "
        f"for words, but they still know the voice: a linear probe on their mean over time names one of {record['voices']} "
        f"test voices in {_percent(record['content'])} % of {record['tested']} sentences; on the mean of the log-mel "
        f"{_percent(record['log_mel'])} %, by chance {100 * record['chance']:.1f} %."
    ]


def text() -> str:
    """All recorded tables in Markdown."""
    latency = 1000 * measures.algorithmic_latency(CHUNK_MS)
    parts = [
        "### Streaming recognition",
        "WER with 95 % interval (over voices; over utterances where there is one speaker). Unstable words: words taken "
        "back for 100 of the final text. Delays in ms, median / 95th percentile: first partial from the beginning of "
        "the first word to a right one; emission delay from the end of a word, by the corpus's times, until it stands "
        "for good; final latency from `finish()`, called as the sound ends, to the final text. All with the "
        f"processor time of one thread; ours in chunks of {CHUNK_MS} ms, which is an algorithmic latency of {latency:.0f} ms with the window. "
        f"Slow systems heard the first {FEW} (Whisper) or {MORE} (PocketSphinx with many words) utterances. Numbers that "
        "Whisper writes as figures count in the reading with the fewest errors. Whisper `again every second` decodes all "
        "that was heard anew; LocalAgreement shows what two decodings in a row agree on.",
    ]
    for grid, title in GRIDS.items():
        parts += [f"**{title[0].upper()}{title[1:]}**", table(grid), reading(grid)]
    parts += [
        "**What it costs.** Files besides the program; RTF on 10 s of speech, one thread.",
        cost_table(),
        *_speaker(),
    ]
    return "\n\n".join(str(part) for part in parts if part)
