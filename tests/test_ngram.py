"""Copying and counting: the programs without a network that notebook 02 begins with."""

import math

import numpy as np
import pytest

from course_utils import ngram
from course_utils.music import MusicError

HELD = np.tile([72, 67, 64, 48], (16, 1))
MOVING = np.stack([72 + np.arange(16) % 3, *[np.full(16, p) for p in (67, 64, 48)]], 1)


def test_copying_is_cheap_for_held_notes_and_dear_for_others():
    assert ngram.copy_nats([HELD], [HELD]) < 0.01
    assert ngram.copy_nats([HELD], [MOVING]) > 1


def test_an_n_gram_that_knows_nothing_counts_each_voice():
    model = ngram.NGram([HELD], 0)
    assert math.isclose(model.nats([HELD]), -math.log((64 / 4 + 1 / 47) / 17), rel_tol=1e-9)


def test_more_facts_help_where_they_decide():
    none, two = (ngram.NGram([MOVING] * 4, order).nats([MOVING]) for order in (0, 2))
    assert two < 0.5 * none


def test_probabilities_of_all_notes_add_up_to_one_even_in_an_unseen_situation():
    model, total = ngram.NGram([MOVING], 3), 0.0
    for pitch in (0, *range(40, 86)):
        piece = np.array([[72, 67, 64, 48], [pitch, 67, 64, 48]])
        total += model._probability(ngram._rows(piece), 1, 0)
    assert abs(total - 1) < 1e-9


def test_followers_are_those_of_the_situation():
    model = ngram.NGram([MOVING], 2)
    assert list(model.followers(MOVING, 4, 0)) == [73], "after C5 on a beat came C#5"
    assert model.followers(np.tile([80, 67, 64, 48], (2, 1)), 1, 0) == {}


@pytest.mark.parametrize("order", [-1, 7])
def test_an_order_without_facts_is_refused(order):
    with pytest.raises(ValueError, match="order from 0 to 6"):
        ngram.NGram([HELD], order)


def test_what_is_no_grid_is_refused():
    with pytest.raises(MusicError):
        ngram.NGram([np.zeros((3, 3), int)], 1)
