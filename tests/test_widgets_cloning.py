"""The widgets of notebooks 05 and 06 without a browser: consent, clone, conversion, map, save and delete."""

import io
import threading
import time
from datetime import date

import numpy as np
import pytest
import soundfile

from course_utils import audio, cloning
from course_utils.widgets import AudioInput
from course_utils.widgets.ab_player import one_level
from course_utils.widgets.cloning import CloneDemo, ConsentForm, ConvertDemo, VoiceMap
from course_utils.widgets.cloning.convert import bundled_pairs
from course_utils.widgets.cloning.voices import bundled_references
from tests.cloning_stand_in import PAIRS, PITCHES, RECORDINGS, REFERENCES, Copies, embed
from tests.speaking_stand_in import sound

SEXES = {name: name[0] for name in PITCHES}
ANN = {"speaker": "Ann", "given_by": "Ann", "purpose": "to hear myself", "date": "2026-11-29"}


@pytest.fixture
def clone_demo(tmp_path):
    """Make a demo whose folder is below the test's own."""

    def make(copies=None, **more):
        copies = copies or Copies()
        how = {"references": REFERENCES, "recordings": RECORDINGS, "folder": tmp_path / "mine"}
        demo = CloneDemo(copies.clone, **(how | more))
        demo.copies = copies
        return demo

    return make


@pytest.fixture
def convert_demo(tmp_path):
    def make(copies=None, **more):
        copies = copies or Copies()
        how = {"sources": PAIRS, "targets": REFERENCES, "folder": tmp_path / "mine"}
        demo = ConvertDemo(copies.convert, **(how | more))
        demo.copies = copies
        return demo

    return make


def wav(waveform):
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, 16000, format="wav", subtype="FLOAT")
    return buffer.getvalue()


def record(source, hz=200):
    """What a microphone would bring."""
    source.way = "microphone"
    source.mic.feed(sound(1.0, hz))


def shown(demo):
    """The names of the clips in the player, or none."""
    return [list(player._clips) for player in demo._place.children]


