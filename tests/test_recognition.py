"""The recogniser of notebook 03 hears the same however sound arrives, never the future, and keeps a bounded memory."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import checkpoints, features, training
from course_utils.decoding.greedy import Endpointer, GreedyDecoder
from course_utils.decoding.stream import RecogniserStream
from course_utils.models.recognition import (
    PHONES,
    Frontend,
    Heard,
    RecogniserConfig,
    RecogniserNetwork,
    silent_state,
)
from course_utils.models.recognition_streams import Recogniser
from course_utils.recipes import recognition as recipe
from course_utils.waveform import AudioError

pytestmark = pytest.mark.usefixtures("one_thread")

CHUNKS = (1, 2, 5, 10, 20)
UNITS = tuple(" 'abc")
SIZES = dict(dim=16, layers=2, kernel=4, left=6, phones_after=1, mean_frames=16)


def small(heads):
    torch.manual_seed(heads)
    model = Recogniser(RecogniserConfig(**SIZES, heads=heads, units=UNITS))
    torch.nn.init.normal_(model.head.weight, std=0.5)  # so sure of itself that it writes something
    return model.eval()


MODELS = {heads: small(heads) for heads in (0, 4)}
either = pytest.mark.parametrize("heads", MODELS)


def sound(length, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def mel(frames, seed=0):
    return torch.randn(1, frames, features.N_MELS, generator=torch.Generator().manual_seed(seed)) - 2.5


def tensors(state):
    seen, recent, blocks = state
    return [seen, recent, *(tensor for block in blocks for tensor in block)]


# --- the network


@settings(max_examples=30, deadline=None)
@given(
    heads=st.sampled_from(list(MODELS)),
    chunk=st.sampled_from(CHUNKS),
    parts=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    constant=st.booleans(),
)
def test_a_stream_in_any_whole_chunks_hears_what_the_whole_utterance_gives(heads, chunk, parts, constant):
    model = MODELS[heads]
    log_mel = mel(2 * chunk * max(1, sum(parts)))
    with torch.inference_mode():
        whole = model(log_mel, chunk=chunk)
        state = model.initial_state() if constant else silent_state(model.config, model.head.weight, 1, 0)
        pieces = []
        for piece in log_mel.split([2 * chunk * n for n in parts] if sum(parts) else [2 * chunk], 1):
            if piece.shape[1]:
                heard = model(piece, state, chunk)
                state = heard.state
                pieces.append(heard)
    for name in ("units", "phones", "content"):
        together = torch.cat([getattr(piece, name) for piece in pieces], 1)
        assert torch.allclose(together, getattr(whole, name), atol=1e-4)
    assert state[0] == whole.units.shape[1]


@either
@pytest.mark.parametrize("chunk", CHUNKS)
def test_what_comes_in_a_later_chunk_changes_nothing_before_it(heads, chunk):
    log_mel = mel(2 * chunk * 4)
    poked = log_mel.clone()
    poked[:, 2 * chunk * 2 :] += 1
    with torch.inference_mode():
        before, after = (MODELS[heads](x, chunk=chunk).units for x in (log_mel, poked))
    assert torch.equal(before[:, : 2 * chunk], after[:, : 2 * chunk])
    assert not torch.allclose(before[:, 2 * chunk :], after[:, 2 * chunk :])


def test_steps_of_a_chunk_see_each_other_by_attention_alone():
    log_mel = mel(20)
    poked = log_mel.clone()
    poked[:, -2:] += 1
    with torch.inference_mode():
        moved = {
            h: m(log_mel, chunk=10).units[:, 0] - m(poked, chunk=10).units[:, 0] for h, m in MODELS.items()
        }
    assert moved[0].abs().max() == 0 and moved[4].abs().max() > 0


def test_the_memory_of_a_stream_never_grows():
    model = MODELS[4]
    state = model.initial_state()
    shapes = [tensor.shape for tensor in tensors(state)]
    silence = torch.full((1, 400, features.N_MELS), Frontend.FLOOR)  # 6.4 s
    with torch.inference_mode():
        for _ in range(94):  # ten minutes
            state = model(silence, state, 20).state
            assert [tensor.shape for tensor in tensors(state)] == shapes
    assert state[0] == 94 * 200


def test_an_odd_last_frame_is_left_out_and_the_gradient_reaches_every_weight():
    model = RecogniserNetwork(RecogniserConfig(**SIZES, heads=4, units=UNITS))
    heard = model(mel(21), chunk=5)
    assert heard.units.shape == (1, 10, len(UNITS) + 1) and heard.phones.shape == (1, 10, len(PHONES) + 1)
    assert torch.allclose(heard.units.exp().sum(-1), torch.ones(1, 10))
    heard.units[..., 1].sum().backward()
    assert all(p.grad is not None for p in model.parameters())


# --- the stream


@settings(max_examples=25, deadline=None)
@given(
    heads=st.sampled_from(list(MODELS)),
    chunk_ms=st.sampled_from([32 * chunk for chunk in CHUNKS]),
    cuts=st.lists(st.one_of(st.just(0), st.just(1), st.integers(0, 9000)), max_size=8),
)
def test_random_pushes_hear_what_the_whole_waveform_gives(heads, chunk_ms, cuts):
    waveform = sound(max(40, sum(cuts)))
    stream, parts = MODELS[heads].stream(chunk_ms), []
    for piece in np.split(waveform, np.minimum(np.cumsum(cuts, dtype=int), len(waveform))):
        stream.push(piece)
        parts.append(stream.log_probs)
    final = stream.finish()
    parts.append(stream.log_probs)
    whole = MODELS[heads].hear(waveform, chunk_ms).units[0].numpy()
    assert np.allclose(np.concatenate(parts), whole, atol=1e-4)
    assert final.text == MODELS[heads].transcribe(waveform, chunk_ms)


@pytest.mark.parametrize("chunk_ms", [0, 31, 33, 100, 672, -32, 160.0, "160", None])
def test_a_chunk_that_is_no_multiple_of_a_step_is_refused(chunk_ms):
    with pytest.raises(ValueError, match="multiple of 32 from 32 to 640"):
        MODELS[0].stream(chunk_ms)


BAD = {
    "stereo": np.zeros((800, 2), np.float32),
    "NaN": np.full(800, np.nan, np.float32),
    "infinity": np.full(800, np.inf, np.float32),
    "integers": np.zeros(800, np.int16),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_sound_is_refused_and_the_stream_goes_on(case):
    stream, other = MODELS[4].stream(), MODELS[4].stream()
    for one in (stream, other):
        one.push(sound(5000))
    with pytest.raises(ValueError, match="chunk"):
        stream.push(BAD[case])
    assert stream.push(sound(9000, 1)) == other.push(sound(9000, 1)) and stream.finish() == other.finish()
    with pytest.raises(AudioError):
        MODELS[4].transcribe(BAD[case])


@pytest.mark.parametrize("length", [1, 40, 512, 513])
def test_a_waveform_shorter_than_a_window_is_heard(length):
    assert isinstance(MODELS[4].transcribe(sound(length)), str)
    assert torch.isfinite(MODELS[4].hear(sound(length)).units).all()


def test_nothing_at_all_is_no_text_or_an_error():
    assert MODELS[4].stream().push(np.zeros(0, np.float32)).text == ""
    assert isinstance(MODELS[4].transcribe(np.zeros(0, np.float32)), str)
    with pytest.raises(ValueError, match="samples in it"):
        MODELS[4].hear(np.zeros(0, np.float32))


def test_the_next_utterance_starts_with_no_words_and_keeps_what_the_network_remembers():
    stream, other = MODELS[4].stream(), MODELS[4].stream()
    for one in (stream, other):
        one.push(sound(20000))
    final = stream.next_utterance()
    assert final.text == final.stable == " ".join(word.text for word in final.words)
    assert all(torch.equal(a, b) for a, b in zip(tensors(stream.state), tensors(other.state), strict=True))
    after = stream.push(sound(20000, 1))
    other.push(sound(20000, 1))
    assert np.array_equal(stream.log_probs, other.log_probs)
    assert after.seconds > 2 and all(word.start >= final.seconds for word in after.words)


# --- text


def one_hot(classes, size=6):
    return np.log(np.eye(size, dtype=np.float32)[list(classes)] * 0.9 + 0.01)


def reference(classes, units):
    """Merge, drop the blanks, join."""
    merged = [c for c, before in zip(classes, [0, *classes], strict=False) if c != before]
    said = [units[c - 1] for c in merged if c]
    return " ".join("".join(said).split()) if " " in units else " ".join(said)


@given(
    classes=st.lists(st.integers(0, 5), max_size=30),
    units=st.sampled_from([UNITS, ("one", "two", "three", "four", "five")]),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_the_greedy_text_is_what_merging_gives_and_what_is_stable_stays(classes, units, cuts):
    decoder, stable = GreedyDecoder(units), ""
    for piece in np.split(one_hot(classes), sorted(min(cut, len(classes)) for cut in cuts)):
        decoder.push(piece)
        partial = decoder.partial()
        assert partial.text.startswith(partial.stable) and partial.stable.startswith(stable)
        stable = partial.stable
    final = decoder.finish()
    assert final.text == final.stable == reference(classes, units)
    assert final.seconds == pytest.approx(len(classes) * 0.032)
    assert [word.text for word in final.words] == final.text.split()
    assert all(0 <= word.start < word.end <= final.seconds for word in final.words)


class Elsewhere(torch.Tensor):
    """As a tensor of a GPU: numpy gets it from the CPU alone."""

    def numpy(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


class OnAnotherDevice:
    """A network whose state lies on a device without numbers, and that wants its log-mels there."""

    config = RecogniserConfig(units=tuple("ab"))

    def initial_state(self):
        return 0, torch.zeros(1, device="meta"), []

    def decoder(self):
        return GreedyDecoder(self.config.units)

    def __call__(self, log_mel, state, chunk):
        assert log_mel.device.type == "meta"
        scores = torch.zeros(1, log_mel.shape[1] // 2, 3)
        return Heard(scores.as_subclass(Elsewhere), None, None, state)


def test_a_stream_takes_sound_to_the_device_of_its_network_and_brings_the_result_back():
    stream = RecogniserStream(OnAnotherDevice())
    stream.push(np.zeros(16000, np.float32))
    assert isinstance(stream.log_probs, np.ndarray) and len(stream.log_probs) > 20
    stream.finish()


def test_a_partial_says_for_how_long_no_unit_came_out():
    stream = RecogniserStream(OnAnotherDevice())
    rows = torch.tensor([[0.0, 9, 0], [9, 0, 0], [9, 0, 0]])
    stream.device = "cpu"
    stream.model = lambda log_mel, *_: Heard(rows[None].log_softmax(-1), None, None, None)
    stream.frames = np.zeros((10, 80), np.float32)
    assert stream._run(10).silence == pytest.approx(2 * 0.032)


def test_an_utterance_is_over_after_a_pause_that_follows_speech():
    ends = Endpointer(pause=0.16)  # five steps
    assert not ends.push(one_hot([0] * 40)), "nobody has spoken"
    assert not ends.push(one_hot([3, 0, 0, 0, 0]))
    assert ends.push(one_hot([0]))
    assert not ends.push(one_hot([2])), "speech goes on"


# --- the recipe


@pytest.mark.parametrize("there", [False, True], ids=["no checkpoint", "one without a language model"])
def test_without_a_language_model_training_says_so_before_it_begins(tmp_path, monkeypatch, there):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    if there:
        checkpoints.save("recognition", MODELS[4], MODELS[4].config, "A card.")
    monkeypatch.setattr(recipe, "Speech", lambda *_, **__: pytest.fail("data were read"))
    with pytest.raises(
        checkpoints.CheckpointError, match=r"language model.*git checkout.*data\.build\.language NETWORK OUT"
    ):
        recipe.train(steps=1)


def speech(pieces=6, frames=60):
    """Clips of a tone's height that says which word it is."""
    made = object.__new__(recipe.Speech)
    made.rates, made.pieces, mels, at = (1.0,), [], [], 0
    for i in range(pieces):
        word, phone = (("a", "AA"), ("b", "B"), ("cab", "K"))[i % 3]
        spans = ((word, 0, frames // 2, (phone,)), (word, frames // 2, frames, (phone,)))
        made.pieces.append(recipe.Piece("synthetic", (word,) * 2, (phone,) * 2, (at,), (frames,), spans))
        mels.append(torch.full((frames, features.N_MELS), -1.0 - i % 3))
        at += frames
    made.mels = torch.cat(mels).half()
    made.sounds = torch.full((at,), recipe.UNKNOWN, dtype=torch.uint8)
    return made


def batches(**options):
    return recipe.Batches(speech(), {"synthetic": 1.0}, seconds=20, shapes=(280,), **options)


def test_a_step_has_always_the_same_batch_and_another_step_another():
    first, again, other = batches()(3), batches()(3), batches()(4)
    assert torch.equal(first.log_mel, again.log_mel) and torch.equal(first.sounds, again.sounds)
    assert (first.words, first.phones, first.chunk) == (again.words, again.phones, again.chunk)
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], batches(seed=1)(3)[0])
    assert first.chunk in recipe.CHUNKS and first[0].shape[1:] == (280, features.N_MELS)


