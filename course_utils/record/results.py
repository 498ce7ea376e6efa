"""Recorded measurements: one JSON file per topic in `results/`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from course_utils import paths

FOLDER = paths.results_folder()


def read(topic: str) -> dict[str, Any]:
    """The record of a topic ("enhancement", "music"), empty where nothing was recorded yet.

    Raises:
        ValueError: the file is damaged.
    """
    path = FOLDER / f"{topic}.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} can not be read ({error}); restore it with `git checkout -- results/{topic}.json`"
        ) from error


def write(topic: str, document: dict[str, Any]) -> Path:
    """Write the record of a topic in one step; figures are rounded to five digits and a row stands on a line, so that a change is readable.

    Spaces would be an eighth of the files, so there are none.
    """
    text = json.dumps(_rounded(document), indent=0, separators=(",", ":"), ensure_ascii=False)
    text = re.sub(r"\[\n([^\[\]{}]*?)\n\]", lambda found: f"[{found[1].replace(chr(10), '')}]", text)
    text = re.sub(r"\{\n([^{}]*?)\n\}", lambda found: "{" + found[1].replace("\n", "") + "}", text)
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{topic}.json"
    temporary = target.with_suffix(".json.tmp")
    temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
    os.replace(temporary, target)
    return target


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    if isinstance(value, str | bool | int) or value is None:
        return value
    value = float(value)
    return float(f"{value:.5g}") if value == value else None  # JSON has no NaN
