"""Piano roll, melody pad and the two explorers, without a browser."""

import re

import numpy as np
import pytest

from course_utils import music
from course_utils.music import MusicError
from course_utils.widgets.music import ComposerExplorer, HarmoniserExplorer, MelodyPad, PianoRoll

GRID = np.repeat(np.array([[72, 67, 64, 48], [71, 67, 62, 55], [72, 67, 64, 48]]), 4, axis=0)


class Parrot:
    """Composes the same chord for ever and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def generate(self, steps, **settings):
        self.asked.append(settings)
        return np.repeat(GRID[:1], steps, axis=0)

    def harmonise(self, soprano, **settings):
        self.asked.append(settings)
        return np.stack([soprano, *[np.full_like(soprano, p) for p in GRID[0, 1:]]], 1)


def test_a_roll_draws_every_note_and_plays_them():
    roll = PianoRoll(GRID, title="Cadence <1>")
    assert len(re.findall("<rect", roll._html)) == len(music.notes(GRID))
    assert "<audio" in roll._html and "data:audio/mpeg" in roll._html
    assert "Cadence &lt;1&gt;" in roll._html and "Cadence <1>" not in roll._html
    assert re.search(r'role="img" aria-label="[^"]*10 notes in 3 beats', roll._html)


def test_a_roll_works_on_a_page_without_a_kernel():
    data, _ = PianoRoll(GRID)._repr_mimebundle_()
    assert "bindPianoRoll" in data["text/html"] and "export default" not in data["text/html"]
    assert "http" not in data["text/html"]
    assert data["text/plain"].startswith("PianoRoll(")


@pytest.mark.parametrize(
    "make",
    [
        PianoRoll,
        lambda _: ComposerExplorer(Parrot(), steps=8),
        lambda _: HarmoniserExplorer(Parrot(), "C5 D5"),
    ],
)
def test_no_widget_is_empty_on_a_page_without_a_kernel(make):
    data, _ = make(GRID)._repr_mimebundle_()
    page = data["text/html"]
    assert "<svg" in page and "<rect" in page, "the picture"
    assert 'src="data:audio/mpeg' in page, "the sound"
    assert re.search(r"<small>[^<]*\d+ notes in", page), "the words"


def test_a_page_says_what_the_controls_stood_on():
    assert "temperature 1, top_p 0.95, seed 0" in ComposerExplorer(Parrot(), steps=8).fallback_html()
    assert "C5 C5 D5 D5" in HarmoniserExplorer(Parrot(), "C5 D5").fallback_html()


def test_onsets_split_a_repeated_note():
    onsets = np.zeros_like(GRID)
    onsets[2, 0] = 1
    assert len(re.findall("<rect", PianoRoll(GRID, onsets)._html)) == len(music.notes(GRID)) + 1


def test_a_roll_can_show_other_music():
    roll = PianoRoll(GRID)
    before = roll._html
    roll.show(GRID[:4], title="one chord")
    assert roll._html != before and len(roll.grid) == 4


@pytest.mark.parametrize("grid", [np.zeros((0, 4), int), np.zeros((4, 3), int), np.full((4, 4), 5)])
def test_a_roll_refuses_what_is_no_music(grid):
    with pytest.raises(MusicError):
        PianoRoll(grid)


def test_silence_can_be_drawn():
    assert "<rect" not in PianoRoll(np.zeros((8, 4), int))._html


def test_moving_a_slider_composes_with_its_value():
    model = Parrot()
    explorer = ComposerExplorer(model, steps=8)
    explorer.controls["temperature"].value = 0.5
    assert model.asked == [
        {"temperature": 1.0, "top_p": 0.95, "seed": 0},
        {"temperature": 0.5, "top_p": 0.95, "seed": 0},
    ]
    assert "temperature 0.5" in repr(explorer)
    assert "parallel fifths 0" in explorer.fallback_html() and "<audio" in explorer.fallback_html()


def test_a_melody_goes_to_the_pad_and_comes_back():
    melody = music.melody("G4*.5 A4*.5 B4 r C5*2")
    pad = MelodyPad(melody)
    assert np.array_equal(pad.soprano, melody)
    pad.pitches = [0, 60, 0, 0]
    assert pad.soprano.tolist() == [0, 0, 60, 60]
    assert len(MelodyPad().soprano) == 0


def test_the_pad_refuses_notes_that_no_soprano_sings():
    with pytest.raises(MusicError, match="transpose"):
        MelodyPad(music.melody("C3"))


def test_harmonising_keeps_the_melody_of_the_pad():
    model = Parrot()
    explorer = HarmoniserExplorer(model, "C5 D5 E5")
    assert np.array_equal(explorer.roll.grid[:, 0], music.melody("C5 D5 E5"))
    explorer.pad.pitches = [67, 67, 69, 69]
    explorer.seed.value = 3
    explorer.button.click()
    assert explorer.roll.grid[:, 0].tolist() == [67] * 4 + [69] * 4
    assert model.asked[-1] == {"seed": 3}


def test_an_empty_pad_and_a_mistyped_melody_are_explained():
    explorer = HarmoniserExplorer(Parrot(), "C5 D5")
    explorer.text.value = "C5 X5"
    assert "X5" in explorer._note.value
    explorer.pad.pitches = [0, 0]
    explorer.button.click()
    assert "empty" in explorer._note.value
    explorer.text.value = "E5 F5"
    assert explorer.pad.soprano.tolist() == [76] * 4 + [77] * 4
