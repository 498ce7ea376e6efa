"""The widgets of notebooks 05 and 06 in a real browser: a voice is recorded, agreed to, cloned, saved, deleted."""

import re

import pytest
from lab import REPOSITORY, assert_quiet, in_kernel, output_of, run_cell, screenshot, wait_in_kernel

CELLS = {
    "model": f"""import sys, threading, pathlib
sys.path.insert(0, {str(REPOSITORY)!r})
import numpy as np
from course_utils.widgets.cloning import CloneDemo, ConvertDemo, VoiceMap
from tests.cloning_stand_in import PAIRS, PITCHES, RECORDINGS, REFERENCES, Copies, embed
from tests.speaking_stand_in import sound
copies, folder = Copies(), pathlib.Path("mine").absolute()
files = lambda: sorted(file.suffix for file in folder.glob("*"))""",
    "clone": """voices = VoiceMap.of(embed, {name: sound(0.3, hz) for name, hz in PITCHES.items()})
demo = CloneDemo(copies.clone, REFERENCES, recordings=RECORDINGS, folder=folder, map=voices)
demo""",
    "convert": """other = ConvertDemo(copies.convert, PAIRS, REFERENCES, folder=folder)
other""",
    "map": "voices",
}
# "disabled" is what the course ships: what is clicked while a cell runs waits. JupyterLab's own works beside it.
MODES, THEME = "@jupyterlab/apputils-extension:kernels-settings", "@jupyterlab/apputils-extension:themes"


@pytest.fixture(scope="module", params=["disabled", "perCommTarget"])
def page(request, shared_lab, server):
    if request.param == "perCommTarget":  # and dark, for the pictures
        server.setting(MODES, commsOverSubshells=request.param)
        server.setting(THEME, theme="JupyterLab Dark")
    page = shared_lab(f"cloning_{request.param}", *CELLS.values())
    server.setting(MODES)
    server.setting(THEME)
    page.set_viewport_size({"width": 1100, "height": 1900})  # the whole widget in a picture
    page.mode = request.param
    assert run_cell(page, 0) is None
    return page


def show(page, name: str):
    """The output of the cell with that name."""
    return output_of(page, list(CELLS).index(name), ".player, svg")


def press(shown, name: str):
    shown.get_by_role("button", name=re.compile(f"{name}$")).click()  # an icon may stand before


def record(page, shown, place: int = 0):
    """Record what the fake microphone hears with the recorder of one of the inputs."""
    shown.get_by_role("button", name="microphone").nth(place).click()
    shown.get_by_role("button", name="Start recording").click()
    shown.locator(".mic[data-status=recording]").wait_for()
    page.wait_for_timeout(2500)
    shown.get_by_role("button", name="Stop recording").click()
    shown.locator(".mic[data-status=done]").wait_for()


def agree(shown):
    for label, words in {"speaker": "Ann", "given by": "Ann", "purpose": "to hear myself"}.items():
        shown.get_by_label(label, exact=True).fill(words)
    shown.get_by_label("purpose", exact=True).blur()


def settled(page, shown, condition: str):
    """The player of this run is there and loaded."""
    wait_in_kernel(page, condition)
    shown.locator(".player").wait_for()
    page.wait_for_timeout(300)


def test_your_voice_is_recorded_agreed_to_cloned_saved_and_deleted(page):
    shown = show(page, "clone")
    screenshot(shown, f"clone_{page.mode}")
    assert not shown.get_by_label("speaker", exact=True).is_visible()
    record(page, shown)
    shown.get_by_label("speaker", exact=True).wait_for()
    press(shown, "Clone")
    shown.get_by_text("fill in speaker, given by, purpose in the form").wait_for()
    shown.locator(".player").wait_for(state="detached")
    assert in_kernel(page, "len(copies.asked)") == 1  # the one at the start
    screenshot(shown, f"clone_refused_{page.mode}")

    agree(shown)
    wait_in_kernel(page, "demo.form.fields['purpose'].value == 'to hear myself'")
    press(shown, "Clone")
    settled(page, shown, "len(copies.asked) == 2 and demo._made is not None")
    assert in_kernel(page, "copies.asked[-1][2].given_by") == "Ann"
    seconds = in_kernel(page, "len(copies.asked[-1][0]) / 16000")
    assert 1.5 < seconds < 14.9  # a busy machine sees Stop late
    assert in_kernel(page, "float(np.abs(copies.asked[-1][0]).max())") > 0.1
    shown.get_by_text("consent = cloning.Consent").wait_for()
    assert shown.locator(".player .clip").count() == 2
    screenshot(shown, f"clone_own_{page.mode}")

    press(shown, "Save")
    shown.get_by_text("Saved with the consent beside it").wait_for()
    assert in_kernel(page, "sorted(file.suffixes[0] for file in folder.glob('clone*'))") == [".wav", ".wav"]
    assert in_kernel(page, "len(list(folder.glob('clone*.consent.json')))") == 1
    press(shown, "Delete everything of my voice")
    shown.get_by_text("This deletes what you recorded").wait_for()
    screenshot(shown, f"clone_delete_{page.mode}")
    press(shown, "Press again to delete")
    shown.get_by_text("Deleted here and in").wait_for()
    assert in_kernel(page, "files()") == []
    assert not shown.locator(".mic").count() and not shown.locator(".player").count()
    shown.get_by_role("button", name="microphone").click()
    shown.locator(".mic[data-status=idle]").wait_for()
    assert not shown.locator(".mic audio[src]").count()  # the page has let go of it, too
    assert shown.get_by_label("speaker", exact=True).input_value() == ""
    assert_quiet(page)


