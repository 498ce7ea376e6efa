"""The widgets without a browser: everything that happens in the kernel."""

import asyncio
import io
import json
import re
import threading
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from course_utils import audio
from course_utils.widgets import (
    ABPlayer,
    AudioInput,
    MicRecorder,
    PcmAssembler,
    SpectrogramExplorer,
    lab_settings,
    spectrogram_figure,
)
from course_utils.widgets.mic import FAILURES, TEXTS

FOLDER = Path(lab_settings.__file__).parent


def noise(seconds=1.0, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * 16000))).astype(np.float32)


def tone(hz, seconds=1.0, rate=16000, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def pcm(waveform):
    return np.round(waveform * 32768).astype("<i2")


def chunks_of(waveform, step=1600):
    """(seq, frame, bytes) of each chunk."""
    samples = pcm(waveform)
    return [
        (i, start, samples[start : start + step].tobytes())
        for i, start in enumerate(range(0, len(samples), step))
    ]


def file_bytes(samples, rate=16000, format="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format)
    return buffer.getvalue()


# --- chunks to a waveform ------------------------------------------------------------------------------


def test_chunks_in_any_order_give_the_same_waveform():
    waveform = noise()
    shuffled = chunks_of(waveform)
    np.random.default_rng(1).shuffle(shuffled)
    assembler = PcmAssembler(16000)
    for seq, frame, data in shuffled:
        assembler.push(int(seq), int(frame), data)
    assembler.finish(16000)
    np.testing.assert_allclose(assembler.waveform, waveform, atol=1 / 32768)
    assert assembler.gap_frames == 0


def test_what_push_returns_is_in_order_and_adds_up_to_the_waveform():
    waveform = noise()
    order = [0, 2, 1, 3, 6, 5, 4, 9, 8, 7]
    chunks = chunks_of(waveform)
    assembler = PcmAssembler(16000)
    pieces = [assembler.push(*chunks[i]) for i in order] + [assembler.finish(16000)]
    assert [len(piece) // 1600 for piece in pieces] == [1, 0, 2, 1, 0, 0, 3, 0, 0, 3, 0]
    np.testing.assert_allclose(np.concatenate(pieces), assembler.waveform)
    np.testing.assert_allclose(assembler.waveform, waveform, atol=1 / 32768)


def test_a_lost_chunk_becomes_zeros_of_its_length_and_is_counted():
    waveform = noise()
    assembler = PcmAssembler(16000)
    for chunk in chunks_of(waveform):
        if chunk[0] != 4:
            assembler.push(*chunk)
    assembler.finish(16000)
    assert assembler.gap_frames == 1600
    assert len(assembler.waveform) == 16000
    assert not assembler.waveform[4 * 1600 : 5 * 1600].any()
    np.testing.assert_allclose(assembler.waveform[5 * 1600 :], waveform[5 * 1600 :], atol=1 / 32768)


def test_a_lost_last_chunk_is_filled_up_to_the_recorded_length():
    assembler = PcmAssembler(16000)
    for chunk in chunks_of(noise())[:-1]:
        assembler.push(*chunk)
    assembler.finish(16000)
    assert len(assembler.waveform) == 16000
    assert assembler.gap_frames == 1600


def test_frames_that_the_browser_lost_between_chunks_become_zeros():
    waveform = noise(0.2)
    assembler = PcmAssembler(16000)
    assembler.push(0, 0, pcm(waveform[:1600]).tobytes())
    assembler.push(1, 1600 + 384, pcm(waveform[1600:]).tobytes())
    assembler.finish(3200 + 384)
    assert assembler.gap_frames == 384
    assert not assembler.waveform[1600:1984].any()
    assert len(assembler.waveform) == 3200 + 384


def test_a_stream_does_not_wait_for_ever_for_a_missing_chunk():
    chunks = chunks_of(noise(4.0))
    assembler = PcmAssembler(16000, patience=5)
    ready = sum(len(assembler.push(*chunk)) for chunk in chunks if chunk[0] != 1)
    assert ready == 4 * 16000
    assert assembler.gap_frames == 1600
    assembler.push(*chunks[1])  # too late for the stream, not for the recording
    assembler.finish(4 * 16000)
    assert assembler.gap_frames == 0
    np.testing.assert_allclose(assembler.waveform, noise(4.0), atol=1 / 32768)


def test_a_chunk_that_arrives_twice_is_taken_once():
    chunks = chunks_of(noise(0.3))
    assembler = PcmAssembler(16000)
    for chunk in [chunks[0], chunks[0], chunks[2], chunks[2], chunks[1], chunks[1]]:
        assembler.push(*chunk)
    assembler.finish(4800)
    assert len(assembler.waveform) == 4800
    assert assembler.received == 3


def test_a_wrong_frame_number_can_not_fill_the_memory():
    assembler = PcmAssembler(16000, max_seconds=2)
    assembler.push(0, 10**12, pcm(noise(0.1)).tobytes())
    assembler.finish(10**12)
    assert len(assembler.waveform) == 2 * 16000


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_another_rate_is_resampled_to_16_khz_without_shift(rate):
    sound = tone(440, 2.0, rate)
    assembler = PcmAssembler(rate)
    pieces = [assembler.push(*chunk) for chunk in chunks_of(sound, rate // 10)] + [
        assembler.finish(len(sound))
    ]
    expected = tone(440, 2.0)
    for waveform in (assembler.waveform, np.concatenate(pieces)):
        assert len(waveform) == pytest.approx(len(expected), abs=2)
        np.testing.assert_allclose(waveform[1000:30000], expected[1000:30000], atol=0.003)


@pytest.mark.parametrize("rate", [0, -16000, 1e9, float("nan")])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(audio.AudioError, match="sample rate of the recording"):
        PcmAssembler(rate)


# --- microphone ----------------------------------------------------------------------------------------


def start(mic, name="r", rate=16000):
    mic._receive({"kind": "start", "id": name, "rate": rate})


def send(mic, chunks, name="r"):
    for seq, frame, data in chunks:
        mic._receive({"kind": "chunk", "id": name, "seq": seq, "frame": frame}, [memoryview(data)])


def end(mic, chunks, frames, name="r"):
    mic._receive({"kind": "end", "id": name, "chunks": chunks, "frames": frames, "reason": "stopped"})


def test_a_recording_becomes_a_waveform():
    mic, waveform = MicRecorder(), noise()
    mic.feed(waveform)
    assert mic.status == "done"
    assert mic.audio.dtype == np.float32
    np.testing.assert_allclose(mic.audio, waveform, atol=1 / 32768)
    assert mic.gap_seconds == 0


def test_after_stop_was_pressed_the_cell_waits_for_the_last_sound(monkeypatch):
    mic, chunks = MicRecorder(), chunks_of(noise())
    start(mic)
    send(mic, chunks[:-1])
    mic._receive({"kind": "stopping", "id": "r"})
    late = threading.Timer(1.5, lambda: (send(mic, chunks[-1:]), end(mic, len(chunks), len(noise()))))
    late.start()
    np.testing.assert_allclose(mic.audio, noise(), atol=1 / 32768)
    late.join()
    start(mic, "again")  # which nobody has stopped yet
    waits = []
    monkeypatch.setattr(mic._over, "wait", lambda timeout=None: waits.append(timeout) or False)
    with pytest.raises(audio.AudioError, match="still recording: press Stop"):
        mic.audio  # noqa: B018
    assert len(waits) <= 1, "it waits for a second at the most, not for sound that will not come"


def test_a_recording_at_the_rate_of_the_device_is_resampled():
    mic = MicRecorder()
    mic.feed(tone(440, 1.0, 44100), 44100)
    np.testing.assert_allclose(mic.audio[500:15500], tone(440)[500:15500], atol=0.003)


def test_before_a_recording_the_error_says_what_to_press():
    with pytest.raises(audio.AudioError, match="nothing recorded yet: press Record"):
        MicRecorder().audio  # noqa: B018


def test_during_a_recording_the_error_says_press_stop():
    mic = MicRecorder()
    start(mic)
    send(mic, chunks_of(noise()))
    assert mic.status == "recording"
    with pytest.raises(audio.AudioError, match="still recording: press Stop"):
        mic.audio  # noqa: B018


def test_pressing_stop_and_running_the_next_cell_at_once_gets_the_recording():
    mic, waveform = MicRecorder(), noise()
    start(mic)
    send(mic, chunks_of(waveform))
    threading.Timer(0.2, end, [mic, 10, 16000]).start()
    assert len(mic.audio) == 16000


def test_chunks_that_arrive_after_the_end_message_still_count():
    mic, waveform = MicRecorder(), noise()
    chunks = chunks_of(waveform)
    start(mic)
    send(mic, chunks[:-2])
    end(mic, 10, 16000)
    assert mic.status == "recording"
    send(mic, chunks[-2:])
    assert mic.status == "done"
    np.testing.assert_allclose(mic.audio, waveform, atol=1 / 32768)


def test_a_chunk_that_never_arrives_does_not_hold_up_the_recording():
    mic = MicRecorder()
    start(mic)
    send(mic, [chunk for chunk in chunks_of(noise()) if chunk[0] != 3])
    end(mic, 10, 16000)
    assert mic._over.wait(3)
    assert len(mic.audio) == 16000
    assert mic.gap_seconds == pytest.approx(0.1)


def test_chunks_of_an_older_recording_are_ignored():
    mic = MicRecorder()
    start(mic, "old")
    start(mic, "new")
    send(mic, chunks_of(noise(seed=1)), "old")
    send(mic, chunks_of(tone(300)), "new")
    end(mic, 10, 16000, "old")
    end(mic, 10, 16000, "new")
    np.testing.assert_allclose(mic.audio, tone(300), atol=1 / 32768)


def test_a_second_recording_replaces_the_first():
    mic = MicRecorder()
    mic.feed(noise(1.0))
    mic.feed(noise(0.5))
    assert len(mic.audio) == 8000


def test_a_recording_stops_at_the_maximum_length():
    mic = MicRecorder(max_seconds=0.75)
    mic.feed(noise(2.0))
    assert len(mic.audio) == 12000


@pytest.mark.parametrize("status", FAILURES)
def test_each_failure_is_a_status_and_an_error_that_says_what_to_do(status):
    mic = MicRecorder()
    mic._receive({"kind": "failed", "id": "r", "status": status, "detail": "NotAllowedError: no"})
    assert mic.status == status
    with pytest.raises(audio.AudioError, match=r"upload a file instead.*NotAllowedError"):
        mic.audio  # noqa: B018
    assert TEXTS[status]


def test_an_unknown_failure_is_an_error_too():
    mic = MicRecorder()
    mic._receive({"kind": "failed", "id": "r", "status": "made up"})
    assert mic.status == "error"


def test_messages_on_two_threads_lose_nothing():
    mic, waveform = MicRecorder(), noise(10.0)
    chunks = chunks_of(waveform)
    start(mic)
    threads = [threading.Thread(target=send, args=(mic, chunks[part::4])) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    end(mic, len(chunks), len(waveform))
    np.testing.assert_allclose(mic.audio, waveform, atol=1 / 32768)


def test_live_pieces_arrive_in_order_on_another_thread_and_add_up():
    mic, waveform, pieces, threads, over = MicRecorder(), noise(), [], set(), threading.Event()

    def take(piece):
        threads.add(threading.current_thread())
        pieces.append(piece)

    mic.on_chunk(take, over.set)
    start(mic)
    chunks = chunks_of(waveform)
    send(mic, [chunks[i] for i in (1, 0, 2, 3, 5, 4, 6, 7, 9, 8)])
    end(mic, 10, 16000)
    assert over.wait(5)
    np.testing.assert_array_equal(np.concatenate(pieces), mic.audio)
    assert threading.current_thread() not in threads


def test_a_slow_callback_does_not_hold_up_the_messages():
    mic, over, gate = MicRecorder(), threading.Event(), threading.Event()
    mic.on_chunk(lambda piece: gate.wait(5), over.set)
    mic.feed(noise(1.0))
    assert not over.is_set(), "all messages are through before the callback has had its first piece"
    gate.set()
    assert over.wait(5)


def test_a_callback_that_fails_is_logged_and_does_not_stop_the_others(caplog):
    mic, heard, over = MicRecorder(), [], threading.Event()

    def broken(piece):
        raise RuntimeError("a mistake of mine")

    mic.on_chunk(broken)
    mic.on_chunk(heard.append, over.set)
    mic.feed(noise(0.5))
    assert over.wait(5)
    assert len(heard) == 5
    assert len(caplog.records) == 1
    assert "a mistake of mine" in caplog.text


def test_a_callback_can_be_taken_back():
    mic, first, second, over = MicRecorder(), [], [], threading.Event()
    forget = mic.on_chunk(first.append)
    mic.on_chunk(second.append, over.set)
    forget()
    mic.feed(noise(0.2))
    assert over.wait(5)
    assert (len(first), len(second)) == (0, 2)


def test_record_waits_for_the_browser_and_returns_the_waveform():
    mic = MicRecorder()
    mic._receive({"kind": "ready"})
    waveform = noise(0.5)

    def answer(content, **_):
        assert content == {"kind": "start", "seconds": 0.5}
        threading.Timer(0.1, mic.feed, [waveform]).start()

    mic.send = answer
    np.testing.assert_allclose(asyncio.run(mic.record(0.5)), waveform, atol=1 / 32768)


def test_record_without_a_browser_says_so(monkeypatch):
    async def at_once(condition, timeout):
        return condition()

    mic = MicRecorder()
    monkeypatch.setattr(mic, "_becomes_true", at_once)
    with pytest.raises(audio.AudioError, match="no browser answered"):
        asyncio.run(mic.record(1))


@pytest.mark.parametrize("seconds", [0, -1, 31])
def test_record_refuses_a_length_that_can_not_be(seconds):
    with pytest.raises(ValueError, match="max_seconds"):
        asyncio.run(MicRecorder().record(seconds))


@pytest.mark.parametrize("seconds", [0, -5, 1e6, float("nan")])
def test_the_maximum_length_is_checked(seconds):
    with pytest.raises(ValueError, match="max_seconds"):
        MicRecorder(max_seconds=seconds)


def test_feed_refuses_what_is_no_waveform():
    with pytest.raises(audio.AudioError, match="to_mono"):
        MicRecorder().feed(np.zeros((100, 2), np.float32))


# --- A/B player ----------------------------------------------------------------------------------------


def test_all_clips_are_sent_with_one_gain_and_one_length():
    loud, soft = 2 * tone(300, level=0.9), tone(300, 0.5, level=0.09)
    player = ABPlayer({"loud": loud, "soft": soft})
    sent = [audio.load(wav) for wav in player._wavs]
    assert [len(clip) for clip in sent] == [16000, 16000]
    assert max(np.abs(sent[0])) < 0.991
    assert audio.level_db(sent[0]) - audio.level_db(sent[1][:8000]) == pytest.approx(
        audio.level_db(loud) - audio.level_db(soft), abs=0.05
    )
    assert not sent[1][8000:].any()
    assert "softer" in player._note


def test_clips_that_fit_are_not_changed():
    player = ABPlayer({"a": noise(), "b": noise(seed=1)})
    assert player.gain == 1
    np.testing.assert_allclose(audio.load(player._wavs[1]), noise(seed=1), atol=1 / 32768)
    assert player._labels == [
        f"{audio.level_db(noise()):.1f} dBFS",
        f"{audio.level_db(noise(seed=1)):.1f} dBFS",
    ]


def test_the_pictures_share_one_colour_scale_and_have_words():
    player = ABPlayer({"loud": tone(1000), "soft": tone(1000, level=0.003)})
    from matplotlib.image import imread

    def brightness(address):
        from base64 import b64decode

        return imread(io.BytesIO(b64decode(address.split(",")[1])), format="png")[..., :3].mean()

    assert brightness(player._pictures[0]) > 1.2 * brightness(player._pictures[1])
    assert player._alts[1].startswith("Log-mel spectrogram of soft, 1.0 s, -5")


def test_a_silent_clip_is_called_silent():
    assert ABPlayer({"nothing": np.zeros(1600, np.float32)})._labels == ["silent"]


@pytest.mark.parametrize(
    "clips",
    [
        {"stereo": np.zeros((100, 2), np.float32)},
        {"empty": np.zeros(0, np.float32)},
        {"broken": np.array([0.0, np.nan], np.float32)},
        {"pcm": np.zeros(100, np.int16)},
    ],
)
def test_a_clip_that_can_not_be_played_is_named(clips):
    with pytest.raises(audio.AudioError, match=next(iter(clips))):
        ABPlayer(clips)


def test_a_blind_test_needs_two_clips_and_a_player_one():
    with pytest.raises(ValueError, match="at least 1"):
        ABPlayer({})
    with pytest.raises(ValueError, match="at least 2"):
        ABPlayer({"a": noise()}, blind=True)


def test_a_perfect_listener_scores_all_and_a_guesser_half():
    clips = {"a": noise(0.1), "b": noise(0.1, seed=1)}
    perfect, guesser = ABPlayer(clips, blind=True, seed=1), ABPlayer(clips, blind=True, seed=1)
    for _ in range(60):
        heard = audio.load(perfect._hidden)
        perfect.guess("a" if np.allclose(heard, clips["a"], atol=1e-3) else "b")
        guesser.guess("a")
    assert (perfect.score, perfect.trials) == (60, 60)
    assert perfect.p_value == pytest.approx(0.5**60)
    assert 15 < guesser.score < 45
    assert guesser.p_value > 1e-3


def test_the_p_value_is_the_chance_of_guessing_as_well():
    player = ABPlayer({name: noise(0.1, seed) for seed, name in enumerate("abc")}, blind=True)
    assert player.p_value == 1
    player.answers = [("a", "a")] * 3 + [("a", "b")]
    # 3 or 4 right of 4 with chance 1/3: 4 * (1/27) * (2/3) + 1/81
    assert player.p_value == pytest.approx(9 / 81)


def test_the_answer_is_not_in_what_the_browser_gets():
    player = ABPlayer({"a": noise(0.1), "b": noise(0.1, seed=1)}, blind=True)
    state = player.get_state()
    assert "_answer" not in state and "answers" not in state
    assert state["_note"] == "" and not state["_pictures"]


def test_a_second_click_on_the_same_trial_does_not_count():
    player = ABPlayer({"a": noise(0.1), "b": noise(0.1, seed=1)}, blind=True)
    for _ in range(3):
        player._receive(None, {"kind": "guess", "trial": 1, "index": 0}, [])
    assert (player.trials, player._trial) == (1, 2)
    assert player._note.startswith(("Right: X was “a”.", "Wrong: X was “b”."))


def test_each_trial_has_a_new_x_from_the_seed():
    clips = {"a": noise(0.1), "b": noise(0.1, seed=1)}

    def answers(seed):
        player = ABPlayer(clips, blind=True, seed=seed)
        for _ in range(20):
            player.guess("a")
        return [answer for answer, _ in player.answers]

    assert answers(0) == answers(0) != answers(1)
    assert set(answers(0)) == {"a", "b"}


def test_a_wrong_guess_name_and_a_guess_at_an_open_player_are_refused():
    clips = {"a": noise(0.1), "b": noise(0.1, seed=1)}
    with pytest.raises(ValueError, match="no clip is called 'c'"):
        ABPlayer(clips, blind=True).guess("c")
    with pytest.raises(ValueError, match="blind=True"):
        ABPlayer(clips).guess("a")


def test_a_blind_test_warns_when_loudness_gives_it_away():
    clips = {"a": noise(0.1), "b": noise(0.1, level=0.05)}
    assert "6.0 dB" in ABPlayer(clips, blind=True)._note
    assert ABPlayer(clips)._note == ""


# --- spectrogram ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_fft", [64, 256, 1024, 4096])
@pytest.mark.parametrize("mel", [False, True])
def test_every_setting_gives_a_picture_with_words(n_fft, mel):
    picture = spectrogram_figure(noise(0.3), n_fft=n_fft, hop_length=n_fft // 4, mel=mel)
    assert f"{16000 / n_fft:.1f} Hz" in picture.alt
    assert picture.png().startswith(b"\x89PNG")


def test_a_tone_is_brightest_at_its_frequency():
    picture = spectrogram_figure(tone(2000), n_fft=1024)
    image = picture.axes[0].images[0]
    values, (_, _, _, top) = image.get_array(), image.get_extent()
    assert np.argmax(values.mean(axis=1)) / (len(values) - 1) * top == pytest.approx(2000, abs=16)


@pytest.mark.parametrize("bad", [{"n_fft": 4}, {"hop_length": 0}, {"hop_length": 2000}, {"window": "odd"}])
def test_a_setting_out_of_range_is_refused(bad):
    with pytest.raises(ValueError, match=r"window|n_fft"):
        spectrogram_figure(noise(0.1), **bad)


def test_silence_and_a_single_sample_can_be_drawn():
    assert spectrogram_figure(np.zeros(4000, np.float32)).png()
    assert spectrogram_figure(np.ones(1, np.float32)).png()


def test_a_control_redraws_the_picture():
    explorer = SpectrogramExplorer(noise(0.2))
    before = explorer._image.value
    explorer.controls["n_fft"].value = 128
    assert explorer.settings["hop_length"] == 128  # at most one window
    assert explorer._image.value != before
    assert 'alt="Spectrogram of 0.2 s: hann window, 8 ms' in explorer._image.value


def test_controls_moved_on_two_threads_end_with_the_picture_of_the_last_settings():
    explorer = SpectrogramExplorer(noise(0.2))

    def move(name, values):
        for value in values:
            explorer.controls[name].value = value

    moves = [("n_fft", [128, 512]), ("window", ["hamming", "boxcar"])]
    threads = [threading.Thread(target=move, args=each) for each in moves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert explorer._image.value == spectrogram_figure(noise(0.2), **explorer.settings)._repr_html_()


def test_an_unknown_setting_is_named():
    with pytest.raises(ValueError, match="hop_size"):
        SpectrogramExplorer(noise(0.1), hop_size=3)


# --- three inputs --------------------------------------------------------------------------------------


def test_a_bundled_clip_is_there_without_a_click():
    source = AudioInput({"first": noise(), "second": noise(seed=1)})
    np.testing.assert_array_equal(source.audio, noise())
    assert source.source == "bundled clip 'first'"
    source.choose("second")
    np.testing.assert_array_equal(source.audio, noise(seed=1))


def test_a_recording_is_used_when_the_microphone_is_chosen():
    source = AudioInput({"first": noise()})
    source._way.value = "microphone"
    with pytest.raises(audio.AudioError, match="nothing recorded yet"):
        source.audio  # noqa: B018
    source.mic.feed(tone(300))
    np.testing.assert_allclose(source.audio, tone(300), atol=1 / 32768)
    assert source.source == "your recording"


def test_without_bundled_clips_the_microphone_comes_first():
    source = AudioInput()
    with pytest.raises(audio.AudioError, match="nothing recorded yet"):
        source.audio  # noqa: B018


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_an_uploaded_file_becomes_the_sound(format):
    source = AudioInput({"first": noise()})
    source.upload("me.x", file_bytes(tone(440), format=format))
    assert source.source == "your file 'me.x'"
    assert len(source.audio) == pytest.approx(16000, abs=1200)  # mp3 pads
    assert audio.level_db(source.audio) == pytest.approx(audio.level_db(tone(440)), abs=0.6)


def test_a_stereo_file_of_another_rate_is_converted_and_says_so():
    stereo = np.stack([tone(440, 1.0, 44100), tone(440, 1.0, 44100)], axis=1)
    source = AudioInput()
    waveform = source.upload("cd.wav", file_bytes(stereo, 44100))
    assert waveform.shape == (16000,)
    assert source.source == "your file 'cd.wav' (2 channels mixed to one, resampled from 44100 to 16000 Hz)"
    assert "2 channels mixed to one" in source._note.value


def test_an_upload_that_is_not_what_it_seems_says_so_beside_the_button(recwarn):
    source = AudioInput()
    source.upload("inverted.wav", file_bytes(np.stack([tone(440), -tone(440)], axis=1)))
    assert "inverted.wav: its channels cancel" in source._note.value
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"this is a letter and not a sound", "can not be read as sound"),
        (b"", "can not be read as sound"),
        (file_bytes(np.zeros(0, np.float32)), "too short|no samples"),
        (file_bytes(noise(3.0)), "longer than 2 s"),
        (file_bytes(noise(1.0))[:30], "can not be read as sound"),
    ],
    ids=["text", "nothing", "no samples", "too long", "cut in the header"],
)
def test_a_bad_upload_says_why_and_does_not_hide_behind_the_bundled_clip(content, reason):
    source = AudioInput({"first": noise()}, max_seconds=2)
    with pytest.raises(audio.AudioError, match=f"me.wav: .*({reason})"):
        source.upload("me.wav", content)
    assert re.search(reason, source._note.value)
    with pytest.raises(audio.AudioError, match=reason):
        source.audio  # noqa: B018
    source.upload("good.wav", file_bytes(noise(0.5)))
    assert len(source.audio) == 8000


def press_upload(source, name, content, order=None, size=1000):
    """What the browser sends: the file in numbered parts."""
    parts = [content[start : start + size] for start in range(0, len(content), size)] or [b""]
    for index in order or range(len(parts)):
        message = {"kind": "part", "id": name, "name": name, "index": index, "parts": len(parts)}
        source._file._receive(message, [memoryview(parts[index])])
    return len(parts)


def test_the_upload_button_takes_a_file_and_shows_a_bad_one():
    source = AudioInput({"first": noise()})
    press_upload(source, "a.wav", file_bytes(tone(300)))
    assert source.source == "your file 'a.wav'"
    press_upload(source, "b.txt", b"hello")
    assert "b.txt" in source._note.value and 'role="alert"' in source._note.value
    press_upload(source, "empty.wav", b"")
    assert "empty.wav" in source._note.value and 'role="alert"' in source._note.value


def test_the_parts_of_an_upload_may_arrive_in_any_order():
    source, content = AudioInput(), file_bytes(tone(300))
    order = np.random.default_rng(0).permutation(-(-len(content) // 1000)).tolist()
    press_upload(source, "a.wav", content, order)
    np.testing.assert_allclose(source.audio, tone(300), atol=1 / 32768)


def test_an_upload_that_broke_off_does_not_mix_with_the_next():
    source = AudioInput()
    press_upload(source, "a.wav", file_bytes(tone(300)), order=[0, 1, 2])
    press_upload(source, "b.wav", file_bytes(tone(500)))
    np.testing.assert_allclose(source.audio, tone(500), atol=1 / 32768)


def test_a_file_that_is_too_big_to_send_is_named_with_its_size():
    source = AudioInput({"first": noise()})
    source._file._receive({"kind": "refused", "name": "opera.wav", "size": 400_000_000}, [])
    with pytest.raises(audio.AudioError, match=r"opera.wav: 400 MB is too much"):
        source.audio  # noqa: B018


def test_the_name_of_a_file_can_not_bring_html_into_the_page():
    source = AudioInput()
    source.upload("<script>x</script>.wav", file_bytes(tone(300)))
    assert "<script>" not in source._note.value


def test_an_unknown_bundled_clip_is_refused():
    with pytest.raises(ValueError, match="no bundled clip is called 'x'"):
        AudioInput({"first": noise()}).choose("x")


# --- all of them ---------------------------------------------------------------------------------------


def every_widget():
    clip = noise(0.2)
    return [MicRecorder(), ABPlayer({"a": clip}), SpectrogramExplorer(clip), AudioInput({"a": clip})]


@pytest.mark.parametrize("widget", every_widget(), ids=lambda widget: type(widget).__name__)
def test_each_widget_shows_plain_html_where_no_kernel_runs(widget):
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "<script" not in data["text/html"] and "<source" not in data["text/html"]
    assert data["text/html"].startswith("<")
    if type(widget) in (ABPlayer, AudioInput):
        assert "<audio controls" in data["text/html"] and 'src="data:audio/' in data["text/html"]


@pytest.mark.parametrize("widget", every_widget(), ids=lambda widget: type(widget).__name__)
def test_the_text_of_a_widget_is_the_same_in_each_run(widget):
    assert repr(widget).startswith(type(widget).__name__)
    assert "0x" not in repr(widget)


def test_no_widget_uses_pyplot():
    for file in FOLDER.glob("*.py"):
        assert not re.search(
            r"\bplt\b|pyplot", file.read_text(encoding="utf-8").replace("without pyplot", "")
        ), file


def test_the_scripts_ask_nothing_of_other_machines():
    for file in [*FOLDER.glob("*.js"), *FOLDER.glob("*.css")]:
        text = file.read_text(encoding="utf-8").replace(
            "http://www.w3.org/2000/svg", ""
        )  # a name, not an address
        assert "://" not in text, file


def test_the_settings_of_jupyterlab_are_copied_below_the_prefix(tmp_path):
    path = lab_settings.install(tmp_path)
    assert path == tmp_path / "share/jupyter/lab/settings/overrides.d/audio-speech-course.json"
    settings = json.loads(path.read_text())
    assert settings["@jupyterlab/apputils-extension:kernels-settings"]["commsOverSubshells"] == "disabled"


def test_the_wheel_carries_scripts_styles_and_settings(root):
    setuptools = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert {"*.js", "*.css"} <= set(setuptools["package-data"]["*"])
    assert setuptools["data-files"] == {
        "share/jupyter/lab/settings/overrides.d": ["course_utils/widgets/audio-speech-course.json"]
    }
