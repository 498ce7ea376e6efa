"""Noise explorer, denoiser and mask pad without a browser: everything that happens in the kernel."""

import base64
import io
import re
import threading

import numpy as np
import pytest
import soundfile
import torch

from course_utils import audio, features, metrics
from course_utils.widgets.enhancement import Denoiser, MaskPad, NoiseExplorer, denoise_demo
from course_utils.widgets.enhancement.mask_pad import apply_mask, ideal_ratio_mask

SECONDS = 0.6


def tone(hz=300, seconds=SECONDS, level=0.2):
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * 16000)) / 16000)).astype(np.float32)


def noise(seconds=SECONDS, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * 16000))).astype(np.float32)


def low_pass(waveform):
    spectrum = np.fft.rfft(waveform)
    spectrum[len(spectrum) // 8 :] = 0
    return np.fft.irfft(spectrum, len(waveform)).astype(np.float32)


def broken(waveform):
    raise RuntimeError("the model <b>fell</b> over")


BAD_SYSTEMS = {
    "too short": (lambda x: x[:-1], "returned 9599 samples for 9600; pad or cut"),
    "two channels": (lambda x: np.stack([x, x]), "expected a mono waveform"),
    "not a number": (lambda x: x * np.nan, "not a finite number"),
    "nothing": (lambda x: None, "expected a mono waveform"),
    "with gradients": (lambda x: torch.tensor(x, requires_grad=True), "detach"),
    "an error": (broken, "RuntimeError: the model"),
}
bad_systems = pytest.mark.parametrize(("system", "reason"), BAD_SYSTEMS.values(), ids=BAD_SYSTEMS)


@pytest.fixture
def without_pesq(monkeypatch):
    def missing(estimate, reference):
        raise metrics.MissingJudge("run: course install judges")

    monkeypatch.setattr(metrics, "pesq", missing)


# --- one comparison --------------------------------------------------------------------------------------


def test_a_comparison_holds_every_clip_and_measures_it():
    shown = denoise_demo(tone(), noise(), 5, {"low-pass": low_pass, "nothing": np.copy})
    assert list(shown.clips) == ["noisy", "low-pass", "nothing", "clean"]
    rows = {row["system"]: row for row in shown.rows}
    assert rows["noisy"]["si_sdr"] == pytest.approx(5, abs=0.3)
    assert rows["low-pass"]["gain"] == pytest.approx(9, abs=1.5)  # an eighth of the noise is left
    assert rows["nothing"]["gain"] == 0
    np.testing.assert_array_equal(shown.clips["nothing"], shown.clips["noisy"])


def test_a_loud_mixture_is_turned_down_with_its_reference():
    shown = denoise_demo(tone(level=0.9), noise(), -5, {"nothing": np.copy})
    assert np.abs(shown.clips["noisy"]).max() == pytest.approx(0.99)
    added = shown.clips["noisy"] - shown.clips["clean"]
    assert audio.level_db(shown.clips["clean"]) - audio.level_db(added) == pytest.approx(-5, abs=0.01)


def test_a_system_can_not_change_what_the_others_get():
    def greedy(waveform):
        waveform[:] = 0
        return waveform

    shown = denoise_demo(tone(), noise(), 5, {"greedy": greedy, "nothing": np.copy})
    assert not shown.clips["greedy"].any()
    assert shown.clips["nothing"].any()
    assert "nothing is left" in shown.table()


@bad_systems
def test_the_plain_function_raises_what_a_system_does_wrong(system, reason):
    with pytest.raises(Exception, match=reason.removeprefix("RuntimeError: ")) as caught:
        denoise_demo(tone(), noise(), 5, {"mine": system})
    assert "raised by the system 'mine'" in caught.value.__notes__


@pytest.mark.parametrize(
    ("speech", "sound", "reason"),
    [
        (np.zeros(9600, np.float32), noise(), "one of them is silent"),
        (tone(), np.zeros(9600, np.float32), "one of them is silent"),
        (np.zeros(0, np.float32), noise(), "too short"),
        (np.stack([tone(), tone()]), noise(), "expected a mono waveform"),
        (np.full(9600, np.nan, np.float32), noise(), "not a finite number"),
    ],
    ids=["silent speech", "silent noise", "empty", "stereo", "NaN"],
)
def test_what_can_not_be_mixed_is_refused(speech, sound, reason):
    with pytest.raises(audio.AudioError, match=reason):
        denoise_demo(speech, sound, 5, {"nothing": np.copy})


def test_a_system_can_not_take_the_name_of_another_clip():
    with pytest.raises(ValueError, match="can not be called 'clean'"):
        denoise_demo(tone(), noise(), 5, {"clean": np.copy})


@pytest.mark.judges
def test_the_table_has_pesq_where_it_is_installed():
    speech = np.concatenate([np.zeros(4000, np.float32), noise(1.0), np.zeros(4000, np.float32)])
    shown = denoise_demo(speech, noise(1.5, seed=1), 5, {"nothing": np.copy})
    assert 1 < shown.rows[0]["pesq"] < 4.7
    assert "PESQ (1.04 to 4.64)" in shown.table()


def test_without_pesq_the_table_says_how_to_get_it(without_pesq):
    shown = denoise_demo(tone(), noise(), 5, {"nothing": np.copy})
    assert "pesq" not in shown.rows[0]
    assert "course install judges" in shown.table() and "1.04" not in shown.table()


def test_a_comparison_is_shown_as_a_table_with_players():
    page = denoise_demo(tone(), noise(), 5, {"<b>mine": low_pass})._repr_html_()
    assert page.count("<audio controls") == 3
    assert '<th scope="row"' in page and "&lt;b&gt;mine" in page and "<b>mine" not in page


# --- noise explorer --------------------------------------------------------------------------------------


class Counting:
    """A system that remembers how often it ran."""

    def __init__(self):
        self.runs = 0

    def __call__(self, waveform):
        self.runs += 1
        return low_pass(waveform)


def explorer(systems=None, **settings):
    noises = {"hiss": noise(), "hum": tone(100)}
    return NoiseExplorer(tone(), noises, systems or {"low-pass": low_pass}, **settings)


def test_the_slider_and_the_menu_mix_and_clean_anew():
    shown = explorer(snr_db=5)
    assert shown.comparison.rows[0]["si_sdr"] == pytest.approx(5, abs=0.3)
    shown.controls["snr_db"].value = -5
    assert shown.comparison.rows[0]["si_sdr"] == pytest.approx(-5, abs=0.3)
    shown.controls["noise"].value = "hum"
    assert shown.comparison.rows[1]["gain"] == pytest.approx(0, abs=0.1)  # a low-pass leaves the hum
    assert list(shown.player._clips) == ["noisy", "low-pass", "clean"]
    assert "hum at -5 dB" in repr(shown)


def test_the_slider_waits_until_it_is_released():
    assert not explorer().controls["snr_db"].continuous_update


def test_the_players_that_are_gone_are_closed():
    shown = explorer()
    first = shown.player
    shown.controls["snr_db"].value = 0
    assert first.comm is None and shown.player.comm is not None


def test_the_same_settings_run_once():
    system = Counting()
    shown = explorer({"mine": system})
    shown._draw()
    shown.controls["blind"].value = True
    shown.controls["blind"].value = False
    assert system.runs == 1


def test_controls_moved_on_two_threads_end_with_the_last_settings():
    shown = explorer()

    def move(name, values):
        for value in values:
            shown.controls[name].value = value

    threads = [
        threading.Thread(target=move, args=each) for each in [("snr_db", [0, 10]), ("noise", ["hum", "hiss"])]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown.comparison.rows[0]["si_sdr"] == pytest.approx(10, abs=0.3)


@bad_systems
def test_a_system_that_fails_is_named_and_the_others_go_on(system, reason):
    shown = explorer({"mine": system, "low-pass": low_pass})
    assert list(shown.player._clips) == ["noisy", "low-pass", "clean"]
    assert "mine failed" in shown._table.value
    assert re.search(reason, shown._table.value)
    assert "<b>" not in shown._table.value
    shown.controls["snr_db"].value = 0
    assert shown.comparison.rows[0]["si_sdr"] == pytest.approx(0, abs=0.3)


def test_a_run_that_fails_shows_why_and_the_next_one_works():
    shown = NoiseExplorer(tone(), {"hiss": noise(), "none": np.zeros(1600)}, {"low-pass": low_pass})
    shown.controls["noise"].value = "none"
    assert 'role="alert"' in shown._note.value and "silent" in shown._note.value
    assert shown.player is None and shown._place.children == () and shown._table.value == ""
    assert (shown.trials, shown.score, shown.p_value) == (0, 0, 1)
    assert "silent" in shown.fallback_html()
    shown.controls["noise"].value = "hiss"
    assert shown.player is not None and shown._note.value == ""


def test_a_blind_test_has_two_clips_of_one_level_and_keeps_score():
    shown = explorer({"low-pass": low_pass, "softer": lambda x: 0.1 * x}, seed=0)
    shown.controls["blind"].value = True
    assert list(shown.player._clips) == ["low-pass", "softer"]
    levels = [audio.level_db(clip) for clip in shown.player._clips.values()]
    assert levels[0] == pytest.approx(levels[1], abs=0.01)
    assert shown.player._note == "" and shown._table.value == ""
    for _ in range(6):
        shown.player.guess(shown.player._names[shown.player._answer])
    assert (shown.trials, shown.score, shown.p_value) == (6, 6, pytest.approx(1 / 64))
    shown.controls["first"].value = "noisy"
    assert list(shown.player._clips) == ["noisy", "softer"] and shown.trials == 0
    shown.controls["blind"].value = False
    assert len(shown.player._clips) == 4 and "<table" in shown._table.value


def test_the_menus_of_the_blind_test_are_hidden_without_it():
    shown = explorer()
    assert shown.controls["first"].layout.display == "none"
    shown.controls["blind"].value = True
    assert shown.controls["first"].layout.display == ""


def test_a_blind_test_of_nothing_is_explained():
    shown = explorer({"broken": broken, "silence": np.zeros_like, "low-pass": low_pass})
    shown.controls["blind"].value = True
    assert "broken failed" in shown._note.value
    shown.controls["first"].value = "low-pass"
    assert "silence is silent" in shown._note.value
    shown.controls["second"].value = "low-pass"
    assert "two different clips" in shown._note.value
    shown.controls["second"].value = "clean"
    assert list(shown.player._clips) == ["low-pass", "clean"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((tone(), {}, {"a": np.copy}), "expected noises and systems"),
        ((tone(), {"hiss": noise()}, {}), "expected noises and systems"),
        ((tone(), {"hiss": noise()}, {"noisy": np.copy}), "can not be called 'noisy'"),
        ((np.zeros(0), {"hiss": noise()}, {"a": np.copy}), "too short"),
        ((tone(), {"hiss": np.stack([noise(), noise()])}, {"a": np.copy}), "hiss: expected a mono"),
    ],
)
def test_an_explorer_without_what_it_needs_is_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        NoiseExplorer(*arguments)


# --- denoiser --------------------------------------------------------------------------------------------


def test_the_bundled_clip_is_cleaned_at_once():
    shown = Denoiser(low_pass, {"first": noise(), "second": noise(seed=1)})
    np.testing.assert_allclose(shown.result, low_pass(noise()), atol=1e-7)
    assert list(shown._place.children[0]._clips) == ["before", "after"]
    assert shown.real_time_factor > 0
    assert re.search(
        r"Bundled clip &#x27;first&#x27;: 0.6 s cleaned in .* real-time factor .* changed by -[89]",
        shown._note.value,
    )


def test_the_button_cleans_what_is_chosen():
    shown = Denoiser(low_pass, {"first": noise(), "second": noise(seed=1)})
    shown.input.choose("second")
    shown.button.click()
    np.testing.assert_allclose(shown.result, low_pass(noise(seed=1)), atol=1e-7)
    shown.input._way.value = "microphone"
    shown.input.mic.feed(tone(100))
    shown.button.click()
    np.testing.assert_allclose(shown.result, tone(100), atol=1e-3)
    assert "Your recording" in shown._note.value and not shown.button.disabled


def test_the_result_can_be_saved_as_wav_without_clipping():
    shown = Denoiser(lambda x: 10 * x, {"first": noise()})
    address = re.search(r'href="data:audio/wav;base64,([^"]*)"', shown._download.value)[1]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(address)))
    assert rate == 16000
    assert np.abs(samples).max() == pytest.approx(0.99, abs=1e-3)
    assert np.corrcoef(samples, noise())[0, 1] > 0.9999
    assert "softer" in shown._download.value
    shown.clean(tone())
    assert 'download="cleaned.wav"' in shown._download.value


