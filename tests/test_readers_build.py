"""Breath groups of readers, from words with times and levels as a recogniser gives them."""

import json
import lzma
from types import SimpleNamespace

import numpy as np
import pytest

from course_utils import data
from data.build import readers


def word(said, start, end, probability=0.9):
    return SimpleNamespace(word=f" {said}", start=start, end=end, probability=probability)


def level(seconds, *pauses):
    """Loud, and quiet in the pauses (from, to); the last frame of each is the quietest."""
    found = np.zeros(round(seconds * readers.FRAMES_PER_SECOND))
    for start, end in pauses:
        first, last = (round(at * readers.FRAMES_PER_SECOND) for at in (start, end))
        found[first:last] = -4
        found[last - 1] = -5
    return found


TWO = [word("We", 0.1, 0.5), word("came.", 0.5, 1.5), word("You", 2.0, 2.4), word("went.", 2.4, 3.6)]


def test_a_pause_divides_at_its_quietest_frame_and_nothing_is_lost_between():
    heard = readers.groups(TWO, level(4, (1.5, 2.0)))
    assert heard == [("we came", 0.0, pytest.approx(1.984)), ("you went", pytest.approx(1.984), 4.0)]


def test_a_gap_without_a_pause_in_the_sound_does_not_divide():
    assert readers.groups(TWO, level(6, (3.6, 6.0))) == [("we came you went", 0.0, 6.0)]


def test_a_group_has_a_least_length():
    heard = [word("No.", 0.1, 0.6), *TWO[2:]]
    assert readers.groups(heard, level(4, (0.6, 2.0))) == [("no you went", 0.0, 4.0)]


@pytest.mark.parametrize(("mark", "count"), [("", 1), (",", 2), ("?", 2)])
def test_after_a_punctuation_mark_a_shorter_gap_is_enough(mark, count):
    heard = [TWO[0], word(f"came{mark}", 0.5, 1.95), *TWO[2:]]
    assert len(readers.groups(heard, level(4, (1.9, 2.05)))) == count


def test_a_group_of_unlikely_words_is_left_out_and_the_next_begins_after_it():
    heard = [word(one.word.strip(), one.start, one.end, 0.3) for one in TWO[:2]] + TWO[2:]
    assert readers.groups(heard, level(4, (1.5, 2.0))) == [("you went", pytest.approx(1.984), 4.0)]


def test_one_unlikely_word_among_likely_ones_is_kept():
    heard = [word("We", 0.1, 0.5, 0.35), *TWO[1:]]
    assert len(readers.groups(heard, level(4, (1.5, 2.0)))) == 2


def test_figures_become_words():
    heard = [word("Chapter", 0.1, 1.0), word("42.", 1.0, 2.0)]
    assert readers.groups(heard, level(4)) == [("chapter forty two", 0.0, 4.0)]


def test_where_nothing_is_heard_there_are_no_groups():
    assert readers.groups([], level(2)) == []
    assert readers.groups([word("...", 0.2, 1.0)], level(2)) == []


def test_a_word_that_is_heard_after_the_end_of_the_recording_does_no_harm():
    heard = [*TWO[:2], word("late", 4.5, 4.9)]
    assert readers.groups(heard, level(3, (1.5, 3.0)))[0][0].startswith("we came")


def test_the_shipped_groups_lie_one_after_the_other_in_the_training_readers():
    held_out = json.loads((data.root() / "real_heldout.json").read_text())["librispeech"]
    heard = json.loads(lzma.decompress(readers.OUT.read_bytes()))
    assert set(heard) == set(held_out["train"])
    for name, found in heard.items():
        times = [at for _, start, end in found for at in (start, end)]
        assert times == sorted(times), name
        assert all(said == said.lower() and said.split() for said, *_ in found), name
