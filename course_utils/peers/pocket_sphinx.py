"""PocketSphinx: hidden Markov models and a word lattice, the streaming recogniser from before networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_utils import audio
from course_utils.peers.base import Recogniser, import_from


class PocketSphinxStream:
    """A running recognition: `push` chunks of any size, read partial results, then `finish`."""

    def __init__(self, decoder: Any):
        self._decoder = decoder
        self._any_sound = False
        decoder.start_utt()

    def _text(self) -> str:
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis is not None else ""

    def push(self, chunk: np.ndarray) -> str:
        """Hear a chunk (time,) and return the text so far, which may still change."""
        chunk = audio.check(chunk, "chunk")
        if len(chunk):
            self._decoder.process_raw(_pcm(chunk))
            self._any_sound = True
        return self._text() if self._any_sound else ""

    def finish(self) -> str:
        """Return the final text. The stream is used up."""
        self._decoder.end_utt()
        return self._text() if self._any_sound else ""


def _pcm(waveform: np.ndarray) -> bytes:
    return (np.clip(waveform, -1, 1) * 32767).astype("<i2").tobytes()


class PocketSphinx(Recogniser):
    """PocketSphinx 5 with its US English model, free or held to a list of words or a grammar.

    Args:
        words: allow only these words, any number of them in any order, for example the ten digits.
        grammar: or a whole grammar in JSGF.
        threads: has no effect, it uses one.
    """

    name = "PocketSphinx"
    licence = "BSD-2-Clause"
    delay_ms = None
    what = "Hidden Markov models with a trigram language model or a grammar; streaming, partial results."

    def __init__(self, words: Sequence[str] | None = None, grammar: str | None = None, threads: int = 1):
        super().__init__(threads)
        if words is not None and grammar is not None:
            raise ValueError("give words or a grammar, not both")
        if words is not None and not words:
            raise ValueError("the list of words is empty, so nothing could be recognised")
        self.words = None if words is None else [word.lower() for word in words]
        self.grammar = grammar

    def _find(self) -> None:
        import_from("pocketsphinx", "pocketsphinx")

    def _decoder(self) -> Any:
        # A new decoder each time: it adapts to the channel, and results would depend on what it heard before.
        pocketsphinx = import_from("pocketsphinx", "pocketsphinx")
        if self.words is None and self.grammar is None:
            return pocketsphinx.Decoder(loglevel="FATAL", samprate=float(audio.SAMPLE_RATE))
        decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL", samprate=float(audio.SAMPLE_RATE))
        if self.words is not None:
            unknown = [word for word in self.words if decoder.lookup_word(word) is None]
            if unknown:
                raise ValueError(
                    f"not in PocketSphinx's dictionary: {', '.join(unknown)}; spell or drop them"
                )
        grammar = self.grammar or (
            f"#JSGF V1.0; grammar words; public <words> = ( {' | '.join(self.words or [])} )+;"
        )
        try:
            decoder.add_jsgf_string("course", grammar)
            decoder.activate_search("course")
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"PocketSphinx can not use this grammar ({error}): {grammar}") from error
        return decoder

    def stream(self) -> PocketSphinxStream:
        """Start recognising a stream. Raises MissingPeer where it is not installed."""
        self._ready(np.zeros(0, dtype=np.float32))
        return PocketSphinxStream(self._decoder())

    def _transcribe(self, waveform: np.ndarray) -> str:
        decoder = self._decoder()
        decoder.start_utt()
        # The whole clip at once, so that its mean is removed over all of it.
        decoder.process_raw(_pcm(waveform), full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return hypothesis.hypstr if hypothesis is not None else ""
