"""The recogniser's stream by ONNX Runtime hears what the torch stream hears."""

import warnings

import numpy as np
import pytest
import torch

from course_utils import recognition_onnx as onnx
from course_utils.models.recognition import PHONES, RecogniserConfig
from course_utils.models.recognition_streams import Recogniser
from course_utils.models.recognition_words import PhraseConfig, PhraseRecogniser

pytest.importorskip("onnxruntime", reason="needs onnxruntime: run `course install dev`")
pytest.importorskip("onnx", reason="needs onnx: run `course install dev`")
pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = dict(dim=16, layers=2, kernel=4, left=6, phones_after=1, mean_frames=16)


def small(heads, units=tuple(" abc")):
    torch.manual_seed(heads)
    model = Recogniser(RecogniserConfig(**SMALL, heads=heads, units=units))
    torch.nn.init.normal_(model.head.weight, std=0.5)  # so sure of itself that it writes something
    return model.eval()


def export(model, path, chunk_ms=160):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return onnx.to_onnx(model, path, chunk_ms)


@pytest.fixture(scope="module", params=[(4, 64), (0, 160)], ids=["attention", "convolutions alone"])
def exported(request, tmp_path_factory):
    heads, chunk_ms = request.param
    model = small(heads)
    return model, chunk_ms, export(model, tmp_path_factory.mktemp("onnx") / "step.onnx", chunk_ms)


def sound(length, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def test_every_push_gives_the_log_probabilities_and_the_text_of_the_torch_stream(exported):
    model, chunk_ms, path = exported
    ours, theirs = onnx.OnnxRecogniserStream(path), model.stream(chunk_ms)
    texts = []
    for i, length in enumerate((0, 1, 40, 700, 2560, 9000, 30000, 3)):
        texts += [(ours.push(sound(length, i)), theirs.push(sound(length, i)))]
        assert ours.log_probs.shape == theirs.log_probs.shape
        assert np.allclose(ours.log_probs, theirs.log_probs, atol=1e-4)
    texts += [(ours.finish(), theirs.finish())]
    assert np.allclose(ours.log_probs, theirs.log_probs, atol=1e-4)
    assert all(one == other for one, other in texts) and texts[-1][0].text


def test_a_recogniser_of_phrases_writes_words_by_its_graph(tmp_path):
    torch.manual_seed(0)
    network = RecogniserConfig(**SMALL, units=PHONES)
    config = PhraseConfig(network, ("one", "no", "no"), ("W AH N", "N OW", "N AH"), bonus=6.0)
    model = PhraseRecogniser(config).eval()
    torch.nn.init.normal_(model.head.weight, std=0.5)
    torch.nn.init.uniform_(model.grammar, -3.00004, -1)
    ours, theirs = onnx.OnnxRecogniserStream(export(model, tmp_path / "phrases.onnx")), model.stream(160)
    for i in range(6):
        assert ours.push(sound(8000, i)).text == theirs.push(sound(8000, i)).text
    said = ours.finish()
    assert said.text == theirs.finish().text and {*said.text.split()} - {"one"} == {"no"}


def test_the_file_says_its_units_and_chunk_and_the_model_stays_as_it_was(exported):
    model, chunk_ms, path = exported
    network = onnx.OnnxNetwork(path)
    assert network.config == model.config and network.chunk_ms == chunk_ms
    assert network.initial_state()[0].dtype == np.int64
    assert not any(module.training for module in model.modules()), "dropout would change what it hears"


def test_a_second_stream_and_a_next_utterance_begin_with_nothing(exported):
    _, _, path = exported
    first, second = (onnx.OnnxRecogniserStream(path) for _ in range(2))
    first.push(sound(20000))
    assert second.push(sound(20000)) == first.next_utterance() or first.decoder.words == []
    assert second.finish().text


def test_bad_sound_is_refused_and_the_stream_goes_on(exported):
    model, chunk_ms, path = exported
    stream = onnx.OnnxRecogniserStream(path)
    for bad in (np.zeros((2, 800), np.float32), np.full(800, np.nan, np.float32), np.zeros(800, np.int16)):
        with pytest.raises(ValueError, match="chunk"):
            stream.push(bad)
    whole = model.stream(chunk_ms)
    assert stream.push(sound(20000)) == whole.push(sound(20000)) and stream.finish() == whole.finish()


def test_a_chunk_that_no_stream_has_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="multiple of 32"):
        onnx.to_onnx(small(0), tmp_path / "step.onnx", 100)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_and_a_file_of_something_else_are_named(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        export(small(0), tmp_path / "nowhere" / "step.onnx")
    (tmp_path / "other.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"other.onnx.*to_onnx"):
        onnx.OnnxRecogniserStream(tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=r"missing.onnx.*to_onnx"):
        onnx.OnnxRecogniserStream(tmp_path / "missing.onnx")
