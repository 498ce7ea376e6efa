"""What a widget shows where no kernel runs: a plain HTML version beside the live one."""

from __future__ import annotations


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