def eventually(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- consent -------------------------------------------------------------------------------------------------


def test_a_form_that_is_filled_in_is_a_consent():
    form = ConsentForm()
    form.fill(**ANN)
    assert form.consent == cloning.Consent("Ann", "Ann", "to hear myself", "2026-11-29")


@pytest.mark.parametrize("name", list(ANN))
def test_a_form_names_what_is_empty(name):
    form = ConsentForm()
    form.fill(**ANN)
    form.fields[name].value = None if name == "date" else "  "
    with pytest.raises(cloning.ConsentError, match=f"fill in {name.replace('_', ' ')} in the form"):
        form.consent  # noqa: B018


def test_an_empty_form_has_todays_date_and_says_all_that_is_missing():
    form = ConsentForm()
    assert form.fields["date"].value == date.today()
    with pytest.raises(cloning.ConsentError, match="speaker, given by, purpose in the form"):
        form.consent  # noqa: B018
    form.fill(**ANN)
    form.clear()
    assert form.fields["speaker"].value == "" and form.fields["date"].value == date.today()


def test_a_date_that_is_none_is_refused():
    with pytest.raises(ValueError, match="isoformat"):
        ConsentForm().fill("Ann", "Ann", "test", "yesterday")


# --- clone ---------------------------------------------------------------------------------------------------


def test_a_bundled_voice_is_cloned_at_once_beside_the_reference_and_the_real_voice(clone_demo):
    demo = clone_demo()
    assert demo.controls["text"].value == "good morning to all of you"  # what both voices say
    assert demo.copies.asked == [(REFERENCES["f01, female"], "good morning to all of you", None, 0.5)]
    assert pytest.approx(250, abs=2) == np.abs(np.fft.rfft(demo.waveform, 16000)).argmax()
    assert shown(demo) == [["clone", "reference", "real f01"]]
    np.testing.assert_array_equal(demo.real, RECORDINGS["f01"][1].audio)
    assert demo.form.layout.display == "none"
    assert "clone, real f01: <i>“good morning to all of you”" in demo._words.value
    assert "reference: <i>“heard before”" in demo._words.value
    assert "real-time factor" in demo._note.value


@pytest.mark.parametrize("way", ["record", "upload", "waveform"])
def test_no_other_voice_is_cloned_before_the_form_is_filled_in(clone_demo, way):
    demo = clone_demo(references=REFERENCES | {"somebody": sound(1.0, 200)})
    if way == "record":
        record(demo.input)
    elif way == "upload":
        demo.input.upload("me.wav", wav(sound(1.0, 200)))
    else:
        demo.input.choose("somebody")
    assert demo.form.layout.display != "none"
    before = len(demo.copies.asked)
    with pytest.raises(cloning.ConsentError, match="fill in speaker, given by, purpose"):
        demo.clone()
    assert len(demo.copies.asked) == before and demo._place.children == ()
    assert 'role="alert"' in demo._note.value and demo.buttons["save"].disabled
    with pytest.raises(audio.AudioError, match="nothing is made without consent"):
        demo.waveform  # noqa: B018

    demo.form.fill(**ANN)
    waveform = demo.clone()
    reference, _, consent, _ = demo.copies.asked[-1]
    np.testing.assert_allclose(reference, sound(1.0, 200), atol=1e-4)
    assert consent == cloning.Consent(*ANN.values())
    assert pytest.approx(200, abs=2) == np.abs(np.fft.rfft(waveform, 16000)).argmax()
    assert shown(demo) == [["clone", "reference"]]  # nobody recorded this text
    assert demo.real is None and demo._blind.layout.display == "none"
    demo.input.choose("f01, female")
    assert demo.form.layout.display == "none"


def test_where_the_first_voice_is_a_persons_nothing_is_made_at_once(clone_demo):
    demo = clone_demo(references={"somebody": sound(1.0)})
    assert demo.copies.asked == [] and "fill in the consent" in demo._note.value
    assert clone_demo(references={}).copies.asked == []


@pytest.mark.parametrize("own", [False, True])
def test_the_printed_call_gives_the_same_waveform(clone_demo, monkeypatch, own):
    demo = clone_demo(name="clone")
    demo.controls["guidance"].value = 1.5
    if own:
        record(demo.input)
        demo.form.fill(**ANN)
    waveform = demo.clone()
    *before, last = demo.call.splitlines()

    class Corpus:
        @staticmethod
        def speech(voice):
            return RECORDINGS[voice]

    scope = {"clone": demo.copies.clone, "data": Corpus, "cloning": cloning, "demo": demo}
    exec("\n".join(before), scope)
    np.testing.assert_array_equal(eval(last, scope), waveform)
    assert demo.copies.asked[-1][1:] == demo.copies.asked[-2][1:] and demo.copies.asked[-1][3] == 1.5
    assert "guidance=1.5" in demo._code.value


def test_a_sentence_of_its_own_goes_through_what_the_voice_says(clone_demo):
    demo = clone_demo(text="hello")
    texts = []
    for _ in range(3):
        demo.buttons["its own"].click()
        texts.append(demo.controls["text"].value)
    assert texts == ["good morning to all of you", "only the first says this", "good morning to all of you"]
    record(demo.input)
    demo.buttons["its own"].click()
    assert "no other recording of this voice" in demo._note.value


def test_the_blind_test_plays_clone_and_real_voice_at_one_level_without_pictures(clone_demo):
    demo = clone_demo()
    demo.controls["blind"].value = True
    (player,) = demo._place.children
    assert player._blind and list(player._clips) == ["clone", "real f01"] and player._pictures == []
    levels = [audio.level_db(clip) for clip in player._clips.values()]
    assert levels[0] == pytest.approx(levels[1], abs=0.01)
    player.guess("clone")
    assert player.trials == 1
    demo.controls["text"].value = "nobody ever said this"
    demo.clone()
    assert shown(demo) == [["clone", "reference"]] and demo.controls["blind"].disabled
    demo.controls["text"].value = "good morning to all of you"
    demo.clone()
    assert demo._place.children[0]._blind


def test_silence_has_no_level_to_share():
    with pytest.raises(audio.AudioError, match="b is silent"):
        one_level({"a": sound(), "b": np.zeros(1600, np.float32)})


def test_the_button_leaves_the_work_to_a_thread_with_the_settings_of_the_click(clone_demo):
    demo = clone_demo()
    demo.copies.gate = threading.Event()
    demo.controls["guidance"].value = 2.0
    demo.buttons["clone"].click()
    demo.controls["guidance"].value = 0.0
    assert demo.buttons["clone"].disabled and not demo.buttons["cancel"].disabled
    assert "<progress" in demo._note.value and demo._place.children == ()
    demo.copies.gate.set()
    assert len(demo.waveform)  # waits
    assert demo.copies.asked[-1][3] == 2.0
    assert not demo.buttons["clone"].disabled and demo.buttons["cancel"].disabled


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_what_is_cancelled_or_deleted_meanwhile_never_comes(clone_demo, how):
    demo = clone_demo()
    gate = demo.copies.gate = threading.Event()
    demo.buttons["clone"].click()
    assert demo.copies.begun.wait(10)
    if how == "cancel":
        demo.buttons["cancel"].click()
        assert "Cancelled" in demo._note.value
    else:
        demo.delete()
    assert not demo.buttons["clone"].disabled
    gate.set()
    with pytest.raises(audio.AudioError, match="nothing was made yet"):
        demo.waveform  # noqa: B018
    assert demo._place.children == () and demo.buttons["save"].disabled
    demo.copies.gate = None
    assert len(demo.clone()) and shown(demo)


def test_of_two_presses_the_last_one_counts(clone_demo):
    demo = clone_demo()
    gate = demo.copies.gate = threading.Event()
    demo.buttons["clone"].click()
    demo.buttons["cancel"].click()
    demo.controls["text"].value = "another text"
    demo.buttons["clone"].click()
    gate.set()
    assert len(demo.waveform) == pytest.approx(0.05 * 16000 * len("another text"))
    assert "another text" in demo._words.value


@pytest.mark.parametrize(
    ("text", "reason"), [("", "nothing to say"), ("word " * 90, "449 characters are more than 400")]
)
def test_a_text_that_can_not_be_said_says_why(clone_demo, text, reason):
    demo = clone_demo()
    demo.controls["text"].value = text
    with pytest.raises(ValueError, match=reason):
        demo.clone()
    assert reason in demo._note.value and 'role="alert"' in demo._note.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("out of <memory>"), "RuntimeError: out of &lt;memory&gt;"),
        (audio.AudioError("the reference is silent"), ">the reference is silent<"),
        (cloning.ConsentError("no consent"), ">no consent<"),
    ],
)
def test_a_cloner_that_fails_is_shown_and_the_widget_stays_alive(clone_demo, error, words):
    demo = clone_demo(Copies(fail=error))
    assert words in demo._note.value and words in demo.fallback_html()
    demo.copies.fail = None
    demo.buttons["clone"].click()
    assert len(demo.waveform)


