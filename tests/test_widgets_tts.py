"""The widgets of notebook 04 without a browser: map of voices, what is said, durations, listening test."""

import math
import threading
import time

import ipywidgets as widgets
import numpy as np
import pytest
import torch

from course_utils import audio
from course_utils.models.tts import SynthesiserConfig
from course_utils.models.tts_speech import TextToSpeech
from course_utils.models.vocoder import Vocoder
from course_utils.synthesis.plan import TURN
from course_utils.widgets.messages import replace
from course_utils.widgets.tts import (
    Durations,
    ListeningTest,
    SayIt,
    SpeakerMap,
    change_plan,
    mixture,
    say_plan,
    voice_map,
)
from course_utils.widgets.tts.listening_test import mean_opinion, verdict
from course_utils.widgets.worker import Worker
from tests.speaking_stand_in import RECORDINGS, SEXES, Humming, sound


def say_it(model=None, text="one two", **more):
    return SayIt(model or Humming(), text, recordings=RECORDINGS, sexes=SEXES, **more)


# --- worker ----------------------------------------------------------------------------------------------


def test_of_jobs_that_come_meanwhile_only_the_last_is_done():
    worker, gate, done = Worker("test"), threading.Event(), []
    worker.do(lambda: (gate.wait(10), done.append(0)))
    for number in (1, 2, 3):
        worker.do(lambda number=number: done.append(number))
    assert worker.busy and not worker.wait(0.01)
    gate.set()
    assert worker.wait(10) and not worker.busy
    assert done in ([0, 3], [3])  # the first may not have begun


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_that_fails_does_not_block_the_next():
    worker, done = Worker("test"), []
    worker.do(lambda: 1 / 0)
    assert worker.wait(10)
    worker.do(lambda: done.append(1))
    assert worker.wait(10) and done == [1]


# --- map of speakers ---------------------------------------------------------------------------------------


def test_the_map_shows_the_two_directions_of_most_difference():
    random = np.random.default_rng(0)
    turn, _ = np.linalg.qr(random.standard_normal((16, 16)))
    flat = np.pad(random.standard_normal((30, 2)) * [3, 1], ((0, 0), (0, 14)))
    points, shown = voice_map(flat @ turn + 5)
    assert shown == pytest.approx(1)
    scale = np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(points[0] - points[1])
    far = np.linalg.norm(flat[:, None] - flat, axis=-1)
    np.testing.assert_allclose(scale * np.linalg.norm(points[:, None] - points, axis=-1), far, atol=1e-9)
    assert np.abs(points[:, 0]).max() <= 1 and np.abs(points[:, 1]).max() <= 0.75 + 1e-9
    np.testing.assert_allclose(voice_map(flat @ turn)[0], points, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2])
def test_few_voices_have_a_map_too(count):
    points, _ = voice_map(np.eye(8)[:count])
    assert points.shape == (count, 2) and np.isfinite(points).all()


@pytest.mark.parametrize("voices", [np.zeros((0, 4)), np.zeros(4), np.full((2, 4), np.nan)])
def test_what_is_no_table_of_voices_has_no_map(voices):
    with pytest.raises(ValueError, match="expected finite voices"):
        voice_map(voices)


SQUARE = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 3], [-2, 0]], float)


def test_on_a_point_there_is_one_voice_and_between_points_a_mixture():
    assert mixture(SQUARE, (1, 0.01)) == {1: 1.0}
    assert mixture(SQUARE, (0.5, 0.5)) == {0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}
    assert list(mixture(SQUARE, (0.5, 0.0)).items())[:2] == [(0, 0.42), (1, 0.42)]
    assert mixture(np.array([[0.0, 0], [1, 0]]), (0.25, 0)) == {0: 0.9, 1: 0.1}


def test_shares_sum_to_one_and_fall_with_distance_everywhere():
    for at in np.random.default_rng(0).uniform(-3, 3, (200, 2)):
        shares = mixture(SQUARE, at)
        assert len(shares) == 1 or 2 <= len(shares) <= 4
        assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) >= 0.01
        distances = [np.linalg.norm(SQUARE[i] - at) for i in shares]
        assert distances == sorted(distances)


@pytest.mark.parametrize("at", [(1,), (np.nan, 0), (1, 2, 3)])
def test_what_is_no_place_is_refused(at):
    with pytest.raises(ValueError, match="two finite numbers"):
        mixture(SQUARE, at)


