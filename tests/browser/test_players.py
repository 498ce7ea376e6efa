"""The A/B player and the spectrogram explorer in a real browser."""

import json

import numpy as np
import pytest
from lab import in_kernel, run_cell, screenshot, wait_in_kernel

# Records what a player really sends to the loudspeaker, sample by sample, by listening to all that is
# connected to the destination of an AudioContext.
LISTEN = """() => {
const source = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process(inputs) {
    if (inputs[0][0]) this.port.postMessage([currentFrame, [...inputs[0][0]]]);
    return true;
  }
})`;
window.heard = [];
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...more) {
  if (target === this.context.destination) {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    window.tapped = this.context.audioWorklet.addModule(url).then(() => {
      const tap = new AudioWorkletNode(this.context, "tap", { numberOfOutputs: 0 });
      tap.port.onmessage = ({ data }) => window.heard.push(data);
      connect.call(this, tap);
    });
  }
  return connect.call(this, target, ...more);
};
}"""


def heard(page) -> tuple[np.ndarray, np.ndarray]:
    """Frame numbers and samples of what was sent to the loudspeaker."""
    blocks = json.loads(page.evaluate("JSON.stringify(window.heard)"))
    frames = np.concatenate([start + np.arange(len(samples)) for start, samples in blocks])
    return frames, np.concatenate([np.array(samples) for _, samples in blocks])


CELLS = {
    "clips": """import numpy as np
from course_utils.widgets import ABPlayer, SpectrogramExplorer
noise = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
clips = {"as it is": noise, "half": 0.5 * noise, "turned over": -noise}""",
    "compare": "open_player = ABPlayer(clips, transcript='Words that are spoken.')\nopen_player",
    "keys": "ABPlayer(clips)",
    "blind": "player = ABPlayer({name: clips[name] for name in ('as it is', 'half')}, blind=True, seed=3)\nplayer",
    "explorer": """t = np.arange(24000) / 16000
clip = (0.3 * np.sin(2 * np.pi * (300 * t + 1500 * t**2))).astype(np.float32)
clip[8000] = 1
explorer = SpectrogramExplorer(clip)
explorer""",
}


@pytest.fixture(scope="module")
def page(shared_lab):
    page = shared_lab("players", *CELLS.values())
    page.evaluate(LISTEN)
    assert run_cell(page, 0) is None
    return page


def show(page, name: str):
    """Run the cell, forget what was heard before, and return its output."""
    index = list(CELLS).index(name)
    page.evaluate("window.heard = []")
    assert run_cell(page, index) is None
    output = page.locator(".jp-CodeCell").nth(index).locator(".jp-OutputArea-output").first
    output.scroll_into_view_if_needed()
    return output


def start_to_listen(page, player):
    """Play for a moment: the tap is there only after the sound has begun, and changes the thread it is made on."""
    player.get_by_role("button", name="Play").click()
    page.wait_for_function("() => window.heard.length > 20")
    player.get_by_role("button", name="Pause").click()
    player.get_by_label("Position in seconds").fill("0")
    page.evaluate("window.heard = []")


def test_switching_stays_in_step_to_the_sample(page):
    player = show(page, "compare").locator(".player")
    start_to_listen(page, player)
    player.get_by_label("loop").check()
    player.get_by_role("button", name="Play").click()
    page.wait_for_selector(".player[data-playing=true]")
    for name in ("half", "turned over", "as it is", "half", "turned over", "as it is", "turned over"):
        page.wait_for_timeout(450)
        player.get_by_role("button", name=name).click()
    page.wait_for_timeout(450)
    screenshot(player, "ab_player")
    player.get_by_role("button", name="Pause").click()
    frames, samples = heard(page)

    # The clips are one noise with three gains, so what is heard must be that noise times a gain at one and
    # the same shift from the first switch to the last, through the loop as well.
    noise = np.random.default_rng(0).normal(0, 0.1, 32000)
    first = np.flatnonzero(np.abs(samples) > 1e-6)[0] + 800
    piece = samples[first : first + 400]
    likeness = np.abs([piece @ np.roll(noise, -start)[:400] for start in range(len(noise))])
    shift = int(np.argmax(likeness)) - frames[first]
    expected = noise[(frames + shift) % len(noise)]
    used = np.abs(expected) > 0.02
    gains = samples[used] / expected[used]
    for gain in (1.0, 0.5, -1.0):
        assert np.mean(np.abs(gains - gain) < 0.01) > 0.1, f"gain {gain} was not heard in step"
    between = ~np.any([np.abs(gains - gain) < 0.01 for gain in (1.0, 0.5, -1.0, 0.0)], axis=0)
    assert np.mean(between) < 0.05  # only the 5 ms in which one clip turns into the other
    assert len(samples) > 3 * 16000  # the loop was passed at least once
    assert page.watch.errors == []
    assert page.watch.outside == []


