"""The loop of notebook 08 with stand-ins that need no network, and once with the shipped models."""

import random
import threading
import tracemalloc
from datetime import datetime

import numpy as np
import pytest

from course_utils import audio, checkpoints, data
from course_utils.decoding.partial import Partial
from course_utils.decoding.stream import RecogniserStream
from course_utils.models.assistant import Assistant, CommandEars, OpenEars, converse, listening_for, mixed
from course_utils.models.assistant_skills import COMMANDS, Reply, Skills, Talk, as_regex, example
from course_utils.widgets.capstone import LOUDSPEAKER, Conversation, Loop, conversation_picture

RATE = 16000
SKILLS = Skills(COMMANDS)
TEXTS = ["", "what time is it", "what is two plus three", "play me a chorale", "hello there", "two five"]


class Ears:
    """Sound of level k / 10 is the text number k; 0.8 s of silence end an utterance."""

    def __init__(self):
        self.text, self.silent = "", 0.0

    def push(self, chunk):
        level = round(10 * float(np.abs(chunk).max(initial=0)))
        self.text = TEXTS[level] if level else self.text
        self.silent = 0.0 if level else self.silent + len(chunk) / RATE
        return Partial(self.text, endpoint=bool(self.text) and self.silent >= 0.8, silence=self.silent)

    def next_utterance(self):
        final, self.text = Partial(self.text), ""
        return final

    def doubt(self):
        return 0.0


def speak(text, voice):
    """A tenth of a second for each word, in pieces."""
    for _ in text.split():
        yield np.full(1600, 0.3, np.float32)


def assistant(skills=SKILLS, speak=speak, ears=Ears, **how):
    talk = Talk(
        ("anna", "ben"),
        "anna",
        lambda seed: np.full(8 * RATE, 0.1, np.float32),
        now=lambda: datetime(2030, 5, 4, 9, 5),
    )
    return Assistant(ears, skills, speak, talk, **how)


def said(*numbers, seconds=0.5, silence=2.0):
    """Texts by their numbers, each with silence behind it."""
    parts = []
    for k in numbers:
        parts += [np.full(round(seconds * RATE), k / 10), np.zeros(round(silence * RATE))]
    return np.concatenate(parts).astype(np.float32)


def kinds(events, *wanted):
    return [event.text for event in events if event.kind in wanted]


# --- skills ----------------------------------------------------------------------------------------------


def test_a_pattern_is_what_its_examples_match_and_no_more():
    draw = random.Random(1)
    for pattern in COMMANDS:
        assert all(SKILLS.match(" ".join(example(pattern, draw))) for _ in range(20))
    assert SKILLS.match("what is two plus") is None
    assert SKILLS.match("what is two plus three four") is None
    assert SKILLS.match("seven") is None, "one digit is no row"
    assert as_regex("play me a chorale") == "play me a chorale"


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("what time is it", "It is 09:05."),
        ("what is two minus five", "two minus five is minus 3."),
        ("what is twelve times twelve", "twelve times twelve is 144."),
        ("three one four", "That makes 8."),
        ("say that in another four", "I have not said anything yet."),
        ("clean this", "Say something first, then ask me again."),
    ],
)
def test_replies(text, reply):
    assert SKILLS.answer(text, assistant().talk).text == reply


def test_a_sentence_is_complete_when_it_fits_and_can_not_go_on():
    assert SKILLS.complete("what time is it") and SKILLS.complete("what is two plus three")
    assert not SKILLS.complete("what is two plus") and not SKILLS.complete("two five")
    more = Skills(COMMANDS | {"play me a chorale in minor": lambda talk: "No."})
    assert not more.complete("play me a chorale") and more.complete("play me a chorale in minor")


def test_the_last_reply_comes_again_in_the_next_voice():
    talk = assistant().talk
    talk.said = "It is 09:05."
    assert SKILLS.answer("say that in another voice", talk).text == "It is 09:05." and talk.voice == "ben"
    SKILLS.answer("say that in another voice", talk)
    assert talk.voice == "anna"


# --- the loop ------------------------------------------------------------------------------------------------


def test_a_question_is_answered_with_words_and_sound():
    one = assistant()
    events = converse(one, said(1))
    assert kinds(events, "final", "reply") == ["what time is it", "It is 09:05."]
    assert sum(len(event.sound) for event in events if event.kind == "sound") == 3 * 1600
    (turn,) = one.turns
    assert turn.endpoint - turn.last_unit == pytest.approx(0.4, abs=0.06), "complete: the short pause"
    assert 0 < turn.audio_ms < 1000


