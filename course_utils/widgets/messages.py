"""What widgets say in words, and how one widget takes the place of another."""

from __future__ import annotations

import html
import threading
from collections.abc import Sequence

import ipywidgets as widgets

from course_utils import audio

RED, GREY = "#8f1e18", "#6b747e"
BOX = (
    "box-sizing:border-box;max-width:760px;padding:10px 14px;border:1px solid #d5d9de;border-radius:6px;"
    "background:#fff;color:#1d2329;"
)
"""The frame that widgets of HTML have in common with those of `style.css`."""


SAID = "var(--jp-ui-font-color1, #4a535c)"
GONE_WRONG = "var(--jp-error-color1, #8f1e18)"
"""Colours of words without a frame, which stand on JupyterLab's own ground, light or dark."""


def words_of(error: Exception) -> str:
    """An error in words; those of the course speak for themselves, others need their kind."""
    return str(error) if isinstance(error, audio.AudioError) else f"{type(error).__name__}: {error}"


def problem(text: str) -> str:
    """What went wrong, as HTML."""
    return f'<div role="alert" style="color:{GONE_WRONG};line-height:1.4">{html.escape(text)}</div>'


def saying(text: str) -> str:
    """What there is to say, as HTML."""
    return f'<div role="status" style="color:{SAID};line-height:1.4">{html.escape(text)}</div>'


def scrolling(lines: Sequence[str], label: str, empty: str) -> str:
    """Lines of HTML in a frame that stays at its lower end while lines are added; `empty` where there is none."""
    body = "".join(f'<div style="padding:2px 0">{line}</div>' for line in lines)
    body = body or f'<div style="color:{GREY};font-size:14px">{html.escape(empty)}</div>'
    return (
        f'<div style="{BOX}display:flex;flex-direction:column-reverse;min-height:86px;max-height:260px;overflow:auto;'
        f'font:18px/1.45 system-ui,sans-serif;overflow-wrap:anywhere"><div role="log" aria-label="{label}" '
        f'style="margin-bottom:auto">{body}</div></div>'
    )


def replace(place: widgets.Box, *children: widgets.Widget, after: float = 0.0) -> None:
    """Show other widgets in a box, and let go of those that were there.

    Args:
        place: the box.
        children: what it shows from now on.
        after: let go so many seconds later. A widget that is closed before the page has loaded it leaves an error
            on the browser's console, so what is replaced many times a second needs some.
    """
    gone, place.children = place.children, children
    if gone and after:
        timer = threading.Timer(after, _close, [gone])
        timer.daemon = True
        timer.start()
    else:
        _close(gone)


def _close(gone: tuple[widgets.Widget, ...]) -> None:
    for child in gone:
        for inner in getattr(child, "children", ()):
            inner.close()
        child.close()


def code(text: str) -> str:
    """A plain call, to be copied into a cell, as HTML."""
    return (
        '<pre style="margin:4px 0;padding:6px 10px;background:#f1f4f7;color:#1d2329;border-radius:4px;white-space:pre-wrap;'
        f'max-width:760px;line-height:1.4">{html.escape(text, quote=False)}</pre>'
    )
