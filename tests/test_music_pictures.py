"""The drawings of notebook 02: what is marked is where it was said to be."""

from itertools import pairwise

import numpy as np
import pytest

from course_utils.music import MusicError
from course_utils.widgets.music import boards, cut, influences, reliability, score, skewing

GRID = np.repeat([[72, 67, 64, 60], [74, 69, 65, 62]], 4, axis=0)


def words(picture):
    return [text.get_text() for ax in picture.axes for text in ax.texts]


def test_a_score_names_its_notes_and_joins_what_is_marked():
    picture = score(GRID, "two chords", {"a fifth": [(0, 1), (0, 3)]})
    assert {"C5", "G4", "a fifth"} <= set(words(picture))
    (line,) = picture.axes[0].lines
    assert line.get_ydata().tolist() == [67, 60]
    assert picture.alt == "two chords"


def test_a_score_says_which_line_is_which_voice_and_shows_both_on_one_pitch():
    grid = np.array([[72, 67, 67, 60]] * 4)
    ax = score(grid, "alto and tenor on one pitch").axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["soprano", "alto", "tenor", "bass"]
    spans = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for bar in ax.patches if bar.get_width())
    assert all(end <= start + 1e-9 for (_, end), (start, _) in pairwise(spans))
    assert len(spans) == 4 and ax.get_ylim() == (58.5, 73.5)


def test_a_score_needs_a_grid():
    with pytest.raises(MusicError):
        score(np.zeros((4, 3), int), "nothing")


def test_boards_show_every_number_and_a_dash_for_what_is_cut_off():
    table = np.array([[1.0, np.nan], [0.25, 0.75]])
    picture = boards({"one": table, "two": table}, "tables", groups={"two": np.array([[0, -1], [1, 1]])})
    assert words(picture) == 2 * ["1", "\N{EN DASH}", "0.25", "0.75"]
    assert [ax.get_title(loc="left") for ax in picture.axes] == ["one", "two"]


def test_boards_can_name_rows_and_columns():
    ax = boards({"one": np.eye(2)}, "a table", labels=(["a", "b"], ["c", "d"])).axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["c", "d"]
    assert ax.yaxis.get_inverted(), "the first row stands above"


def test_boards_number_rows_and_columns_that_have_a_name():
    ax = boards({"one": np.eye(2)}, "a table", axes_names=("query", "key")).axes[0]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("query", "key")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "1"]


def test_a_table_of_distances_is_skewed_before_the_eyes():
    picture = skewing(np.array([[10 * i + d for d in (2, 1, 0)] for i in range(3)]))
    last = [text.get_text() for text in picture.axes[-1].texts]
    assert last == ["0", "\N{EN DASH}", "\N{EN DASH}", "11", "10", "\N{EN DASH}", "22", "21", "20"]


def test_the_cut_keeps_the_note_that_crosses_the_line():
    picture = cut(np.array([0.1, 0.5, 0.4]), 0.6, "a cut", names=["x", "y", "z"])
    ax = picture.axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["y", "z", "x"]
    assert ax.lines[-1].get_xdata()[0] == 1.5, "behind the second"


@pytest.mark.parametrize(("values", "top_p"), [([0.5, 0.1], 0.9), ([0.5, 0.5], 0.0), ([[1.0]], 0.5)])
def test_what_can_not_be_cut_is_refused(values, top_p):
    with pytest.raises(ValueError, match="add up to 1"):
        cut(np.array(values), top_p, "a cut")


def test_influences_have_a_square_for_each_title():
    picture = influences({"one": np.eye(3), "two": np.ones((2, 2))}, "input", "output", "squares")
    assert [ax.get_title(loc="left") for ax in picture.axes] == ["one", "two"]


def test_influences_mark_where_a_piece_ends():
    ax = influences({"one": np.eye(6)}, "input", "output", "squares", piece=3).axes[0]
    assert ax.get_xticks().tolist() == [0, 3] and len(ax.lines) == 2


def test_a_model_that_is_right_as_often_as_it_says_lies_on_the_line():
    given = np.repeat([0.55, 0.95], 20)
    came = np.array([True] * 11 + [False] * 9 + [True] * 19 + [False])
    _, points = reliability(given, came, "dots", edges=np.arange(0.5, 1.05, 0.1))
    assert np.allclose(points, [[0.55, 0.55], [0.95, 0.95]])