def test_the_labels_are_the_words_and_phones_of_what_is_in_the_row():
    made, height = batches(), {"a": -1.0, "b": -2.0, "cab": -3.0}
    draw, sound_of = random.Random(0), {"a": "AA", "b": "B", "cab": "K"}
    for _ in range(20):
        row, words, phones, classes = made.row(280, draw)
        assert words and phones == tuple(sound_of[word] for word in words)
        heard = {word for word, level in height.items() if ((row - level).abs() < 0.21).all(1).any()}
        assert heard == set(words)
        assert (row[-16:] == Frontend.FLOOR).all(), "late units need a pause"
        spoken = (row > Frontend.FLOOR).all(1)
        assert (classes[spoken] == recipe.UNKNOWN).all() and (classes[~spoken] == 0).all()


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_variations_keep_the_shape_and_are_finite(strength):
    clean = torch.full((4, 280, 80), Frontend.FLOOR)
    clean[:2, 50:200] = mel(150)[0]
    noises = torch.rand(2, 501, 80).half() - 3
    for given_noises in (None, noises):
        varied = recipe.vary(clean, strength, torch.Generator().manual_seed(0), given_noises)
        assert varied.shape == clean.shape and torch.isfinite(varied).all()


def test_words_are_spelled_in_units_or_not_at_all():
    assert recipe.spelled(["a", "cab"], UNITS) == [3, 1, 5, 3, 4]
    assert recipe.spelled(["two", "one"], ("one", "two")) == [2, 1]
    assert recipe.spelled(["dab"], UNITS) is None and recipe.spelled(["three"], ("one", "two")) is None