def test_the_keyboard_switches_seeks_and_plays(page):
    output = show(page, "keys")
    player = output.locator(".player")
    second = player.get_by_role("button", name="half")
    second.focus()
    page.keyboard.press("2")
    assert second.get_attribute("aria-pressed") == "true"
    assert player.get_by_role("button", name="as it is").get_attribute("aria-pressed") == "false"
    assert page.locator(".jp-MarkdownCell").count() == 0  # "2" is not JupyterLab's command for a heading here
    seek = player.get_by_label("Position in seconds")
    seek.focus()
    page.keyboard.press("End")
    assert player.locator(".time").inner_text() == "2.0 / 2.0 s"
    page.keyboard.press("Home")
    player.get_by_role("button", name="Play").focus()
    page.keyboard.press("Space")
    output.locator("[data-playing=true]").wait_for()
    output.locator("[data-playing=false]").wait_for(timeout=8000)  # it ends by itself
    assert player.locator(".time").inner_text() == "2.0 / 2.0 s"
    assert [player.locator("img").nth(i).get_attribute("alt")[:28] for i in range(3)] == [
        "Log-mel spectrogram of as it",
        "Log-mel spectrogram of half,",
        "Log-mel spectrogram of turne",
    ]
    assert page.watch.errors == []


def test_a_blind_test_scores_the_guesses_and_changes_x(page):
    player = show(page, "blind").locator(".player")
    start_to_listen(page, player)
    right = 0
    for trial in range(1, 6):
        answer = in_kernel(page, "player._names[player._answer]")
        assert "X was" not in player.inner_text() or trial > 1
        guess = "half" if trial == 2 else answer
        right += guess == answer
        player.get_by_role("button", name=f"X is {guess}").click()
        wait_in_kernel(page, f"player.trials == {trial}")
        page.get_by_text(f"{right} of {trial} right").wait_for()
    assert in_kernel(page, "(player.score, player.trials)") == [right, 5]
    assert in_kernel(page, "player.p_value") == pytest.approx(
        in_kernel(page, f"sum(__import__('math').comb(5, k) for k in range({right}, 6)) / 32")
    )

    # X is really played, and is the clip that the kernel says.
    player.get_by_role("button", name="X", exact=True).click()
    player.get_by_role("button", name="Play").click()
    page.wait_for_selector(".player[data-playing=true]")
    page.wait_for_timeout(1000)
    screenshot(player, "abx_player")
    player.get_by_role("button", name="Pause").click()
    _, samples = heard(page)
    level = np.std(samples[np.abs(samples) > 1e-4])
    expected = {"as it is": 0.1, "half": 0.05}[in_kernel(page, "player._names[player._answer]")]
    assert level == pytest.approx(expected, rel=0.1)
    assert page.watch.errors == []


def test_a_slider_of_the_explorer_redraws_the_spectrogram(page):
    explorer = show(page, "explorer")
    picture = explorer.locator("img")
    before = picture.get_attribute("src")
    assert "64 ms windows" in picture.get_attribute("alt")
    screenshot(explorer, "explorer")
    explorer.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowLeft")
    explorer.locator('img[alt*="32 ms windows"]').wait_for()
    assert picture.get_attribute("src") != before
    assert in_kernel(page, "explorer.settings['n_fft']") == 512
    assert page.watch.errors == []
    assert page.watch.outside == []
