"""A button that brings a file of any reasonable size from the browser to the kernel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from .fallback import HtmlFallback

FOLDER = Path(__file__).parent


class UploadButton(HtmlFallback, anywidget.AnyWidget):
    """Choose a file; `on_file(name, content)` is called with its bytes, `on_refused(name, megabytes)` if too big.

    The file comes in numbered parts, because JupyterLab drops a message of more than 10 MB silently, and
    parts may arrive on different threads.
    """

    _esm = FOLDER / "upload.js"
    _css = FOLDER / "style.css"
    max_bytes = traitlets.Int(100_000_000).tag(sync=True)

    def __init__(
        self,
        on_file: Callable[[str, bytes], object],
        on_refused: Callable[[str, float], object],
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        self._on_file, self._on_refused = on_file, on_refused
        self._lock = threading.Lock()
        self._id: str | None = None
        self._parts: dict[int, bytes] = {}
        self.on_msg(lambda _, content, buffers: self._receive(content, buffers))

    def _receive(self, content: dict, buffers: list) -> None:
        if content.get("kind") == "refused":
            self._on_refused(content["name"], content["size"] / 1e6)
        elif content.get("kind") == "part":
            with self._lock:
                if content["id"] != self._id:  # another file: forget one that was not finished
                    self._id, self._parts = content["id"], {}
                self._parts[content["index"]] = bytes(buffers[0])
                if len(self._parts) < content["parts"]:
                    return
                whole = b"".join(self._parts[index] for index in range(content["parts"]))
                self._id, self._parts = None, {}
            self._on_file(content["name"], whole)

    def fallback_html(self) -> str:
        """Nothing can be uploaded where no kernel runs."""
        return "<p><em>Open this notebook in JupyterLab to upload a file.</em></p>"

    def __repr__(self) -> str:
        return "UploadButton()"
