"""What notebook 08 measures, on small sounds, and the command `course talk`."""

import numpy as np
import pytest

from course_utils import cli, data
from course_utils.audio import load, save
from course_utils.record import doubt
from course_utils.record.topics import capstone


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("What is 3 + 4?", "what is three plus four"),
        ("3, 1, 4", "three one four"),
        ("314", "three one four"),
        ("What is 12 x 5?", "what is twelve times five"),
        ("Play me a chorale.", "play me a chorale"),
    ],
)
def test_texts_of_whisper_are_brought_to_words(written, spoken):
    assert capstone.as_spoken(written) == spoken


def test_the_end_of_speech_is_found_to_20_ms():
    sound = np.concatenate([np.zeros(8000), np.full(16000, 0.3), np.full(16000, 1e-3)]).astype(np.float32)
    assert capstone.speech_end(sound) == pytest.approx(1.5, abs=0.02)


def test_a_real_row_of_digits_is_right_and_another_reply_is_wrong():
    real = data.real("digits")[0]
    assert capstone.answered(capstone.GRAPH, capstone.Asked(real.text, real.audio))
    assert not capstone.answered(capstone.GRAPH, capstone.Asked("nine nine nine", real.audio))


def test_the_threshold_with_the_fewest_misses_and_false_replies_is_chosen(monkeypatch):
    clips = {
        "sure": doubt.Heard("It is noon.", ((0.2, "It is noon."),)),
        "unsure": doubt.Heard("It is noon.", ((0.95, "It is noon."),)),
        "not understood": doubt.Heard("It is noon.", ((0.4, "That makes 8."),)),
        "a reader": doubt.Heard("", ((1.9, ""), (1.25, "That makes 8."))),
    }
    kinds = {
        "commands": [("sure", "time"), ("unsure", "time"), ("not understood", "time")],
        "none": [("a reader", "")],
    }
    monkeypatch.setattr(doubt, "material", lambda: kinds)
    monkeypatch.setattr(doubt, "heard", lambda sound, text, system: clips[sound])
    every = doubt.decided()
    chosen, rows = doubt.choose(every)
    assert chosen == 1.1, "the middle of 1.0, 1.1 and 1.2"
    wrong = {row["threshold"]: (row["commands (3)"], row["none (1)"]) for row in rows}
    assert wrong[0.9] == (1, 0) and wrong[1.0] == wrong[1.2] == (0, 0) and wrong[1.3] == (0, 1)
    assert set(doubt.decided(commands_only=True)) == {"commands"}
    right = [doubt.rightly("graph", every, threshold)["commands (3)"] for threshold in (0.9, 1.0, np.inf)]
    assert right == [1, 2, 2], (
        "what is not understood has a reply, and another one than that to what was said"
    )


def test_every_grid_has_a_table_and_no_other():
    assert all(str(capstone.table(grid)) for grid in capstone.GRIDS)
    with pytest.raises(ValueError, match="there is no grid"):
        capstone.table("nothing")


def test_course_talk_answers_a_file(tmp_path, capsys):
    source, target = tmp_path / "question.wav", tmp_path / "answer.wav"
    save(source, data.real("digits")[0].audio)
    assert cli.main(["talk", str(source), str(target)]) == 0
    assert capsys.readouterr().out.splitlines() == ["you: three one four", "reply: That makes 8."]
    answer = load(target)
    assert 0.5 < len(answer) / 16000 < 5 and np.abs(answer).max() > 0.05


def test_course_talk_says_when_nobody_asked(tmp_path, capsys):
    source = tmp_path / "silence.wav"
    save(source, np.zeros(16000, np.float32))
    assert cli.main(["talk", str(source)]) == 0
    assert "nobody asked" in capsys.readouterr().err
