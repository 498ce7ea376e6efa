"""What the web edition refuses, and how it turns outputs into pages."""

import base64
import importlib
import io
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile

from book import vendor

new = nbformat.v4


@pytest.fixture(scope="module")
def build():
    pytest.importorskip("nbclient", reason="the web edition is not installed (pip install -e '.[book]')")
    return importlib.import_module("book.build")


def shows(**data):
    """A notebook with one cell and this output."""
    output = new.new_output("display_data", {key.replace("_", "/", 1): value for key, value in data.items()})
    return new.new_notebook(cells=[new.new_code_cell("show()", outputs=[output])])


@pytest.mark.parametrize(
    "text", ["", "<div><script>draw()</script></div>", "<div style='height:9px'> </div>"]
)
def test_an_output_with_nothing_in_it_is_a_fault(build, text):
    assert "empty" in build.faults("00.ipynb", shows(text_html=text))[0]


def test_a_widget_without_a_static_form_is_a_fault(build, tmp_path):
    nb = shows(text_plain="Box()")
    nb.cells[0].outputs[0]["data"][build.WIDGET] = {"model_id": "1"}
    made = build.page(nb, build.Media(tmp_path))
    assert "fallback_html" in build.faults("00.ipynb", made)[0]


def test_a_picture_without_words_is_a_fault(build):
    assert "alt text" in build.faults("00.ipynb", shows(text_html='<img src="a.png" alt=" ">'))[0]
    assert "alt text" in build.faults("00.ipynb", shows(image_png="AAAA"))[0]


@pytest.mark.parametrize(
    "text", ["<p>words</p>", '<img alt="a line" src="a.png">', "<audio src='a.mp3'></audio>"]
)
def test_what_can_be_read_seen_or_heard_is_none(build, text):
    assert build.faults("00.ipynb", shows(text_html=text)) == []


def test_a_sound_becomes_a_small_file_beside_the_page_once(build, tmp_path):
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * np.sin(np.arange(16000) / 5), 16000, format="WAV")
    player = f'<audio preload="metadata" src="data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"></audio>'
    page = build.page(shows(text_html=player + player), build.Media(tmp_path))
    (file,) = (tmp_path / "media").iterdir()
    assert file.stat().st_size < len(buffer.getvalue()) / 3
    assert soundfile.info(file).duration == pytest.approx(1, abs=0.1)
    text = page.cells[0].outputs[0]["data"]["text/html"]
    assert text == 2 * f'<audio preload="none" src="media/{file.name}"></audio>'


def test_links_lead_to_pages_and_to_nothing_that_is_not_there(build):
    text = "[a](../README.md) [b](build/real.py) [c](../results/README.md#x) [d](https://a.org) [e](../notebooks/01_x.ipynb)"
    assert build.linked(text, "data/README.md") == (
        "[a](index.md) b [c](scoreboard.md#x) [d](https://a.org) [e](01_x.ipynb)"
    )


def test_a_page_that_loads_from_elsewhere_is_found(build, tmp_path):
    (tmp_path / "a.html").write_text(
        '<script src="https://a.org/x.js"></script><a href="https://b.org">b</a>'
    )
    assert build.look(tmp_path) == ["a.html loads https://a.org/x.js"]


def test_a_link_that_leads_nowhere_is_found(build, tmp_path):
    (tmp_path / "live").mkdir()
    (tmp_path / "a.html").write_text(
        '<h2 id="x y">x</h2><a href="#x%20y">1</a><a href="#z">2</a><a href="b.html">3</a>'
    )
    (tmp_path / "live" / "c.html").write_text('<a href="../a.html?q=1#x y">1</a><a href="../a.html#w">2</a>')
    assert build.look(tmp_path) == [
        "a.html leads to #z, which is not there",
        "a.html leads to b.html, which is not there",
        "live/c.html leads to ../a.html#w, which is not there",
    ]


def test_the_imports_are_a_picture_with_words(build):
    text = "```mermaid\nflowchart BT\n  subgraph layer0[ ]\n    low\n  end\n  subgraph layer1[ ]\n    high\n    top\n  end\n  high --> low\n  top --> high\n```"
    made = build.linked(text, "CONTRIBUTING.md")
    seen = build.Seen(made)
    assert (
        seen.shown == 1
        and 'aria-label="Modules of course_utils in 2 layers, from the top: high, top; low.' in made
    )
    assert made.count("<path") == 2 and "top imports high" in made and "mermaid" not in made


def test_the_first_page_has_the_notebooks_of_the_readme_without_their_figures(build):
    readme = "# x\n<!-- course:begin -->\n| a | b | c | d | e |\n|---|---|---|---|---|\n"
    readme += "| [00](notebooks/00_x.ipynb) | you | 2 min | Python | 0.3 |\n<!-- course:end -->\n| f |"
    made = build.first_page("before\n{{ notebooks }}\n{{ denoised }}", readme)
    assert made == (
        "before\n| a | b | c | d |\n|---|---|---|---|\n| [00](00_x.ipynb) | you | 2 min | Python |\n{{ denoised }}"
    )
    real = build.first_page("{{ notebooks }}", (build.ROOT / "README.md").read_text(encoding="utf-8"))
    assert real.count(".ipynb)") == len(list((build.ROOT / "notebooks").glob("0*.ipynb")))


def test_no_page_says_where_the_course_lies_on_the_machine_that_built_it(build, tmp_path):
    nb = shows(text_html="<p>x</p>")
    nb.cells[0].outputs.append(new.new_output("stream", text=f"data: {build.ROOT}/data"))
    assert build.page(nb, build.Media(tmp_path)).cells[0].outputs[1]["text"] == "data: …/data"


def test_an_executed_notebook_is_used_again_until_it_changes(build, tmp_path, capsys):
    path, kept = tmp_path / "00_a.ipynb", tmp_path / "kept"
    nb = new.new_notebook(cells=[new.new_code_cell("import os; os.getpid()")])
    nbformat.write(nb, path)
    first, second = build.execute(path, kept), build.execute(path, kept)
    assert first.cells[0].outputs == second.cells[0].outputs
    nb.cells[0].source = "1 / 0"
    nbformat.write(nb, path)
    with pytest.raises(build.BookError, match="ZeroDivisionError"):
        build.execute(path, kept)


def test_without_npm_the_message_says_what_to_install(build, tmp_path, monkeypatch):
    monkeypatch.setattr(vendor.shutil, "which", lambda _: None)
    with pytest.raises(vendor.Unavailable, match="Node"):
        vendor.MATHJAX.put(tmp_path / "mathjax")


def test_a_package_with_another_checksum_is_not_kept(tmp_path, monkeypatch):
    def pack(command, cwd, **_):
        (Path(cwd) / "other.tgz").write_bytes(b"something else")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(vendor.shutil, "which", lambda _: "npm")
    monkeypatch.setattr(vendor.subprocess, "run", pack)
    with pytest.raises(vendor.Unavailable, match="another checksum"):
        vendor.RUNTIME.put(tmp_path / "ort")
    assert not (tmp_path / "ort").exists()
