"""Notebooks 00 to 02 in a real JupyterLab: every cell runs, widgets and players appear, nothing is fetched."""

import shutil

import pytest
from lab import REPOSITORY, in_kernel, run_notebook, screenshot

NOTEBOOKS = ("00_start_here", "01_speech_enhancement", "02_music_generation")

PLAYERS_THAT_FAIL = """async () => {
  const bad = [];
  for (const player of document.querySelectorAll(".jp-OutputArea audio[src]")) {
    player.load();
    const late = new Promise((done) => setTimeout(done, 5000));
    const ready = new Promise((done) => { player.onloadedmetadata = player.onerror = done; });
    await Promise.race([ready, late]);
    if (player.error || !(player.duration > 0)) bad.push(player.ariaLabel);
  }
  return bad;
}"""

VISIBLE = """async () => {
  const notebook = window.jupyterapp.shell.currentWidget.content, shown = [];
  for (const [index, cell] of notebook.widgets.entries())
    if (cell.model.type === "code" && /image\\/|text\\/html|widget-view/.test(JSON.stringify(cell.model.outputs.toJSON())))
      shown.push(index);
  return shown;
}"""

OUTPUT = """async (index) => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  await notebook.scrollToItem(index, "start");
  await new Promise((done) => setTimeout(done, 300));
  return notebook.widgets[index].node.querySelector(".jp-Cell-outputWrapper");
}"""


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda name: name[:2])
def page(shared_lab, server, request):
    shutil.copy(REPOSITORY / "notebooks" / f"{request.param}.ipynb", server.root)
    page = shared_lab(request.param)
    page.number = request.param[:2]
    return page


@pytest.mark.timeout(1800)
def test_every_cell_runs_in_jupyterlab(page):
    assert run_notebook(page, timeout=600) == {}
    for index in page.evaluate(VISIBLE):
        output = page.evaluate_handle(OUTPUT, index).as_element()
        if output:
            screenshot(output, f"nb{page.number}_cell{index:03d}")
    assert page.watch.outside == []
    assert page.watch.errors == []


def test_its_sounds_can_be_played(page):
    assert page.evaluate(PLAYERS_THAT_FAIL) == []


def test_the_bundled_clip_of_00_is_used_until_somebody_chooses_another(page):
    if page.number == "00":
        assert in_kernel(page, "chosen.source").startswith("bundled clip")
        assert in_kernel(page, "bool((waveform == chosen.audio).all())")