def test_the_loss_is_that_of_torch_per_label_and_rows_without_labels_do_not_count():
    log_probs = torch.randn(3, 12, 6, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    targets = [[1, 2, 2], None, [5]]
    summed = sum(
        torch.nn.functional.ctc_loss(
            log_probs[i], torch.tensor(targets[i]), [12], [len(targets[i])], reduction="sum"
        )
        for i in (0, 2)
    )
    assert recipe.ctc(log_probs, targets) == pytest.approx(float(summed) / 4, rel=1e-5)
    assert recipe.ctc(log_probs, [None, None, []]) == 0


def trained(steps, state=None, stop=None):
    torch.manual_seed(0)
    model = Recogniser(RecogniserConfig(**SIZES, heads=4, units=UNITS, dropout=0.0))
    made = recipe.Batches(speech(), {"synthetic": 1.0}, seconds=5, shapes=(280,), strength=0.0)

    def stopping(step):
        if step == stop:
            raise KeyboardInterrupt
        return made(step % 2)

    history = training.fit(
        model, stopping, recipe.loss_fn, steps, ema=None, optimizer=recipe.optimiser(model, 0.05, 0.01), state=state,
        save_every=2, show=False,
    )  # fmt: skip
    return model, history


def test_the_optimiser_learns_and_goes_on_to_the_same_weights(tmp_path):
    whole, history = trained(10)
    assert np.mean(history.losses[-2:]) < 0.8 * np.mean(history.losses[:2])
    state = tmp_path / "state"
    _, half = trained(10, state, stop=5)
    assert half.interrupted and len(half.losses) < 10
    resumed, _ = trained(10, state)
    for (name, ours), theirs in zip(resumed.state_dict().items(), whole.state_dict().values(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6), name


def test_muon_makes_the_update_of_a_matrix_nearly_orthogonal():
    matrix = torch.nn.Parameter(torch.zeros(8, 16))
    optimizer = recipe.MuonAdamW([matrix], [torch.nn.Parameter(torch.zeros(3))], muon=1.0, adam=1e-3)
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"]
        for parameter in group["params"]:
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    singular = torch.linalg.svdvals(matrix.detach())
    assert 0.5 < singular.min() and singular.max() < 1.4
