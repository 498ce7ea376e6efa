"""Where the course computes: CPU, CUDA or MPS, with a reason; and one seed for everything."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch


@dataclass(frozen=True)
class Device:
    """A usable device and why it was chosen. `str(device)` is what torch wants."""

    name: str
    reason: str

    def __str__(self) -> str:
        return self.name


def _mps_differs() -> str | None:
    """Run a small model on MPS and on the CPU; a sentence when they do not agree.

    MPS kernels have been silently wrong for some operations the course uses (grouped convolutions, STFT),
    so a Mac's GPU is trusted only after it has shown the CPU's result.
    """
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv1d(8, 16, 5, padding=2, groups=4), torch.nn.GELU(), torch.nn.Conv1d(16, 8, 1)
    )
    x = torch.randn(2, 8, 400, generator=generator)
    try:
        with torch.inference_mode():
            expected = torch.fft.rfft(model(x)).abs()
            result = torch.fft.rfft(model.to("mps")(x.to("mps"))).abs().cpu()
    except (RuntimeError, NotImplementedError) as error:
        return f"MPS can not run the course's operations ({error})"
    worst = float((expected - result).abs().max())
    return None if worst < 1e-2 else f"MPS differs from the CPU by {worst:.3g} on a small model"


@lru_cache(maxsize=1)
def _best() -> Device:
    if torch.cuda.is_available():
        return Device("cuda", f"CUDA, {torch.cuda.get_device_name(0)}")
    if torch.backends.mps.is_available():
        refusal = _mps_differs()
        return Device("mps", "MPS, checked against the CPU") if refusal is None else Device("cpu", refusal)
    return Device("cpu", f"no GPU found; {torch.get_num_threads()} threads")


def pick(wanted: object = None) -> Device:
    """The device to use: the best one that works, or the one named (also by COURSE_DEVICE).

    Raises:
        RuntimeError: the named device does not exist here, or can not compute.
    """
    named_by = "the argument" if wanted is not None else "COURSE_DEVICE"
    wanted = str(os.environ.get("COURSE_DEVICE", "") if wanted is None else wanted).strip()
    if not wanted:
        return _best()
    try:
        torch.zeros(1, device=wanted).item()
    except Exception as error:  # every kind of device has its own error for its absence
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RuntimeError(
            f"{named_by} names the device {wanted!r}, which can not be used here ({reason}); "
            f"use cpu, cuda, cuda:0 or mps, or leave it out for {_best()}: {_best().reason}"
        ) from error
    return Device(wanted, f"asked for by {named_by}")


def seed_everything(seed: int = 0) -> None:
    """Seed Python, numpy and torch (all devices), so that a run can be repeated."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries below us still draw from the global generator
    torch.manual_seed(seed)
