"""A data folder of a second per clip, made here, that tests of `course_utils.data` may damage."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from course_utils import paths
from course_utils.data import decoded
from data.build import manifest
from tests.places import ROOT

VOICES = {
    "f01": {"sex": "f", "split": "train", "parents": ["en", "en"]},
    "m01": {"sex": "m", "split": "train", "parents": ["en", "es"]},
    "f02": {"sex": "f", "split": "valid", "parents": ["fr"]},
    "m02": {"sex": "m", "split": "test", "parents": ["ja"]},
}
PHONES = ["sil", "HH", "AY1", "sil", "DH", "EH1", "R", "sil"]
DURATIONS = [4, 3, 8, 5, 2, 6, 7, 5]
WORDS = [["hi", 1, 3], ["there", 4, 7]]
SAMPLES = 400 * sum(DURATIONS)


def tone(seed: int) -> np.ndarray:
    """Sound where the labels say speech, silence where they say "sil"."""
    rng = np.random.default_rng(seed)
    loud = np.repeat([phone != "sil" for phone in PHONES], np.multiply(DURATIONS, 400))
    time = np.arange(SAMPLES) / 16000
    return (0.3 * np.sin(2 * np.pi * rng.uniform(150, 400) * time) * loud).astype(np.float32)


def write_opus(path: Path, waveform: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, 16000, format="OGG", subtype="OPUS")


def make_corpus(folder: Path) -> Path:
    speech = folder / "speech"
    timing = {"phones": PHONES, "durations": DURATIONS, "words": WORDS}
    index, seed = [], 0
    for voice in VOICES:
        for number in range(8):
            seed += 1
            name = f"{voice}_{number:04d}"
            kind = "phrase" if number >= 6 else "sentence"
            write_opus(speech / voice / f"{name}.opus", tone(seed))
            index.append({"id": name, "voice": voice, "kind": kind, "text": f"Hi there {seed}."} | timing)
    pair = {"text": "Hi there.", "split": "train", "source": "f01", "target": "m01"} | timing
    write_opus(speech / "pairs" / "f01_0000_as_m01.opus", tone(99))
    files = {"source_file": "f01/f01_0000.opus", "target_file": "pairs/f01_0000_as_m01.opus"}
    (speech / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in index))
    (speech / "pairs.jsonl").write_text(json.dumps({"id": "f01_0000_as_m01"} | pair | files) + "\n")
    (speech / "voices.json").write_text(json.dumps(VOICES))
    (folder / "music").mkdir()
    np.savez(
        folder / "music" / "chorales.npz",
        pitches=np.array([[60, 55, 52, 48]] * 12 + [[0, 57, 53, 50]] * 4, np.uint8),
        onsets=np.array([[1, 1, 1, 1], [0, 0, 0, 0]] * 8, np.uint8),
        starts=np.array([0, 12, 16], np.int32),
        split=np.array([0, 2], np.uint8),
        names=np.array(["bwv1", "bwv2"]),
        key_signature=np.array([-1, 2], np.int8),
        steps_per_bar=np.array([16, 12], np.int16),
        pickup_steps=np.array([4, 0], np.int16),
    )
    shutil.copy(ROOT / "data" / "real_heldout.json", folder)
    write_opus(folder / "real" / "librispeech" / "1-2-0000.opus", tone(100))
    write_opus(folder / "real" / "digits" / "one.opus", tone(101))
    written = {"author": "LibriVox", "licence": "CC BY 4.0", "samples": SAMPLES, "text": "hi there"}
    rows = [
        {"id": "1-2-0000", "collection": "librispeech", "file": "real/librispeech/1-2-0000.opus", "sex": "f"},
        {"id": "one", "collection": "digits", "file": "real/digits/one.opus"},
    ]
    (folder / "real" / "index.jsonl").write_text("".join(json.dumps(row | written) + "\n" for row in rows))
    (folder / "README.md").write_text("not in the manifest")
    (folder / "speech" / ".parts").mkdir()
    (folder / "speech" / ".parts" / "scratch.flac").write_bytes(b"not in the manifest")
    manifest.write(folder)
    return folder


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def corpus(pristine, tmp_path, monkeypatch):
    """A copy of the small corpus that the test may damage, an empty cache, and no real recordings."""
    folder = tmp_path / "data"
    shutil.copytree(pristine, folder)
    monkeypatch.setenv("COURSE_DATA", str(folder))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_REAL_DATA", raising=False)
    monkeypatch.setattr(paths, "ROOT", tmp_path / "repository")  # whose recordings/ are not these tests'
    monkeypatch.setattr(decoded, "_decoded_directly", 0)
    return folder


@pytest.fixture
def mine(corpus, tmp_path, monkeypatch):
    """A folder of real recordings of the user's own."""
    monkeypatch.setenv("COURSE_REAL_DATA", str(tmp_path / "mine"))
    return tmp_path / "mine"


VICTIM = "speech/f01/f01_0000.opus"


def damage_flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def write_flac(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.ones(int(16000 * seconds)), 16000)


def heldout(name):
    return json.loads((ROOT / "data" / "real_heldout.json").read_text())[name]
