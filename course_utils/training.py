"""`fit`: the training loop that notebook 00 writes out by hand, with comforts and nothing hidden.

What it adds to `loss.backward(); optimizer.step()`: a live loss curve, a learning rate that follows the
step, clipping, averaged weights, evaluation on the way, time and memory, resuming to the same result, and
an interrupt (stop button, Ctrl-C) that keeps what was learnt.
"""

from __future__ import annotations

import html
import json
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

Schedule = Callable[[float], float]


def warmup_cosine(warmup: float = 0.05, floor: float = 0.0) -> Schedule:
    """Learning-rate factor: a straight rise over the first `warmup` share, then half a cosine down to `floor`.

    Cosine after Loshchilov and Hutter (SGDR, 2017, eq. 5). The argument of the result is progress, 0 to 1.
    """

    def factor(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))

    return factor


def plateau(progress: float) -> float:
    """Learning-rate factor: up over 3 %, level until 60 %, then straight down to 0."""
    return min(progress / 0.03, 1.0, (1 - progress) / 0.4)


def constant(progress: float) -> float:
    """Learning-rate factor 1 from the first step to the last."""
    return 1.0


@dataclass
class History:
    """What happened in a training run.

    Attributes:
        losses: one a step.
        evaluations: (steps done, {metric: value}) in order.
        seconds: computing time of the loop, evaluations included, over all resumed parts.
        peak_memory_mb: largest resident memory of the process, in MiB.
        interrupted: stopped by hand before the last step.
    """

    losses: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    interrupted: bool = False

    def smooth(self, span: int | None = None) -> list[float]:
        """Losses as a running mean over `span` steps (None: a fiftieth of the run)."""
        span = span or max(1, len(self.losses) // 50)
        total, result = 0.0, []
        for step, loss in enumerate(self.losses):
            total += loss - (self.losses[step - span] if step >= span else 0.0)
            result.append(total / min(step + 1, span))
        return result

    def followed_by(self, then: History) -> History:
        """One history of two runs of the same model, one after the other."""
        done = len(self.losses)
        return History(
            self.losses + then.losses,
            self.evaluations + [(done + step, values) for step, values in then.evaluations],
            self.seconds + then.seconds,
            max(self.peak_memory_mb, then.peak_memory_mb),
            then.interrupted,
        )

    def plot(self, title: str = "Training"):
        """The loss curve as a `plotting.Picture`, with what was measured on the way in a second row."""
        from course_utils import plotting  # only the notebook needs it: training runs where nothing draws

        names = sorted({name for _, values in self.evaluations for name in values})
        end = self.smooth()[-1] if self.losses else float("nan")
        alt = f"{title}: loss against step, {len(self.losses)} steps, smoothed loss {end:.4g} at the end"
        picture, axes = plotting.figure(1, 1 + len(names), alt=alt, size=(9, 2.6))
        axes[0].plot(self.losses, color="C5", linewidth=0.5, alpha=0.6)
        axes[0].plot(self.smooth())
        axes[0].set(title=title, xlabel="step", ylabel="loss")
        for ax, name in zip(axes[1:], names, strict=True):
            points = [(step, values[name]) for step, values in self.evaluations if name in values]
            ax.plot(*zip(*points, strict=True), marker="o", markersize=3)
            ax.set(title=name, xlabel="step")
        return picture


class _Display:
    """Progress as one line that is rewritten: HTML in a notebook, plain text in a terminal or log."""

    def __init__(self, title: str, steps: int, show: bool):
        self.title, self.steps, self.show = title, steps, show
        self.next_time, self.handle = 0.0, None
        try:
            from IPython import get_ipython

            self.notebook = get_ipython() is not None and hasattr(get_ipython(), "kernel")
        except ImportError:
            self.notebook = False

    def update(self, history: History, last: bool = False) -> None:
        done, now = len(history.losses), time.monotonic()
        if not self.show or (now < self.next_time and not last):
            return
        self.next_time = now + (1.0 if self.notebook else 15.0)
        if done == 0:
            return
        left = history.seconds / done * (self.steps - done)
        text = f"{self.title}: step {done}/{self.steps}, loss {history.smooth()[-1]:.4f}, {history.seconds:.0f} s"
        text += "" if done == self.steps else " (interrupted)" if last else f", about {left:.0f} s left"
        if history.evaluations:
            text += "".join(f", {name} {value:.4g}" for name, value in history.evaluations[-1][1].items())
        if not self.notebook:
            print(text, flush=True)
            return
        from IPython.display import HTML, display

        line = HTML(
            f'<progress value="{done}" max="{self.steps}" style="width:12em" aria-label="training progress">'
            f"</progress> <code>{html.escape(text)}</code>"
        )
        if self.handle is None:
            self.handle = display(line, display_id=True)
        else:
            self.handle.update(line)


def _save_state(path: Path, model, optimizer, average, history: History) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    if average is not None:
        tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    tensors["rng"] = torch.get_rng_state()
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
    record = {"losses": history.losses, "evaluations": history.evaluations, "seconds": history.seconds}
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, metadata={"history": json.dumps(record)})
    os.replace(temporary, path)