def test_a_click_on_the_map_chooses_or_mixes():
    shown = SpeakerMap(Humming().table, Humming().speakers, SEXES, "m01")
    assert shown.shares == {"m01": 1.0} and shown._about == "m01 (male)"
    shown.at = [0.0, 0.0]
    assert set(shown.shares) == {"f01", "f02", "m01", "m02"}
    assert shown._svg.count("<line") == 4 and "25% f01" in shown._about
    shown.at = [float(x) for x in shown.points[1]]
    assert shown.shares == {"f02": 1.0} and "<line" not in shown._svg


def test_a_place_outside_of_the_map_is_brought_in():
    shown = SpeakerMap(Humming().table, Humming().speakers)
    shown.at = [50.0, float("nan")]
    assert shown.at == [1.12, 0.0]


def test_the_map_names_voices_safely_and_without_a_kernel():
    shown = SpeakerMap(np.eye(3), ["<b>", "b", "c"], {"b": "m"})
    page = shown.fallback_html()
    assert "&lt;b&gt;" in page and "<b>" not in page and "<svg" in page
    assert "■ male" in page and "female" not in page


@pytest.mark.parametrize(("names", "speaker"), [(["a"], None), (["a", "a"], None), (["a", "b"], "c")])
def test_names_that_do_not_fit_are_refused(names, speaker):
    with pytest.raises(ValueError, match=r"a name of its own|there is no speaker 'c'"):
        SpeakerMap(np.eye(2), names, speaker=speaker)


# --- say it --------------------------------------------------------------------------------------------------


def test_the_first_text_is_said_at_once_beside_the_recording_of_the_same_text():
    shown = say_it()
    np.testing.assert_array_equal(shown.waveform, Humming().say("one two", "f01"))
    (player,) = shown._place.children
    assert list(player._clips) == ["model", "recording of f01"]
    np.testing.assert_array_equal(player._clips["recording of f01"], RECORDINGS["f01"][0].audio)
    assert shown._words.value.count("“one two”") == 1
    assert "real-time factor" in shown._note.value


def test_with_another_text_both_transcripts_are_shown():
    shown = say_it(text="seven <b>")
    assert (
        "“seven &lt;b&gt;”" in shown._words.value and "recording of f01: <i>“one two”" in shown._words.value
    )


@pytest.mark.parametrize("at", [None, [0.2, 0.3]], ids=["one voice", "a mixture"])
def test_the_printed_call_gives_the_same_waveform(at):
    shown, model = say_it(name="model"), Humming()
    shown.controls["speed"].value, shown.controls["pitch"].value, shown.controls["seed"].value = 1.5, -3, 4
    if at:
        shown.map.at = at
        assert shown.controls["speaker"].value == "(a mixture)"
    waveform, *before = shown.say(), *shown.call.splitlines()[:-1]
    assert "speed=1.5" in shown.call and "pitch=-3" in shown.call and "seed=4" in shown.call
    scope = {"model": _Seeded(model)}
    exec("\n".join(before), scope)
    np.testing.assert_array_equal(eval(shown.call.splitlines()[-1], scope), waveform)
    assert shown.call.splitlines()[-1] in shown._code.value


class _Seeded:
    """The model as the learner calls it."""

    def __init__(self, model):
        self.voice, self.say = model.voice, model.say


def test_the_menu_and_the_map_choose_the_same_voice():
    shown = say_it()
    shown.controls["speaker"].value = "m02"
    assert shown.map.shares == {"m02": 1.0}
    shown.map.choose("f02")
    assert shown.controls["speaker"].value == "f02"
    shown.map.at = [0.0, 0.1]
    shown.controls["speaker"].value = "(a mixture)"
    assert len(shown.map.shares) > 1


def test_a_voice_without_a_recording_is_heard_alone():
    shown = say_it(speaker="m02")
    assert list(shown._place.children[0]._clips) == ["model"]
    shown.buttons["its own"].click()
    assert "no recording of m02" in shown._note.value


def test_a_sentence_of_its_own_goes_through_what_the_voice_says():
    shown = say_it(text="hello")
    texts = []
    for _ in range(3):
        shown.buttons["its own"].click()
        texts.append(shown.controls["text"].value)
    assert texts == ["one two", "three", "one two"]