@pytest.mark.parametrize("result", [np.zeros((2, 800)), np.full(16000, np.nan), np.zeros(10), None])
def test_a_cloner_that_returns_no_waveform_is_shown(tmp_path, result):
    demo = CloneDemo(lambda *_, **__: result, REFERENCES, recordings=RECORDINGS, folder=tmp_path)
    assert 'role="alert"' in demo._note.value and demo._place.children == ()


def test_without_a_recording_the_widget_says_what_to_do(clone_demo):
    demo = clone_demo()
    demo.input.way = "microphone"
    demo.form.fill(**ANN)
    demo.buttons["clone"].click()
    assert "nothing recorded yet" in demo._note.value


# --- save and delete -----------------------------------------------------------------------------------------


def test_a_clone_is_saved_with_its_consent_beside_it(clone_demo):
    demo = clone_demo()
    record(demo.input)
    demo.form.fill(**ANN)
    waveform = demo.clone()
    demo.form.fields["purpose"].value = "something else"  # the consent is that of the run
    path = demo.save()
    assert path.parent == demo.folder and path.suffix == ".wav"
    np.testing.assert_allclose(audio.load(path), waveform, atol=0.02)  # marked, where it was not
    assert cloning.detect_watermark(path).found
    (beside,) = demo.folder.glob("*consent.json")
    assert cloning.read_consent(beside) == cloning.Consent(*ANN.values())
    demo.buttons["save"].click()
    assert "with the consent beside it" in demo._note.value
    assert len(list(demo.folder.glob("*.wav"))) == 2