def test_pressing_before_a_recording_says_what_to_do():
    shown = Denoiser(low_pass)
    with pytest.raises(audio.AudioError, match="press “Remove the noise”"):
        shown.result  # noqa: B018
    shown.button.click()
    assert "nothing recorded yet" in shown._note.value and 'role="alert"' in shown._note.value
    assert "then press “Remove the noise”" in shown._note.value
    with pytest.raises(audio.AudioError, match="nothing recorded yet"):
        shown.result  # noqa: B018


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.zeros(16000, np.float32), "silent, so there is nothing to clean"),
        (noise(level=1e-6), "silent, so there is nothing to clean"),
        (np.zeros(0, np.float32), "too short"),
        (noise(2.5), "2 s is longer than 2 s; cut it"),
        (np.full(16000, np.nan, np.float32), "not a finite number"),
        (np.stack([noise(), noise()]), "expected a mono waveform"),
        (np.zeros(16000, np.int16), "expected floats"),
    ],
    ids=["silence", "almost silence", "empty", "too long", "NaN", "stereo", "integers"],
)
def test_a_sound_that_can_not_be_cleaned_says_why(waveform, reason):
    shown = Denoiser(low_pass, {"first": noise()}, max_seconds=2)
    with pytest.raises(audio.AudioError, match=reason):
        shown.clean(waveform)
    assert 'role="alert"' in shown._note.value and re.search(reason, shown._note.value)
    assert shown._place.children == () and shown._download.value == ""
    with pytest.raises(audio.AudioError, match=reason):
        shown.result  # noqa: B018
    shown.button.click()
    assert len(shown.result) == len(noise())


