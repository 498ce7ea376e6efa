"""`fit` is the plain loop, and its comforts change nothing that they should not."""

import threading

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from course_utils import training
from course_utils.checkpoints import CheckpointError


def model(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 16), torch.nn.Dropout(0.1), torch.nn.Tanh(), torch.nn.Linear(16, 1)
    )


def batches(step):
    x = np.random.default_rng(step).normal(size=(32, 4)).astype(np.float32)
    x = torch.from_numpy(x)
    return x, x.sum(1, keepdim=True)


def loss_fn(net, batch):
    return (net(batch[0]) - batch[1]).square().mean()


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_it_is_the_loop_written_out_by_hand():
    by_hand, fitted = model(), model()
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
    losses = []
    for step in range(30):
        loss = loss_fn(by_hand.train(), batches(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    history = training.fit(
        fitted,
        batches,
        loss_fn,
        30,
        learning_rate=1e-2,
        weight_decay=0.0,
        clip=None,
        schedule=training.constant,
        show=False,
    )
    np.testing.assert_allclose(history.losses, losses, rtol=1e-5)
    torch.testing.assert_close(weights(fitted), weights(by_hand))


def test_it_learns_and_reports_time_memory_and_evaluations():
    net = model()
    history = training.fit(
        net, batches, loss_fn, 300, learning_rate=1e-2, evaluate=lambda m: {"loss": loss_fn(m, batches(9999)).item()},
        every=100, show=False,
    )  # fmt: skip
    assert history.losses[-1] < 0.3 * history.losses[0]
    assert [step for step, _ in history.evaluations] == [100, 200, 300]
    assert history.evaluations[-1][1]["loss"] < history.evaluations[0][1]["loss"]
    assert history.seconds > 0 and history.peak_memory_mb > 50
    assert not net.training


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_resumed_run_ends_where_an_unbroken_one_ends(tmp_path, ema):
    whole, broken = model(), model()
    options = {"learning_rate": 1e-2, "ema": ema, "show": False}
    expected = training.fit(whole, batches, loss_fn, 40, **options)

    def interrupting(step):
        if step == 25:
            raise KeyboardInterrupt
        return batches(step)

    first = training.fit(broken, interrupting, loss_fn, 40, state=tmp_path / "state.safetensors", **options)
    assert first.interrupted and len(first.losses) == 25
    again = model(seed=1)
    history = training.fit(again, batches, loss_fn, 40, state=tmp_path / "state.safetensors", **options)
    np.testing.assert_allclose(history.losses, expected.losses, rtol=1e-5)
    torch.testing.assert_close(weights(again), weights(whole))


def test_a_step_or_evaluation_that_was_broken_off_is_made_again_with_the_same_random_numbers(tmp_path):
    def noisy(net, batch):
        return loss_fn(net, (batch[0] + 0.1 * torch.randn(batch[0].shape), batch[1]))

    def evaluate(net):
        return {"drawn": torch.rand(()).item()}

    options = {"learning_rate": 1e-2, "every": 5, "show": False}
    whole, broken = model(), model()
    expected = training.fit(whole, batches, noisy, 20, evaluate=evaluate, **options)
    options["state"], stops = tmp_path / "state.safetensors", []

    def stopping(function, error, at):
        def stop(*arguments):
            stops.append(function)
            result = function(*arguments)  # has drawn before it breaks
            if stops.count(function) == at:
                raise error
            return result

        return stop

    training.fit(broken, batches, stopping(noisy, KeyboardInterrupt, 8), 20, evaluate=evaluate, **options)
    with pytest.raises(OSError, match="broken"):
        training.fit(broken, batches, noisy, 20, evaluate=stopping(evaluate, OSError("broken"), 1), **options)
    history = training.fit(broken, batches, noisy, 20, evaluate=evaluate, **options)
    assert history.losses == expected.losses and history.evaluations == expected.evaluations
    assert torch.equal(weights(broken), weights(whole))


def test_a_state_made_with_accelerate_goes_on_without_it(tmp_path):
    from accelerate import Accelerator

    def interrupting(step):
        if step == 6:
            raise KeyboardInterrupt
        return batches(step)

    whole, again = model(), model(seed=1)
    options = {"ema": 0.9, "show": False}
    training.fit(whole, batches, loss_fn, 12, **options)
    options["state"] = tmp_path / "state.safetensors"
    training.fit(model(), interrupting, loss_fn, 12, accelerator=Accelerator(cpu=True), **options)
    training.fit(again, batches, loss_fn, 12, **options)
    torch.testing.assert_close(weights(again), weights(whole))


# --- nothing is lost -----------------------------------------------------------------------------------


def failing(function, at):
    """The same function, which breaks when it is called for the `at`-th time."""
    calls = []

    def fails(*arguments):
        calls.append(arguments)
        if len(calls) == at:
            raise OSError("a broken part")
        return function(*arguments)

    return fails


@pytest.mark.parametrize("part", ["batches", "loss", "evaluate", "the last evaluation"])
def test_an_error_in_what_the_learner_wrote_loses_nothing(tmp_path, part):
    expected, state = (
        training.fit(model(), batches, loss_fn, 10, ema=0.9, show=False),
        tmp_path / "new" / "state",
    )
    parts = {"batches": batches, "loss_fn": loss_fn, "evaluate": lambda net: {"error": 1.0}}
    broken = {
        "batches": {"batches": failing(batches, 8)},
        "loss": {"loss_fn": failing(loss_fn, 8)},
        "evaluate": {"evaluate": failing(parts["evaluate"], 1)},
        "the last evaluation": {"evaluate": failing(parts["evaluate"], 2)},
    }[part]
    net, options = model(), {"steps": 10, "every": 7, "ema": 0.9, "state": state, "show": False}
    with pytest.raises(OSError, match="a broken part") as caught:
        training.fit(net, **{**parts, **broken}, **options)
    done = 10 if part == "the last evaluation" else 7
    (note,) = caught.value.__notes__
    assert f"after {done} of 10 steps" in note and str(state) in note
    assert caught.value.history.losses == expected.losses[:done]
    assert not net.training and not torch.equal(weights(net), weights(model()))
    history = training.fit(net, **parts, **options)
    assert history.losses == expected.losses and [step for step, _ in history.evaluations] == [7, 10]


def test_an_error_before_the_first_step_leaves_no_state(tmp_path):
    with pytest.raises(OSError, match="a broken part"):
        training.fit(model(), failing(batches, 1), loss_fn, 3, state=tmp_path / "state", show=False)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_warning_and_the_training_is_kept(tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise safetensors.SafetensorError("No space left on device")

    net, plain = model(), model()
    expected = training.fit(plain, batches, loss_fn, 4, show=False)
    monkeypatch.setattr(training, "save_file", full)
    with pytest.warns(RuntimeWarning, match="No space left.*whole in memory after 4 steps"):
        history = training.fit(net, batches, loss_fn, 4, state=tmp_path / "state", show=False)
    assert history.losses == expected.losses and torch.equal(weights(net), weights(plain))
    assert list(tmp_path.iterdir()) == []


def never(step):
    pytest.fail("a step was made")


def test_a_place_where_no_state_can_be_written_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    for state in (tmp_path / "file" / "state", tmp_path):
        with pytest.raises(CheckpointError, match="can not be kept in"):
            training.fit(model(), never, loss_fn, 3, state=state, show=False)


# --- states that do not fit ----------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path):
    """The file of a training that is done."""
    path = tmp_path / "state"
    training.fit(model(), batches, loss_fn, 4, state=path, fingerprint="first", ema=0.9, show=False)
    return path


def test_a_training_that_is_done_is_not_made_again(state):
    net = model(seed=1)
    options = {"state": state, "fingerprint": "first", "ema": 0.9, "show": False}
    assert len(training.fit(net, never, loss_fn, 4, **options).losses) == 4
    expected = model()
    training.fit(expected, batches, loss_fn, 4, ema=0.9, show=False)
    torch.testing.assert_close(weights(net), weights(expected))


@pytest.mark.parametrize(
    ("differs", "options"),
    [
        (r"fingerprint differs \(then first, now second\)", {"fingerprint": "second"}),
        (r"steps differs \(then 4, now 5\)", {"steps": 5}),
        ("learning rate", {"learning_rate": 2e-3}),
        ("schedule", {"schedule": training.constant}),
        ("ema", {"ema": None}),
        ("clip", {"clip": None}),
        ("seed", {"seed": 1}),
        ("weight decay", {"weight_decay": 0.1}),
        ("optimiser", {"optimizer": torch.optim.SGD}),
        ("model", {"model": torch.nn.Linear(4, 1)}),
    ],
)
def test_a_state_of_another_training_is_refused(state, differs, options):
    options = {"model": model(), "steps": 4, "fingerprint": "first", "ema": 0.9, **options}
    if "optimizer" in options:
        options["optimizer"] = options["optimizer"](options["model"].parameters(), lr=1e-3)
    before = weights(options["model"]).clone()
    with pytest.raises(CheckpointError, match=rf"{state}.* its {differs}.*Delete it to start anew"):
        training.fit(batches=never, loss_fn=loss_fn, state=state, show=False, **options)
    assert torch.equal(weights(options["model"]), before)


def bare(path):
    """A state as it was before it held a recipe."""
    safetensors.torch.save_file({"model.0.weight": torch.zeros(16, 4)}, path, metadata={"history": "{}"})


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xff"),
        lambda path: path.write_bytes(path.read_bytes().replace(b"losses", b"lasses")),
        lambda path: path.write_bytes(b"\xff" * 100),
        bare,
    ],
    ids=["empty", "truncated", "a flipped byte", "a changed history", "no safetensors", "older"],
)
def test_a_damaged_or_outdated_state_is_refused(state, damage):
    damage(state)
    with pytest.raises(CheckpointError, match=rf"{state} is damaged or of an older.*Delete it to start anew"):
        training.fit(model(), never, loss_fn, 4, state=state, fingerprint="first", ema=0.9, show=False)


# --- arguments -----------------------------------------------------------------------------------------


def frozen():
    return model().requires_grad_(False)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        *((r"steps must be a whole number", {"steps": steps}) for steps in (0, -1, 2.5, True, None, "3")),
        *(("^every must be", {"every": every}) for every in (0, -5, 0.5)),
        *(("^save_every must be", {"save_every": every}) for every in (0, None)),
        *(("learning_rate", {"learning_rate": rate}) for rate in (0, -1e-3, float("nan"), float("inf"), None)),
        *(("clip", {"clip": clip}) for clip in (0, -1.0, float("nan"))),
        *(("ema must lie between 0 and 1", {"ema": ema}) for ema in (1.0, -0.1, 99)),
        ("no parameters that can learn", {"model": torch.nn.ReLU()}),
        ("no parameters that can learn", {"model": frozen()}),
        ("no parameter of this model", {"optimizer": torch.optim.SGD(frozen().parameters(), lr=1.0)}),
        (r"schedule gives -0.33.* at 33%", {"schedule": lambda progress: -progress}),
        ("schedule gives nan", {"schedule": lambda progress: float("nan")}),
    ],
)  # fmt: skip
def test_what_could_only_fail_later_is_refused_before_the_first_step(message, options):
    with pytest.raises(ValueError, match=message):
        training.fit(
            **{"model": model(), "batches": never, "loss_fn": loss_fn, "steps": 3, "show": False, **options}
        )