def test_the_button_is_off_while_a_thread_speaks_and_the_settings_are_those_of_the_click():
    model = Humming()
    shown = say_it(model)
    model.gate = threading.Event()
    shown.controls["speed"].value = 2.0
    shown.buttons["say"].click()
    shown.controls["speed"].value = 0.5
    assert shown.buttons["say"].disabled
    model.gate.set()
    waveform = shown.waveform  # waits
    assert not shown.buttons["say"].disabled
    np.testing.assert_array_equal(waveform, Humming().say("one two", "f01", speed=2.0))
    assert shown._progress.value == pytest.approx(1, abs=0.1)
    assert shown._progress.layout.visibility == "hidden"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "nothing to say"), ("?!", "nothing to say"), ("word " * 90, "449 characters are more than 400")],
)
def test_a_text_that_can_not_be_said_says_why(text, reason):
    shown = say_it()
    shown.controls["text"].value = text
    with pytest.raises(ValueError, match=reason):
        shown.say()
    assert 'role="alert"' in shown._note.value and reason in shown._note.value
    assert shown._place.children == () and shown._code.value == ""
    with pytest.raises(audio.AudioError, match=reason):
        shown.waveform  # noqa: B018
    shown.controls["text"].value = "one two"
    shown.buttons["say"].click()
    assert len(shown.waveform)


def test_a_model_that_fails_is_shown_and_the_widget_stays_alive():
    model = Humming(fail=RuntimeError("out of <memory>"))
    shown = say_it(model)
    assert "RuntimeError: out of &lt;memory&gt;" in shown._note.value
    assert "out of &lt;memory" in shown.fallback_html() and "<svg" in shown.fallback_html()
    model.fail = None
    shown.buttons["say"].click()
    assert len(shown.waveform) and not shown.buttons["say"].disabled


def test_without_a_kernel_map_call_players_and_spectrograms_are_shown():
    page = say_it().fallback_html()
    assert "<svg" in page and "model.say('one two', 'f01')" in page
    assert page.count("<audio controls") == 2 and "<img" in page


def test_players_that_are_gone_are_closed():
    shown = say_it()
    first = shown._place.children[0]
    shown.say()
    assert first.comm is None and shown._place.children[0].comm is not None


def test_what_is_replaced_in_a_hurry_is_closed_later():
    place, first = widgets.VBox(), widgets.HBox([widgets.HTML()])
    replace(place, first)
    replace(place, widgets.HTML(), after=0.05)
    assert first.comm is not None and first not in place.children
    for _ in range(200):
        if first.comm is None:
            break
        time.sleep(0.02)
    assert first.comm is None and first.children[0].comm is None


# --- plans ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    sizes = dict(dim=16, encoder_blocks=1, predictor_blocks=1, frame_blocks=1, flow_dim=16, flow_blocks=1)
    model = TextToSpeech(SynthesiserConfig(**sizes, voice_dim=16, voice_blocks=1), ("a", "b")).eval()
    model.voices.copy_(torch.nn.functional.normalize(torch.randn(2, 128), dim=1))
    model.__dict__["vocoder"] = Vocoder().eval()
    return model


def test_a_plan_sounds_as_the_sentence_that_is_said(tiny):
    plan = tiny.plan("good morning", tiny.voice("b"), 0.25)
    _, waveform = say_plan(tiny, plan, seed=3)
    np.testing.assert_allclose(waveform, tiny.say("good morning", "b", seed=3, speed=0.25), atol=1e-4)


def test_a_longer_phone_moves_what_follows_and_nothing_else(tiny):
    plan = tiny.plan("good morning", tiny.voice("a"), 0.25)
    changed = change_plan(tiny, plan, {2: 30})
    before, after = plan.bounds[0].diff(), changed.bounds[0].diff()
    assert after[2] == 30 and (after[3:] == before[3:]).all() and (after[:2] == before[:2]).all()
    assert torch.equal(changed.bounds[0], changed.bounds[1])
    log_mel, waveform = say_plan(tiny, changed)
    assert len(log_mel) == changed.n_frames == plan.n_frames + 30 - before[2]
    assert len(waveform) == (changed.n_frames - 1) * 256
    assert torch.equal(plan.bounds[0].diff(), before)  # the plan itself stays


