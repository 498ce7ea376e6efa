"""The model of notebook 02: honest, exact, and the same with and without its cache."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from course_utils import checkpoints, data, paths
from course_utils.models import music as model_module
from course_utils.models.music import MusicConfig, memory, places, skew, to_grid, to_tokens, transpositions
from course_utils.models.music_writing import Composer, Writer, choose, compose
from course_utils.music import MusicError
from course_utils.recipes import music as recipe
from course_utils.recipes.music import Batches, KeyPairs, TokenTransformer, at_home

SMALL = MusicConfig(d_model=32, n_layers=2, n_heads=4, d_head=16, max_distance=24, dropout=0.0)


@pytest.fixture(scope="module", params=[True, False], ids=["with intervals", "without intervals"])
def model(request):
    torch.manual_seed(0)
    return Composer(replace(SMALL, intervals=request.param)).eval()


@pytest.fixture(scope="module")
def bach():
    return data.chorales("valid")[0].pitches[:40]


def test_relative_attention_equals_its_naive_form():
    q, distance = torch.randn(2, 3, 17, 8), torch.randn(17, 8)
    steps = torch.arange(17)
    pairs = distance[(steps[:, None] - steps).clamp(min=0)]
    naive = torch.einsum("bhid,ijd->bhij", q, pairs).tril()
    assert torch.allclose(skew(q @ distance.flip(0).T).tril(), naive, atol=1e-5)


def test_distances_beyond_the_table_share_its_last_vector(model, bach):
    assert len(bach) > SMALL.max_distance
    assert np.isfinite(model.nll(bach))


def test_no_probability_depends_on_the_future(model, bach):
    tokens, place = to_tokens(bach)[None], places(len(bach), (16, 0))[None]
    for step, voice in [(0, 3), (20, 2), (39, 3)]:
        changed = tokens.clone()
        changed[0, step, voice] = 1 + changed[0, step, voice] % 40
        with torch.no_grad():
            moved = (model(tokens, place) - model(changed, place)).abs()[0] > 1e-6
        assert not moved[:step].any() and not moved[step, :voice].any()
        assert moved[step, voice:].all()


def test_the_starting_class_sees_other_pieces_and_then_its_own_future():
    class MusicTransformer(nn.Module):  # as in the notebook
        def __init__(self, batch_first):
            super().__init__()
            self.embedding = nn.Embedding(64, 16)
            layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=batch_first)
            self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

        def forward(self, x):
            return self.encoder(self.embedding(x))

    x = torch.randint(0, 64, (3, 8))
    changed = x.clone()
    changed[1, 5] = (x[1, 5] + 1) % 64
    for batch_first in (False, True):
        starting = MusicTransformer(batch_first).eval()
        with torch.no_grad():
            moved = (starting(x) - starting(changed)).abs().amax(-1) > 1e-6
        if batch_first:
            assert moved[1, :5].all(), "no mask: earlier outputs move"
            assert not moved[[0, 2]].any()
        else:
            assert moved[[0, 2], 5].all(), "axes mixed up: other pieces move"
            assert not moved[1, 6:].any(), "and the own future does not"


def test_the_head_gives_a_distribution_and_its_product_is_the_joint(model, bach):
    """Sum over all basses, given the three voices above: one; and forward() is the sum of the head's terms."""
    writer = Writer(model, (16, 0))
    with torch.no_grad():
        total = model(to_tokens(bach)[None], places(len(bach), (16, 0))[None])[0]
        for t, chord in enumerate(to_tokens(bach)):
            context, above = writer.context(), []
            for v in range(4):
                scores = model.head.logits(v, context, writer.last, above).log_softmax(-1)[0]
                assert float(scores.exp().sum()) == pytest.approx(1, abs=1e-5)
                assert float(scores[chord[v]]) == pytest.approx(float(total[t, v]), abs=1e-4)
                above.append(chord[v : v + 1])
            writer.write(chord[None])


