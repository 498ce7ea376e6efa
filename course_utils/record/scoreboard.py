"""The recorded tables: measured where they are missing or stale, written to README.md and results/README.md.

Every record carries a fingerprint of the weights, the data and the code it was made with. `problems()` compares
them with what is there now and runs nothing.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from course_utils import data, metrics, paths, peers, tables
from course_utils.record import ladder, results, topics
from course_utils.record.entry import Entry

BEGIN, END = "<!-- {}:begin -->", "<!-- {}:end -->"
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
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} threads",
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
    return "\n\n".join(f"{_with_ladder(name)}{_circumstances(name)}" for name in names or topics.every())


def _with_ladder(name: str) -> str:
    """The tables of a topic, and of its ladder where one is recorded and not among them."""
    found = topics.find(name).text()
    if name not in ladder.with_ladder() or not ladder.rows(name) or "| rung |" in found:
        return found
    steps = max(row["steps"] for row in ladder.rows(name))
    return (
        f"{found}\n\n**The ladder of the lesson**: each rung adds one thing; at most {steps:,} steps, mean ± standard "
        f"deviation over the seeds.\n\n{ladder.table(name)}"
    )


def _circumstances(name: str) -> str:
    """When and on what the last record of a topic was made."""
    found = dict(results.read(name).get("made with", {}))
    if not found:
        return ""
    date, machine = found.pop("date", "an unknown day"), found.pop("machine")
    return f"\n\nLast recorded on {date} ({machine}; {', '.join(f'{k} {v}' for k, v in found.items())})."


def headline() -> tables.MarkdownTable:
    """The short table of the README: what each checkpoint reaches, beside the best that can be installed instead."""
    return tables.table([row for topic in topics.every().values() for row in topic.headline()])


def contents() -> tables.MarkdownTable:
    """The course in a table: of each notebook its minutes, the notebooks it needs, and the first of its figures.

    Minutes and needs are what its title says.
    """
    figures = {topic.NOTEBOOK: topic.headline() for topic in topics.every().values()}
    return tables.table([_lesson(path, figures) for path in sorted(paths.notebooks_folder().glob("*.ipynb"))])


def _lesson(path: Path, figures: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    number, name, builds = re.match(r"# (\d\d) · ([^:\n]+): (.+)", first).groups()
    minutes = re.search(r"(\d+) minutes of computing", first).group(1)
    needs = re.search(r"You need ([^.]*)", first)
    before = re.findall(r"\b\d\d\b", needs.group(1)) if needs else []
    to = "–".join(before) if " to " in (needs.group(1) if needs else "") else ", ".join(sorted(before))
    row = next(iter(figures.get(number, [])), None)
    return {
        "notebook": f"[{number} {name.lower()}](notebooks/{path.name})",
        "you build": builds,
        "computing": f"{minutes} min",
        "needs": to or "Python",
        "first figure": f"{row['measure']}: {row['this course']}; {row['best of the others']}"
        if row
        else "–",
    }


def _tables() -> dict[tuple[Path, str], str]:
    return {
        (README, "course"): f"\n{contents()}\n",
        (README, "scoreboard"): f"\n{headline()}\n",
        (FULL, "scoreboard"): f"\n{text()}\n",
    }


def _parts(path: Path, name: str) -> tuple[str, str, str]:
    content = path.read_text(encoding="utf-8") if path.is_file() else ""
    opening, closing = BEGIN.format(name), END.format(name)
    before, begin, rest = content.partition(opening)
    between, end, after = rest.partition(closing)
    if not begin or not end:
        raise ValueError(
            f"{_name(path)} lacks the markers {opening} and {closing}; a table stands between them"
        )
    return before + begin, between, end + after


def _name(path: Path) -> str:
    return "results/README.md" if path == FULL else path.name


def write_tables() -> list[str]:
    """Put the recorded tables into README.md and results/README.md; names those that this changed."""
    changed = []
    for (path, name), wanted in _tables().items():
        before, between, after = _parts(path, name)
        if between != wanted:
            path.write_text(before + wanted + after, encoding="utf-8", newline="\n")
            changed.append(_name(path))
    return list(dict.fromkeys(changed))


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
        f"the table {name} of {_name(path)} is not that of results/ and notebooks/; run `course scoreboard`"
        for (path, name), wanted in _tables().items()
        if _parts(path, name)[1] != wanted
    ]
    return found