def generating(step):
    yield batches(step)


@pytest.mark.parametrize("given", [[batches(0)], (batches(0) for _ in range(3)), generating])
def test_batches_that_are_no_function_of_the_step_are_refused(given):
    with pytest.raises(TypeError, match=r"^batches"):
        training.fit(model(), given, loss_fn, 3, show=False)


@pytest.mark.parametrize(
    ("message", "loss"),
    [
        (r"one number, got shape \(32, 1\)", lambda net, batch: net(batch[0])),
        ("one number, got float", lambda net, batch: loss_fn(net, batch).item()),
        ("one number, got NoneType", lambda net, batch: None),
        ("does not depend on the parameters", lambda net, batch: loss_fn(net, batch).detach()),
    ],
)
def test_a_loss_from_which_nothing_can_be_learnt_says_why(message, loss):
    with pytest.raises((TypeError, ValueError), match=message):
        training.fit(model(), batches, loss, 3, show=False)


def test_an_evaluation_without_names_says_what_is_expected():
    with pytest.raises(TypeError, match=r"\{name: value\}, got float"):
        training.fit(model(), batches, loss_fn, 1, evaluate=lambda net: 1.0, show=False)


def test_a_gradient_that_is_no_number_stops_before_it_reaches_the_weights(tmp_path):
    def square_root_of_zero(net, batch):
        return loss_fn(net, batch) + (0 * net(batch[0]).sum()).sqrt()

    net, state = model(), tmp_path / "state"
    with pytest.raises(FloatingPointError, match="gradient is nan at step 0"):
        training.fit(net, batches, square_root_of_zero, 3, state=state, show=False)
    assert torch.equal(weights(net), weights(model())) and not state.exists()