@bad_systems
def test_a_denoiser_that_fails_is_shown_and_the_widget_stays_alive(system, reason):
    shown = Denoiser(system, {"first": noise()})
    assert re.search(reason, shown._note.value) and "<b>" not in shown._note.value
    with pytest.raises(audio.AudioError, match=reason):
        shown.result  # noqa: B018
    shown._enhance = low_pass
    shown.button.click()
    assert shown.result.any()


def test_a_denoiser_may_leave_nothing():
    assert "Nothing is left" in Denoiser(np.zeros_like, {"first": noise()})._note.value


# --- mask pad --------------------------------------------------------------------------------------------


def test_an_empty_pad_changes_nothing():
    pad = MaskPad(noise())
    assert pad.mask.shape == (1 + 9600 // 256, 257) and (pad.mask == 1).all()
    np.testing.assert_allclose(pad.result, noise(), atol=1e-6)
    assert pad.result.dtype == np.float32


def test_a_painted_band_is_gone_from_the_sound():
    pad = MaskPad(tone(1000) + tone(3000))
    pad.paint(hertz=(2500, 3500))
    spectrum = np.abs(np.fft.rfft(pad.result[2000:7000]))
    assert spectrum[round(3000 * 5000 / 16000)] < 0.01 * spectrum[round(1000 * 5000 / 16000)]
    assert len(pad.result) == 9600


def test_a_rectangle_has_the_points_between_its_limits():
    pad = MaskPad(noise())
    pad.paint(seconds=(0.16, 0.32), hertz=(1000, 2000), gain=0.25)
    frames, bins = np.nonzero(pad.mask != 1)
    assert (frames.min(), frames.max(), bins.min(), bins.max()) == (10, 20, 32, 64)
    assert (pad.mask[10:21, 32:65] == 0.25).all()
    pad.paint(seconds=(0.5, 100), gain=0)  # beyond the end: as far as there is
    assert not pad.mask[32:].any()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"seconds": (0.5, 0.2)}, "the smaller first"),
        ({"seconds": (2, 3)}, "no point of the mask lies between 2 and 3 s"),
        ({"hertz": (1001, 1002)}, "no point .* one every 31.25 Hz"),
        ({"hertz": (0, float("nan"))}, "two numbers"),
        ({"gain": 1.5}, "gain: expected a number from 0"),
        ({"gain": float("nan")}, "gain: expected a number from 0"),
    ],
)
def test_a_rectangle_that_is_none_is_refused_and_changes_nothing(arguments, reason):
    pad = MaskPad(noise())
    with pytest.raises(ValueError, match=reason):
        pad.paint(**arguments)
    assert (pad.mask == 1).all()


