"""`data.build.real`: cuts of real recordings, here of noise that the test makes."""

import hashlib
import json

import numpy as np
import pytest
import soundfile as sf

from course_utils import audio
from data.build import real


@pytest.fixture
def sources(tmp_path):
    """Two seconds of noise at 44.1 kHz in stereo, and one second at 8 kHz."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "sources"
    folder.mkdir()
    sf.write(folder / "long.wav", rng.uniform(-0.3, 0.3, (88200, 2)), 44100)
    sf.write(folder / "short.wav", rng.uniform(-0.3, 0.3, 8000), 8000)
    return folder


def part(sources, name, **cut):
    return {"file": name, "sha256": hashlib.sha256((sources / name).read_bytes()).hexdigest()} | cut


def index(tmp_path, *rows):
    folder = tmp_path / "data" / "real"
    folder.mkdir(parents=True)
    full = [
        {
            "id": f"r{i}", "collection": "digits", "file": f"real/digits/r{i}.opus", "text": "one two",
            "title": "a test", "author": "Anna | Otto", "licence": "CC BY 4.0",
        } | row
        for i, row in enumerate(rows)
    ]  # fmt: skip
    (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in full))
    return folder


def test_a_recording_is_cut_resampled_and_joined_with_pauses(sources, tmp_path):
    long, short = part(sources, "long.wav", seconds=[0.5, 1.25]), part(sources, "short.wav")
    folder = index(tmp_path, {"parts": [long, short], "samples": 12000 + 2400 + 16000})
    assert real.build(sources, folder) > 0
    made = audio.load(folder / "digits" / "r0.opus")
    assert len(made) == 30400
    assert np.abs(made[12400:14000]).max() < 0.02 < np.abs(made[:12000]).max(), "a pause between two parts"
    assert np.abs(real.joined(real.load(folder)[0], sources)[[0, 11999]]).max() < 1e-6, "a cut does not click"


def test_another_source_or_another_length_is_refused(sources, tmp_path):
    folder = index(tmp_path, {"parts": [part(sources, "short.wav")], "samples": 15000})
    with pytest.raises(ValueError, match="r0: 16000 samples, but the index says 15000"):
        real.build(sources, folder)
    (sources / "short.wav").write_bytes((sources / "long.wav").read_bytes())
    with pytest.raises(ValueError, match=r"short.wav: sha256 is"):
        real.build(sources, folder)


def test_the_table_of_the_card_follows_the_index_and_the_check_says_when_it_does_not(sources, tmp_path):
    folder = index(tmp_path, {"parts": [part(sources, "short.wav")], "samples": 16000})
    real.build(sources, folder)
    card = tmp_path / "README.md"
    card.write_text(f"before\n{real.BEGIN}\nold\n{real.END}\nafter\n")
    assert ["does not fit" in problem for problem in real.check(card, folder)] == [True]
    real.write_table(card, folder)
    assert real.check(card, folder) == []
    text = card.read_text()
    assert (
        text.startswith("before") and text.endswith("after\n") and "| one two | Anna / Otto: a test |" in text
    )
