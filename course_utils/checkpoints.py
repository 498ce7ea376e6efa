"""Trained models on disk: `model.safetensors`, `config.json` and a model card, never pickle."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import tempfile
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

DEFAULT_FOLDER = Path(__file__).resolve().parents[1] / "data" / "checkpoints"


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged or does not fit, and what to do about it."""


def folder() -> Path:
    """Where checkpoints live: COURSE_DATA/checkpoints, else data/checkpoints of the course."""
    data = os.environ.get("COURSE_DATA")
    return Path(data) / "checkpoints" if data else DEFAULT_FOLDER


def available() -> list[str]:
    """Names of the checkpoints that are there, sorted."""
    return sorted(path.parent.name for path in folder().glob("*/config.json"))


def card(
    name: str,
    what: str,
    *,
    data: str,
    seed: int,
    history: Any,
    metrics: dict[str, str],
    limits: str,
) -> str:
    """A model card in Markdown: what it is, how it was made, how well it does, and where it fails.

    Args:
        name: of the checkpoint.
        what: one or two sentences.
        data: what it was trained on.
        seed: of the training.
        history: `training.History` of the run.
        metrics: figure with its interval, by what was measured.
        limits: where it must not be trusted.
    """
    rows = {
        "data": data,
        "seed": seed,
        "steps": len(history.losses),
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "time": f"{history.seconds / 60:.1f} minutes",
        "memory": f"{history.peak_memory_mb:.0f} MiB",
        "torch": torch.__version__,
        **metrics,
        "limits": limits,
        "rebuild": f"`course train {name}`",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return f"# {name}\n\n{what}\n\n| | |\n| --- | --- |\n{table}\n"


def save(
    name: str | Path, model: torch.nn.Module, config: Any, card: str, *, half: bool = False, **facts: Any
) -> Path:
    """Write a model so that a break in the middle leaves the old one whole.

    Args:
        name: name in `folder()`, or a path.
        model: what to save.
        config: dataclass or dict that builds the model again; "module" and "class" are added.
        card: the model card in Markdown: data, seed, steps, machine, time, metrics, limits.
        half: store float tensors as float16.
        facts: further entries for config.json, for example metrics.

    Returns:
        the folder written.
    """
    target = Path(name) if isinstance(name, Path) else folder() / name
    target.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in model.state_dict().items()
    }
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        weights = Path(temporary) / "model.safetensors"
        save_file(tensors, weights)
        document = {
            "module": type(model).__module__,
            "class": type(model).__name__,
            "config": asdict(config) if is_dataclass(config) else dict(config),
            "parameters": sum(p.numel() for p in model.parameters()),
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            **facts,
        }
        (Path(temporary) / "config.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (Path(temporary) / "README.md").write_text(card.rstrip() + "\n", encoding="utf-8")
        for file in ("model.safetensors", "config.json", "README.md"):
            os.replace(Path(temporary) / file, target / file)
    return target


def read(name: str | Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return config.json and the float32 tensors of a checkpoint, compared with its checksum.

    Raises:
        CheckpointError: missing, damaged or half written.
    """
    target = Path(name) if isinstance(name, Path) else folder() / name
    if not (target / "config.json").exists():
        have = ", ".join(available()) or "none"
        raise CheckpointError(
            f"no checkpoint {str(name)!r} (there are: {have}). Train it with `course train {target.name}`, "
            "or restore it with `git checkout -- data/checkpoints`"
        )
    try:
        document = json.loads((target / "config.json").read_text(encoding="utf-8"))
        weights = (target / "model.safetensors").read_bytes()
        if hashlib.sha256(weights).hexdigest() != document["sha256"]:
            raise ValueError("the weights do not have the checksum of config.json")
        tensors = load_file(target / "model.safetensors")
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {target.name!r} is damaged ({error}); restore it with `git checkout -- data/checkpoints` "
            f"or train it again with `course train {target.name}`"
        ) from error
    return document, {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def load(name: str | Path, device: str = "cpu") -> torch.nn.Module:
    """Build the model of a checkpoint and fill it; in evaluation mode.

    The class comes from `course_utils.models` (written from the notebooks), never from the file.

    Raises:
        CheckpointError: missing, damaged, or made by another version of the model.
    """
    document, tensors = read(name)
    module = document["module"]
    if not module.startswith("course_utils."):
        raise CheckpointError(
            f"checkpoint {str(name)!r} names the module {module!r}, which is not part of the course"
        )
    model_class = getattr(importlib.import_module(module), document["class"])
    try:
        model = model_class.from_config(document["config"])
        model.load_state_dict(tensors)
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"checkpoint {str(name)!r} does not fit the model in {module} ({error}); "
            "the model was changed since: train it again, or restore both with git"
        ) from error
    return model.to(device).eval()
