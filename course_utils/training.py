"""`fit`: the training loop that notebook 00 writes out by hand, with comforts and nothing hidden.

What it adds to `loss.backward(); optimizer.step()`: a live loss curve, a learning rate that follows the
step, clipping, averaged weights, evaluation on the way, time and memory, resuming to the same result, and
an interrupt (stop button, Ctrl-C) or error that keeps what was learnt.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import inspect
import json
import math
import numbers
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from course_utils.checkpoints import CheckpointError

Schedule = Callable[[float], float]


def warmup_cosine(warmup: float = 0.05, floor: float = 0.0) -> Schedule:
    """Learning-rate factor: a straight rise over the first `warmup` share, then half a cosine down to `floor`.

    Cosine after Loshchilov and Hutter (SGDR, 2017, eq. 5). The argument of the result is progress, 0 to 1.
    """
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup is a share of the training from 0 to below 1, got {warmup}")

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


def _digest(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class _State:
    """The file that a training is continued from, and the recipe that it belongs to."""

    def __init__(self, path: Path, recipe: dict[str, Any]):
        # As it is read back, so that both can be compared.
        self.path, self.recipe = path, json.loads(json.dumps(recipe, default=float))
        self.part = path.with_name(path.name + ".part")

    def prepare(self) -> None:
        """Notice now, and not after the last step, that nothing can be written there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError("it is a folder")
            self.part.touch()
            self.part.unlink()
        except OSError as error:
            raise CheckpointError(
                f"the state of the training can not be kept in {self.path} ({error}): name a file where you may write"
            ) from error

    def save(self, model, optimizer, average, history: History, rng: torch.Tensor) -> bool:
        """Write beside, then replace. A disk that refuses is a warning: what is in memory must not be lost by it."""
        tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        if average is not None:
            tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
        tensors["rng"] = rng
        tensors = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
        metadata = {"history": json.dumps(asdict(history)), "recipe": json.dumps(self.recipe)}
        metadata["sha256"] = _digest(tensors, metadata)
        try:
            save_file(tensors, self.part, metadata=metadata)
            os.replace(self.part, self.path)
        except (OSError, SafetensorError) as error:
            warnings.warn(
                f"the state of the training can not be written to {self.path} ({error}). Model and history are whole "
                f"in memory after {len(history.losses)} steps; make room, or save the model elsewhere",
                RuntimeWarning,
                stacklevel=4,
            )
            return False
        finally:
            with contextlib.suppress(OSError):
                self.part.unlink()
        return True

    def load(self, model, optimizer, average) -> History:
        """Put everything back as it was; a state of another recipe is refused before anything is changed."""
        try:
            with safe_open(self.path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            if metadata.pop("sha256") != _digest(tensors, metadata):
                raise ValueError("it does not have its checksum")
            history, recipe = (json.loads(metadata[key]) for key in ("history", "recipe"))
            history = History(**{**history, "evaluations": [tuple(item) for item in history["evaluations"]]})
            rng = tensors.pop("rng")
            parts: dict[str, dict] = {"model": {}, "optimizer": {}, "average": {}}
            for name, value in tensors.items():
                part, _, key = name.partition(".")
                parts[part][key] = value
            steps: dict[int, dict] = {}
            for name, value in parts["optimizer"].items():
                index, _, key = name.partition(".")
                steps.setdefault(int(index), {})[key] = value
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._refused(
                f"is damaged or of an older version ({type(error).__name__}: {error})"
            ) from error
        for key in self.recipe | recipe:
            if self.recipe.get(key) != recipe.get(key):
                values = "" if key == "model" else f" (then {recipe.get(key)}, now {self.recipe.get(key)})"
                raise self._refused(f"belongs to another training, its {key} differs{values}")
        try:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": steps})
            if average is not None:
                average.load_state_dict(parts["average"])
            torch.set_rng_state(rng)
            model.load_state_dict(parts["model"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise self._refused(f"does not fit the model ({type(error).__name__}: {error})") from error
        history.interrupted = False
        return history

    def _refused(self, reason: str) -> CheckpointError:
        return CheckpointError(
            f"the state {self.path} {reason}. Delete it to start anew, or go on with what it was made by"
        )


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


def _marks(steps: int) -> list[float]:
    """Progress at the first step, at some between, and at the last."""
    return [step / steps for step in sorted({1, *(max(1, steps * tenth // 10) for tenth in range(1, 11))})]


def _check(model, batches, steps, learning_rate, schedule, clip, ema, optimizer, every, save_every) -> None:
    """Refuse what could only fail, or teach nothing, later."""
    for name, value in {"steps": steps, "every": every, "save_every": save_every}.items():
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not (whole and value >= 1) and not (name == "every" and value is None):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    for name, value in {"learning_rate": learning_rate, "clip": clip, "ema": ema}.items():
        below = 1 if name == "ema" else math.inf
        if value is None and name != "learning_rate":
            continue
        if not isinstance(value, numbers.Real) or not 0 < value < below:
            raise ValueError(f"{name} must lie between 0 and {below}, got {value!r}")
    if not callable(batches):
        raise TypeError(
            f"batches is called with a step and gives its batch, got {type(batches).__name__}; of a list make "
            "`lambda step: items[step % len(items)]`"
        )
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(
            "the model has no parameters that can learn (none at all, or requires_grad is False)"
        )
    own = set(model.parameters())
    if optimizer is not None and not any(
        p in own for group in optimizer.param_groups for p in group["params"]
    ):
        raise ValueError("the optimizer holds no parameter of this model: make it from model.parameters()")
    for done in _marks(steps):
        if not 0 <= schedule(done) < math.inf:
            raise ValueError(
                f"the schedule gives {schedule(done)} at {done:.0%}; expected a factor of 0 or more"
            )


def _value(loss: Any, step: int, learning_rate: float) -> float:
    """The loss as a number, when something can be learnt from it."""
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise TypeError(f"loss_fn gives a tensor with one number, got {got}; end it with `.mean()`")
    if not loss.requires_grad:
        raise ValueError(
            "the loss does not depend on the parameters: look for no_grad, detach or numpy in loss_fn"
        )
    if not math.isfinite(value := loss.item()):
        raise FloatingPointError(
            f"the loss is {value} at step {step}: lower the learning rate ({learning_rate:g}), clip the "
            "gradient, or look for a logarithm or division of zero in the loss"
        )
    return value


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
    fingerprint: str | None = None,
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
        state: file to resume from when it exists, and to write every `save_every` steps, at the end, and when
            an interrupt or error stops the training. A disk that is full is a warning.
        save_every: steps between two writings of `state`.
        fingerprint: names the recipe (its data, loss and code). A state of another fingerprint, number of steps,
            learning rate, optimiser or model is refused.
        accelerator: an `accelerate.Accelerator`, for a GPU or many processes; None: the device of the model.
            Among many processes each draws its own batches, and the first alone measures, shows and saves.
        seed: of torch's generator (dropout, sampling inside the loss).
        title: name shown with the progress.
        show: draw progress.

    Raises:
        ValueError, TypeError: an argument, batch or loss with which nothing could be learnt.
        CheckpointError: the state can not be written, is damaged, or belongs to another training.
        FloatingPointError: the loss or its gradient is no longer a number. The last state is left as it is.

    Whatever `batches`, `loss_fn` or `evaluate` raises comes out as it is, with a note of what was kept: the weights
    in `model`, the history as `history` of the error, and the state.
    """
    schedule = schedule or warmup_cosine()
    _check(model, batches, steps, learning_rate, schedule, clip, ema, optimizer, every, save_every)
    torch.manual_seed(seed)
    if optimizer is None:
        groups = [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=(0.9, 0.95))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    wrapped, first, history, file = model, accelerator is None or accelerator.is_main_process, History(), None
    if state:
        recipe = {
            "fingerprint": fingerprint, "steps": steps, "learning rate": learning_rate, "clip": clip, "ema": ema,
            "seed": seed, "optimiser": type(optimizer).__name__,
            "weight decay": [group.get("weight_decay") for group in optimizer.param_groups],
            "schedule": [round(schedule(done), 9) for done in _marks(steps)],
            "model": {name: list(value.shape) for name, value in model.state_dict().items()},
        }  # fmt: skip
        file = _State(Path(state).expanduser(), recipe)
        if first:
            file.prepare()
        if file.path.exists():
            history = file.load(model, optimizer, average)
    if accelerator is not None:
        from accelerate.utils import send_to_device

        wrapped, optimizer = accelerator.prepare(model, optimizer)
        if average is not None:
            average.to(accelerator.device)

    process, display = psutil.Process(), _Display(title, steps, show and first)
    start = time.perf_counter() - history.seconds
    display.update(history)
    begun, rng = len(history.losses), torch.get_rng_state()

    def keep() -> bool:
        """Write the state when there is something new in it."""
        return bool(first and file and len(history.losses) > begun) and file.save(
            model, optimizer, average, history, rng
        )

    def measure() -> None:
        done = len(history.losses)
        if not first or evaluate is None or not done or not (done == steps or (every and done % every == 0)):
            return
        values = evaluate((average.module if average is not None else model).eval())
        if not isinstance(values, dict):
            raise TypeError(f"evaluate gives {{name: value}}, got {type(values).__name__}")
        history.evaluations.append((done, {k: float(v) for k, v in values.items()}))
        history.seconds = time.perf_counter() - start

    try:
        if not history.evaluations or history.evaluations[-1][0] < len(history.losses):
            measure()  # where the last run stopped in the middle of it
        for step in range(len(history.losses), steps):
            wrapped.train()
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("peak_lr", learning_rate) * schedule((step + 1) / steps)
            batch = batches(step)
            if inspect.isgenerator(batch):
                raise TypeError("batches gave a generator: return the batch, do not yield it")
            if accelerator is not None:
                batch = send_to_device(batch, accelerator.device)
            loss = loss_fn(wrapped, batch)
            value = _value(loss, step, learning_rate)
            optimizer.zero_grad(set_to_none=True)
            if accelerator is None:
                loss.backward()
            else:
                accelerator.backward(loss)
            if clip is not None:
                clipping = torch.nn.utils if accelerator is None else accelerator
                norm = clipping.clip_grad_norm_(wrapped.parameters(), clip)
                # A scaler (float16) skips steps that overflow by itself.
                if not torch.isfinite(norm) and getattr(accelerator, "scaler", None) is None:
                    raise FloatingPointError(
                        f"the gradient is {norm.item()} at step {step} although the loss is {value:g}: look for "
                        "a square root, norm or logarithm of zero in the loss"
                    )
            optimizer.step()
            if average is not None:
                average.update_parameters(model)
            history.losses.append(value)
            # Where an evaluation or step is broken off, it begins anew with the numbers it began with.
            rng = torch.get_rng_state()
            history.seconds = time.perf_counter() - start
            if step % 20 == 0:
                history.peak_memory_mb = max(history.peak_memory_mb, process.memory_info().rss / 2**20)
            measure()
            rng = torch.get_rng_state()
            done = step + 1
            if done % save_every == 0 or done == steps:
                keep()
            display.update(history)
    except KeyboardInterrupt:
        history.interrupted = True
        keep()
    except Exception as error:
        kept = f"Stopped after {len(history.losses)} of {steps} steps; the model keeps what it learnt"
        if not isinstance(error, FloatingPointError) and keep():
            kept += f", and the same call goes on from {file.path}"
        error.history = history
        error.add_note(f"{kept}. The losses are in the `history` of this error.")
        raise
    finally:
        if average is not None and history.losses:
            model.load_state_dict(average.module.state_dict())
        model.eval()
    display.update(history, last=True)
    return history