def test_a_bundled_voice_is_saved_without_consent_and_nothing_is_written_before(clone_demo):
    demo = clone_demo()
    assert not demo.folder.exists()
    demo.buttons["save"].click()
    assert "no consent needed" in demo._note.value
    assert len(list(demo.folder.glob("*.wav"))) == 1


def test_a_folder_that_can_not_be_made_is_said(clone_demo, tmp_path):
    (tmp_path / "file").write_text("")
    demo = clone_demo(folder=tmp_path / "file" / "below")
    demo.buttons["save"].click()
    assert 'role="alert"' in demo._note.value and "can not be made" in demo._note.value


def test_delete_takes_everything_of_the_voice_after_a_second_press(clone_demo):
    demo = clone_demo(map=VoiceMap.of(embed, {"f01": sound(0.5, 250), "m01": sound(0.5, 110)}, SEXES))
    record(demo.input)
    demo.form.fill(**ANN)
    demo.clone()
    demo.save()
    mic, player = demo.input.mic, demo._place.children[0]
    demo.buttons["delete"].click()
    assert demo.buttons["delete"].description == "Press again to delete" and len(demo.waveform)
    assert str(demo.folder) in demo._note.value
    demo.buttons["delete"].click()
    assert not list(demo.folder.rglob("*.wav")) and not list(demo.folder.rglob("*.json"))
    assert demo.buttons["delete"].description == "Delete everything of my voice"
    assert mic.comm is None and player.comm is None and demo.input.mic.status == "idle"
    assert demo.input.way == "bundled clip" and demo.map.marks == ()
    assert demo.form.fields["speaker"].value == "" and "Ann" not in demo._code.value
    with pytest.raises(audio.AudioError, match="nothing was made yet"):
        demo.waveform  # noqa: B018
    demo.input.way = "microphone"
    with pytest.raises(audio.AudioError, match="nothing recorded yet"):
        demo.reference  # noqa: B018


@pytest.mark.parametrize("other", ["clone", "cancel", "save"])
def test_another_button_between_takes_the_first_press_back(clone_demo, other):
    demo = clone_demo()
    demo.buttons["delete"].click()
    demo.buttons[other].disabled = False
    demo.buttons[other].click()
    demo._worker.wait()
    demo.buttons["delete"].click()
    assert demo.buttons["delete"].description == "Press again to delete"


def test_a_delete_that_fails_says_so(clone_demo, monkeypatch):
    demo = clone_demo()
    demo.save()

    def fail(folder):
        raise PermissionError(13, "not allowed")

    monkeypatch.setattr(cloning, "forget", fail)
    demo.buttons["delete"].click()
    demo.buttons["delete"].click()
    assert "Not everything is deleted: PermissionError" in demo._note.value


def test_an_input_forgets_upload_and_recording_and_goes_on():
    source, heard = AudioInput({"clip": sound()}), []
    source.upload("me.wav", wav(sound(1.0)))
    record(source)
    source.on_change(lambda: heard.append(source.chosen_clip))
    source.forget()
    assert source.chosen_clip == "clip" and heard[-1] == "clip"
    source.way = "upload a file"
    with pytest.raises(audio.AudioError, match="nothing uploaded yet"):
        source.audio  # noqa: B018
    assert source.chosen_clip is None and heard[-1] is None
    record(source)
    assert len(source.audio) == 16000


# --- map -----------------------------------------------------------------------------------------------------

VOICES = np.array([[1.0, 0, 0.1], [0, 1, 0.1], [-1, 0, 0.1], [0, -1, 0.1]])


