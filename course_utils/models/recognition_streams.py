# Written from notebooks/03_realtime_processing.ipynb by `course export`: edit the notebook, not this file.
"""A recogniser in use: streams, and whole recordings by the same path; built in notebook 03."""

__all__ = ['Recogniser']


import numpy as np
import torch
from course_utils import features
from course_utils.models.recognition import Heard, RecogniserConfig, RecogniserNetwork


from course_utils.decoding.greedy import GreedyDecoder
from course_utils.decoding.stream import RecogniserStream, steps_of, with_tail
from course_utils.features import SAMPLE_RATE
from course_utils.waveform import check


class Recogniser(RecogniserNetwork):
    """A recogniser in use: for whole waveforms, and for streams. Greedy: it writes the best unit of every step."""

    @classmethod
    def from_config(cls, config: dict) -> "Recogniser":
        """Build the model that a checkpoint describes."""
        return cls(RecogniserConfig(**config))

    def decoder(self) -> GreedyDecoder:
        """What makes text of the probabilities."""
        return GreedyDecoder(self.config.units)

    def stream(self, chunk_ms: int = 160) -> RecogniserStream:
        """A fresh stream that decides every `chunk_ms`: a multiple of 32 up to 640."""
        return RecogniserStream(self, chunk_ms)

    def transcribe(self, waveform: np.ndarray, chunk_ms: int = 320) -> str:
        """The text of a waveform (time,) of any length. AudioError: not mono, or not finite numbers."""
        stream, waveform = self.stream(chunk_ms), check(waveform)
        for begin in range(0, len(waveform), 10 * SAMPLE_RATE):
            stream.push(waveform[begin : begin + 10 * SAMPLE_RATE])
        return stream.finish().text

    @torch.inference_mode()
    def hear(self, waveform: np.ndarray, chunk_ms: int = 640) -> Heard:
        """All that the network says of a whole waveform (time,), with silence at the end for late units."""
        chunk = steps_of(chunk_ms)
        log_mel = torch.from_numpy(features.log_mel(check(waveform)))
        return self(with_tail(log_mel, chunk)[None], chunk=chunk)