def test_probabilities_of_all_chords_of_two_voices_add_up_to_one(model):
    with torch.no_grad():
        writer = Writer(model, (16, 0))
        context = writer.context()
        soprano = model.head.logits(0, context, writer.last, []).softmax(-1)[0]
        every = torch.arange(model_module.N_TOKENS)
        alto = model.head.logits(1, context.expand(64, -1, -1), writer.last.expand(64, -1), [every]).softmax(
            -1
        )
    assert float((soprano[:, None] * alto).sum()) == pytest.approx(1, abs=1e-4)


def test_cached_and_uncached_generation_are_identical(model):
    steps, generator = 70, torch.Generator().manual_seed(3)  # beyond the cache's first buffer
    tokens = torch.zeros(1, 0, 4, dtype=torch.long)
    with torch.inference_mode():
        for t in range(steps):
            padded = nn.functional.pad(tokens, (0, 0, 0, 1))
            held, reached = memory(padded)
            last = model_module.shift(padded, model_module.START)
            known = last, model_module.shift(held, 0), model_module.shift(reached, model_module.NO_LEAP)
            context, notes = model.trunk(*known, places(t + 1, (16, 4))[None])[:, -1], []
            for v in range(4):
                notes.append(choose(model.head.logits(v, context, last[:, -1], notes), 1.0, 0.9, generator))
            tokens = torch.cat([tokens, torch.stack(notes, 1)[:, None]], 1)
    written = model.generate(steps, top_p=0.9, seed=3, metre=(16, 4))
    assert np.array_equal(written, to_grid(tokens[0]))


def test_memory_counts_held_steps_and_the_leap_that_reached_a_note():
    voice = [60, 60, 64, 64, 64, 0, 64, 60, *[60] * 20]
    held, reached = memory(to_tokens(np.array([[p, 0, 0, 0] for p in voice]))[None])
    assert held[0, :8, 0].tolist() == [1, 2, 1, 2, 3, 1, 1, 1] and held.max() == model_module.MAX_HELD
    none = model_module.NO_LEAP
    assert reached[0, :8, 0].tolist() == [none, none, 16, 16, 16, none, none, 8]


# --- likelihood ----------------------------------------------------------------------------------------------


def test_without_a_metre_the_likelihood_is_the_sum_over_metres(model, bach):
    joint = [-model.nll(bach, metre=m) * bach.size for m in model_module.METRES]
    prior = np.array(list(model_module.METRES.values())) / sum(model_module.METRES.values())
    assert -np.logaddexp.reduce(joint + np.log(prior)) / bach.size == pytest.approx(model.nll(bach), abs=1e-6)


def test_averaging_over_keys_averages_probabilities(model, bach):
    single = [model.log_probs(bach, (16, 0), (k,)).exp() for k in (0, 2)]
    both = model.log_probs(bach, (16, 0), (0, 2)).exp()
    assert torch.allclose(both, (single[0] + single[1]) / 2, atol=1e-6)


@pytest.mark.parametrize("grid", [[[67, 64, 60, 48]], [[0, 0, 0, 0]], [[92, 92, 30, 30]]])
def test_one_step_silence_and_the_outermost_pitches_have_a_likelihood(model, grid):
    assert 0 < model.nll(np.array(grid)) < 50


def test_music_that_is_no_chorale_has_a_likelihood_too(model):
    noise = np.random.default_rng(0).integers(30, 93, (100, 4))
    assert np.isfinite(model.nll(noise))


@pytest.mark.parametrize(
    "grid",
    [np.zeros((0, 4), int), np.zeros((8, 3), int), np.full((8, 4), 20), np.full((8, 4), 60.5), [[[60] * 4]]],
)
def test_what_is_no_grid_is_refused(model, grid):
    with pytest.raises(MusicError):
        model.nll(np.array(grid))


def test_an_unknown_metre_is_refused(model, bach):
    with pytest.raises(ValueError, match="bars of"):
        model.nll(bach, metre=(20, 0))


# --- writing -------------------------------------------------------------------------------------------------