def test_the_marks_do_not_turn_the_map_and_fall_where_they_belong():
    plain = VoiceMap(VOICES, list(PITCHES), SEXES)
    marked = VoiceMap(VOICES, list(PITCHES), SEXES, marks={"clone": VOICES[1], "reference": [3.0, 3, 0.2]})
    np.testing.assert_allclose(marked.points[:4], plain.points, atol=1e-9)
    np.testing.assert_allclose(marked.points[4], marked.points[1], atol=1e-9)
    np.testing.assert_allclose(marked.points[5], 0.5**0.5 * (plain.points[0] + plain.points[1]), atol=0.01)
    assert marked.shown == plain.shown and marked.names[4:] == ("clone", "reference")


def test_a_mark_far_away_is_still_in_the_picture():
    near = VOICES * [0.1, 0.1, 1]
    points = VoiceMap(near, list(PITCHES), marks={"clone": [5.0, 0, 0]}).points
    assert np.abs(points[:, 0]).max() <= 1 and np.abs(points[:, 1]).max() <= 0.75


def test_likeness_compares_marks_and_names_the_nearest_voice():
    shown = VoiceMap(VOICES, list(PITCHES), marks={"reference": VOICES[0], "clone": [1, 1, 0.1]})
    found = shown.likeness
    assert set(found) == {("reference", "clone"), ("reference", "f01"), ("clone", "f01")}
    assert found["reference", "f01"] == pytest.approx(1)
    assert found["reference", "clone"] == pytest.approx(found["clone", "f01"])
    assert "0.71" in shown.fallback_html() and "(nearest voice)" in shown.fallback_html()


def test_a_click_names_the_nearest_voice_or_mark():
    shown = VoiceMap(VOICES, list(PITCHES), SEXES, marks={"clone": [1, 1, 0.1]})
    shown.at = [float(x) for x in shown.points[4] + 0.02]
    assert shown.chosen == "clone" and shown.shares == {"clone": 1.0}
    shown.at = [float(x) for x in shown.points[2] * 0.9]
    assert shown.chosen == "m01" and shown._about == "m01 (male)"
    shown.choose("clone")
    shown.forget("clone")
    assert shown.chosen == "f01" and shown.marks == () and "◆" not in shown.fallback_html()


def test_waveforms_are_embedded_and_marked():
    recordings = {name: [sound(0.3, hz), sound(0.3, hz + 5)] for name, hz in PITCHES.items()}
    shown = VoiceMap.of(embed, recordings, SEXES)
    shown.hear(reference=sound(0.3, 110), clone=sound(0.3, 112))
    assert ("clone", "m01") in shown.likeness and shown.marks == ("reference", "clone")
    shown.hear(clone=sound(0.3, 281))
    assert ("clone", "f02") in shown.likeness and shown.marks == ("reference", "clone")
    with pytest.raises(ValueError, match="nothing to embed with"):
        VoiceMap(VOICES, list(PITCHES)).hear(clone=sound())


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ({"clone": [1.0, 2]}, "a name that no voice has and 3 numbers, got 2"),
        ({"f01": [1.0, 2, 3]}, "a name that no voice has"),
        ({"clone": [np.nan, 0, 0]}, "finite and not zero"),
        ({"clone": [0.0, 0, 0]}, "finite and not zero"),
    ],
)
def test_a_mark_that_does_not_fit_is_refused(marks, reason):
    shown = VoiceMap(VOICES, list(PITCHES))
    with pytest.raises(ValueError, match=reason):
        shown.mark(**marks)
    assert shown.marks == ()


def test_names_of_marks_are_shown_safely_and_without_a_kernel():
    shown = VoiceMap(VOICES, list(PITCHES), SEXES, marks={"<b>": [1, 1, 0.1]})
    page = shown.fallback_html()
    assert "&lt;b&gt;" in page and "<b>" not in page and 'role="img"' in page
    assert repr(shown) == "VoiceMap(4 voices, <b> marked)"


def test_reference_and_clone_are_marked_after_each_run(clone_demo):
    shown = VoiceMap.of(embed, {name: sound(0.3, hz) for name, hz in PITCHES.items()}, SEXES)
    demo = clone_demo(map=shown)
    assert shown.marks == ("reference", "clone") and ("clone", "f01") in shown.likeness
    demo.input.choose("m01, male")
    demo.clone()
    assert ("clone", "m01") in shown.likeness and "<svg" in demo.fallback_html()
    record(demo.input)
    demo.buttons["clone"].click()  # refused: what is gone is marked no longer
    assert shown.marks == ()


