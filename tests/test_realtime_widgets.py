"""The live recogniser and the reading of phrases without a browser: everything that happens in the kernel."""

import random
import threading
import time

import numpy as np
import pytest
import soundfile

from course_utils import audio, paths
from course_utils.decoding.partial import Partial, Word
from course_utils.widgets.realtime import LiveRecogniser, Session, YourVoice
from course_utils.widgets.realtime import your_voice as your_voice_module
from course_utils.widgets.realtime.session import MAX_BEHIND

WORDS = "eins zwei drei vier fünf sechs sieben acht neun zehn".split()


class Counting:
    """A stand-in that writes a word for each second of sound; the last one may still change. Silence ends a line."""

    def __init__(self, fail_at=None, gate=None):
        self.fail_at, self.gate, self.chunks = fail_at, gate, []

    def stream(self, chunk_ms):
        return CountingStream(self)

    def transcribe(self, waveform):
        stream = self.stream(160)
        stream.push(waveform)
        return stream.finish().text


class CountingStream:
    def __init__(self, model):
        self.model, self.heard, self.begin = model, [], 0.0

    def push(self, chunk):
        self.model.chunks.append(len(chunk))
        if self.model.gate is not None:
            self.model.gate.wait(10)
        self.heard.append(chunk)
        seconds = sum(map(len, self.heard)) / 16000
        if self.model.fail_at is not None and seconds >= self.model.fail_at:
            raise RuntimeError("the <model> fell over")
        return self._partial(endpoint=seconds >= 1 and not chunk.any())

    def _partial(self, endpoint=False, final=False):
        seconds = sum(map(len, self.heard)) / 16000
        words = [Word(WORDS[i % 10], self.begin + i, self.begin + i + 1) for i in range(int(seconds + 1e-9))]
        texts = [word.text for word in words]
        stable = texts if final else texts[:-1]
        return Partial(" ".join(texts), " ".join(stable), tuple(words), self.begin + seconds, endpoint)

    def next_utterance(self):
        final = self._partial(final=True)
        self.begin, self.heard = final.seconds, []
        return final

    def finish(self):
        return self.next_utterance()