def test_the_brush_paints_an_ellipse_around_each_point():
    pad = MaskPad(noise())
    pad.brush([(0.16, 2000)], (0.048, 312.5))
    frames, bins = np.nonzero(pad.mask == 0)
    assert (frames.min(), frames.max(), bins.min(), bins.max()) == (7, 13, 54, 74)
    assert pad.mask[7, 54] == 1  # its corners are round
    assert np.count_nonzero(pad.mask == 0) == pytest.approx(np.pi * 3 * 10, rel=0.1)


def test_a_brush_at_the_edge_or_beyond_it_does_no_harm():
    pad = MaskPad(noise())
    pad.brush([(-0.5, 4000), (5, 4000), (0.3, 20000)], (0.05, 300))
    assert (pad.mask == 1).all()
    pad.brush([(0, 0), (0.6, 8000)], (0.001, 1))  # smaller than one point
    assert np.argwhere(pad.mask == 0).tolist() == [[0, 0]] or np.count_nonzero(pad.mask == 0) == 2
    with pytest.raises(ValueError, match="finite"):
        pad.brush([(float("nan"), 0)], (0.1, 100))


def test_undo_takes_back_one_change_at_a_time_and_clear_can_be_undone():
    pad = MaskPad(noise())
    pad.undo()  # nothing to take back
    masks = [pad.mask]
    for gain in (0.5, 0.0):
        pad.paint(hertz=(0, 4000 * (1 - gain)), gain=gain)
        masks.append(pad.mask)
    pad.clear()
    assert (pad.mask == 1).all()
    for expected in reversed(masks):
        pad.undo()
        np.testing.assert_array_equal(pad.mask, expected)