def test_a_row_that_may_go_on_waits_for_the_long_pause():
    one = assistant()
    converse(one, said(5))
    assert one.turns[0].endpoint - one.turns[0].last_unit >= 0.8
    slow = assistant(quick=None)
    converse(slow, said(1))
    assert slow.turns[0].endpoint - slow.turns[0].last_unit >= 0.8


def test_silence_and_other_speech_give_no_reply():
    assert converse(assistant(), np.zeros(5 * RATE, np.float32)) == []
    assert kinds(converse(assistant(), said(4)), "final", "reply", "ignored") == ["hello there"]


def test_a_doubtful_command_is_ignored():
    class Doubting(Ears):
        def doubt(self):
            return 2.0

    events = converse(assistant(ears=Doubting, most_doubt=1.0), said(1))
    assert kinds(events, "ignored") == ["what time is it"] and not kinds(events, "reply")


def test_half_duplex_does_not_hear_while_it_speaks_and_hears_afterwards():
    sound = np.concatenate([said(3, silence=1.0), said(1, silence=11.0), said(2)])
    assert kinds(converse(assistant(), sound), "final") == ["play me a chorale", "what is two plus three"]


def test_with_barge_in_a_word_stops_the_reply():
    one = assistant(barge_in=True)
    sound = np.concatenate([said(3, silence=1.5), said(1)])
    events = converse(one, sound)
    assert kinds(events, "final") == ["play me a chorale", "what time is it"]
    (stop,) = (event for event in events if event.kind == "stop")
    assert 2.0 <= stop.at <= 2.2
    heard = mixed(np.zeros_like(sound), events)
    assert heard[round((stop.at - 0.1) * RATE)] > 0 and heard[round((stop.at + 0.2) * RATE)] == 0
    assert conversation_picture(events, 5.0).alt.startswith("2 utterances and 2 replies")


def test_a_long_reply_is_made_as_it_is_needed():
    pieces = []

    def long(text, voice):
        for number in range(600):  # a minute
            pieces.append(number)
            yield np.full(1600, 0.1, np.float32)

    converse(assistant(speak=long), said(1, silence=2.0))
    assert 15 <= len(pieces) <= 30, "what plays now, and a second ahead"


def test_a_skill_that_raises_is_a_sentence_and_the_loop_goes_on():
    def broken(talk):
        raise KeyError("weather")

    skills = Skills({"what time is it": broken, "play me a chorale": COMMANDS["play me a chorale"]})
    events = converse(assistant(skills), said(1, 3, silence=3.0))
    assert kinds(events, "reply") == ["Sorry, this skill failed with KeyError.", "Here is a new chorale."]


def test_a_voice_or_a_composer_that_raises_is_told_and_the_loop_goes_on():
    def hoarse(text, voice):
        yield np.full(1600, 0.3, np.float32)
        raise RuntimeError("no breath")

    events = converse(assistant(speak=hoarse), said(1, 1))
    assert kinds(events, "error") == ["RuntimeError: no breath"] * 2
    wrong = Skills({"what time is it": lambda talk: Reply("Listen.", lambda: 1 / 0)})
    assert kinds(converse(assistant(wrong), said(1)), "error") == ["ZeroDivisionError: division by zero"]


@pytest.mark.parametrize("bad", [np.full(1600, np.nan), np.zeros((2, 1600)), np.zeros(1600, np.int16)])
def test_what_is_no_mono_sound_is_refused_and_nothing_is_lost(bad):
    one = assistant()
    with pytest.raises(audio.AudioError):
        one.push(bad)
    assert one.samples == 0 and kinds(converse(one, said(1)), "reply") == ["It is 09:05."]


def test_what_was_said_before_is_played_back():
    one = assistant()
    one.skills = Skills(
        {"what is NUMBER plus NUMBER": lambda *_: "Yes.", "play me a chorale": COMMANDS["clean this up"]}
    )
    events = converse(one, said(4, 3, silence=1.5))
    pieces = [event.sound for event in events if event.kind == "sound"]
    assert np.isclose(pieces[-1].max(), 0.4), "the utterance that was not understood"


def test_a_question_after_a_long_silence_is_heard_to_its_end():
    events = converse(assistant(), np.append(np.zeros(int(19.5 * RATE), np.float32), said(1, seconds=1.5)))
    (final,) = [event for event in events if event.kind == "final"]
    assert final.at > 21


def test_silence_takes_nothing_from_what_was_said_before():
    one = assistant()
    converse(one, said(4, silence=45))
    assert np.isclose(one.talk.cleaned.max(), 0.4)