def test_a_warm_up_that_never_ends_is_refused():
    for warmup in (1.0, -0.1):
        with pytest.raises(ValueError, match="warmup is a share"):
            training.warmup_cosine(warmup)


def test_the_histories_of_two_runs_become_one():
    first = training.History([3.0, 2.0], [(2, {"valid": 2.5})], 10.0, 100.0)
    then = training.History([1.0], [(1, {"valid": 1.5})], 5.0, 90.0, interrupted=True)
    both = first.followed_by(then)
    assert both.losses == [3.0, 2.0, 1.0] and both.evaluations == [(2, {"valid": 2.5}), (3, {"valid": 1.5})]
    assert (both.seconds, both.peak_memory_mb, both.interrupted) == (15.0, 100.0, True)


def test_an_interrupt_keeps_what_was_learnt():
    net, start = model(), weights(model())

    def interrupting(step):
        if step == 10:
            raise KeyboardInterrupt
        return batches(step)

    history = training.fit(net, interrupting, loss_fn, 100, show=False)
    assert history.interrupted and len(history.losses) == 10
    assert not torch.equal(weights(net), start)


def test_averaged_weights_end_between_the_first_and_the_last():
    plain, averaged = model(), model()
    training.fit(plain, batches, loss_fn, 50, learning_rate=1e-2, show=False)
    training.fit(averaged, batches, loss_fn, 50, learning_rate=1e-2, ema=0.99, show=False)
    start = weights(model())
    assert 0 < (weights(averaged) - start).norm() < (weights(plain) - start).norm()