def test_semitones_of_a_phone_are_those_of_the_model(tiny):
    voice = tiny.voice("a")
    higher = tiny.plan("good morning", voice, 1.0, 3.0)
    plan = tiny.plan("good morning", voice)
    changed = change_plan(tiny, plan, semitones={4: 3.0})
    np.testing.assert_allclose(changed.prosody[:, 4], higher.prosody[:, 4], atol=1e-6)
    assert torch.equal(changed.prosody[:, 5], plan.prosody[:, 5])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (({99: 4},), "there is no phone 99; they have the numbers 0 to"),
        (({-1: 4},), "there is no phone -1"),
        (({0: 0},), "expected 1 to 250 whole ones, got 0"),
        (({0: 2.5},), "whole ones, got 2.5"),
        (({}, {0: 40}), "expected -24 to 24, got 40"),
        (({}, {0: math.nan}), "expected -24 to 24, got nan"),
    ],
)
def test_a_change_that_can_not_be_is_refused(changes, reason):
    model = Humming()
    with pytest.raises(ValueError, match=reason):
        change_plan(model, model.plan("abc", model.voice("f01")), *changes)


# --- durations -----------------------------------------------------------------------------------------------


def durations(model=None, text="abcd", **more):
    return Durations(model or Humming(), text, **more)


def test_a_sentence_is_heard_as_planned_at_first():
    shown = durations()
    assert shown.strip.phones == list("ABCD") and shown.strip.frames == [4] * 4
    assert shown.changes == ({}, {}) and list(shown._place.children[0]._clips) == ["as planned"]
    assert len(shown.waveform) == 15 * 256
    assert "0.26 s as planned" in shown._note.value
    assert shown.strip._picture.startswith("data:image/png") and shown.strip._heard == [4] * 4


def test_an_edge_that_is_dragged_is_heard():
    shown = durations()
    shown.strip.frames = [4, 10, 4, 4]  # what the page sends
    assert len(shown.waveform) == 21 * 256
    assert shown.changes == ({1: 10}, {}) and shown.strip._heard == [4, 10, 4, 4]
    assert list(shown._place.children[0]._clips) == ["as planned", "changed"]
    assert "0.26 s as planned, 0.35 s now" in shown._note.value


def test_a_phone_and_a_slider_do_the_same_without_dragging():
    shown = durations()
    shown.controls["phone"].value = 2
    assert shown.strip.selected == 2 and shown.controls["frames"].value == 4
    shown.controls["frames"].value = 9
    shown.controls["semitones"].value = 6.0
    assert len(shown.waveform) == 20 * 256
    assert shown.changes == ({2: 9}, {2: 6.0})
    assert shown.log_mel[10, 0] == pytest.approx(shown.log_mel[0, 0] + 6 * TURN, abs=1e-4)
    shown.strip.selected = 0
    assert (shown.controls["frames"].value, shown.controls["semitones"].value) == (4, 0.0)
    assert shown.changes == ({2: 9}, {2: 6.0})  # to look is not to change
    shown.strip.frames = [100, 4, 9, 4]
    assert shown.controls["frames"].value == 100  # more than the slider had


def test_the_printed_calls_give_the_same_waveform():
    shown = durations(speaker="m01", seed=2, name="speech")
    for change in ({"frames": 7}, {"semitones": -2.0}):
        shown.set(1, **change)
        scope = {"speech": Humming(), "change_plan": change_plan, "say_plan": say_plan}
        exec(shown.call, scope)
        np.testing.assert_array_equal(scope["waveform"], shown.waveform)
    assert "{1: 7}, {1: -2.0}" in shown.call and "seed=2" in shown.call
    shown.reset()
    assert "change_plan" not in shown.call and len(shown.waveform) == 15 * 256
    assert shown.strip.semitones == [0.0] * 4


def test_only_the_last_of_many_drags_is_computed():
    model = Humming()
    shown = durations(model)
    model.gate, before = threading.Event(), model.decoded
    for count in range(5, 25):
        shown.strip.frames = [count, 4, 4, 4]
    model.gate.set()
    assert len(shown.waveform) == (24 + 12 - 1) * 256
    assert model.decoded - before <= 3
    assert shown.strip._heard == [24, 4, 4, 4]


