"""Trained models on disk: `model.safetensors`, `config.json` and a model card, never pickle."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
import os
import platform
import re
import tempfile
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors

from course_utils import paths

# What config.json must hold, and of what kind. Recipes add facts of their own.
ENTRIES = {"module": str, "class": str, "config": dict, "parameters": int, "sha256": str}
# Where a model may come from. Importing a module runs it, so no other module is imported for a file's sake.
MODULES = re.compile(r"course_utils\.(models|text)\.[a-z]\w*")
NAMES = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
STORED = {32: "float32", 16: "float16", 8: "int8"}
"""What config.json says of numbers of so many bits; a file without the entry holds float32 or float16."""
SMALL = 4096
"""Tensors of fewer numbers are never stored with 8 bits: they are a small part of any file."""
IN_8_BITS = (
    "Stored: matrices as int8 with one float16 step for each row, everything else as float16 "
    "(`checkpoints.save(..., bits=8)`)."
)
"""What the card of such a checkpoint says."""


class CheckpointError(RuntimeError):
    """A checkpoint or state that is missing, damaged or does not fit, and what to do about it."""


def available() -> list[str]:
    """Names of the checkpoints that are there, sorted."""
    names = (path.parent.name for path in paths.checkpoints_folder().glob("*/config.json"))
    return sorted(name for name in names if NAMES.fullmatch(name))


def _place(name: str | Path) -> Path:
    """The folder of a checkpoint: a path as it is, a name in the folder of checkpoints."""
    if isinstance(name, Path):
        return name
    if not isinstance(name, str) or not NAMES.fullmatch(name):
        raise CheckpointError(
            f"{name!r} is no name of a checkpoint: letters, digits, `_`, `-` and `.`, beginning with a letter or "
            "digit; for a folder elsewhere give a pathlib.Path"
        )
    return paths.checkpoints_folder() / name


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


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _model_class(module: str, name: str) -> type[torch.nn.Module]:
    """The class that a checkpoint names; it must be a model of the course."""
    if not MODULES.fullmatch(module):
        raise CheckpointError(
            f"the module {module!r} is not part of the course's models (course_utils.models.*, course_utils.text.*), "
            "so nothing of it is loaded"
        )
    try:
        found = vars(importlib.import_module(module))
    except Exception as error:  # a module of ours can fail in any way while it is edited
        raise CheckpointError(f"its module {module} can not be imported ({_first_line(error)})") from error
    models = [
        key for key, value in found.items()
        if isinstance(value, type) and issubclass(value, torch.nn.Module) and hasattr(value, "from_config")
    ]  # fmt: skip
    if name not in models:
        raise CheckpointError(
            f"{module} has no model {name!r} with `from_config` (there are: {', '.join(models) or 'none'})"
        )
    return found[name]


def _build(document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The model that config.json describes, filled with `tensors`."""
    model_class = _model_class(document["module"], document["class"])
    try:
        model = model_class.from_config(document["config"])
        for key, value in model.state_dict().items():
            if key in tensors and tensors[key].is_floating_point() != value.is_floating_point():
                raise TypeError(f"{key} is {tensors[key].dtype}, expected {value.dtype}")
        model.load_state_dict(tensors)
    except Exception as error:  # a wrong value in the configuration can fail anywhere in the model
        raise CheckpointError(
            f"it does not fit {document['class']} in {document['module']} ({type(error).__name__}: {error})"
        ) from error
    return model