def test_a_mask_can_be_assigned_and_is_checked():
    pad = MaskPad(noise())
    wanted = np.random.default_rng(0).random(pad.mask.shape)
    pad.mask = wanted
    np.testing.assert_allclose(pad.result, apply_mask(noise(), wanted), atol=1e-6)
    pad.mask[:] = 0
    assert pad.mask.any(), "what one gets is a copy"
    for bad in (wanted.T, wanted + 1, wanted - 1, wanted * np.nan, wanted * 1j):
        with pytest.raises(ValueError, match="mask"):
            pad.mask = bad


def test_the_ideal_mask_is_shown_beside_yours():
    clean, noisy = tone(), tone() + noise()
    pad = MaskPad(noisy, reference=clean)
    assert list(pad._clips()) == ["before", "after your mask", "after the ideal mask", "clean"]
    assert pad.si_sdr_gain == pytest.approx(0, abs=1e-4)
    pad.paint(hertz=(1000, 8000))
    ideal = apply_mask(noisy, ideal_ratio_mask(clean, noisy))
    ideal_gain = metrics.si_sdr(ideal, clean) - metrics.si_sdr(noisy, clean)
    assert 5 < pad.si_sdr_gain < ideal_gain
    assert f"Your mask: {pad.si_sdr_gain:+.1f} dB" in pad.canvas._note
    assert f"ideal ratio mask: {ideal_gain:+.1f} dB" in pad.canvas._note
    pad.paint()
    assert "nothing is left" in pad.canvas._note
    assert pad.player.comm is not None


def test_the_ideal_ratio_mask_is_one_for_speech_alone_and_zero_for_noise_alone():
    clean = tone()
    assert ideal_ratio_mask(clean, clean)[np.abs(features.stft(clean)) > 1].min() == pytest.approx(
        1, abs=1e-3
    )
    assert ideal_ratio_mask(np.zeros_like(clean), noise()).max() < 1e-3
    assert ideal_ratio_mask(noise(), 2 * noise()).mean() == pytest.approx(np.sqrt(0.5), abs=1e-3)


