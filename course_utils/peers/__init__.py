"""Systems others made, behind one interface, for the side-by-side tables.

Nothing is better known than what it is compared with. Each peer says who it is (`name`, `kind`, `licence`,
`what`, `parameters`, `delay_ms`), whether it can be used here (`available()`), and if not, what to do about it
(`missing()`). None of them touches the network: all weights come inside packages, and
each library and weight file that is loaded by its path is compared with its checksum first (`pinned.toml`). A
peer that is not installed stays in a table as a row that says so.

    for peer in peers.enhancers():
        cleaned = peer.enhance(noisy)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from course_utils.peers.base import Enhancer, MissingPeer, Peer, Recogniser
from course_utils.peers.deepfilternet import DeepFilterNet3
from course_utils.peers.dtln import DTLN
from course_utils.peers.noise_reduce import NoiseReduce
from course_utils.peers.pocket_sphinx import PocketSphinx
from course_utils.peers.resemblyzer_encoder import Resemblyzer
from course_utils.peers.rnnoise import RNNoise
from course_utils.peers.silero import SileroVAD
from course_utils.peers.whisper import WhisperTiny

__all__ = [
    "DTLN",
    "DeepFilterNet3",
    "Enhancer",
    "MissingPeer",
    "NoiseReduce",
    "Peer",
    "PocketSphinx",
    "RNNoise",
    "Recogniser",
    "Resemblyzer",
    "SileroVAD",
    "WhisperTiny",
    "catalogue",
    "enhancers",
    "everyone",
    "measure",
    "recognisers",
    "speaker_encoders",
    "table",
    "voice_activity",
]


def enhancers(threads: int = 1) -> list[Enhancer]:
    """All peers that remove noise, installed or not, weakest first."""
    return [NoiseReduce(threads), RNNoise(threads), DTLN(threads), DeepFilterNet3(threads)]


def recognisers(threads: int = 1) -> list[Recogniser]:
    """All peers that recognise speech, installed or not."""
    return [PocketSphinx(threads=threads), WhisperTiny(threads)]


def voice_activity(threads: int = 1) -> list[SileroVAD]:
    """All peers that tell speech from the rest, installed or not."""
    return [SileroVAD(threads)]


def speaker_encoders(threads: int = 1) -> list[Resemblyzer]:
    """All peers that describe a voice, installed or not."""
    return [Resemblyzer(threads)]


def everyone(threads: int = 1) -> list[Peer]:
    """All peers of every kind."""
    return [
        *enhancers(threads),
        *recognisers(threads),
        *voice_activity(threads),
        *speaker_encoders(threads),
    ]


def measure(
    candidates: Iterable[Peer], judge: Callable[[Any], Mapping[str, float]]
) -> list[dict[str, float | str]]:
    """One row for each peer: {"system": name, **judge(peer)}, or {"system", "note"} for one not installed.

    Args:
        candidates: peers, for example `peers.enhancers()`.
        judge: takes a peer and returns its figures by column name. Only called for those available.
    """
    rows: list[dict[str, float | str]] = []
    for peer in candidates:
        sentence = peer.missing()
        rows.append({"system": peer.name, **({"note": sentence} if sentence else judge(peer))})
    return rows


class MarkdownTable(str):
    """A table in Markdown: text in a file, a drawn table in a notebook."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return str(self)


def table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, digits: int = 2
) -> MarkdownTable:
    """Rows as a Markdown table, with columns of figures to the right.

    Args:
        rows: from `measure`, with rows of one's own added. A "note" is shown in a last column.
        columns: which and in what order; None takes all in order of first appearance, without "note".
        digits: decimals of figures that are not integers.
    """
    if columns is None:
        columns = [key for key in dict.fromkeys(key for row in rows for key in row) if key != "note"]
    if not columns:
        raise ValueError("a table needs at least one row with one column")

    def is_figure(value: Any) -> bool:
        return isinstance(value, int | float | np.number)

    def cell(value: Any) -> str:
        if is_figure(value) and not isinstance(value, int | np.integer):
            value = f"{value:.{digits}f}"
        return str(value).replace("|", "\\|").replace("\n", " ")

    # A peer that is not there has no figures; its note stands in a column of its own, at the end.
    with_notes = any("note" in row for row in rows)
    lines = [[*columns, *(["note"] if with_notes else [])]]
    lines += [[cell(row.get(key, "–")) for key in lines[0][: len(columns)]] for row in rows]
    if with_notes:
        for line, row in zip(lines[1:], rows, strict=True):
            line.append(cell(row.get("note", "")))
    numeric = [any(is_figure(row.get(key)) for row in rows) for key in columns]
    rule = ["---:" if right else "---" for right in numeric] + (["---"] if with_notes else [])
    return MarkdownTable("\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]]))


def catalogue() -> MarkdownTable:
    """Who the peers are: kind, size, delay, licence, and whether they are installed here."""

    def delay(milliseconds: float | None) -> str:
        if milliseconds is None:
            return "not fixed"
        return "whole clip" if math.isinf(milliseconds) else f"{milliseconds:.0f} ms"

    rows = [
        {
            "peer": peer.name,
            "kind": peer.kind,
            "parameters": "–" if peer.parameters is None else f"{peer.parameters / 1e6:.2f} M",
            "delay": delay(peer.delay_ms),
            "licence": peer.licence,
            "here": peer.missing() or "installed",
        }
        for peer in everyone()
    ]
    return table(rows)