def test_a_seed_decides_and_a_prompt_is_kept(model, bach):
    once, again, other = (model.generate(24, prompt=bach[:8], seed=s) for s in (1, 1, 2))
    assert np.array_equal(once, again) and not np.array_equal(once, other)
    assert np.array_equal(once[:8], bach[:8]) and once.shape == (24, 4)
    assert np.array_equal(model.generate(4, prompt=bach), bach[:4])


def test_several_pieces_at_once_are_different_pieces(model):
    pieces = compose(model, 16, count=3)
    assert pieces.shape == (3, 16, 4)
    assert not np.array_equal(pieces[0], pieces[1])


def test_temperature_zero_is_greedy_and_top_p_cuts_the_tail():
    logits = torch.tensor([[0.15, 0.5, 0.05, 0.3]]).log().expand(500, -1)
    generator = torch.Generator().manual_seed(0)
    assert set(choose(logits, 0, 1.0, generator).tolist()) == {1}
    assert set(choose(logits, 1.0, 0.4, generator).tolist()) == {1}
    assert set(choose(logits, 1.0, 0.7, generator).tolist()) == {1, 3}
    assert set(choose(logits, 1.0, 1.0, generator).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": 10**9},
        {"temperature": -1},
        {"temperature": math.nan},
        {"top_p": 0},
        {"top_p": 1.5},
    ],
)
def test_settings_out_of_range_are_refused(model, wrong):
    with pytest.raises(ValueError, match="expected"):
        model.generate(**{"steps": 8, **wrong})


def test_harmonising_keeps_the_soprano_and_follows_its_seed(model, bach):
    once, again = (model.harmonise(bach[:, 0], seed=5, particles=6) for _ in range(2))
    assert np.array_equal(once[:, 0], bach[:, 0]) and np.array_equal(once, again)
    assert model.harmonise([67], particles=1).shape == (1, 4)


@pytest.mark.parametrize("soprano", [[], [200], [[60, 62]], [60.5]])
def test_a_soprano_that_can_not_be_sung_is_refused(model, soprano):
    with pytest.raises(ValueError):
        model.harmonise(soprano)


# --- training ------------------------------------------------------------------------------------------------


def test_transpositions_stay_in_the_range_of_the_voices():
    for chorale in data.chorales("train")[:20]:
        for shift in transpositions(chorale.pitches):
            sung = np.where(chorale.pitches > 0, chorale.pitches + shift, 0)
            low, high = np.where(sung > 0, sung, 99).min(0), sung.max(0)
            assert (
                shift == 0
                or ((low >= model_module.SUNG[:, 0] - 2) & (high <= model_module.SUNG[:, 1] + 2)).all()
            )
    assert transpositions(np.array([[81, 53, 69, 36]])) == [-2, -1, 0, 1, 2]


def test_the_same_step_gives_the_same_batch_and_windows_come_from_the_pieces():
    chorales = data.chorales("train")[:3]
    batches = Batches(chorales, length=32, count=4, transpose=False)
    once, again, other = batches(5), batches(5), batches(6)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not torch.equal(once[0], other[0])
    for window in once[0]:
        assert any(
            np.array_equal(to_grid(window), c.pitches[i : i + 32])
            for c in chorales
            for i in range(0, len(c.pitches) - 31, 4)
        )


