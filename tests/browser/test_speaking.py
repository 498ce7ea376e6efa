"""The widgets of notebook 04 in a real browser: the map is clicked, an edge dragged, a blind test answered."""

import pytest
from lab import REPOSITORY, assert_quiet, in_kernel, output_of, run_cell, screenshot, wait_in_kernel

CELLS = {
    "model": f"""import sys, time
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
import numpy as np
from speaking_stand_in import RECORDINGS, SEXES, Humming, sound
from course_utils.widgets.tts import Durations, ListeningTest, SayIt
class Slow(Humming):
    def decode(self, plan, noise):
        time.sleep(0.3)
        return super().decode(plan, noise)
model = Slow()""",
    "say": "said = SayIt(model, 'one two', recordings=RECORDINGS, sexes=SEXES)\nsaid",
    "durations": "durations = Durations(model, 'good morning to you')\ndurations",
    "listen": """test = ListeningTest(
    {"flow": [sound(hz=200), sound(hz=250)], "guess": [sound(hz=300), sound(hz=350)]}, trials=2, seed=0)
test""",
    "busy": "end = time.monotonic() + 3\nwhile time.monotonic() < end:\n    sum(range(1000))",
}
# "disabled" is what the course ships: what is clicked while a cell runs waits. JupyterLab's own works beside it.
MODES = "@jupyterlab/apputils-extension:kernels-settings"


@pytest.fixture(scope="module", params=["disabled", "perCommTarget"])
def page(request, shared_lab, server):
    if request.param == "perCommTarget":
        server.setting(MODES, commsOverSubshells=request.param)
    page = shared_lab(f"speaking_{request.param}", *CELLS.values())
    server.setting(MODES)
    page.mode = request.param
    assert run_cell(page, 0) is None
    return page


def show(page, name: str):
    """The output of the cell with that name."""
    return output_of(page, list(CELLS).index(name))


def test_a_voice_is_clicked_on_the_map_and_speaks(page):
    shown = show(page, "say")
    dot = shown.locator("svg rect").first  # m01
    dot.click()
    wait_in_kernel(page, "said.map.shares == {'m01': 1.0}")
    page.wait_for_function("document.querySelector('.widget-dropdown select').value === 'm01'")
    shown.get_by_role("button", name="Say").click()
    wait_in_kernel(page, "said._done is not None and said._done.shares == {'m01': 1.0}")
    shown.get_by_text("recording of m01").first.wait_for()
    shown.get_by_text("model.say('one two', 'm01')").wait_for()
    wait_in_kernel(page, "not said.buttons['say'].disabled")
    screenshot(shown, f"say_it_{page.mode}")

    box = shown.locator("svg").first.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.3 * box["height"])
    wait_in_kernel(page, "len(said.map.shares) > 1")
    page.keyboard.press("ArrowUp")
    wait_in_kernel(page, "said.map.at[1] > 0.35")
    shown.locator("textarea").fill("one two three")
    shown.get_by_role("button", name="Say").click()
    shown.get_by_text("spk_emb=voice").wait_for()
    wait_in_kernel(page, "said._done is not None and said._done.text == 'one two three'")
    screenshot(shown, f"say_it_mixture_{page.mode}")

    shown.locator("textarea").fill("?!")
    shown.get_by_role("button", name="Say").click()
    shown.get_by_text("there is nothing to say").wait_for()
    shown.locator(".player").first.wait_for(state="detached")
    assert_quiet(page)


def test_an_edge_is_dragged_and_a_slider_does_the_same(page):
    shown = show(page, "durations")
    edge = shown.locator(".edge").nth(4)
    before = in_kernel(page, "len(durations.waveform)")
    box = edge.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 20
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=3)
    page.mouse.move(x + 60, y, steps=3)
    page.mouse.up()
    grown = wait_in_kernel(page, "durations.strip.frames[4] - 4")
    assert 4 <= grown <= 9  # 60 pixels, about 10 a frame
    assert in_kernel(page, "len(durations.waveform)") == before + 256 * grown
    shown.get_by_text("changed").first.wait_for()
    assert in_kernel(page, "(durations.strip.selected, durations.controls['frames'].value)") == [4, 4 + grown]
    screenshot(shown, f"durations_{page.mode}")

    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    wait_in_kernel(page, "durations.strip.frames[5] == 3")
    shown.locator("select").select_option("2: O")
    wait_in_kernel(page, "durations.strip.selected == 2")
    handle = shown.locator(".noUi-handle").nth(1)
    handle.focus()
    page.keyboard.press("ArrowRight")
    wait_in_kernel(page, "durations.strip.semitones[2] == 0.5")
    assert in_kernel(page, "durations.wait(10)")
    screenshot(shown, f"durations_slider_{page.mode}")
    shown.get_by_role("button", name="Back to the plan").click()
    wait_in_kernel(page, "durations.wait(10) and durations.changes == ({}, {})")
    assert_quiet(page)


def test_a_listening_test_is_answered_with_buttons(page):
    shown = show(page, "listen")
    for trial in (1, 2):
        shown.get_by_text(f"Trial {trial} of 2").wait_for()
        # Nobody answers before the new player is there, and one that goes sooner complains on the console.
        shown.locator(".player:not([data-old])").wait_for()
        shown.locator(".player").evaluate("(player) => { player.dataset.old = 1; }")
        screenshot(shown, f"abx_{page.mode}")
        shown.get_by_role("button", name=f"X is {in_kernel(page, 'test._x')}").click()
        wait_in_kernel(page, f"test.scores['abx']['trials'] == {trial}")
    shown.get_by_text("2 trials are too few to tell").wait_for()
    shown.get_by_role("button", name="opinion").click()
    for clip in range(1, 5):
        shown.get_by_text(f"Clip {clip} of 4").wait_for()
        shown.get_by_role("button", name=f"clip {clip} ").wait_for()
        if clip == 2:
            screenshot(shown, f"opinion_{page.mode}")
        shown.get_by_role("button", name="4 good" if clip % 2 else "3 fair").click()
        wait_in_kernel(page, f"len(test.scores['opinion']) == {clip}")
    shown.get_by_text("95 % interval").wait_for()
    shown.locator(".player").first.wait_for(state="detached")
    screenshot(shown, f"opinion_done_{page.mode}")
    shown.get_by_role("button", name="Begin again").click()
    shown.get_by_text("Clip 1 of 4").wait_for()
    shown.locator(".player").wait_for()
    assert_quiet(page)


def test_what_was_pressed_is_said_while_a_cell_is_busy(page):
    """With both settings the thread that speaks goes on; the click itself comes before the cell."""
    shown = show(page, "say")
    shown.locator("textarea").fill("one two. three four. five six")
    shown.get_by_role("button", name="Say").click()
    wait_in_kernel(page, "said._worker.busy")
    assert run_cell(page, list(CELLS).index("busy")) is None
    assert in_kernel(page, "not said._worker.busy and said._done.text") == "one two. three four. five six"
    shown.get_by_text("real-time factor").wait_for()
    shown.locator(".player").wait_for()
    assert_quiet(page)