def test_clone_and_real_voice_are_told_apart_blind_with_the_keyboard(page):
    shown = show(page, "clone")
    box = shown.get_by_label("blind test: clone or real f01?")
    box.focus()
    page.keyboard.press("Space")
    shown.locator(".player.blind").wait_for()
    answer = in_kernel(page, "demo._place.children[0]._names[demo._place.children[0]._answer]")
    screenshot(shown, f"clone_blind_{page.mode}")
    button = shown.get_by_role("button", name=f"X is {answer}")
    button.focus()
    page.keyboard.press("Enter")
    shown.get_by_text("1 of 1 right").wait_for()
    page.keyboard.press("Tab")
    handle = shown.locator(".noUi-handle").first
    handle.focus()
    page.keyboard.press("ArrowRight")
    wait_in_kernel(page, "demo.controls['guidance'].value == 0.75")
    shown.locator("textarea").fill("a new text")
    shown.get_by_role("button", name=re.compile("Clone$")).focus()
    page.keyboard.press("Enter")
    settled(page, shown, "demo._made is not None and demo._made.asked.said['clone'] == 'a new text'")
    assert in_kernel(page, "copies.asked[-1][3]") == 0.75
    assert not shown.get_by_label("blind test").is_visible()
    assert_quiet(page)


def test_a_run_is_cancelled_and_the_next_one_comes(page):
    shown = show(page, "clone")
    in_kernel(page, "setattr(copies, 'gate', threading.Event())")
    press(shown, "Clone")
    shown.locator("progress").wait_for()
    screenshot(shown, f"clone_working_{page.mode}")
    press(shown, "Cancel")
    shown.get_by_text("Cancelled.").wait_for()
    in_kernel(page, "(copies.gate.set(), setattr(copies, 'gate', None))[1]")
    wait_in_kernel(page, "not demo._worker.busy")
    assert not shown.locator(".player").count()
    press(shown, "Clone")
    settled(page, shown, "demo._made is not None")
    assert_quiet(page)


def test_the_map_shows_reference_and_clone_and_names_what_is_clicked(page):
    assert run_cell(page, list(CELLS).index("clone")) is None
    shown = show(page, "map")
    assert shown.locator("svg path").count() == 2
    shown.get_by_text("(nearest voice)").first.wait_for()
    screenshot(shown, f"voice_map_{page.mode}")
    shown.locator("svg rect").first.click()
    wait_in_kernel(page, "voices.chosen == 'm01'")
    page.keyboard.press("ArrowRight")
    wait_in_kernel(page, "bool(voices.at[0] != voices.points[2][0])")
    assert "Map of 6" in shown.locator("svg").get_attribute("aria-label")
    assert_quiet(page)


def test_a_source_is_converted_to_a_target_at_a_pitch(page):
    shown = show(page, "convert")
    shown.locator("select").nth(1).select_option("m01, male")
    wait_in_kernel(page, "other.target.chosen_clip == 'm01, male'")
    press(shown, "Convert")
    settled(page, shown, "other._made is not None and other.truth is not None")
    assert shown.locator(".player .clip").count() == 4
    screenshot(shown, f"convert_{page.mode}")

    shown.get_by_label("to the target's pitch").uncheck()
    wait_in_kernel(page, "not other.controls['pitch'].disabled")
    handle = shown.locator(".noUi-handle").first
    handle.focus()
    page.keyboard.press("ArrowLeft")
    wait_in_kernel(page, "other.controls['pitch'].value == -0.5")
    record(page, shown, place=1)
    shown.get_by_label("speaker", exact=True).wait_for()
    press(shown, "Convert")
    shown.get_by_text("fill in speaker, given by, purpose in the form").wait_for()
    agree(shown)
    wait_in_kernel(page, "other.form.fields['purpose'].value == 'to hear myself'")
    press(shown, "Convert")
    settled(page, shown, "other._made is not None and other._made.asked.consent is not None")
    assert in_kernel(page, "copies.asked[-1][3]") == -0.5
    shown.get_by_text("consent, pitch=-0.5").wait_for()
    screenshot(shown, f"convert_own_{page.mode}")
    press(shown, "Save")
    shown.get_by_text("Saved with the consent beside it").wait_for()
    press(shown, "Delete everything of my voice")
    press(shown, "Press again to delete")
    shown.get_by_text("Deleted here and in").wait_for()
    assert in_kernel(page, "files()") == []
    assert_quiet(page)
