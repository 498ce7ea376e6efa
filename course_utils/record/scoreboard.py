"""The recorded tables: measured where they are missing or stale, written to README.md and results/README.md.

Every record carries a fingerprint of the weights, the data and the code it was made with. `problems()` compares
them with what is there now and runs nothing.
"""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_utils import data, metrics, paths, peers, tables
from course_utils.record import ladder, results, topics
from course_utils.record.entry import Entry

BEGIN, END = "<!-- scoreboard:begin -->", "<!-- scoreboard:end -->"
README = paths.ROOT / "README.md"
FULL = paths.results_folder() / "README.md"


def _recorded(topic: str, entry: Entry) -> dict[str, Any]:
    return results.read(topic).get("systems", {}).get(entry.grid, {}).get(entry.system, {})


def measure(topic: str, again: bool = False) -> list[str]:
    """Measure every system of `topic` whose record is missing or stale (`again`: all), and record each at once.

    Returns:
        what could not be measured, one sentence each; its old record stays.
    """
    failures = []
    entries = _entries(topic)
    for entry in entries:
        if not again and _recorded(topic, entry).get("fingerprint") == entry.fingerprint:
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


def restamp(topic: str) -> list[str]:
    """Measure a sample of every stale record again; what still gives the recorded figures is marked fresh.

    For changes of code that can change no figure: a rename, a clearer error, a faster way to the same result.

    Returns:
        what differs or could not be measured, one sentence each; those records stay stale.
    """
    found = []
    for entry in _entries(topic):
        record = _recorded(topic, entry)
        if not record or record["fingerprint"] == entry.fingerprint:
            continue
        print(f"{topic}: a sample of {entry.system} on {entry.grid} ...", flush=True)
        try:
            differences = entry.sample(record)
        except (peers.MissingPeer, metrics.MissingJudge, data.DataError) as error:
            differences = [f"{entry.system} on {entry.grid} was not measured: {error}"]
        if not differences:
            document = results.read(topic)
            document["systems"][entry.grid][entry.system]["fingerprint"] = entry.fingerprint
            results.write(topic, document)
        found += differences
    return found + ladder.restamp(topic)


def _entries(topic: str) -> list[Entry]:
    import torch

    torch.set_num_threads(1)  # every system on one thread
    return list(topics.find(topic).entries())


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
        **{name: found for name in topics.find(topic).LIBRARIES if (found := _version(name))},
    }
    results.write(topic, document)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


# --- the tables ----------------------------------------------------------------------------------------


def text(names: Sequence[str] | None = None) -> str:
    """All recorded tables in Markdown, or those of some topics."""
    return "\n\n".join(topics.find(name).text() for name in names or topics.every())


def headline() -> tables.MarkdownTable:
    """The short table of the README: what each checkpoint reaches, beside the best that can be installed instead."""
    return tables.table([row for topic in topics.every().values() for row in topic.headline()])


def _tables() -> dict[Path, str]:
    return {README: f"\n{headline()}\n", FULL: f"\n{text()}\n"}


def _parts(path: Path) -> tuple[str, str, str]:
    content = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begin, rest = content.partition(BEGIN)
    between, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{_name(path)} lacks the markers {BEGIN} and {END}; the tables stand between them")
    return before + begin, between, end + after


def _name(path: Path) -> str:
    return "results/README.md" if path == FULL else path.name


def write_tables() -> list[str]:
    """Put the recorded tables into README.md and results/README.md; names those that this changed."""
    changed = []
    for path, wanted in _tables().items():
        before, between, after = _parts(path)
        if between != wanted:
            path.write_text(before + wanted + after, encoding="utf-8", newline="\n")
            changed.append(_name(path))
    return changed


def problems(names: Sequence[str] | None = None) -> list[str]:
    """What is stale, one sentence each, or nothing. Compares fingerprints and text; measures nothing."""
    found = []
    for topic in names or topics.every():
        entries, systems = list(topics.find(topic).entries()), results.read(topic).get("systems", {})
        for entry in entries:
            recorded = _recorded(topic, entry).get("fingerprint")
            if recorded is None:
                found.append(
                    f"{topic}: {entry.system} on {entry.grid} was never measured; run `course scoreboard {topic}`"
                )
            elif recorded != entry.fingerprint:
                found.append(
                    f"{topic}: the record of {entry.system} on {entry.grid} is stale (its weights, its data or its "
                    f"code changed since); run `course scoreboard {topic}`, or with --restamp where no figure changed"
                )
        known = {(entry.grid, entry.system) for entry in entries}
        found += [
            f"{topic}: results/{topic}.json holds {name} on {grid}, which no longer exists; "
            f"run `course scoreboard {topic} --again`"
            for grid, systems_of in systems.items()
            for name in systems_of
            if (grid, name) not in known
        ]
        found += ladder.problems(topic)
    found += [
        f"the tables of {_name(path)} are not those of results/; run `course scoreboard`"
        for path, wanted in _tables().items()
        if _parts(path)[1] != wanted
    ]
    return found
