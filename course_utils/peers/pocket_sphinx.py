"""PocketSphinx: hidden Markov models and a word lattice, the streaming recogniser from before networks."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
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


def bigrams(sentences: Sequence[Sequence[str]]) -> str:
    """A bigram language model of sentences (words each) in ARPA format, smoothed as by Witten and Bell (1991)."""
    rows = [["<s>", *sentence, "</s>"] for sentence in sentences]
    words = Counter(word for row in rows for word in row)
    pairs = Counter(pair for row in rows for pair in pairwise(row))
    follow, total = Counter(first for first, _ in pairs), sum(words.values())
    alone = {word: (count + 1) / (total + len(words)) for word, count in words.items()}
    seen = Counter()
    for first, second in pairs:
        seen[first] += alone[second]
    lines = ["\\data\\", f"ngram 1={len(words)}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    for word, count in words.items():
        backoff = follow[word] / (follow[word] + count) / (1 - seen[word]) if follow[word] else 1.0
        lines.append(f"{math.log10(alone[word]):.4f} {word} {math.log10(backoff):.4f}")
    lines += ["", "\\2-grams:"]
    for (first, second), count in pairs.items():
        lines.append(f"{math.log10(count / (words[first] + follow[first])):.4f} {first} {second}")
    return "\n".join([*lines, "", "\\end\\", ""])


class PocketSphinx(Recogniser):
    """PocketSphinx 5 with its US English model, free or held to a list of words or a grammar.

    Args:
        words: allow only these words, any number of them in any order, for example the ten digits.
        grammar: or a whole grammar in JSGF.
        sentences: or what sentences like these (words each) are made of, by their bigrams; quicker than a grammar
            of many words.
        threads: has no effect, it uses one.
    """

    name = "PocketSphinx"
    licence = "BSD-2-Clause"
    delay_ms = None
    what = "Hidden Markov models with a trigram language model or a grammar; streaming, partial results."

    def __init__(
        self,
        words: Sequence[str] | None = None,
        grammar: str | None = None,
        threads: int = 1,
        sentences: Sequence[Sequence[str]] | None = None,
    ):
        super().__init__(threads)
        if sum(given is not None for given in (words, grammar, sentences)) > 1:
            raise ValueError("give words or a grammar or sentences, not several of them")
        if words is not None and not words:
            raise ValueError("the list of words is empty, so nothing could be recognised")
        if sentences is not None and not any(sentences):
            raise ValueError("there are no words in the sentences, so nothing could be recognised")
        self.words = None if words is None else [word.lower() for word in words]
        self.grammar = grammar
        self.sentences = sentences

    def _find(self) -> None:
        import_from("pocketsphinx", "pocketsphinx")

    def files(self) -> list[Path]:
        """The files of its model, dictionary and language model."""
        folder = Path(import_from("pocketsphinx", "pocketsphinx").get_model_path())
        return [file for file in folder.rglob("*") if file.is_file()]

    def _decoder(self) -> Any:
        # A new decoder each time: it adapts to the channel, and results would depend on what it heard before.
        pocketsphinx = import_from("pocketsphinx", "pocketsphinx")
        if self.sentences is not None:
            return self._with_bigrams(pocketsphinx)
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

    def _with_bigrams(self, pocketsphinx: Any) -> Any:
        """A decoder with a language model, and a dictionary of its words alone: with all 130,000 it needs 10 s to start."""
        needed = {word for sentence in self.sentences for word in sentence}
        whole = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
        lines = whole.read_text(encoding="utf-8").splitlines()
        lines = [line for line in lines if line.split(maxsplit=1)[0].partition("(")[0] in needed]
        if unknown := needed - {line.split(maxsplit=1)[0] for line in lines}:
            raise ValueError(
                f"not in PocketSphinx's dictionary: {', '.join(sorted(unknown))}; spell or drop them"
            )
        with tempfile.TemporaryDirectory() as folder:
            dictionary, model = Path(folder) / "words.dict", Path(folder) / "bigrams.arpa"
            dictionary.write_text("\n".join([*lines, ""]), encoding="utf-8")
            model.write_text(bigrams(self.sentences), encoding="utf-8")
            return pocketsphinx.Decoder(
                lm=str(model), dict=str(dictionary), loglevel="FATAL", samprate=float(audio.SAMPLE_RATE)
            )

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