def test_a_map_that_fails_does_not_take_the_sound(clone_demo):
    demo = clone_demo(map=VoiceMap(VOICES, list(PITCHES)))
    assert (
        len(demo.waveform) and "can not be marked on the map: there is nothing to embed" in demo._note.value
    )


# --- conversion ----------------------------------------------------------------------------------------------


def test_a_pair_is_converted_at_once_beside_its_true_answer(convert_demo):
    demo = convert_demo()
    demo.target.choose("m01, male")
    demo.convert()
    source, target, consent, pitch = demo.copies.asked[-1]
    np.testing.assert_array_equal(source, PAIRS["f01: the same"].source_audio)
    assert (target, consent, pitch) == (REFERENCES["m01, male"], None, None)
    assert shown(demo) == [["converted", "source", "target", "true answer"]]
    np.testing.assert_array_equal(demo.truth, PAIRS["f01: the same"].target_audio)
    demo.controls["blind"].value = True
    assert list(demo._place.children[0]._clips) == ["converted", "true answer"]
    demo.target.choose("f01, female")
    demo.convert()
    assert shown(demo) == [["converted", "source", "target"]] and demo.truth is None


def test_the_pitch_is_the_targets_or_what_the_slider_says(convert_demo):
    demo = convert_demo()
    assert demo.controls["pitch"].disabled and demo.copies.asked[-1][3] is None
    demo.controls["own pitch"].value = False
    assert not demo.controls["pitch"].disabled
    demo.controls["pitch"].value = -3.5
    demo.convert()
    assert demo.copies.asked[-1][3] == -3.5 and "pitch=-3.5" in demo.call


def test_your_voice_as_source_needs_no_form_and_as_target_it_does(convert_demo):
    demo = convert_demo()
    record(demo.source, 170)
    assert demo.form.layout.display == "none"
    demo.convert()
    np.testing.assert_allclose(demo.copies.asked[-1][0], sound(1.0, 170), atol=1e-4)
    record(demo.target, 190)
    assert demo.form.layout.display != "none"
    with pytest.raises(cloning.ConsentError, match="fill in speaker"):
        demo.convert()
    demo.form.fill(**ANN)
    demo.convert()
    assert demo.copies.asked[-1][2] == cloning.Consent(*ANN.values())
    assert "demo.target.audio, consent" in demo.call and len(demo.copies.asked) == 3
    path = demo.save()
    assert path.exists() and path.name.startswith("converted_")
    demo.delete()
    assert not path.exists()
    for source in (demo.source, demo.target):
        assert source.way == "bundled clip" and source.mic.status == "idle"


def test_without_a_kernel_call_words_players_and_spectrograms_are_shown(clone_demo, convert_demo):
    page = clone_demo().fallback_html()
    assert page.count("<audio controls") == 3 and "<img" in page and "alt=" in page
    assert "cloning.clone(reference" in page and "good morning" in page
    page = convert_demo().fallback_html()
    assert page.count("<audio controls") >= 3 and "cloning.convert(" in page


def test_demos_have_short_names(clone_demo, convert_demo):
    assert repr(clone_demo()) == "CloneDemo(AudioInput(f01, female, m01, male))"
    assert repr(convert_demo()).startswith("ConvertDemo(AudioInput(f01: the same")
    assert repr(ConsentForm()) == "ConsentForm()"


def test_the_bundled_voices_are_test_voices_and_each_pair_has_its_target_among_them():
    references = bundled_references()
    assert {one.split for one in references.values()} == {"test"}
    assert sorted(one.voice[0] for one in references.values()) == list("fffmmm")
    pairs = bundled_pairs()
    targets = bundled_references(list(dict.fromkeys(pair.target for pair in pairs.values())))
    assert len(pairs) == len(targets) == 8
    assert next(iter(pairs.values())).target == next(iter(targets.values())).voice
