"""`fit` is the plain loop, and its comforts change nothing that they should not."""

import time

import numpy as np
import pytest
import torch

from course_utils import training


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
    asked = []
    made_ahead = training.ahead(lambda step: asked.append(step) or step)
    assert made_ahead(5) == 5
    for _ in range(100):
        if asked != [5, 6, 7]:
            time.sleep(0.05)
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