def test_another_sentence_takes_the_place():
    shown = durations()
    shown.set(3, frames=20)
    shown.controls["text"].value = "hi"
    assert len(shown.waveform) == 7 * 256
    assert shown.strip.phones == ["H", "I"] and shown.changes == ({}, {})
    assert [label for label, _ in shown.controls["phone"].options] == ["0: H", "1: I"]


@pytest.mark.parametrize(
    ("text", "reason"), [("one. two.", "expected one sentence, got 2"), ("...", "nothing to say")]
)
def test_a_text_that_is_no_sentence_says_why_and_the_last_one_stays(text, reason):
    with pytest.raises(ValueError, match=reason):
        durations(text=text)
    shown = durations()
    shown.controls["text"].value = text
    assert reason in shown._note.value and shown.strip.phones == list("ABCD")


def test_durations_that_do_not_fit_are_refused():
    shown = durations()
    for frames in ([4, 4, 4], [0, 4, 4, 4], [4, 4, 4, 251]):
        with pytest.raises(Exception, match="expected 4 durations of 1 to 250"):
            shown.strip.frames = frames
    with pytest.raises(ValueError, match="no phone 4"):
        shown.set(4, frames=5)


def test_a_decoder_that_fails_is_shown_and_the_next_change_works():
    model = Humming()
    shown = durations(model)
    model.fail = RuntimeError("out of <memory>")
    shown.set(0, frames=9)
    with pytest.raises(audio.AudioError, match="out of <memory>"):
        shown.waveform  # noqa: B018
    assert "out of &lt;memory&gt;" in shown._note.value and shown._place.children == ()
    assert "Durations in ms" in shown.fallback_html()
    model.fail = None
    shown.set(0, frames=10)
    assert len(shown.waveform) == 21 * 256


def test_without_a_kernel_spectrogram_durations_and_players_are_shown():
    shown = durations()
    assert shown.fallback_html().count("<audio controls") == 1
    shown.set(1, frames=8, semitones=2)
    page = shown.fallback_html()
    assert "<img" in page and "B 128 (+2 semitones)" in page and page.count("<audio controls") == 2


# --- listening test ------------------------------------------------------------------------------------------


def clips(**levels):
    return {name: [sound(hz=200 + 50 * k, level=level) for k in range(2)] for name, level in levels.items()}


def answer(test, right):
    other = {"A": "B", "B": "A"}
    test.answer(test._x if right else other[test._x])


def test_an_abx_test_counts_and_says_what_it_means():
    test = ListeningTest(clips(flow=0.3, guess=0.1), trials=8, seed=0)
    for trial in range(8):
        assert f"Trial {trial + 1} of 8" in test._note.value
        answer(test, right=trial != 3)
    assert test.scores["abx"] == {
        "pair": ("flow", "guess"),
        "trials": 8,
        "right": 7,
        "p_value": pytest.approx(9 / 256),
    }
    assert "7 of 8 right" in test._note.value and "you hear a difference" in test._note.value
    assert "proxies" in test._place.children[0].value
    with pytest.raises(ValueError, match="is over"):
        test.answer("A")
    test.reset()
    assert test.scores["abx"]["trials"] == 0 and "Trial 1 of 8" in test._note.value


def test_x_is_a_or_b_and_neither_level_nor_place_gives_it_away():
    test = ListeningTest(clips(flow=0.3, guess=0.1), trials=40, seed=0)
    seen = set()
    for _ in range(40):
        player = test._place.children[0]
        assert list(player._clips) == ["A", "B", "X"] and player._pictures == []
        assert len(set(player._labels)) == 1
        np.testing.assert_array_equal(player._clips["X"], player._clips[test._x])
        seen.add((test._a, test._x, test._k))
        answer(test, right=True)
    assert len(seen) == 8


@pytest.mark.parametrize(
    ("right", "trials", "says"),
    [
        (10, 10, "less than 0.1 %"),
        (9, 10, "1.1% of such tests: you hear a difference"),
        (5, 10, "does not show that you hear a difference"),
        (4, 4, "4 trials are too few to tell"),
        (0, 10, "100.0% of such tests: this does not show"),
    ],
)
def test_a_score_is_said_in_words(right, trials, says):
    assert says in verdict(right, trials)


