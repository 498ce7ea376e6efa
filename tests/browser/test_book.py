"""The web edition of two small notebooks, as a reader sees it: with sound, offline, on a telephone, on paper."""

import functools
import importlib
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import pytest
from lab import Watch, screenshot

from book.vendor import MATHJAX

WORD = "xylophone"  # found by the search on one page alone
CELLS = [
    (
        "import ipywidgets, numpy as np\n"
        "from course_utils import audio, plotting\n"
        "from course_utils.widgets.music import PianoRoll\n"
        "tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000).astype('float32')"
    ),
    "plotting.spectrograms(tone, alt='A level line at 440 Hz')",
    "audio.play(tone, 'a tone', 'one note, and no word')",
    "PianoRoll(np.tile([72, 67, 64, 48], (16, 1)), title='a chord')",
    "ipywidgets.interact(lambda gain: print('gain is', gain), gain=(0, 4, 1));",
    "from IPython.display import Markdown; Markdown('| dB | gain |\\n|---|---|\\n| 3 | 2 |')",
    "print('a long line', 'x' * 400)",
]


@pytest.fixture(scope="module")
def build():
    pytest.importorskip("myst_nb", reason="the web edition is not installed (pip install -e '.[book]')")
    return importlib.import_module("book.build")


def notebook(path, title, words, cells):
    new = nbformat.v4
    nb = new.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    nb.cells = [new.new_markdown_cell(f"# {title}\n\n{words}"), *map(new.new_code_cell, cells)]
    nb.cells.append(new.new_markdown_cell("## Wide\n\n| a | b |\n|---|---|\n| " + "w" * 90 + " | 2 |"))
    nbformat.write(nb, path)
    return path


@pytest.fixture(scope="module")
def site(build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    paths = [
        notebook(folder / "00_sound.ipynb", "Sound", "The energy is $E = m c^2$.", CELLS),
        notebook(
            folder / "01_words.ipynb",
            "Words",
            f"Here stands the {WORD}, and `course_utils/a/path/that/is/longer/than/a/telephone/is/wide.py`.",
            ["6 * 7"],
        ),
    ]
    executed = [(path, build.execute(path, folder / "executed")) for path in paths]
    vendor = folder / "vendor"
    if shutil.which("npm") is None:
        print("npm is not installed: the book has no MathJax here, and mathematics is not looked at")
        (vendor / "mathjax").mkdir(parents=True)
        (vendor / "mathjax" / "tex-mml-chtml.js").write_text("")
    else:
        MATHJAX.put(vendor / "mathjax")
    index = "# Small\n\nBegin [here](00_sound.ipynb).\n\n```{toctree}\n:glob:\n\n0*\n```\n"
    return build.build(executed, folder / "out", {"index.md": index}, vendor)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def chromium(launch):
    return launch()


@pytest.fixture
def visit(chromium, address, site):
    contexts = []

    def go(name="00_sound.html", by_file=False, **options):
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.watch = Watch()
        page.watch.attach(page)
        page.goto(f"{site.as_uri() if by_file else address}/{name}")
        return page

    yield go
    for context in contexts:
        outside = [url for page in context.pages for url in page.watch.outside if not url.startswith("file:")]
        errors = [error for page in context.pages for error in page.watch.errors]
        context.close()
        assert outside == []
        assert errors == []


@pytest.mark.parametrize("by_file", [False, True], ids=["from a server", "from a folder"])
def test_players_have_their_sound_and_pictures_their_words(visit, by_file):
    page = visit(by_file=by_file)
    players = page.locator("audio")
    assert players.count() == 2  # the tone and the piano roll
    seconds = [
        players.nth(each).evaluate(
            "(e) => new Promise((done) => { e.onloadedmetadata = () => done(e.duration); e.onerror = () => done(0); e.load();"
            " e.preload = 'metadata'; })"
        )
        for each in range(2)
    ]
    assert seconds[0] == pytest.approx(0.5, abs=0.15)
    assert seconds[1] > 1
    pictures = page.locator("article img")
    pictures.first.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('article img')].every((e) => e.naturalWidth > 100)")
    assert pictures.evaluate_all("(all) => all.map((e) => e.alt)") == ["A level line at 440 Hz"]
    assert page.locator("svg[role=img][aria-label^='Piano roll']").count() == 1
    assert "gain: 2" in page.locator(".widget-static").first.inner_text()
    assert "gain is 2" in page.locator(".widget-static").first.inner_text()


def test_a_table_of_a_cell_is_a_table(visit):
    assert visit().locator(".cell_output table th").all_inner_texts() == ["dB", "gain"]


def test_a_sound_is_fetched_when_somebody_presses_play(visit):
    page = visit()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if url.endswith(".mp3")]


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed, so there is no MathJax")
def test_mathematics_is_set(visit):
    page = visit(by_file=True)
    page.locator("mjx-container").first.wait_for()
    assert page.locator("mjx-container").first.bounding_box()["width"] > 20


@pytest.mark.parametrize("by_file", [False, True], ids=["from a server", "from a folder"])
def test_the_search_finds_a_word(visit, by_file):
    page = visit(f"search.html?q={WORD}", by_file=by_file)
    found = page.locator("#search-results li a")
    found.first.wait_for()
    assert found.all_inner_texts() == ["Words"]


def test_dark_is_dark(visit):
    def brightness(page):
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgba()").split(",")[:3])

    light, dark = visit(color_scheme="light"), visit(color_scheme="dark")
    assert brightness(light) > 600
    assert brightness(dark) < 200
    screenshot(dark, "book_dark")


def test_a_telephone_scrolls_down_and_not_to_the_side(visit):
    for name in ("index.html", "00_sound.html", "01_words.html"):
        page = visit(name, viewport={"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
    screenshot(page, "book_telephone")


def test_paper_shows_the_text_and_no_side_bars(visit):
    page = visit()
    page.emulate_media(media="print")
    assert page.locator("h1:visible").all_inner_texts() == ["Sound"]
    assert page.locator("article p").filter(has_text="The energy is").is_visible()
    assert not page.locator(".bd-sidebar-primary").is_visible()
    assert not page.locator("audio").first.is_visible()


def test_the_download_is_the_notebook_without_outputs(visit):
    page = visit()
    link = page.locator("a[download], a.btn-download-source-button").first
    target = link.get_attribute("href")
    assert target.endswith("00_sound.ipynb")
    given = nbformat.reads(page.request.get(f"{page.url.rpartition('/')[0]}/{target}").text(), as_version=4)
    assert len(given.cells) == len(CELLS) + 2
    assert not any(cell.get("outputs") for cell in given.cells)