def _load_state(path: Path, model, optimizer, average) -> History:
    parts: dict[str, dict] = {"model": {}, "optimizer": {}, "average": {}}
    with safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["history"])
        for name in file.keys():
            part, _, key = name.partition(".")
            if part == "rng":
                torch.set_rng_state(file.get_tensor(name))
            else:
                parts[part][key] = file.get_tensor(name)
    model.load_state_dict(parts["model"])
    if average is not None:
        average.load_state_dict(parts["average"])
    state: dict[int, dict] = {}
    for name, value in parts["optimizer"].items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    evaluations = [(step, values) for step, values in record["evaluations"]]
    return History(record["losses"], evaluations, record["seconds"])


class _Ahead(Dataset):
    """The batches of the steps from `first` on, as `DataLoader` asks for them."""

    def __init__(self, batches: Callable[[int], Any], first: int):
        self.batches, self.first = batches, first

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> Any:
        return self.batches(self.first + index)


def _unchanged(batch: Any) -> Any:
    return batch


def ahead(batches: Callable[[int], Any], workers: int = 0) -> Callable[[int], Any]:
    """The same `batches`, the next ones made while the model learns from the last.

    Args:
        batches: as in `fit`.
        workers: made by so many processes; on systems that do not fork, `batches` must then be importable from
            a module. With 0 or less by a thread, which works everywhere, and is enough for two cores.
    """
    if workers <= 0:
        pool, begun = ThreadPoolExecutor(1), {}

        def batch(step: int) -> Any:
            nonlocal begun
            begun = {i: begun.get(i) or pool.submit(batches, i) for i in range(step, step + 3)}
            return begun.pop(step).result()

        return batch

    expected, coming = None, None

    def batch(step: int) -> Any:
        nonlocal expected, coming
        if step != expected:  # the first one, or a resumed run
            coming = None  # ends the processes of the steps before
            steps = _Ahead(batches, step)
            coming = iter(DataLoader(steps, batch_size=None, num_workers=workers, collate_fn=_unchanged))
        expected = step + 1
        return next(coming)

    return batch


