"""The piano roll on a page without a kernel, in a real browser."""

import numpy as np

from course_utils.widgets.music import PianoRoll

GRID = np.repeat(np.array([[72, 67, 64, 48], [71, 67, 62, 55], [72, 67, 64, 48]]), 16, axis=0)


def test_the_cursor_follows_the_player_on_a_static_page(launch):
    page = launch("--autoplay-policy=no-user-gesture-required").new_page()
    failures = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.set_content(PianoRoll(GRID).fallback_html() + PianoRoll(GRID[:16]).fallback_html())
    page.wait_for_function("document.querySelectorAll('audio')[1].readyState >= 1")
    cursor = page.locator("svg .cursor").first
    start = float(cursor.get_attribute("x1"))

    box = page.locator("svg").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    page.wait_for_function("document.querySelector('audio').currentTime > 1")
    middle = float(cursor.get_attribute("x1"))
    assert middle > start + 100, "a click goes to that moment"

    page.evaluate("document.querySelector('audio').play()")
    page.wait_for_function(f"+document.querySelector('svg .cursor').getAttribute('x1') > {middle} + 5")
    assert float(page.locator("svg .cursor").nth(1).get_attribute("x1")) == start, (
        "the other roll stands still"
    )
    assert not failures