def test_an_hour_needs_no_more_memory_than_ten_minutes():
    one = assistant()
    minute = np.concatenate([said(1, 4, 3, silence=8.0), np.zeros(33 * RATE, np.float32)])
    tracemalloc.start()
    used = []
    for number in range(60):
        converse(one, minute, chunk=RATE // 2)
        if number in (9, 59):
            used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert one.seconds > 3500 and len(one.turns) == 120
    assert used[1] - used[0] < 200_000


# --- the thread and the widget ---------------------------------------------------------------------------------


def test_sound_that_comes_too_fast_is_overwritten_and_counted():
    gate = threading.Event()

    class Slow(Ears):
        def push(self, chunk):
            gate.wait(10)
            return super().push(chunk)

    loop = Loop(assistant(ears=Slow), lambda event: None)
    for _ in range(150):
        loop.write(np.zeros(1600, np.float32))
    assert loop.lost > 4
    gate.set()
    loop.close()
    assert loop.wait(10) and loop.error is None


def test_an_assistant_that_raises_ends_the_loop_and_says_why():
    class Deaf(Ears):
        def push(self, chunk):
            raise RuntimeError("broken ears")

    loop = Loop(assistant(ears=Deaf), lambda event: None)
    loop.write(np.zeros(3200, np.float32))
    assert loop.wait(10) and str(loop.error) == "broken ears" and loop.closed


def conversation():
    return Conversation(lambda barge_in: assistant(barge_in=barge_in), {"a question": said(1, silence=0.1)})


def test_a_clip_is_said_to_the_assistant_and_its_page_has_picture_sound_and_text():
    one = conversation()
    assert one.way.value == LOUDSPEAKER and not one.turns, "nothing starts by itself"
    events = one.feed(said(1, silence=0.1))
    assert kinds(events, "reply") == ["It is 09:05."]
    assert list(one.lines) == [("you", "what time is it"), ("reply", "It is 09:05.")]
    page = one.fallback_html()
    assert "It is 09:05." in page and "<img" in page and "<audio" in page


def test_the_microphone_goes_the_same_way():
    one = conversation()
    one.mic.feed(said(1, silence=1.5))
    one.mic.settle()
    assert one._spoken.wait(10)
    assert ("reply", "It is 09:05.") in one.lines


def test_the_browsers_echo_cancellation_is_on_for_that_choice_alone():
    one = conversation()
    assert not one.mic.echo_cancellation
    one.way.value = "browser's echo cancellation"
    assert one.mic.echo_cancellation and not one.mic.processing
    one.way.value = "headphones"
    assert not one.mic.echo_cancellation


def test_a_file_that_is_too_long_or_no_sound_is_refused():
    one = Conversation(lambda barge_in: assistant(), {"a": said(1)}, max_seconds=2)
    with pytest.raises(audio.AudioError, match="longer than 2 s"):
        one.feed(np.zeros(3 * RATE, np.float32))
    with pytest.raises(audio.AudioError, match="mono"):
        one.feed(np.zeros((2, 100), np.float32))


# --- with the shipped models -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph():
    return listening_for(checkpoints.load("phrases"), SKILLS)


def test_a_real_voice_that_reads_digits_is_answered(graph):
    one = assistant(ears=lambda: CommandEars(graph), most_doubt=0.9)
    digits = data.real("digits")[0]
    events = converse(one, np.concatenate([digits.audio, np.zeros(2 * RATE, np.float32)]))
    assert digits.text == "three one four" and kinds(events, "reply") == ["That makes 8."]


def test_in_silence_the_last_word_is_shown_though_its_end_was_swallowed(graph):
    tts = checkpoints.load("tts")
    clip = next(one for one in data.speech("test", "f32", "sentence") if one.duration >= 3)
    sound = np.pad(tts.say("Play me a chorale.", spk_emb=tts.embed(clip.audio), seed=3), (0, RATE))
    shown = {}
    for ears in (RecogniserStream(graph), CommandEars(graph)):
        partials = [ears.push(sound[at : at + 1600]) for at in range(0, len(sound), 1600)]
        shown[type(ears)] = next(each.text for each in partials if each.text and each.silence > 0.35)
    assert shown == {RecogniserStream: "play me a", CommandEars: "play me a chorale"}


def test_a_reader_of_books_is_in_doubt(graph):
    one = assistant(ears=lambda: CommandEars(graph), most_doubt=0.9)
    reader = min(data.real("librispeech", "test"), key=lambda clip: clip.duration)
    events = converse(one, np.concatenate([reader.audio, np.zeros(2 * RATE, np.float32)]))
    assert not kinds(events, "reply")


def test_open_ears_write_the_nearest_words_of_the_skills():
    ears = OpenEars(checkpoints.load("recognition"), SKILLS)
    assert ears.nearest("what is seven mines too") == "what is seven minus two"
