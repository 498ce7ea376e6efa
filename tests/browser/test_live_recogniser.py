"""The live recogniser in a real browser with a fake microphone; a stand-in writes a word for each half second."""

import numpy as np
import pytest
import soundfile
from lab import OUTSIDE, SPOKEN_RATE, in_kernel, run_cell, screenshot, wait_in_kernel

SHOW = """import threading, time
import numpy as np
from course_utils.decoding.partial import Partial
from course_utils.widgets.realtime import LiveRecogniser, YourVoice
class Counting:
    def stream(self, chunk_ms):
        self.samples = 0
        return self
    def push(self, chunk):
        self.samples += len(chunk)
        words = ["hello", "live", "world"] * 100
        words = words[: self.samples // 8000]
        return Partial(" ".join(words), " ".join(words[:-1]), (), self.samples / 16000)
    def finish(self):
        return self.push(np.zeros(0))
    def transcribe(self, waveform):
        return "one two"
live = LiveRecogniser(Counting(), clips={"a clip": np.full(24000, 0.1, np.float32)}, max_seconds=300)
live"""
# With the setting of the course sound comes in while a cell awaits something, with JupyterLab's while it computes.
BUSY = {
    "disabled": "import asyncio\nawait asyncio.sleep(3)",
    "perCommTarget": "end = time.monotonic() + 3\nwhile time.monotonic() < end:\n    sum(range(1000))",
}
MODES = "@jupyterlab/apputils-extension:kernels-settings"


def output(page, index: int = 0):
    return page.locator(".jp-CodeCell").nth(index).locator(".jp-OutputArea-output").first


def quiet(page) -> bool:
    return page.watch.errors == [] and page.watch.outside == []


@pytest.mark.parametrize("mode", BUSY)
def test_words_appear_while_a_cell_is_busy(lab, server, mode):
    if mode == "perCommTarget":  # JupyterLab's own default; "disabled" is what the course ships
        server.setting(MODES, commsOverSubshells=mode)
    own = f"import pathlib, course_utils.paths as p\np.own_voice_folder = lambda: pathlib.Path('{mode}')\n"
    page = lab(f"live_{mode}", own + SHOW, BUSY[mode], "live.text")
    server.setting(MODES)
    assert run_cell(page, 0) is None
    log = page.get_by_role("log")
    log.get_by_text("the words appear here").wait_for()
    screenshot(output(page), f"live_idle_{mode}")
    page.get_by_role("button", name="Start recording").click()
    page.wait_for_selector(".mic[data-status=recording]")
    log.get_by_text("hello").wait_for()
    page.evaluate(
        "() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1;"
        " window.busy = window.jupyterapp.commands.execute('notebook:run-cell'); }"
    )
    during = []
    for _ in range(6):
        page.wait_for_timeout(300)
        during.append(len(log.inner_text().split()))
    screenshot(output(page), f"live_busy_{mode}")
    assert during[-1] > during[0]
    page.evaluate("window.busy")
    wait_in_kernel(page, "live._session.seconds > 3.0")
    page.get_by_role("button", name="Stop recording").click()
    page.wait_for_selector(".mic[data-status=done]")
    assert run_cell(page, 2) is None
    seconds, text = in_kernel(page, "(len(live.audio) / 16000, live.text)")
    assert len(text.split()) == int(2 * seconds)
    assert text.startswith("hello live world hello")
    page.get_by_text("s of sound; a chunk of 160 ms takes").wait_for()
    output(page).get_by_role("button", name="Save").click()
    page.get_by_text("Saved as").wait_for()
    screenshot(output(page), f"live_done_{mode}")
    (saved,) = (server.root / mode).glob("live_*.wav")
    assert soundfile.info(saved).frames == in_kernel(page, "len(live.audio)")
    output(page).get_by_role("button", name="Clear").click()
    log.get_by_text("the words appear here").wait_for()
    assert quiet(page)


def test_without_a_microphone_a_clip_or_a_file_is_played_through(lab, launch, tmp_path):
    page = lab("live_no_device", SHOW, in_browser=launch("--use-fake-ui-for-media-stream"))
    if page.evaluate(
        "async () => (await navigator.mediaDevices.enumerateDevices()).some((d) => d.kind === 'audioinput')"
    ):
        pytest.skip("this machine has a real microphone")
    assert run_cell(page, 0) is None
    page.get_by_role("button", name="Start recording").click()
    page.wait_for_selector(".mic[data-status=no-device]")
    page.get_by_text("Or choose another input above.").wait_for()
    screenshot(output(page), "live_no_device")

    page.get_by_role("button", name="bundled clip").click()
    output(page).get_by_role("button", name="Start").click()
    page.get_by_role("log").get_by_text("hello live world").wait_for()
    screenshot(output(page), "live_clip")
    assert in_kernel(page, "(live.text, len(live.audio))") == ["hello live world", 24000]

    page.get_by_role("button", name="upload a file").click()
    soundfile.write(tmp_path / "mine.wav", np.random.default_rng(0).normal(0, 0.1, (48000, 2)), SPOKEN_RATE)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").click()
    chooser.value.set_files(tmp_path / "mine.wav")
    page.get_by_text("your file 'mine.wav'").wait_for()
    page.get_by_role("button", name="64 ms", exact=True).click()
    output(page).get_by_role("button", name="Start").click()
    page.get_by_text("a chunk of 64 ms takes").wait_for()
    wait_in_kernel(page, "live._session.finished and live.text == 'hello live' and len(live.audio) == 16000")
    screenshot(output(page), "live_upload")
    assert quiet(page)


@pytest.mark.parametrize(
    ("status", "host", "says"),
    [("denied", "127.0.0.1", "does not allow the microphone"), ("insecure", OUTSIDE, "localhost")],
)
def test_where_the_microphone_is_refused_the_other_inputs_are_offered(lab, status, host, says):
    page = lab(f"live_{status}", SHOW, host=host, microphone=False)
    assert run_cell(page, 0) is None
    page.get_by_role("button", name="Start recording").click()
    page.wait_for_selector(f".mic[data-status={status}]")
    note = page.locator(".mic .note").inner_text()
    assert says in note and note.endswith("Or choose another input above.")
    screenshot(output(page), f"live_{status}")


def test_phrases_are_read_into_the_microphone_and_kept(lab, server):
    page = lab(
        "your_voice",
        SHOW.rpartition("\n")[0] + "\nvoice = YourVoice(Counting(), ['one two', 'three'], 'voice')\nvoice",
    )
    assert run_cell(page, 0) is None
    shown = output(page)
    shown.get_by_text("phrase 1 of 2").wait_for()
    screenshot(shown, "voice_idle")
    page.get_by_role("button", name="Start recording").click()
    page.wait_for_selector(".mic[data-status=recording]")
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Stop recording").click()
    shown.get_by_text("The recogniser wrote: one two").wait_for()
    shown.get_by_text("1 of 2 phrases; word error rate 0% on 1").wait_for()
    screenshot(shown, "voice_recorded")
    page.get_by_role("button", name="Next").click()
    shown.get_by_text("phrase 2 of 2").wait_for()
    page.get_by_role("button", name="Back").click()
    shown.get_by_text("Kept:").wait_for()
    screenshot(shown, "voice_kept")
    assert sorted(path.suffix for path in (server.root / "voice").iterdir()) == [".txt", ".wav"]
    page.get_by_role("button", name="Use a demo voice").click()
    shown.get_by_text("DEMO: the virtual voice").wait_for()
    screenshot(shown, "voice_demo")
    assert in_kernel(page, "len(voice.recordings)") == 20
    assert quiet(page)
