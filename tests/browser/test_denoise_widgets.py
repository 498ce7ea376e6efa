"""The widgets of the enhancement lesson in a real browser: sliders, buttons, and a mask drawn by hand."""

import io

import numpy as np
import pytest
import soundfile
from lab import assert_quiet, in_kernel, output_of, run_cell, screenshot, wait_in_kernel

CELLS = {
    "sounds": """import numpy as np
from course_utils import audio, data, noise
from course_utils.widgets.enhancement import Denoiser, MaskPad, NoiseExplorer
line = data.speech("test", kind="phrase")[0]
speech = line.audio
noises = {"fan": noise.fan(3, 0), "hum": noise.hum(3, 0)}
def low_pass(waveform):
    spectrum = np.fft.rfft(waveform)
    spectrum[len(spectrum) // 2:] = 0
    return np.fft.irfft(spectrum, len(waveform))
def broken(waveform):
    raise RuntimeError("out of memory")
noisy = audio.mix(speech, noises["fan"], 5)[0]""",
    "explorer": """explorer = NoiseExplorer(
    speech, noises, {"low-pass": low_pass, "half": lambda x: x / 2, "broken": broken}, transcript=line.text, seed=0)
explorer""",
    "denoiser": """denoiser = Denoiser(low_pass, {"fan at 5 dB": noisy, "clean": speech})
denoiser""",
    "pad": """pad = MaskPad(noisy, reference=speech, transcript=line.text)
pad""",
}


@pytest.fixture(scope="module")
def page(shared_lab):
    page = shared_lab("denoise", *CELLS.values())
    assert run_cell(page, 0) is None
    return page


def show(page, name: str):
    """The output of the cell with that name."""
    return output_of(page, list(CELLS).index(name))


def test_moving_the_slider_mixes_anew_and_the_blind_test_keeps_score(page):
    explorer = show(page, "explorer")
    screenshot(explorer, "noise_explorer")
    assert explorer.locator(".player .clip").count() == 4
    assert "broken failed: RuntimeError: out of memory" in explorer.inner_text()

    slider = explorer.locator(".noUi-handle").first
    slider.focus()
    page.keyboard.press("ArrowLeft")
    wait_in_kernel(page, "abs(explorer.comparison.rows[0]['si_sdr'] - 4) < 0.5 if explorer.comparison else 0")
    explorer.locator("select").first.select_option("hum")
    wait_in_kernel(page, "explorer._heard == ('hum', 4)")
    explorer.locator(".player:not(.blind)").wait_for()
    assert explorer.locator(".player").count() == 1

    explorer.get_by_label("blind test of two clips").check()
    blind = explorer.locator(".player.blind")
    blind.wait_for()
    assert not explorer.locator("table").count()
    for trial in range(1, 4):
        answer = in_kernel(page, "explorer.player._names[explorer.player._answer]")
        blind.get_by_role("button", name=f"X is {answer}").click()
        wait_in_kernel(page, f"explorer.trials == {trial}")
    page.get_by_text("3 of 3 right; the chance to do so well by guessing is 0.12").wait_for()
    screenshot(explorer, "noise_explorer_blind")
    assert in_kernel(page, "(explorer.score, explorer.p_value)") == [3, 0.125]
    assert_quiet(page)


def test_the_button_removes_the_noise_and_the_result_can_be_saved(page):
    denoiser = show(page, "denoiser")
    denoiser.locator("select").first.select_option("clean")
    denoiser.get_by_role("button", name="Remove the noise").click()
    denoiser.get_by_text("Bundled clip 'clean':").wait_for()
    wait_in_kernel(page, "not denoiser.button.disabled")
    assert in_kernel(page, "bool(np.allclose(denoiser.result, low_pass(speech), atol=1e-6))")
    with page.expect_download() as saved:
        denoiser.get_by_role("link", name="Save the result as wav").click()
    assert saved.value.suggested_filename == "cleaned.wav"
    samples, rate = soundfile.read(io.BytesIO(saved.value.path().read_bytes()))
    assert (rate, len(samples)) == (16000, in_kernel(page, "len(speech)"))
    screenshot(denoiser, "denoiser")

    denoiser.get_by_role("button", name="microphone").click()
    # The recorder moves the button below it: a press that falls into that moment misses it.
    denoiser.get_by_role("button", name="Start recording").wait_for()
    denoiser.get_by_role("button", name="Remove the noise").click()
    denoiser.get_by_text("nothing recorded yet").wait_for()
    assert not denoiser.locator(".player").count()
    screenshot(denoiser, "denoiser_problem")
    assert_quiet(page)


def test_what_is_drawn_with_the_mouse_is_masked_in_the_kernel(page):
    pad = show(page, "pad")
    canvas = pad.locator("canvas")
    box = canvas.bounding_box()
    left, top, width, height = box["x"] + 46, box["y"] + 6, box["width"] - 54, 257
    page.mouse.move(left + 0.2 * width, top + 0.25 * height)
    page.mouse.down()
    page.mouse.move(left + 0.6 * width, top + 0.25 * height, steps=4)
    page.mouse.up()
    wait_in_kernel(page, "float(pad.mask.min()) == 0")
    frames, bins = in_kernel(page, "[[int(i.min()), int(i.max())] for i in np.nonzero(pad.mask == 0)]")
    count = in_kernel(page, "len(pad.mask)")
    brush = 12 / width * count, 12
    np.testing.assert_allclose(frames, [0.2 * count - brush[0], 0.6 * count + brush[0]], atol=2)
    np.testing.assert_allclose(bins, [192 - brush[1], 192 + brush[1]], atol=2)
    assert in_kernel(
        page, "bool((pad.mask[round(0.2 * len(pad.mask)):round(0.6 * len(pad.mask)), 192] == 0).all())"
    )
    pad.get_by_text("% of the picture removed").wait_for()

    # The same with numbers, with the keyboard alone, and half of it.
    gain = pad.get_by_label("Brush gain")
    gain.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    for label, value in {
        "From hertz": "0",
        "To hertz": "100",
        "From second": "0",
        "To second": "0.5",
    }.items():
        pad.get_by_label(label, exact=True).fill(value)
    pad.get_by_role("button", name="Paint rectangle").focus()
    page.keyboard.press("Enter")
    wait_in_kernel(page, "bool((pad.mask[:30, :4] == 0.5).all())")
    pad.locator(".player").wait_for()
    page.wait_for_timeout(300)
    screenshot(pad, "mask_pad")

    pad.get_by_label("To second", exact=True).fill("")
    pad.get_by_role("button", name="Paint rectangle").click()
    pad.get_by_text("fill in all four numbers").wait_for()
    page.keyboard.press("Control+z")
    wait_in_kernel(page, "bool(pad.mask[0, 0] == 1 and pad.mask.min() == 0)")
    pad.get_by_role("button", name="Clear").click()
    wait_in_kernel(page, "float(pad.mask.min()) == 1")
    pad.get_by_role("button", name="Undo").click()
    wait_in_kernel(page, "float(pad.mask.min()) == 0")
    assert "Spectrogram of" in canvas.get_attribute("aria-label")
    assert pad.locator(".player").count() == 1
    assert_quiet(page)