def sound(seconds=1.0, rate=16000, level=0.2):
    return (level * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def messages(waveform, rate=16000, name="a"):
    """What the browser sends: start, numbered chunks of 100 ms, end."""
    step = rate // 10
    samples = np.round(waveform * 32768).astype("<i2")
    starts = range(0, len(samples), step)
    chunks = [
        ({"kind": "chunk", "id": name, "seq": i, "frame": start}, [samples[start : start + step].tobytes()])
        for i, start in enumerate(starts)
    ]
    end = {"kind": "end", "id": name, "chunks": len(starts), "frames": len(samples)}
    return [({"kind": "start", "id": name, "rate": rate}, []), *chunks, (end, [])]


def send(live, said):
    for content, buffers in said:
        live.mic._handle_custom_msg(content, buffers)


def until(condition, seconds=5.0):
    late = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < late, "it never came true"
        time.sleep(0.005)


@pytest.fixture
def make():
    """A live recogniser with a stand-in and a clip of two seconds; its threads end with the test."""
    made = []

    def build(model=None, **settings):
        made.append(LiveRecogniser(model or Counting(), **{"clips": {"two seconds": sound(2)}, **settings}))
        return made[-1]

    yield build
    for live in made:
        live.clear()
        live.stop()


# --- sound from the browser ------------------------------------------------------------------------------


def test_what_the_microphone_sends_becomes_words_and_a_recording(make):
    live = make()
    send(live, messages(sound(3)))
    assert live.text == "eins zwei drei"
    np.testing.assert_allclose(live.audio, sound(3), atol=1 / 32768)
    (utterance,) = live.utterances
    assert [word.start for word in utterance.words] == [0, 1, 2]


def test_late_and_doubled_chunks_are_heard_once_and_in_order(make):
    live = make()
    start, *chunks, end = messages(sound(2))
    mixed = [each for pair in zip(chunks[1::2], chunks[::2], strict=True) for each in pair]
    send(live, [start, *mixed, *mixed[3:6], end])
    assert live.text == "eins zwei"
    np.testing.assert_allclose(live.audio, sound(2), atol=1 / 32768)


def test_lost_chunks_are_silence_of_their_length(make):
    live = make()
    start, *chunks, end = messages(sound(3))
    del chunks[5:8]
    send(live, [start, *chunks, end])
    until(lambda: live.mic.status == "done")
    assert len(live.audio) == 3 * 16000
    assert not live.audio[8000:12800].any()
    assert live.text == "eins zwei drei"


def test_another_sample_rate_is_brought_to_16_khz(make):
    live = make()
    send(live, messages(sound(2, 44100), 44100))
    assert len(live.audio) == pytest.approx(32000, abs=2)
    np.testing.assert_allclose(live.audio[2000:30000], sound(2)[2000:30000], atol=0.01)


def test_the_text_is_there_while_the_recording_still_runs(make):
    live = make(chunk_ms=64)
    *said, end = messages(sound(2.5))
    send(live, said)
    until(lambda: live.text == "eins zwei")
    assert live.mic.status == "recording"
    until(lambda: '<span style="color:#6b747e"> zwei</span>' in live._transcript.value)
    send(live, [end])
    assert live.text == "eins zwei"
    assert "zwei</span>" not in live._transcript.value


def test_a_pause_ends_a_line(make):
    live = make(chunk_ms=160)
    pause = np.zeros(3200, np.float32)
    send(live, messages(np.concatenate([sound(1.6), pause, sound(2.4), pause])))
    assert live.text == "eins\neins zwei"
    assert [line.text for line in live.utterances] == ["eins", "eins zwei"]
    assert live.utterances[1].words[0].start > 1.6
    assert live._transcript.value.count("padding:2px 0") == 2


def test_a_page_that_was_loaded_again_begins_a_new_recording(make):
    live = make()
    send(live, messages(sound(2))[:-1])
    send(live, messages(sound(1), name="b"))
    assert live.text == "eins"
    assert len(live.audio) == 16000


def test_the_microphone_is_only_read_while_words_appear(make):
    live = make()
    sent = []
    live.mic.send = sent.append
    live.mic.observe(lambda change: sent.append(change["name"]), names=list(live.mic.keys))
    send(live, messages(sound(2)))
    assert live.text == "eins zwei"
    assert sent == [{"kind": "heard"}]  # the answer to the start, which keeps the sound off the main thread


@pytest.mark.parametrize("status", ["denied", "no-device", "insecure", "unsupported", "error"])
def test_without_a_microphone_the_other_inputs_are_offered(make, status):
    live = make()
    send(live, [({"kind": "failed", "id": "a", "status": status}, [])])
    assert live.mic._texts[status].endswith("Or choose another input above.")
    assert live.text == ""
    with pytest.raises(audio.AudioError, match="nothing recorded yet"):
        _ = live.audio
    assert live.feed(sound(2)) == "eins zwei"


# --- clips and files ---------------------------------------------------------------------------------------


def test_a_clip_takes_the_path_of_the_microphone(make):
    live = make()
    fed = live.feed(sound(2.5))
    send(live, messages(sound(2.5)))
    assert fed == live.text == "eins zwei"
    assert live._model.chunks[:16] == live._model.chunks[16:] == [2560] * 15 + [1600]


def test_a_clip_in_real_time_waits_for_the_clock(make, monkeypatch):
    live, waits = make(), []
    monkeypatch.setattr(Session, "until", lambda self, moment: waits.append(moment))
    live.feed(sound(1.05), speed=2.0)
    np.testing.assert_allclose(np.diff(waits), [0.05] * 9 + [0.025], atol=1e-6)


def test_start_plays_the_chosen_clip_and_stop_ends_it(make):
    live = make(chunk_ms=32)
    live.input.way = "bundled clip"
    live.buttons["start"].click()
    until(lambda: live._session is not None and live._session.seconds > 0.2)
    live.buttons["stop"].click()
    heard = live.audio
    assert 3200 < len(heard) < 32000
    np.testing.assert_allclose(heard, sound(2)[: len(heard)])


def test_a_file_of_any_rate_with_two_channels_is_played(make, tmp_path, monkeypatch):
    monkeypatch.setattr(Session, "until", lambda self, moment: None)  # as fast as the machine is
    live = make()
    soundfile.write(tmp_path / "a.flac", np.stack([sound(2, 44100)] * 2, 1), 44100)
    live.input.upload("a.flac", (tmp_path / "a.flac").read_bytes())
    live.buttons["start"].click()
    until(lambda: live._session is not None and live._session.finished)
    assert live.text == "eins zwei"


def test_start_without_a_file_says_what_to_do(make):
    live = make(clips={})
    live.input.way = "upload a file"
    live.buttons["start"].click()
    assert "nothing uploaded yet" in live._note.value


def test_the_start_button_is_there_only_where_something_is_played(make):
    live = make()
    assert live._playing.layout.display == "none"
    live.input.way = "bundled clip"
    assert live._playing.layout.display == ""


BAD = {
    "stereo": (np.zeros((2, 16000), np.float32), "mono"),
    "empty": (np.zeros(0, np.float32), "the waveform"),
    "nan": (np.full(16000, np.nan, np.float32), "finite"),
    "too long": (np.zeros(5 * 16000, np.float32), "5 s are longer than 4 s"),
}


@pytest.mark.parametrize(("waveform", "reason"), BAD.values(), ids=BAD)
def test_what_is_no_waveform_is_refused(make, waveform, reason):
    with pytest.raises(audio.AudioError, match=reason):
        make(max_seconds=4.0).feed(waveform)


def test_a_clip_does_not_start_while_the_microphone_records(make):
    live = make()
    send(live, messages(sound(1))[:-1])
    with pytest.raises(audio.AudioError, match="still recording"):
        live.feed(sound(1))
    with pytest.raises(ValueError, match="above 0"):
        make().feed(sound(1), speed=0)
    with pytest.raises(ValueError, match="32, 64, 160, 320, 640"):
        make(chunk_ms=100)


def test_the_chunk_length_counts_from_the_next_start(make):
    live = make()
    live.chunk.value = 640
    live.feed(sound(1))
    assert live._model.chunks == [10240, 5760]
    assert repr(live) == "LiveRecogniser(chunk_ms=640)"
    assert len(live.computing_ms) == 2


# --- trouble -----------------------------------------------------------------------------------------------


def test_a_decoder_that_fails_is_shown_and_the_recording_kept(make):
    live = make(Counting(fail_at=1.0))
    send(live, messages(sound(3)))
    until(lambda: "fell over" in live._figures.value)
    assert "RuntimeError: the &lt;model&gt; fell over" in live._figures.value
    assert len(live.audio) == 3 * 16000
    with pytest.raises(RuntimeError, match="fell over"):
        live.feed(sound(3))
    live._model.fail_at = None
    send(live, messages(sound(2), name="b"))
    assert live.text == "eins zwei"


def test_a_model_without_a_stream_is_shown_too(make):
    live = make(object())
    send(live, messages(sound(1)))
    until(lambda: "AttributeError" in live._figures.value)
    assert len(live.audio) == 16000


def test_live_sound_never_waits_for_the_decoder_and_what_was_left_out_is_counted():
    gate = threading.Event()
    session = Session(Counting(gate=gate), 160, 30)
    for _ in range(250):
        session.write(sound(0.1))
    assert session.behind == MAX_BEHIND
    assert session.seconds == pytest.approx(25)
    gate.set()
    session.close()
    assert session.wait(5)
    assert session.skipped == pytest.approx(15, abs=0.2)
    assert len(session.audio) == 25 * 16000
    assert len(session.text.split()) == 10


def test_the_widget_says_how_far_it_is_behind(make):
    gate = threading.Event()
    live = make(Counting(gate=gate))
    threading.Timer(0.2, gate.set).start()
    send(live, messages(sound(6)))
    behind = []
    live._figures.observe(lambda change: behind.append(change["new"]), names="value")
    assert live.text == "eins zwei drei vier fünf sechs"
    live._session._milliseconds = [400.0]
    live._draw()
    assert "takes 400.0 ms" in live._figures.value
    assert "choose longer chunks" in live._figures.value


def test_a_file_waits_for_the_decoder_instead():
    gate = threading.Event()
    session = Session(Counting(gate=gate), 160, 60)
    writer = threading.Thread(
        target=lambda: [session.write(sound(0.1), wait=True) for _ in range(300)], daemon=True
    )
    writer.start()
    until(lambda: session.seconds > 9.9)
    assert session.behind <= MAX_BEHIND
    gate.set()
    writer.join(5)
    session.close()
    assert session.wait(5)
    assert session.skipped == 0
    assert len(session.text.split()) == 30


def test_ten_minutes_need_no_more_memory_than_one():
    import tracemalloc

    class Quiet(Counting):
        def stream(self, chunk_ms):
            return self

        def push(self, chunk):
            return Partial("so", "so", (), 1.0)

        def finish(self):
            return Partial()

    session = Session(Quiet(), 640, 600)
    minute = np.zeros(1600, np.float32)
    tracemalloc.start()
    for _ in range(600):
        session.write(minute, wait=True)
    first = tracemalloc.get_traced_memory()[0]
    for _ in range(5400):
        session.write(minute, wait=True)
    growth = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    session.close()
    assert session.wait(10)
    assert session.seconds == 600
    assert growth < 300_000  # the times of 840 chunks
    session.write(minute)
    assert session.seconds == 600


# --- clear, save, elsewhere --------------------------------------------------------------------------------


def test_clear_forgets_and_a_recording_goes_on_from_there(make):
    live = make(chunk_ms=32)
    said = messages(sound(4))
    send(live, said[:23])
    until(lambda: live.text == "eins zwei")
    live.buttons["clear"].click()
    assert live.text == ""
    send(live, said[23:])
    assert live.text == "eins"
    assert len(live.audio) == 1.8 * 16000
    live.buttons["clear"].click()
    assert live.text == "" and live.utterances == []
    assert "Press Record or Start" in live._transcript.value


def test_save_writes_a_wav_and_says_where(make, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    live = make()
    live.buttons["save"].click()
    assert "nothing recorded yet: press Record, speak, press Stop, then save" in live._note.value
    live.feed(sound(1))
    live.buttons["save"].click()
    (path,) = (tmp_path / "recordings" / "own_voice").glob("live_*.wav")
    assert str(path) in live._note.value
    np.testing.assert_allclose(audio.load(path), sound(1), atol=1 / 32768)
    assert live.save(tmp_path / "mine.wav") == tmp_path / "mine.wav"
    (tmp_path / "file").write_text("")
    with pytest.raises(audio.AudioError, match="choose another place"):
        live.save(tmp_path / "file" / "mine.wav")


def test_words_are_shown_as_they_are_and_never_as_html(make, monkeypatch):
    monkeypatch.setitem(globals(), "WORDS", ["größe", "<b>你好</b>", "🎤"] * 4)
    live = make()
    assert live.feed(sound(3)) == "größe <b>你好</b> 🎤"
    assert "größe &lt;b&gt;你好&lt;/b&gt; 🎤" in live._transcript.value


def test_without_a_kernel_there_is_the_text_and_a_player(make):
    live = make()
    shown = live._repr_mimebundle_()[0]
    assert shown["text/plain"] == "LiveRecogniser(chunk_ms=160)"
    assert "Open this notebook in JupyterLab" in shown["text/html"]
    live.feed(sound(2))
    assert "eins zwei" in live.fallback_html() and "<audio" in live.fallback_html()


def test_the_clips_of_the_course_are_there_by_default():
    live = LiveRecogniser(Counting())
    live.input.way = "bundled clip"
    assert live.input.source.startswith("bundled clip 'reader ")
    assert len(live.input.audio) > 16000


# --- your voice --------------------------------------------------------------------------------------------

PHRASES = ["Eins.", "Schöne Grüße!", "最后"]


@pytest.fixture
def reading(tmp_path):
    return lambda phrases=PHRASES, model=None: YourVoice(model or Counting(), phrases, tmp_path / "voice")


def test_phrases_are_read_one_after_the_other_and_kept_with_their_words(reading, tmp_path):
    voice = reading()
    assert "phrase 1 of 3" in voice._phrase.value and voice.recordings == []
    voice.mic.feed(sound(1))
    until(lambda: "The recogniser wrote: <b>eins</b>" in voice._result.value)
    until(lambda: "word error rate 0% on 1" in voice._note.value)  # written after the result
    voice.buttons["next"].click()
    assert "Schöne Grüße!" in voice._phrase.value and voice._result.value == ""
    voice.mic.feed(sound(2))
    assert [text for _, text in voice.recordings] == PHRASES[:2]
    assert voice.source == "your voice: 2 of 3 phrases"
    files = sorted(path.name.rpartition("_")[0] for path in (tmp_path / "voice").glob("*.wav"))
    assert files == ["eins", "schone-grue"]
    written = {path.read_text("utf-8").strip() for path in (tmp_path / "voice").glob("*.txt")}
    assert written == set(PHRASES[:2])


def test_reading_goes_on_where_it_was_left(reading):
    first = reading()
    first.mic.feed(sound(1))
    again = reading([*PHRASES[::-1], "Noch eine."])
    assert again.index == 0
    assert [text for _, text in again.recordings] == ["Eins."]
    np.testing.assert_allclose(again.recordings[0][0], sound(1), atol=1 / 32768)
    again.go(2)
    assert "Kept: <audio" in again._result.value
    again.mic.feed(sound(2))
    assert len(reading().recordings[0][0]) == 32000


def test_what_can_not_be_kept_says_why(reading, tmp_path):
    voice = reading()
    voice.mic.feed(np.zeros(16000, np.float32))
    assert "silent and was not kept" in voice._result.value
    voice.mic.feed(sound(0.1))
    assert "role" in voice._result.value and voice.recordings == []
    with pytest.raises(ValueError, match="not one of the 3 phrases"):
        voice.take("Vier.", sound(1))
    (tmp_path / "voice").write_text("a file where the folder should be")
    voice.mic.feed(sound(1))
    assert "choose another place" in voice._result.value


def test_a_spoiled_file_is_named_and_can_be_read_again(reading, tmp_path):
    reading().mic.feed(sound(1))
    next((tmp_path / "voice").glob("*.wav")).write_bytes(b"not a sound")
    voice = reading()
    assert voice.recordings == [] and "can not be used" in voice._result.value
    voice.mic.feed(sound(1))
    assert len(voice.recordings) == 1


def test_a_model_that_fails_does_not_lose_the_recording(reading):
    voice = reading(model=Counting(fail_at=0.5))
    voice.mic.feed(sound(1))
    until(lambda: "the recogniser failed: RuntimeError" in voice._result.value)
    assert len(voice.recordings) == 1


def test_the_demo_voice_is_labelled_and_gives_way_to_yours(reading):
    voice = reading()
    voice.buttons["demo"].click()
    assert voice.source == "DEMO: the virtual voice f36, not you; 20 phrases"
    assert "<b>DEMO" in voice._note.value
    assert len(voice.recordings) == 20
    voice.mic.feed(sound(1))
    assert voice.source == "your voice: 1 of 3 phrases"


def test_by_default_you_read_what_the_demo_voice_reads(tmp_path):
    voice = YourVoice(Counting(), folder=tmp_path)
    assert voice.phrases == [text for _, text in voice.use_demo()]
    assert "Nothing leaves this machine" in voice._note.value and str(tmp_path) in voice._note.value
    assert voice.fallback_html().count("<li>") == 20
    assert repr(voice) == "YourVoice(20 phrases)"


@pytest.mark.parametrize("phrases", [[], ["one", " "], ["one", "one"]])
def test_phrases_must_be_something_to_read(tmp_path, phrases):
    with pytest.raises(ValueError, match="at least one, none of them empty or twice"):
        YourVoice(Counting(), phrases, tmp_path)


def test_every_phrase_has_a_file_name_of_its_own():
    random.seed(0)
    phrases = ["".join(random.choices("aäé 你.", k=4)) for _ in range(200)]
    names = {your_voice_module.file_name(phrase) for phrase in phrases}
    assert len(names) == len(set(phrases))
    assert all(name.isascii() and len(name) <= 50 for name in names)
