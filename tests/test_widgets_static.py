"""Every widget that a notebook can show has a static form with something to see or to hear."""

import importlib
import pkgutil
import re

import ipywidgets
import numpy as np
import pytest

from course_utils import data, widgets
from course_utils.widgets import capstone, cloning, enhancement, music, realtime, tts
from course_utils.widgets.fallback import HtmlFallback
from tests.cloning_stand_in import PAIRS, PITCHES, RECORDINGS, REFERENCES, Copies, embed
from tests.speaking_stand_in import RECORDINGS as SAID
from tests.speaking_stand_in import SEXES, Humming, sound
from tests.test_music_widgets import Parrot
from tests.test_realtime_widgets import Counting

VOICES = np.stack([embed(sound(0.8, hz)) for hz in PITCHES.values()])
MADE = {
    "ABPlayer": lambda folder: widgets.ABPlayer({"a": sound(), "b": sound(hz=300)}),
    "AudioInput": lambda folder: widgets.AudioInput({"a": sound()}),
    "SpectrogramExplorer": lambda folder: widgets.SpectrogramExplorer(sound()),
    "CloneDemo": lambda folder: cloning.CloneDemo(
        Copies().clone, references=REFERENCES, recordings=RECORDINGS, folder=folder
    ),
    "ConvertDemo": lambda folder: cloning.ConvertDemo(
        Copies().convert, sources=PAIRS, targets=REFERENCES, folder=folder
    ),
    "VoiceMap": lambda folder: cloning.VoiceMap(VOICES, list(PITCHES)),
    "Denoiser": lambda folder: enhancement.Denoiser(lambda noisy: noisy / 2, {"a": sound()}),
    "MaskPad": lambda folder: enhancement.MaskPad(sound()),
    "NoiseExplorer": lambda folder: enhancement.NoiseExplorer(
        sound(), {"hum": sound(hz=100)}, {"half": lambda noisy: noisy / 2}
    ),
    "ComposerExplorer": lambda folder: music.ComposerExplorer(Parrot(), steps=8),
    "HarmoniserExplorer": lambda folder: music.HarmoniserExplorer(Parrot(), "C5 D5"),
    "MelodyPad": lambda folder: music.MelodyPad([72, 72, 74, 74]),
    "PianoRoll": lambda folder: music.PianoRoll(np.tile([72, 67, 64, 48], (8, 1))),
    "LiveRecogniser": lambda folder: realtime.LiveRecogniser(Counting(), clips={"a": sound(2)}),
    "YourVoice": lambda folder: realtime.YourVoice(Counting(), ["one", "two"], folder),
    "Durations": lambda folder: tts.Durations(Humming(), "ab."),
    "ListeningTest": lambda folder: tts.ListeningTest({"a": sound(), "b": sound(hz=300)}),
    "SayIt": lambda folder: tts.SayIt(Humming(), "ab.", recordings=SAID, sexes=SEXES),
    "SpeakerMap": lambda folder: tts.SpeakerMap(VOICES, list(PITCHES)),
    # Nothing was said to it yet: its page lets one hear what could be.
    "Conversation": lambda folder: capstone.Conversation(lambda barge_in: None, {"a": sound()}),
}
WORDS_ALONE = {
    "ConsentForm": "four questions, and nothing that sounds",
    "MicRecorder": "only what the reader would record",
    "ReplyPlayer": "a part of Conversation, silent until somebody speaks",
}
SILENT = {"VoiceMap", "SpeakerMap"}  # maps: they make no sound in JupyterLab either


def exported():
    """The widgets by name that `course_utils.widgets` and its packages hand out."""
    packages = [widgets] + [
        importlib.import_module(f"{widgets.__name__}.{one.name}")
        for one in pkgutil.iter_modules(widgets.__path__)
        if one.ispkg
    ]
    things = {name: getattr(package, name) for package in packages for name in package.__all__}
    return {
        name: thing
        for name, thing in things.items()
        if isinstance(thing, type) and issubclass(thing, ipywidgets.DOMWidget)
    }


def test_each_exported_widget_is_looked_at_here():
    assert set(exported()) == set(MADE) | set(WORDS_ALONE)
    assert all(issubclass(widget, HtmlFallback) for widget in exported().values())


@pytest.mark.parametrize("name", MADE)
def test_a_static_form_has_a_picture_with_words_and_its_sound(name, tmp_path):
    page = MADE[name](tmp_path)._repr_mimebundle_()[0]["text/html"]
    pictures = re.findall(r"<img\b[^>]*>|<svg\b[^>]*>", page)
    assert pictures and all(re.search(r'(alt|aria-label)="[^"]+', picture) for picture in pictures)
    assert ("<audio controls" in page) == (name not in SILENT)
    assert re.sub(r"<[^>]*>", "", page).strip(), "no words"


def test_a_recogniser_that_fails_says_so_on_the_page():
    live = realtime.LiveRecogniser(Counting(fail_at=0.5), clips={"a": sound(2)})
    assert "the &lt;model&gt; fell over" in live.fallback_html() and live.text == ""


def test_the_page_of_the_recogniser_leaves_the_widget_as_it_was():
    live = realtime.LiveRecogniser(Counting(), clips={"long": sound(4), "short": sound(2)})
    before = live._transcript.value
    assert "eins zwei<" in live.fallback_html()
    assert live._transcript.value == before and live.text == ""


def test_the_page_of_your_voice_plays_the_demo_voice_and_never_yours(tmp_path):
    voice = realtime.YourVoice(Counting(), ["one", "two"], tmp_path)
    before = voice.fallback_html()
    voice.take("one", sound(1.0))
    assert voice.fallback_html() == before
    assert realtime.your_voice.DEMO_VOICE in {one.name for one in data.voices()}
