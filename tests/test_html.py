"""What a learner types or names is shown as text, wherever the course writes HTML."""

from html.parser import HTMLParser

import numpy as np
import pytest

from course_utils import audio, plotting
from course_utils.widgets.ab_player import ABPlayer
from course_utils.widgets.enhancement.denoise import Comparison, Denoiser
from course_utils.widgets.music import HarmoniserExplorer, PianoRoll

HOSTILE = ("<script>alert(1)</script>", "<img/src=x/onerror=alert(1)>", "\"/onfocus='alert(1)'><b/")
CLIP = np.full(8000, 0.1, np.float32)
GRID = np.array([[72, 67, 64, 48]] * 4)


class Singer:
    """Harmonises with one chord."""

    def harmonise(self, soprano, **settings):
        return np.stack([soprano, *[np.full_like(soprano, p) for p in GRID[0, 1:]]], 1)


def typed(text):
    explorer = HarmoniserExplorer(Singer(), "C5 D5")
    explorer.text.value = text
    return explorer._note.value


def cleaned(name):
    def fails(waveform):
        raise ValueError(name)

    denoiser = Denoiser(fails)
    with pytest.raises(ValueError):
        denoiser.clean(CLIP, name)
    return denoiser._note.value


SHOWN = {
    "a typed melody": typed,
    "the title of a piano roll": lambda text: PianoRoll(GRID, title=text)._html,
    "the names and words of clips": lambda text: audio.compare({text: CLIP}, text).data,
    "a title and its words": lambda text: audio.play(CLIP, text, text).data,
    "the names of a player": lambda text: ABPlayer({text: CLIP}, text, pictures=False).fallback_html(),
    "the systems of a comparison": lambda text: Comparison(
        {text: CLIP}, [{"system": text, "si_sdr": 1.0, "gain": 0.0}], {text: ValueError(text)}
    ).table(),
    "an error of a system": cleaned,
    "the text alternative of a figure": lambda text: plotting.figure(alt=text)[0]._repr_html_(),
}


class Page(HTMLParser):
    """The elements of a page with the names of their attributes, and all its words."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, *(name for name, _ in attributes)))
        self.words += "".join(value or "" for _, value in attributes)

    def handle_data(self, data):
        self.words += data


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", SHOWN)
def test_what_is_typed_or_named_is_text_and_adds_no_element(place, text):
    page = Page(SHOWN[place](text))
    assert page.elements == Page(SHOWN[place]("harmless")).elements
    assert "alert(1)" in page.words