def test_a_loss_that_is_no_number_stops_with_advice():
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        training.fit(model(), batches, lambda m, b: loss_fn(m, b) * float("nan"), 3, show=False)


def test_accelerate_gives_the_same_result_on_the_cpu():
    from accelerate import Accelerator

    plain, accelerated = model(), model()
    training.fit(plain, batches, loss_fn, 20, show=False)
    training.fit(accelerated, batches, loss_fn, 20, accelerator=Accelerator(cpu=True), show=False)
    torch.testing.assert_close(weights(accelerated), weights(plain))


@pytest.mark.parametrize("workers", [-1, 0, 2])
def test_batches_made_ahead_are_the_same_in_any_order(workers):
    made_ahead = training.ahead(batches, workers)
    for step in (0, 1, 2, 7, 8, 0):  # in order, after a resumed state, and from the start again
        for got, wanted in zip(made_ahead(step), batches(step), strict=True):
            torch.testing.assert_close(got, wanted)


def test_the_next_batch_is_made_while_the_model_learns():
    asked, two_ahead = [], threading.Event()

    def batches(step):
        asked.append(step)
        if step == 7:
            two_ahead.set()
        return step

    made_ahead = training.ahead(batches)
    assert made_ahead(5) == 5
    assert two_ahead.wait(60)
    assert asked == [5, 6, 7] and made_ahead(6) == 6


@pytest.mark.parametrize("workers", [0, 1])
def test_what_goes_wrong_in_a_batch_made_ahead_is_told(workers):
    def damaged(step):
        raise ValueError("no such clip")

    with pytest.raises(ValueError, match="no such clip"):
        training.ahead(damaged, workers)(0)


def test_batches_go_to_the_device_of_the_accelerator(monkeypatch):
    from accelerate import Accelerator

    accelerator, moved = Accelerator(cpu=True), []
    monkeypatch.setattr(
        "accelerate.utils.send_to_device", lambda batch, device: moved.append(device) or batch
    )
    training.fit(model(), batches, loss_fn, 2, accelerator=accelerator, show=False)
    assert moved == [accelerator.device] * 2


@pytest.mark.parametrize("first", [True, False])
def test_among_many_processes_the_first_alone_measures_shows_and_saves(first, tmp_path, capsys):
    from accelerate import Accelerator

    class OneOfMany(Accelerator):
        is_main_process = first

    path = tmp_path / "state.safetensors"
    history = training.fit(
        model(), batches, loss_fn, 4, evaluate=lambda net: {"figure": 1.0}, state=path,
        accelerator=OneOfMany(cpu=True),
    )  # fmt: skip
    assert len(history.losses) == 4
    assert path.exists() == bool(history.evaluations) == bool(capsys.readouterr().out) == first


def test_the_schedule_rises_and_falls():
    factor = training.warmup_cosine(warmup=0.1, floor=0.05)
    values = [factor(p) for p in np.linspace(0, 1, 101)]
    assert values[0] == 0 and max(values) == pytest.approx(1.0) and values[-1] == pytest.approx(0.05)
    assert np.argmax(values) == 10


def test_the_curve_says_its_numbers_in_words():
    history = training.fit(model(), batches, loss_fn, 10, evaluate=lambda m: {"error": 1.0}, show=False)
    picture = history.plot("Toy")
    assert "10 steps" in picture.alt and picture.png().startswith(b"\x89PNG")
