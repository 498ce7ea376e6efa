"""Figures have words, one colour scale, axes with units, and repeat to the byte."""

from itertools import pairwise

import numpy as np
import pytest

from course_utils import audio, plotting, tables


def tone(level):
    return (level * np.sin(np.arange(16000) / 5)).astype(np.float32)


def test_spectrograms_that_are_compared_share_one_scale():
    picture = plotting.spectrograms({"loud": tone(0.5), "soft": tone(0.05)})
    first, second = (ax.images[0] for ax in picture.axes[:2])
    assert first.get_clim() == second.get_clim() == (-80.0, 0.0)
    assert first.get_array().max() == pytest.approx(0.0)
    assert second.get_array().max() == pytest.approx(-20.0, abs=0.1)


def test_the_frequency_axis_is_right():
    """The loudest band of a tone lies at the tick of its frequency."""
    waveform = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.float32)
    picture = plotting.spectrograms(waveform)
    band = float(np.argmax(picture.axes[0].images[0].get_array()[:, 30])) + 0.5
    ticks = dict(
        zip(
            [t.get_text() for t in picture.axes[0].get_yticklabels()],
            picture.axes[0].get_yticks(),
            strict=True,
        )
    )
    assert ticks["1000"] == pytest.approx(band, abs=0.6)


def test_a_timeline_has_a_bar_for_everything_and_marks_what_matters():
    rows = {"writer": [(0, 10, "0"), (10, 20, "1")], "reader": [(10, 14.5, "0")]}
    (ax,) = plotting.timeline(rows, "time (ms)", alt="a reader behind a writer", highlight={"1"}).axes
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert bars == [(0, 10), (10, 20), (10, 14.5)]
    plain, marked, other = (bar.get_facecolor() for bar in ax.patches)
    assert marked != plain == other
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["writer", "reader"]


def test_a_label_stands_in_its_bar_or_above_it_and_is_never_cut():
    rows = {
        "heard": [(0, 30, "one"), (31, 32, "what is seven times eight"), (50, 51, "play me a chorale " * 3)],
        "reply": [(33, 34, "56"), (97, 100, "the last words of all")],
    }
    picture = plotting.timeline(rows, "time (s)", alt="a conversation")
    (ax,) = picture.axes
    picture.figure.draw_without_rendering()
    labels, bars = ([each.get_window_extent() for each in found] for found in (ax.texts, ax.patches))
    assert [text.get_text().split()[0] for text in ax.texts] == ["one", "what", "play", "56", "the"]
    assert all(
        0 <= box.x0 and box.x1 <= ax.get_window_extent().x1 and box.y1 <= picture.figure.bbox.y1
        for box in labels
    )
    for label, own in zip(labels, bars, strict=True):
        inside = own.x0 <= label.x0 and label.x1 <= own.x1
        assert inside or not any(label.overlaps(bar) for bar in bars)
    assert not any(a.overlaps(b) for a, b in pairwise(labels))


def test_words_that_change_with_the_next_hypothesis_are_crosses():
    rows = [["the", "can"], ["the", "cat", "sat"], ["the", "cat", "sat"]]
    (ax,) = plotting.hypotheses({"a model": rows}, "hypothesis", alt="a word that changes").axes
    dots, crosses = (
        [tuple(map(float, place)) for marks in ax.collections[first::2] for place in marks.get_offsets()]
        for first in (0, 1)
    )
    assert crosses == [(1, 2)]
    assert sorted(dots) == [(1, 1), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)]


def test_every_picture_has_a_text_alternative_and_units():
    for picture in (
        plotting.waveforms({"a": tone(0.1), "b": tone(0.2)}),
        plotting.spectrograms(tone(0.1)),
        plotting.curves({"x": [1, 2], "y": ([0, 3], [1, 2])}, "step", "loss", alt="two lines"),
        plotting.bars({"one": 1.0, "two": (2.0, 1.5, 2.5)}, "level (dB)", alt="two bars"),
    ):
        assert picture.alt and f'alt="{picture.alt}"' in picture._repr_html_()
        assert any(ax.get_xlabel() for ax in picture.axes)
        assert picture.png() == picture.png() and picture.png().startswith(b"\x89PNG")


