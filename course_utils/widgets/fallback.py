"""What a widget shows where no kernel runs: a plain HTML version beside the live one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from course_utils import audio, plotting


def players(clips: Mapping[str, np.ndarray], transcript: str | None = None) -> str:
    """Players of clips (time,) by name, and their spectrograms on one scale of time and of colour."""
    longest = max(map(len, clips.values()))
    padded = {name: np.pad(clip, (0, longest - len(clip))) for name, clip in clips.items()}
    return audio.compare(dict(clips), transcript).data + plotting.spectrograms(padded)._repr_html_()


class HtmlFallback:
    """Mix-in that adds `text/html` to a widget, for static pages and notebooks that are not trusted.

    JupyterLab with a kernel shows the live widget; everything else shows `fallback_html()`.
    """

    def fallback_html(self) -> str:
        """The widget without a kernel, as HTML without scripts."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict, dict]:
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        return {**data, "text/plain": repr(self), "text/html": self.fallback_html()}, metadata
