"""The assistant of notebook 08 in a real browser: it is asked by a fake microphone and by a clip, and is heard."""

import pytest
from lab import REPOSITORY, assert_quiet, in_kernel, output_of, run_cell, screenshot, wait_in_kernel

SHOW = f"""import sys
sys.path.insert(0, {str(REPOSITORY)!r})
import numpy as np
from tests.test_assistant import Ears, SKILLS, Talk, said
from course_utils.models.assistant import Assistant
from course_utils.widgets.capstone import Conversation
class Level(Ears):
    def push(self, chunk):  # any sound of the fake microphone asks for the time
        loud = np.abs(chunk).max(initial=0) > 0.05
        return super().push(np.full(len(chunk), 0.1 if loud else 0.0, np.float32))
def speak(text, voice):
    for number in range(20):
        yield (0.3 * np.sin(2 * np.pi * 300 * np.arange(4000) / 16000)).astype(np.float32)
talk = lambda: Talk(("anna", "ben"), "anna", lambda seed: np.zeros(1600, np.float32))
def make(barge_in):
    return Assistant(Level, SKILLS, speak, talk(), barge_in=barge_in)
conversation = Conversation(make, {{"a question": said(1, silence=0.1)}})
conversation"""

# With the setting of the course sound comes in while a cell awaits something, with JupyterLab's while it computes.
BUSY = {
    "disabled": "import asyncio\nawait asyncio.sleep(6)",
    "perCommTarget": "while time.monotonic() < begun + 6:\n    sum(range(1000))",
}
MODES = "@jupyterlab/apputils-extension:kernels-settings"


def test_a_clip_is_answered_and_the_reply_is_heard_and_stopped(lab):
    page = lab("conversation_clip", SHOW)
    shown = output_of(page, 0, ".speaker")
    assert shown.locator(".speaker").get_attribute("data-status") == "silent", "nothing starts by itself"
    assert in_kernel(page, "len(conversation.turns)") == 0
    shown.get_by_role("button", name="Start").click()
    page.wait_for_selector(".speaker[data-status=speaking]")
    page.wait_for_function("Number(document.querySelector('.speaker').dataset.loudest) > 0.1")
    page.get_by_role("log").get_by_text("what time is it").wait_for()
    screenshot(shown, "conversation_reply")
    shown.get_by_role("button", name="Stop the reply").click()
    page.wait_for_selector(".speaker[data-status=silent]")
    wait_in_kernel(page, "conversation._session.assistant.reply is None")
    played = int(shown.locator(".speaker").get_attribute("data-played"))
    assert 0 < played < 20, "the rest was not made"
    assert_quiet(page)


@pytest.mark.parametrize("mode", BUSY)
def test_it_listens_and_replies_while_a_cell_is_busy(lab, server, mode):
    if mode == "perCommTarget":  # JupyterLab's own default; "disabled" is what the course ships
        server.setting(MODES, commsOverSubshells=mode)
    page = lab(
        f"conversation_{mode}", SHOW, f"import time\nbegun = time.monotonic()\n{BUSY[mode]}\nbegun = 0"
    )
    server.setting(MODES)
    assert run_cell(page, 0) is None
    shown = output_of(page, 0, ".speaker")
    shown.get_by_role("button", name="microphone").click()
    page.get_by_role("button", name="Start recording").click()
    page.wait_for_selector(".mic[data-status=recording]")
    page.evaluate(
        "() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1;"
        " window.busy = window.jupyterapp.commands.execute('notebook:run-cell').then(() => { window.over = true; }); }"
    )
    page.wait_for_selector(".speaker[data-status=speaking]")
    page.get_by_role("log").get_by_text("what time is it").first.wait_for()
    assert not page.evaluate("window.over || false"), "the reply came while the cell ran"
    page.evaluate("window.busy")
    page.get_by_role("button", name="Stop recording").click()
    page.wait_for_selector(".mic[data-status=done]")
    assert in_kernel(page, "(begun, conversation.turns[0].heard)") == [0, "what time is it"]
    assert_quiet(page)


def test_the_microphone_is_answered(lab):
    page = lab("conversation_microphone", SHOW)
    assert run_cell(page, 0) is None
    shown = output_of(page, 0, ".speaker")
    shown.get_by_role("button", name="microphone").click()
    page.get_by_role("button", name="Start recording").click()
    page.wait_for_selector(".mic[data-status=recording]")
    page.wait_for_selector(".speaker[data-status=speaking]")
    page.get_by_role("button", name="Stop recording").click()
    page.wait_for_selector(".mic[data-status=done]")
    page.get_by_role("log").get_by_text("what time is it").first.wait_for()
    assert in_kernel(page, "conversation.turns[0].heard") == "what time is it"
    screenshot(shown, "conversation_microphone")
    assert_quiet(page)


def test_echo_cancellation_is_asked_of_the_browser_for_that_choice(lab):
    page = lab("conversation_echo", SHOW)
    assert run_cell(page, 0) is None
    page.evaluate(
        "() => { const media = navigator.mediaDevices, real = media.getUserMedia.bind(media); window.asked = [];"
        " media.getUserMedia = (what) => { window.asked.push(what.audio.echoCancellation); return real(what); }; }"
    )
    shown = output_of(page, 0, ".speaker")
    shown.get_by_role("button", name="microphone").click()
    for way in ("loudspeaker", "browser's echo cancellation"):
        shown.get_by_role("button", name=way).click()
        wait_in_kernel(page, f"conversation.way.value == {way!r}")
        page.get_by_role("button", name="Start recording").click()
        page.wait_for_selector(".mic[data-status=recording]")
        page.get_by_role("button", name="Stop recording").click()
        page.wait_for_selector(".mic[data-status=done]")
    assert page.evaluate("window.asked") == [False, True]
    assert_quiet(page)
