"""Write or check data/manifest.json.xz, which holds the size and SHA-256 of every file that is shipped.

    python -m data.build.manifest              write it
    python -m data.build.manifest --check      fail when it is stale
    python -m data.build.manifest --data DIR   for data built elsewhere (then set COURSE_DATA to DIR)

Which files count is decided in one place, `course_utils.shipped.shipped_files`; a packed table (*.jsonl.xz) stands
there without the .xz, with the size and checksum of its content, so that packing it makes nothing stale.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import os
import sys
from pathlib import Path

from course_utils.shipped import content, shipped_files


def describe(folder: Path) -> str:
    """Return the text of the manifest of `folder`: sorted, one file a line, the same everywhere."""
    lines = []
    for file in shipped_files(folder):
        found = content(folder, file)
        entry = {"sha256": hashlib.sha256(found).hexdigest(), "bytes": len(found)}
        lines.append(f"{json.dumps(file)}:{json.dumps(entry, separators=(',', ':'))}")
    return '{"files": {\n' + ",\n".join(lines) + "\n}}\n"


def write(folder: Path) -> Path:
    """Write the manifest of `folder` in one step, so that no reader sees half of it."""
    target = folder / "manifest.json.xz"
    temporary = folder / ".manifest.json.tmp"
    temporary.write_bytes(lzma.compress(describe(folder).encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))
    os.replace(temporary, target)
    return target


def differences(folder: Path) -> list[str]:
    """Return what the manifest of `folder` says wrongly: nothing when it is fresh."""
    target = folder / "manifest.json.xz"
    if not target.is_file():
        return [f"{target} does not exist"]
    text = describe(folder).encode("utf-8")
    fresh = json.loads(text)["files"]
    try:
        written = content(folder, "manifest.json")
        if written == text:
            return []
        stale = json.loads(written)["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{target} can not be read"]
    found = [f"missing in the manifest: {file}" for file in fresh if file not in stale]
    found += [f"only in the manifest: {file}" for file in stale if file not in fresh]
    found += [f"changed: {file}" for file in fresh if file in stale and fresh[file] != stale[file]]
    return found or ["the same content, but not as it would be written now"]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m data.build.manifest", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="fail when the manifest is stale")
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).resolve().parents[1], help="the data folder"
    )
    options = parser.parse_args(arguments)
    if not options.check:
        path = write(options.data)
        print(f"{path}: {len(json.loads(content(options.data, 'manifest.json'))['files'])} files")
        return 0
    found = differences(options.data)
    for line in found[:20]:
        print(line, file=sys.stderr)
    if found:
        print("stale: run python -m data.build.manifest", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