def _in_8_bits(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 of a tensor (rows, ...) and a float16 step for each row: no number moves by more than half a step."""
    largest = rows.float().abs().flatten(1).amax(1)
    step = (largest / 127).half()
    # One float16 further up where the step was rounded down, or 127 of them would not reach the largest number.
    step = (step.view(torch.int16) + (127 * step.float() < largest)).to(torch.int16).view(torch.float16)
    wide = (
        step.float().clamp(min=2.0**-24).view(-1, *[1] * (rows.ndim - 1))
    )  # the step of a row of zeros is 0
    return (rows.float() / wide).round().clamp(-127, 127).to(torch.int8), step


def _as_float32(tensors: dict[str, torch.Tensor], stored: str | None) -> dict[str, torch.Tensor]:
    """The tensors of a model from those of a file: floats as float32, and int8 times the steps of its rows."""
    steps = {key: f"{key}.scale" for key in tensors if f"{key}.scale" in tensors} if stored == "int8" else {}
    found = {}
    for key, value in tensors.items():
        if key in steps:
            step = tensors[steps[key]]
            if value.dtype != torch.int8 or step.dtype != torch.float16 or step.shape != value.shape[:1]:
                raise ValueError(
                    f"{key} is {value.dtype} {tuple(value.shape)} and its scale {step.dtype} {tuple(step.shape)}, "
                    "expected int8 and one float16 for each row"
                )
            value = value.float() * step.float().view(-1, *[1] * (value.ndim - 1))
        if key not in steps.values():
            found[key] = value.float() if value.is_floating_point() else value
    return found


def _tensors(model: torch.nn.Module, bits: int) -> dict[str, torch.Tensor]:
    """What is stored of a model, on the CPU and each in memory of its own; all of it finite."""
    tensors = {}
    for key, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{key} is {type(value).__name__}, and only tensors can be stored")
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{key} has values that are no number or infinite: the training went wrong")
        parts = {key: value.half() if bits < 32 and value.is_floating_point() else value}
        if bits == 8 and value.is_floating_point() and value.ndim > 1 and value.numel() >= SMALL:
            parts[key], parts[f"{key}.scale"] = _in_8_bits(value)
        if not all(torch.isfinite(part).all() for part in parts.values()):
            end = "float16 ends at 65504" if len(parts) == 1 else "8 bits end at 127 x 65504"
            raise CheckpointError(f"{key} reaches {value.abs().max():.4g}, and {end}: save it with bits=32")
        if twice := parts.keys() & tensors.keys():
            raise CheckpointError(
                f"{twice.pop()} is a tensor of the model and the scale of another: save it with bits=16"
            )
        tensors |= {
            name: part.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, part in parts.items()
        }
    return tensors


def _described(model: torch.nn.Module, config: Any, facts: dict[str, Any]) -> dict[str, Any]:
    """The entries of config.json but for the checksum, as they will be read; refused where they never could be."""
    kind = type(model)
    if kind.__module__ == "__main__":
        raise CheckpointError(
            f"{kind.__name__} is defined in a notebook or script, where nobody else finds it: build the model from its "
            "class in course_utils.models (`course export` writes it there). To keep the weights for yourself: "
            "safetensors.torch.save_model(model, 'mine.safetensors')"
        )
    if reserved := {*ENTRIES, "stored"} & facts.keys():
        raise CheckpointError(f"{', '.join(sorted(reserved))} of config.json is written by `save` itself")
    try:
        if _model_class(kind.__module__, kind.__qualname__) is not kind:
            raise CheckpointError(
                f"{kind.__module__} has another {kind.__name__} by now: restart and train again"
            )
    except CheckpointError as error:
        raise CheckpointError(
            f"a {kind.__module__}.{kind.__qualname__} could not be loaded again: {error}. A model that was wrapped "
            "must be unwrapped first (`accelerator.unwrap_model(model)`)"
        ) from error
    try:
        document = {
            "module": kind.__module__,
            "class": kind.__qualname__,
            "config": asdict(config) if is_dataclass(config) else dict(config),
            "parameters": sum(p.numel() for p in model.parameters()),
            **facts,
        }
        return json.loads(json.dumps(document, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"config and facts must be a dataclass or dict of what JSON can hold: text, finite numbers, lists ({error})"
        ) from error


def save(
    name: str | Path,
    model: torch.nn.Module,
    config: Any,
    card: str,
    *,
    bits: int = 32,
    half: bool = False,
    **facts: Any,
) -> Path:
    """Write a model so that a break in the middle leaves the old one whole.

    It is built again from `config` and filled before anything is written, so what is saved can be loaded.

    Args:
        name: name in the folder of checkpoints, or a path.
        model: what to save; its class is in `course_utils.models` and has `from_config`.
        config: dataclass or dict that builds the model again; "module" and "class" are added.
        card: the model card in Markdown: data, seed, steps, machine, time, metrics, limits.
        bits: of a stored float: 32, 16 (float16) or 8: matrices and kernels of at least `SMALL` numbers as int8 with
            a float16 step for each row (output channel): a number moves by at most half a step, 1/254 of the
            row's largest; the rest as float16. The card says so, and config.json: "stored": "int8".
        half: the same as `bits=16`.
        facts: further entries for config.json, for example metrics. `parts={"vocoder": "vocoder"}` says that the
            attribute `vocoder` is the checkpoint of that name: it is not stored again, and `load` loads it, too.

    Returns:
        the folder written.

    Raises:
        CheckpointError: what could not be loaded again: a class of a notebook, a configuration that does not
            build the model or is not JSON, weights that are not finite (in float16); or the disk refuses.
        ValueError: `bits` is another number.
    """
    bits = min(bits, 16) if half else bits
    if bits not in STORED:
        raise ValueError(f"bits: expected {', '.join(map(str, STORED))}, got {bits!r}")
    target, document = _place(name), _described(model, config, facts)
    tensors, card = _tensors(model, bits), card.rstrip() + (f"\n\n{IN_8_BITS}\n" if bits == 8 else "\n")
    document["stored"] = STORED[bits]
    with torch.random.fork_rng(devices=[]):  # a new model draws its weights
        try:
            _build(document, _as_float32(tensors, document["stored"]))
        except CheckpointError as error:
            raise CheckpointError(
                f"this model could not be loaded again: {error}; correct `config`"
            ) from error
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as temporary:
            weights = Path(temporary) / "model.safetensors"
            safetensors.save_file(tensors, weights)
            document["sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
            document = {key: document[key] for key in [*ENTRIES, "stored", *facts]}
            text = json.dumps(document, indent=1)
            (Path(temporary) / "config.json").write_text(text + "\n", encoding="utf-8")
            (Path(temporary) / "README.md").write_text(card, encoding="utf-8")
            for file in ("model.safetensors", "config.json", "README.md"):
                os.replace(Path(temporary) / file, target / file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {target.name!r} can not be written to {target} ({error}): make room or choose another folder; "
            "the model is unharmed in memory"
        ) from error
    return target


def read(name: str | Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return config.json and the float32 tensors of a checkpoint, compared with its checksum.

    Raises:
        CheckpointError: missing, damaged or half written.
    """
    target = _place(name)
    if not (target / "config.json").exists():
        have = available()
        near = difflib.get_close_matches(target.name, have, 1)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        raise CheckpointError(
            f"no checkpoint {str(name)!r} (there are: {', '.join(have) or 'none'}){meant} Train it with "
            f"`course train {target.name}`, or restore it with `git checkout -- data/checkpoints`"
        )
    try:
        document = json.loads((target / "config.json").read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError(f"config.json holds a {type(document).__name__}, expected entries by name")
        for key, kind in ENTRIES.items():
            if not isinstance(document.get(key), kind):
                raise ValueError(f"{key!r} in config.json is {document.get(key)!r}, expected {kind.__name__}")
        weights = (target / "model.safetensors").read_bytes()
        if hashlib.sha256(weights).hexdigest() != document["sha256"]:
            raise ValueError("the weights do not have the checksum of config.json")
        if (stored := document.get("stored")) not in (None, *STORED.values()):
            raise ValueError(f"'stored' in config.json is {stored!r}, expected {', '.join(STORED.values())}")
        tensors = _as_float32(safetensors.load(weights), stored)
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {target.name!r} is damaged ({error}); restore it with `git checkout -- data/checkpoints` "
            f"or train it again with `course train {target.name}`"
        ) from error
    return document, tensors


def _usable(device: Any) -> str:
    """The name of a device that computes here."""
    try:
        torch.zeros(1, device=str(device)).item()
    except Exception as error:  # every kind of device has its own error for its absence
        best = torch.accelerator.current_accelerator(check_available=True)
        raise CheckpointError(
            f"a checkpoint can not be put on the device {str(device)!r} here ({_first_line(error)}); there is: cpu"
            f"{f', {best}' if best else ''}. Leave the device out, or pass `device.pick()`"
        ) from error
    return str(device)


def load(name: str | Path, device: Any = "cpu") -> torch.nn.Module:
    """Build the model of a checkpoint and fill it; in evaluation mode.

    The class comes from `course_utils.models` (written from the notebooks), never from the file.

    Raises:
        CheckpointError: missing, damaged, made by another version of the model, or there is no such device.
    """
    device = _usable(device)
    document, tensors = read(name)
    try:
        model = _build(document, tensors)
    except CheckpointError as error:
        raise CheckpointError(
            f"checkpoint {str(name)!r} can not be used: {error}. The model was changed, renamed or moved since: restore "
            f"both with git, or train it again with `course train {_place(name).name}`"
        ) from error
    for attribute, part in _parts(name, document, model, device).items():
        vars(model)[attribute] = part  # not registered: its weights are a checkpoint of their own
    return model.to(device).eval()


def _parts(
    name: str | Path, document: dict[str, Any], model: torch.nn.Module, device: str
) -> dict[str, torch.nn.Module]:
    """The checkpoints that belong to a model, by its attributes that wait for them."""
    wanted, found = document.get("parts", {}), {}
    if not isinstance(wanted, dict):
        raise CheckpointError(
            f"checkpoint {str(name)!r}: 'parts' in config.json is {wanted!r}, expected names"
        )
    for attribute, other in wanted.items():
        if getattr(model, attribute, "") is not None:
            raise CheckpointError(
                f"checkpoint {str(name)!r}: 'parts' names {attribute!r}, and a {type(model).__name__} has no place of this "
                "name that is empty (None)"
            )
        try:
            if "parts" in read(other)[0]:  # it could be this one
                raise CheckpointError(f"{other!r} has parts itself")
            found[attribute] = load(other, device)
        except CheckpointError as error:
            raise CheckpointError(
                f"checkpoint {str(name)!r} needs {other!r} as its {attribute}: {error}"
            ) from error
    return found