def test_words_are_escaped_and_bad_sound_is_refused():
    picture, _ = plotting.figure(alt='a "quote" <tag>')
    assert "&quot;quote&quot; &lt;tag&gt;" in picture._repr_html_()
    with pytest.raises(audio.AudioError, match="mono"):
        plotting.waveforms(np.zeros((2, 100)))


def test_inputs_that_are_joined_stand_with_their_shapes_before_the_path():
    (ax,) = plotting.joined(
        {"tune": "(n, 3)", "voice": "(1, 16)"}, ["sum", "blocks"], alt="two inputs", highlight=1
    ).axes
    assert [text.get_text() for text in ax.texts if text.get_text()] == [
        "tune  (n, 3)",
        "voice  (1, 16)",
        "sum",
        "blocks",
    ]


def test_what_matters_is_pointed_out_at_its_place():
    picture = plotting.spectrograms(tone(0.5))
    assert plotting.point_out(picture, {"here": (0.3, 1000, 0.5, 4000)}, log_mel=True) is picture
    (note,) = picture.axes[0].texts
    ticks = dict(
        zip(
            [t.get_text() for t in picture.axes[0].get_yticklabels()],
            picture.axes[0].get_yticks(),
            strict=True,
        )
    )
    assert note.get_text() == "here"
    assert note.xy == pytest.approx((0.3, ticks["1000"])) and note.xyann == pytest.approx(
        (0.5, ticks["4000"])
    )


def test_a_graph_has_its_boxes_and_an_arrow_for_each_pair():
    places = {"00 start": (0, 1), "01 then": (1, 0), "02 or": (1, 2)}
    (ax,) = plotting.graph(places, [("00", "01"), ("00", "02")], alt="one leads to two").axes
    drawn = {text.get_text(): text.get_position() for text in ax.texts if text.get_text()}
    assert drawn == places
    arrows = [(text.xyann, text.xy) for text in ax.texts if not text.get_text()]
    assert arrows == [((0, 1), (1, 0)), ((0, 1), (1, 2))]


def test_complex_numbers_are_drawn_as_arrows_as_long_to_the_right_as_up():
    (ax,) = plotting.arrows({"speech": 3 + 0j, "heard": 3 + 4j}, alt="two arrows", wide="speech").axes
    assert [text.xy for text in ax.texts] == [(3, 0), (3, 4)]
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["speech", "heard"]
    assert ax.get_aspect() == 1


def test_gains_share_one_scale_and_stand_at_their_frequency():
    one = np.zeros((10, 257))
    one[:, 128] = 1  # a quarter of the sample rate: 4 kHz
    *axes, bar = plotting.gains({"a": one, "b": one * 0.5}, 2.0, alt="two gains").axes
    assert [ax.get_title(loc="left") for ax in axes] == ["a", "b"] and bar.get_ylabel() == "gain"
    for ax in axes:
        (image,) = ax.images
        assert image.get_clim() == (0, 1) and image.get_extent() == [0, 2.0, 0, 8.0]
        assert ax.get_ylim() == (0, 4.0)
    assert axes[0].images[0].get_array()[128].min() == 1


def test_labels_that_would_run_into_each_other_stand_in_rows():
    picture = plotting.spectrograms(tone(1.0))
    plotting.mark(picture, [0.1, 0.11, 0.8], ["one", "two", "three"])
    heights = [text.get_position()[1] for text in picture.axes[0].texts]
    assert heights[0] == heights[2] > heights[1]


def test_a_logarithmic_axis_names_the_values_that_were_tried():
    (ax,) = plotting.curves({"a": ([1, 8, 30], [3, 2, 1])}, "seconds", "loss", "falls", xscale="log").axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "8", "30"]


def test_a_note_has_a_column_in_a_file_and_stands_below_the_table_in_a_notebook():
    table = tables.table([{"system": "ours", "WER": 1.0}, {"system": "a | b", "note": "install it"}])
    assert table.splitlines()[-1] == "| a \\| b | – | install it |"
    assert tables.noted(table).splitlines()[2:] == [
        "| ours | 1.00 |",
        "| a \\| b | – |",
        "",
        "*a \\| b*: install it",
    ]
    without = tables.table([{"system": "ours", "WER": 1.0}])
    assert tables.noted(without) == without