def test_a_pad_without_reference_has_no_score():
    with pytest.raises(ValueError, match="reference=clean"):
        MaskPad(noise()).si_sdr_gain  # noqa: B018
    assert "SI-SDR" not in MaskPad(noise()).canvas._note


@pytest.mark.parametrize(
    ("noisy", "reference", "reason"),
    [
        (np.zeros(9600, np.float32), None, "silent, so there is nothing to draw on"),
        (np.zeros(0, np.float32), None, "too short"),
        (noise(31), None, "31 s is too much to draw on"),
        (np.full(9600, np.nan, np.float32), None, "not a finite number"),
        (np.stack([noise(), noise()]), None, "expected a mono waveform"),
        (noise(), noise(0.5), "8000 samples, but noisy has 9600"),
        (noise(), np.zeros(9600, np.float32), "reference: it is silent"),
    ],
    ids=["silence", "empty", "too long", "NaN", "stereo", "another length", "silent reference"],
)
def test_a_pad_of_nothing_is_refused(noisy, reference, reason):
    with pytest.raises(audio.AudioError, match=reason):
        MaskPad(noisy, reference)


def press(pad, **command):
    """What the browser sends."""
    pad.canvas._handle_custom_msg(command, [])


def test_what_the_browser_draws_arrives_in_the_mask():
    pad = MaskPad(noise())
    press(pad, kind="brush", points=[[0.16, 2000], [0.17, 2000]], radius=[0.048, 312.5], gain=0)
    assert pad.mask[10, 64] == 0
    assert np.frombuffer(pad.canvas._mask, np.uint8).reshape(pad.mask.shape)[10, 64] == 0
    press(pad, kind="paint", seconds=[0, 0.1], hertz=[0, 8000], gain=0.5)
    assert (pad.mask[:6] == 0.5).all() and (pad.mask[7:9, :40] == 1).all()
    press(pad, kind="undo")
    assert (pad.mask[:6] == 1).all() and pad.mask[10, 64] == 0
    press(pad, kind="clear")
    assert (pad.mask == 1).all() and "0 % of the picture removed" in pad.canvas._note


def test_a_bad_number_field_is_explained_and_forgotten_with_the_next_change():
    pad = MaskPad(noise())
    press(pad, kind="paint", seconds=[None, 0.1], hertz=[0, 8000], gain=0)
    assert "fill in all four numbers" in pad.canvas._problem
    press(pad, kind="paint", seconds=[0.3, 0.1], hertz=[0, 8000], gain=0)
    assert "the smaller first" in pad.canvas._problem and (pad.mask == 1).all()
    press(pad, kind="paint", seconds=[0.1, 0.3], hertz=[0, 8000], gain=0)
    assert pad.canvas._problem == ""


# --- all of them -----------------------------------------------------------------------------------------


def every_widget():
    return [explorer(), Denoiser(low_pass, {"first": noise()}), MaskPad(noise(), reference=tone())]


@pytest.mark.parametrize("widget", every_widget(), ids=lambda widget: type(widget).__name__)
def test_each_shows_pictures_and_players_where_no_kernel_runs(widget):
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "<script" not in data["text/html"] and "<source" not in data["text/html"]
    assert data["text/html"].startswith("<") and data["text/html"].count("<audio controls") >= 2
    assert re.search(r'<img [^>]*alt="(Log-mel s|S)pectrogram of', data["text/html"])
    assert data["text/plain"].startswith(type(widget).__name__) and "0x" not in data["text/plain"]


def test_a_denoiser_without_a_result_still_has_a_static_page():
    assert "Open this notebook" in Denoiser(low_pass).fallback_html()


def test_the_words_of_the_speech_stand_beside_it():
    shown = explorer(transcript="Words & more")
    assert shown.player._transcript == "Words & more" and "Words &amp; more" in shown.fallback_html()
    pad = MaskPad(noise(), transcript="Words & more")
    assert pad.player._transcript == "Words & more" and "Words &amp; more" in pad.fallback_html()