def fit(
    model: torch.nn.Module,
    batches: Callable[[int], Any],
    loss_fn: Callable[[torch.nn.Module, Any], torch.Tensor],
    steps: int,
    *,
    learning_rate: float = 1e-3,
    schedule: Schedule | None = None,
    weight_decay: float = 0.01,
    clip: float | None = 1.0,
    ema: float | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    evaluate: Callable[[torch.nn.Module], dict[str, float]] | None = None,
    every: int | None = None,
    state: str | Path | None = None,
    save_every: int = 500,
    accelerator: Any = None,
    seed: int = 0,
    title: str = "Training",
    show: bool = True,
) -> History:
    """Train `model` in place for `steps` steps and return what happened.

    Args:
        model: the model; it is in evaluation mode afterwards, with averaged weights when `ema` is set.
        batches: gives the batch of a step (0, 1, ...). The same step gives the same batch, so that a resumed
            run continues exactly where it stopped: draw with `numpy.random.default_rng(step)`.
        loss_fn: gives the scalar loss of (model, batch).
        steps: how many optimiser steps; the learning rate is annealed to this number.
        learning_rate: the largest learning rate.
        schedule: factor of it by progress (0 to 1); None: `warmup_cosine()`.
        weight_decay: of AdamW, on matrices only (norms and biases are left alone).
        clip: largest norm of the gradient; None: not clipped.
        ema: decay of the averaged weights, for example 0.999; None: no averaging.
        optimizer: another one than AdamW; `weight_decay` is then its own affair.
        evaluate: measures the (averaged) model, every `every` steps and at the end.
        every: steps between evaluations; None: only at the end.
        state: file to resume from when it exists, and to write every `save_every` steps and at the end.
        save_every: steps between two writings of `state`.
        accelerator: an `accelerate.Accelerator`, for a GPU or many processes; None: the device of the model.
            Among many processes each draws its own batches, and the first alone measures, shows and saves.
        seed: of torch's generator (dropout, sampling inside the loss).
        title: name shown with the progress.
        show: draw progress.

    Raises:
        FloatingPointError: the loss is no longer a number.
    """
    schedule = schedule or warmup_cosine()
    torch.manual_seed(seed)
    if optimizer is None:
        groups = [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=(0.9, 0.95))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    path = Path(state) if state else None
    history = _load_state(path, model, optimizer, average) if path and path.exists() else History()
    wrapped, first = model, accelerator is None or accelerator.is_main_process
    if accelerator is not None:
        from accelerate.utils import send_to_device

        wrapped, optimizer = accelerator.prepare(model, optimizer)
        if average is not None:
            average.to(accelerator.device)

    process, display = psutil.Process(), _Display(title, steps, show and first)
    start = time.perf_counter() - history.seconds
    display.update(history)
    try:
        for step in range(len(history.losses), steps):
            wrapped.train()
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("peak_lr", learning_rate) * schedule((step + 1) / steps)
            batch = batches(step)
            if accelerator is not None:
                batch = send_to_device(batch, accelerator.device)
            loss = loss_fn(wrapped, batch)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss.item()} at step {step}: lower the learning rate ({learning_rate:g}), clip the "
                    "gradient, or look for a logarithm or division of zero in the loss"
                )
            optimizer.zero_grad(set_to_none=True)
            if accelerator is None:
                loss.backward()
            else:
                accelerator.backward(loss)
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(wrapped.parameters(), clip)
            optimizer.step()
            if average is not None:
                average.update_parameters(model)
            history.losses.append(loss.item())
            history.seconds = time.perf_counter() - start
            if step % 20 == 0:
                history.peak_memory_mb = max(history.peak_memory_mb, process.memory_info().rss / 2**20)
            done = step + 1
            if first and evaluate is not None and (done == steps or (every and done % every == 0)):
                measured = average.module if average is not None else model
                history.evaluations.append(
                    (done, {k: float(v) for k, v in evaluate(measured.eval()).items()})
                )
                history.seconds = time.perf_counter() - start
            if first and path is not None and (done % save_every == 0 or done == steps):
                _save_state(path, model, optimizer, average, history)
            display.update(history)
    except KeyboardInterrupt:
        history.interrupted = True
        if first and path is not None:
            _save_state(path, model, optimizer, average, history)
    if average is not None and history.losses:
        model.load_state_dict(average.module.state_dict())
    model.eval()
    display.update(history, last=True)
    return history
