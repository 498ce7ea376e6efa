"""What ONNX Runtime says is what torch says."""

import json

import numpy as np
import pytest
import torch

from course_utils import text, tts_onnx
from course_utils.models.tts import regulate
from course_utils.models.tts_speech import TextToSpeech
from tests.small_speaker import SMALL, speaker

pytest.importorskip("onnxruntime", reason="needs onnxruntime: run `course install dev`")
pytest.importorskip("onnx", reason="needs onnx: run `course install dev`")
pytestmark = pytest.mark.usefixtures("one_thread")

SENTENCE = "Hello there, who is it?"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    model = speaker()
    return model, tts_onnx.OnnxSpeaker(tts_onnx.to_onnx(model, tmp_path_factory.mktemp("speaker")))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"speaker": "m02", "seed": 3},
        {"speed": 1.7, "pitch": 5.0},
        {"guidance": 0.0, "steps": 1},
        {"guidance": 2.0, "steps": 7},
    ],
)
def test_a_text_of_two_sentences_is_the_same_sound(both, how):
    model, onnx = both
    ours, theirs = (one.say(SENTENCE + " It is one.", **how) for one in (model, onnx))
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype == np.float32
    # F0 is rounded to 1/16 Hz: where it rounds otherwise, the clock of the pulses goes on with a hundredth of a turn more
    assert np.corrcoef(ours, theirs)[0, 1] > 0.98


def test_the_log_mel_is_the_same_within_a_ten_thousandth_and_so_is_every_result_on_the_way(both):
    model, _ = both
    found = tts_onnx.compare(model, SENTENCE, model.voice("c03"))
    assert found.pop("RTF, PyTorch") > 0 and found.pop("RTF, ONNX") > 0
    assert found.pop("waveform") < 0.03
    results = {"hidden", "prosody", "bounds", "frames", "guess", "velocity", "log-mel"}
    assert set(found) == results and max(found.values()) < 1e-4
    assert set(tts_onnx.compare(model, "No.", model.voice("f01"), seconds=False)) == results | {"waveform"}


def test_a_stream_is_what_is_said_at_once(both):
    _, onnx = both
    pieces = list(onnx.stream(SENTENCE))
    assert len(pieces) > 2 and np.allclose(np.concatenate(pieces), onnx.say(SENTENCE))


def test_the_vocoder_alone_takes_any_length(both):
    model, onnx = both
    log_mel = np.random.default_rng(0).normal(-3, 1, (40, 80)).astype(np.float32)
    for frames, length in ((40, None), (1, None), (1, 700), (17, 256 * 17), (40, 100)):
        ours, theirs = model.vocoder(log_mel[:frames], length), onnx.vocoder(log_mel[:frames], length)
        assert ours.shape == theirs.shape
        if length != 700:  # beyond the last frame torch has some samples more
            loudest = np.abs(ours).max(initial=0)  # as above: the clock may be a little further
            assert np.allclose(ours, theirs, atol=0.03 * loudest)
    with pytest.raises(ValueError, match="log-mel of shape"):
        onnx.vocoder(log_mel.T)


def test_the_length_regulator_in_numpy_is_that_of_the_model():
    bounds = np.array([0, 0, 3, 4, 9, 30])
    for first, end in ((0, 30), (2, 5), (29, 30)):
        phone, place = tts_onnx.places(bounds, first, end)
        wanted = regulate(torch.from_numpy(bounds)[None], first, end)
        assert np.array_equal(phone, wanted[0][0]) and np.allclose(place, wanted[1][0], atol=1e-6)


def test_a_browser_finds_phones_voices_and_scales_in_the_json(both, tmp_path):
    model, _ = both
    facts = json.loads((tts_onnx.to_onnx(model, tmp_path / "new") / "speaker.json").read_text())
    assert facts["phones"] == list(text.PHONES) and list(facts["speakers"]) == ["f01", "m02", "c03"]
    assert np.allclose(facts["speakers"]["m02"], model.voice("m02"))
    assert np.shape(facts["mel_scale"]) == (2, 80)


def test_a_model_in_training_goes_on_training(tmp_path):
    model = speaker().train()
    tts_onnx.to_onnx(model, tmp_path)
    assert model.training and model.text.training and not model.vocoder.training


def test_what_it_does_not_have_is_said(both, tmp_path):
    _, onnx = both
    with pytest.raises(ValueError, match="no speaker 'x'"):
        onnx.say("Hello.", "x")
    with pytest.raises(NotImplementedError, match="named voices"):
        onnx.embed(np.ones(16000, np.float32))
    with pytest.raises(RuntimeError, match="no vocoder"):
        tts_onnx.to_onnx(TextToSpeech(SMALL, ("f01",)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.*to_onnx"):
        tts_onnx.OnnxSpeaker(tmp_path / "nowhere")
    (tmp_path / "speaker.json").write_text("{}")
    with pytest.raises(ValueError, match="no speaker that `to_onnx` has written"):
        tts_onnx.OnnxSpeaker(tmp_path)
