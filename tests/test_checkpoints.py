"""Checkpoints survive damage as a clear error, and nothing in them can name foreign code."""

import json
from dataclasses import dataclass

import pytest
import torch

from course_utils import checkpoints


@dataclass
class Config:
    width: int = 8


class Small(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = torch.nn.Linear(config.width, 2)

    @classmethod
    def from_config(cls, config):
        return cls(Config(**config))


@pytest.fixture
def saved(tmp_path, monkeypatch):
    import course_utils.models as models

    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setattr(models, "Small", Small, raising=False)
    monkeypatch.setattr(Small, "__module__", "course_utils.models")
    torch.manual_seed(0)
    model = Small(Config())
    checkpoints.save("small", model, Config(), "A card.", steps=3)
    return model, tmp_path / "checkpoints" / "small"


def test_a_model_comes_back_as_it_was(saved):
    model, folder = saved
    again = checkpoints.load("small")
    torch.testing.assert_close(again.layer.weight, model.layer.weight)
    assert not again.training and checkpoints.available() == ["small"]
    document, _ = checkpoints.read("small")
    assert document["parameters"] == 18 and document["steps"] == 3
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_half_precision_is_half_the_size_and_loads_as_float32(saved):
    model, _ = saved
    checkpoints.save("half", model, Config(), "A card.", half=True)
    again = checkpoints.load("half")
    assert again.layer.weight.dtype == torch.float32
    torch.testing.assert_close(again.layer.weight, model.layer.weight, atol=1e-3, rtol=1e-3)


def test_a_missing_checkpoint_says_how_to_get_it(saved):
    with pytest.raises(checkpoints.CheckpointError, match=r"there are: small.*course train other"):
        checkpoints.load("other")


@pytest.mark.parametrize("damage", ["flip", "truncate", "config", "no weights"])
def test_damage_is_noticed(saved, damage):
    _, folder = saved
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    if damage == "flip":
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "truncate":
        weights.write_bytes(data[:20])
    elif damage == "config":
        (folder / "config.json").write_text("{not json")
    else:
        weights.unlink()
    with pytest.raises(checkpoints.CheckpointError, match="git checkout"):
        checkpoints.load("small")


def test_a_checkpoint_of_another_version_is_refused(saved):
    _, folder = saved
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, "config": {"width": 9}}))
    with pytest.raises(checkpoints.CheckpointError, match="does not fit"):
        checkpoints.load("small")


def test_a_checkpoint_can_not_name_foreign_code(saved):
    _, folder = saved
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, "module": "os", "class": "system"}))
    with pytest.raises(checkpoints.CheckpointError, match="not part of the course"):
        checkpoints.load("small")
