"""The recogniser's stream by ONNX Runtime."""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_utils import metrics
from course_utils.decoding.graph import WordGraph
from course_utils.decoding.greedy import GreedyDecoder
from course_utils.decoding.stream import RecogniserStream, steps_of
from course_utils.models.recognition import Heard, RecogniserConfig, RecogniserNetwork
from course_utils.models.recognition_streams import Recogniser
from course_utils.models.recognition_words import PhraseConfig, PhraseRecogniser
from course_utils.paths import SAMPLE_RATE


class Unrolled(nn.Module):
    """One chunk of a stream, its state a plain row of tensors, which is all that ONNX knows."""

    def __init__(self, model: RecogniserNetwork, chunk: int):
        super().__init__()
        self.model, self.chunk = model, chunk
        self.parts = 2 if model.config.heads else 1  # what a block remembers

    def flat(self, state: tuple) -> list[torch.Tensor]:
        """Steps seen, recent frames, and what each block remembers, one after the other."""
        seen, recent, blocks = state
        return [seen, recent, *(tensor for block in blocks for tensor in block)]

    def forward(self, log_mel: torch.Tensor, *state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """log_mel (1, 2 chunk, 80) and the row -> log-probabilities (1, chunk, units + 1) and the next row."""
        seen, recent, *rest = state
        blocks = [tuple(rest[i : i + self.parts]) for i in range(0, len(rest), self.parts)]
        heard = self.model(log_mel, (seen, recent, blocks), self.chunk)
        return heard.units, *self.flat(heard.state)


def to_onnx(model: RecogniserNetwork, path: str | Path, chunk_ms: int = 160) -> Path:
    """Write a stream's step of `chunk_ms` as an ONNX file: (log_mel, state) -> (units, next state).

    The chunk and the configuration are in the file's metadata, of a recogniser of phrases with its words and grammar.

    Raises:
        ValueError: `chunk_ms` is no multiple of 32 from 32 to 640.
    """
    import onnx

    step = Unrolled(model, steps_of(chunk_ms)).eval()
    state = [tensor.clone() for tensor in step.flat(model.initial_state())]  # blocks share theirs
    names = [f"state_{i}" for i in range(len(state))]
    example = torch.zeros(1, 2 * step.chunk, state[1].shape[2]), *state
    torch.onnx.export(
        step, example, str(path), input_names=["log_mel", *names],
        output_names=["units", *(f"next_{name}" for name in names)], opset_version=17, dynamo=False,
    )  # fmt: skip
    written = onnx.load(path)
    facts = {"chunk_ms": str(chunk_ms), "config": json.dumps(asdict(model.config))}
    if isinstance(model, PhraseRecogniser):
        words = {key: value for key, value in asdict(model.phrases).items() if key != "network"}
        grammar = [[round(value, 4) for value in row] for row in model.grammar.tolist()]
        facts |= {"phrases": json.dumps(words), "grammar": json.dumps(grammar)}
    onnx.helper.set_model_props(written, facts)
    onnx.save(written, path)
    return Path(path)


class OnnxNetwork:
    """An ONNX file in the place of the network: called in the same way, but no torch computes in it.

    Raises:
        ValueError: not a file that `to_onnx` has written.
    """

    def __init__(self, path: str | Path, threads: int = 1):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
            facts = self.session.get_modelmeta().custom_metadata_map
            self.config, self.chunk_ms = (
                RecogniserConfig(**json.loads(facts["config"])),
                int(facts["chunk_ms"]),
            )
        except Exception as error:  # the runtime has a type of its own for each
            raise ValueError(f"{path} is no recogniser that `to_onnx` has written: {error}") from error
        self.config.units = tuple(self.config.units)
        self.phrases = PhraseConfig(**json.loads(facts["phrases"])) if "phrases" in facts else None
        if self.phrases:
            self.vocabulary = tuple(dict.fromkeys(self.phrases.words))
            self.grammar = torch.tensor(json.loads(facts["grammar"]))

    def decoder(self) -> GreedyDecoder | WordGraph:
        """What makes text of the probabilities: the graph of words, where the file holds words."""
        return PhraseRecogniser.decoder(self) if self.phrases else GreedyDecoder(self.config.units)

    def initial_state(self) -> tuple:
        """Arrays of zeros, as many as the file asks for."""
        kinds = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
        return tuple(np.zeros(one.shape, kinds[one.type]) for one in self.session.get_inputs()[1:])

    def __call__(self, log_mel: torch.Tensor, state: tuple, chunk: int) -> Heard:
        """Whole chunks log_mel (1, frames, 80) -> `Heard`, of which only units and state are filled."""
        names, units = [one.name for one in self.session.get_inputs()], []
        for frames in np.split(log_mel.numpy(), log_mel.shape[1] // (2 * chunk), 1):
            one, *state = self.session.run(None, dict(zip(names, (frames, *state), strict=True)))
            units.append(one)
        return Heard(torch.from_numpy(np.concatenate(units, 1)), None, None, tuple(state))


class OnnxRecogniserStream(RecogniserStream):
    """`RecogniserStream` by ONNX Runtime: no torch computes in it but the log-mel's Fourier transform.

    Of a recogniser of phrases it writes words by the graph; any other is greedy, without a language model.
    """

    def __init__(self, path: str | Path, pause: float = 0.8, threads: int = 1):
        network = OnnxNetwork(path, threads)
        super().__init__(network, network.chunk_ms, pause)


def compare(model: Recogniser, waveform: np.ndarray, chunk_ms: int = 160) -> dict[str, float]:
    """Real-time factors of PyTorch and ONNX Runtime on a waveform (time,), both greedy, by the median and the slowest chunks."""
    streams, size = {"PyTorch": model.stream(chunk_ms)}, chunk_ms * SAMPLE_RATE // 1000
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its successor
        streams["ONNX"] = OnnxRecogniserStream(to_onnx(model, Path(folder) / "model.onnx", chunk_ms))
        found = {}
        for name, stream in streams.items():
            stream.decoder = GreedyDecoder(model.config.units)
            times = metrics.chunk_times(stream.push, waveform, size)
            found |= {
                f"RTF, {name}": times["median_ms"] / chunk_ms,
                f"{name}, p99": times["p99_ms"] / chunk_ms,
            }
        del streams, stream  # the file is open as long as they are, and Windows would not remove it
    return found