def test_a_double_click_answers_one_trial():
    test = ListeningTest(clips(flow=0.3, guess=0.1), seed=0)
    button = test._place.children[1].children[0]
    button.click()
    button.click()
    assert test.scores["abx"]["trials"] == 1


def test_opinions_are_blind_in_random_order_and_end_in_a_table():
    test = ListeningTest(clips(ours=0.2, real=0.1, poor=0.3), texts=["one", "two"], seed=1)
    test.way.value = "opinion"
    liked = {"ours": 4, "real": 5, "poor": 1}
    order = list(test._order)
    assert sorted(order) == [(name, k) for name in ("ours", "poor", "real") for k in range(2)]
    for number, (name, k) in enumerate(order):
        player, buttons = test._place.children
        assert list(player._clips) == [f"clip {number + 1}"] and player._transcript == ["one", "two"][k]
        buttons.children[liked[name] - (k == 1) * (name == "ours") - 1].click()
    assert test.scores["opinion"][0] == {
        "name": order[0][0],
        "clip": order[0][1],
        "rating": liked[order[0][0]] - (order[0] == ("ours", 1)),
    }
    rows = test.opinions()
    assert [row["name"] for row in rows] == ["real", "ours", "poor"]
    assert (rows[1]["ratings"], rows[1]["mean"]) == (2, 3.5)
    page = test._place.children[0].value
    assert "3.50" in page and "95 % interval" in page and "no listeners" in page
    with pytest.raises(ValueError, match="all clips are rated"):
        test.rate(3)
    test.button.click()
    assert test.scores["opinion"] == [] and "Clip 1 of 6" in test._note.value


def test_the_interval_is_that_of_students_t_and_stays_on_the_scale():
    mean, low, high = mean_opinion([3, 4, 3, 4])
    assert mean == 3.5 and high - mean == pytest.approx(3.182 * math.sqrt(1 / 3) / 2, abs=1e-3)
    assert low == pytest.approx(7 - high)
    assert mean_opinion([5, 5, 1])[1:] == (1.0, 5.0)
    assert math.isnan(mean_opinion([4])[1]) and math.isnan(mean_opinion([4, 4])[2])


def test_all_clips_have_one_level():
    test = ListeningTest(clips(loud=0.5, soft=0.05))
    levels = [audio.level_db(clip) for some in test._clips.values() for clip in some]
    np.testing.assert_allclose(levels, levels[0], atol=1e-3)
    assert levels[0] < audio.level_db(sound(level=0.05))


def test_one_name_has_opinions_only():
    test = ListeningTest({"ours": sound()})
    assert test.way.options == ("opinion",) and test.pair is None
    with pytest.raises(ValueError, match=r"is over|no pair"):
        test.answer("A")
    test.rate(4)
    assert "unknown: one rating" in test.table()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (({},), "expected clips by name"),
        (({"a": []},), "expected clips by name"),
        (({"a": sound(), "b": sound()}, ("a", "c")), "expected two of a, b"),
        (({"a": sound(), "b": sound()}, ("a", "a")), "expected two of a, b"),
        (({"a": sound(), "b": sound()}, None, 0), "expected 1 or more"),
        (({"a": sound(), "b": np.zeros(1600, np.float32)},), "b, clip 0 is silent"),
        (({"a": [np.zeros((2, 1600), np.float32)]},), "expected a mono waveform"),
        (({"a": [np.full(1600, np.nan, np.float32)]},), "not a finite number"),
        (({"a": [np.zeros(0, np.float32)]},), "too short"),
    ],
)
def test_clips_that_can_not_be_judged_are_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        ListeningTest(*arguments)


@pytest.mark.parametrize(("method", "value"), [("answer", "C"), ("rate", 6), ("rate", 0), ("answer", "flow")])
def test_an_answer_that_is_none_is_refused(method, value):
    test = ListeningTest(clips(flow=0.3, guess=0.1))
    with pytest.raises(ValueError, match=r"expected A or B|from 1 to 5"):
        getattr(test, method)(value)


def test_without_a_kernel_the_clips_are_shown_with_their_names():
    page = ListeningTest(clips(flow=0.3, guess=0.1), texts=["<one>"]).fallback_html()
    assert page.count("<audio controls") == 4 and "flow, 1 “&lt;one&gt;”" in page and "blind test" in page