def test_a_small_model_learns_a_single_piece():
    torch.manual_seed(0)
    chorale = data.chorales("train")[0]
    small, batches = Composer(SMALL), Batches([chorale], length=64, count=4, transpose=False)
    optimizer = torch.optim.AdamW(small.parameters(), lr=5e-3)
    losses = []
    for step in range(40):
        loss = recipe.loss_fn(small.train(), batches(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_scores_of_every_note_hold_those_that_are_there(model, bach):
    tokens, place = to_tokens(bach)[None], places(len(bach), (16, 0))[None]
    with torch.no_grad():
        every = model(tokens, place, every=True)
        assert every.shape == (1, len(bach), 4, 64)
        assert torch.allclose(every.exp().sum(-1), torch.ones(1, len(bach), 4), atol=1e-5)
        assert torch.equal(every.gather(-1, tokens[..., None])[..., 0], model(tokens, place))


def test_scores_come_home_from_another_key():
    scores, keys = torch.randn(3, 5, 4, 64).log_softmax(-1), torch.tensor([0, 5, -7])
    home = at_home(scores, keys)
    assert torch.equal(home[0], scores[0]) and torch.equal(
        home[..., 0], scores[..., 0]
    )  # a rest stays a rest
    assert torch.equal(home[1, ..., 1:59], scores[1, ..., 6:64]) and (home[1, ..., 59:] == -20).all()
    assert torch.equal(home[2, ..., 8:], scores[2, ..., 1:57]) and (home[2, ..., 1:8] == -20).all()


def test_pairs_are_the_same_window_in_two_keys():
    pairs = KeyPairs(data.chorales("train")[:9], length=48, count=8, seed=1)
    tokens, place, counts, keys = pairs(3)
    assert tokens.shape == (8, 48, 4) and (keys[::2] != keys[1::2]).any()
    home = torch.where(tokens > 0, tokens - keys[:, None, None], 0)
    for one, other in ((home, home), (place, place), (counts, counts)):
        assert torch.equal(one[::2], other[1::2])
    assert all(torch.equal(a, b) for a, b in zip(pairs(3), (tokens, place, counts, keys), strict=True))


class Stubborn(nn.Module):
    """Gives every note the same scores in every key."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.linspace(0, 3, 64))

    def forward(self, tokens, place, every=True):
        return self.table.log_softmax(-1).expand(*tokens.shape, 64)


def test_answers_that_do_not_move_with_the_key_cost_extra():
    model, batch = Stubborn(), KeyPairs(data.chorales("train")[:5], length=32, count=6)(0)
    tokens, place, counts, keys = batch
    nats = float(-model(tokens, place).gather(-1, tokens[..., None])[counts].mean())
    assert float(recipe.key_loss(model, batch)) > nats + 0.01
    alike = (tokens, place, counts, torch.zeros_like(keys))  # as if all rows were in one key
    assert float(recipe.key_loss(model, alike)) == pytest.approx(nats, abs=1e-5)


@pytest.mark.parametrize("intervals", [True, False])
def test_calibration_divides_all_scores_by_one_number_that_lowers_the_cost(intervals, bach):
    torch.manual_seed(0)
    model, pieces = Composer(replace(SMALL, intervals=intervals)).eval(), data.chorales("valid")[:3]
    with torch.no_grad():
        for layer in [*model.head.note, *model.head.leap]:
            layer.weight *= 4  # far too sure of itself
    tokens, place = to_tokens(bach)[None], places(len(bach), (16, 0))[None]
    with torch.inference_mode():
        before, cost = (
            model(tokens, place, every=True),
            recipe.evaluate(model, pieces, metre_given=True),
        )
        number = recipe.calibrate(model, pieces)
        after = model(tokens, place, every=True)
    assert number > 1.2 and torch.allclose(after, (before / number).log_softmax(-1), atol=1e-4)
    assert recipe.evaluate(model, pieces, metre_given=True).sum() < cost.sum()


@pytest.fixture
def tiny_course(tmp_path, monkeypatch):
    """Training as it is, with little of everything."""
    few = data.chorales("train")[:4]
    monkeypatch.setattr(data, "chorales", lambda split: few)
    monkeypatch.setattr(recipe, "SHIPPED", SMALL)
    monkeypatch.setattr(paths, "checkpoints_folder", lambda: tmp_path / "checkpoints")
    AcceleratorState._reset_state(True)  # the precision that one test asks for stays for all that follow
    yield tmp_path
    AcceleratorState._reset_state(True)


def test_training_goes_through_its_stages_and_writes_a_checkpoint(tiny_course, bach):
    trained = recipe.train(
        steps=2, name="tiny", measure=lambda model: {"nats per note, valid": "2.0 (1.9 to 2.1)"}
    )
    loaded = checkpoints.load("tiny")
    assert loaded.nll(bach, (16, 0)) == pytest.approx(trained.nll(bach, (16, 0)), abs=0.01)
    card = (tiny_course / "checkpoints" / "tiny" / "README.md").read_text()
    assert "| steps | 2 |" in card and "2.0 (1.9 to 2.1)" in card


def test_an_interrupted_training_goes_on_in_the_stage_where_it_stopped(tiny_course, monkeypatch):
    whole = recipe.train(steps=4, name="whole")
    real_loss, state = recipe.key_loss, tiny_course / "state.safetensors"

    def stop(model, batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "key_loss", stop)
    with pytest.raises(KeyboardInterrupt):
        recipe.train(steps=4, name="half", state=state)
    assert not (tiny_course / "checkpoints" / "half").exists()  # a half-trained model replaces nothing
    monkeypatch.setattr(recipe, "key_loss", real_loss)
    resumed = recipe.train(steps=4, name="half", state=state)
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[name], atol=1e-5), name


def test_the_rungs_over_single_notes_are_causal_too(bach):
    tokens, place = to_tokens(bach[:16])[None], places(16, (16, 0))[None]
    changed = tokens.clone()
    changed[0, 9, 1] += 1
    for relative in (False, True):
        config = MusicConfig(d_model=32, n_layers=1, n_heads=4, dropout=0.0, relative=relative)
        rung = TokenTransformer(config, features=True).eval()
        with torch.no_grad():
            moved = (rung(tokens, place) - rung(changed, place)).abs()[0].flatten() > 1e-6
        assert not moved[: 4 * 9 + 1].any() and moved[4 * 9 + 1 :].any()


# --- the shipped checkpoint ------------------------------------------------------------------------------------

shipped = pytest.mark.skipif(
    "music" not in checkpoints.available(), reason="train it with `course train music`"
)


@shipped
def test_the_checkpoint_reaches_its_figure_on_validation_pieces():
    composer = checkpoints.load("music")
    assert sum(p.numel() for p in composer.parameters()) <= 2_500_000
    valid = data.chorales("valid")
    assert recipe.mean_nats(valid, recipe.evaluate(composer, valid, metre_given=True)) <= 0.335


def test_with_the_cache_every_step_passes_the_blocks_once(model):
    passed = []
    hook = model.blocks[0].register_forward_hook(lambda block, args, out: passed.append(out.shape[1]))
    try:
        model.generate(40)
    finally:
        hook.remove()
    assert passed == [1] * 40


@shipped
def test_the_checkpoint_is_surprised_by_bach_in_random_order():
    from course_utils import music

    composer = checkpoints.load("music")
    grids = [c.pitches for c in data.chorales("valid")[:5]]
    assert np.mean([composer.nll(music.shuffled(g)) for g in grids]) > 2 * np.mean(
        [composer.nll(g) for g in grids]
    )


def test_one_thing_changes_between_whole_steps_and_longer_windows(monkeypatch):
    seen = {}

    def fit(model, batches, *_, **options):
        seen[options["title"]] = type(model), model.config, batches.length, batches.count, options["ema"]
        return None

    monkeypatch.setattr(recipe.training, "fit", fit)
    for rung in ("features", "chords", "longer", "intervals", "averaged"):
        recipe.train_rung(rung, 0)
    assert seen["chords"][2:] == seen["features"][2:] == (64, 6, None), "the same windows"
    assert seen["longer"][1] == seen["chords"][1] and seen["longer"][2:] == (192, 8, None), "the same network"
    assert seen["intervals"][2:] == seen["longer"][2:] and seen["intervals"][1].intervals
    assert not seen["longer"][1].intervals and seen["averaged"][:4] == seen["intervals"][:4]


def test_a_rung_is_measured_on_what_it_has_learnt():
    piece = data.chorales("valid")[:1]
    torch.manual_seed(0)
    short, whole = recipe.ShortComposer(SMALL).eval(), Composer(SMALL).eval()
    assert recipe.nats(short, piece) == recipe.windowed_nats(short, piece)
    assert recipe.nats(whole, piece) == pytest.approx(whole.nll(piece[0].pitches, (piece[0].steps_per_bar, piece[0].pickup_steps)))  # fmt: skip
