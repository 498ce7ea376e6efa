"""Checkpoints survive damage as a clear error, nothing in them can name foreign code, what is saved can be loaded."""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from types import ModuleType

import pytest
import safetensors.torch
import torch

from course_utils import checkpoints
from course_utils.checkpoints import CheckpointError

MODULE = "course_utils.models.small"


@dataclass
class Config:
    width: int = 8


class Small(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = torch.nn.Linear(config.width, 2)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @classmethod
    def from_config(cls, config):
        return cls(Config(**config))


class Unbuildable(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder of checkpoints, and a module of the course with the models of this file."""
    module = ModuleType(MODULE)
    module.torch, module.Path, module.Linear = torch, os.PathLike, torch.nn.Linear
    for kind in (Small, Unbuildable):
        setattr(module, kind.__name__, kind)
        monkeypatch.setattr(kind, "__module__", MODULE)
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    torch.manual_seed(0)
    return tmp_path / "checkpoints"


@pytest.fixture
def saved(course):
    model = Small(Config())
    checkpoints.save("small", model, Config(), "A card.", steps=3)
    return model, course / "small"


def rewrite(folder, **entries):
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, **entries}))


def rewrite_weights(folder, data):
    """Other weights with the right checksum, so that only their content can be noticed."""
    (folder / "model.safetensors").write_bytes(data)
    rewrite(folder, sha256=hashlib.sha256(data).hexdigest())


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
    assert again.layer.weight.dtype == torch.float32 and again.seen.dtype == torch.long
    torch.testing.assert_close(again.layer.weight, model.layer.weight, atol=1e-3, rtol=1e-3)


# --- 8 bits --------------------------------------------------------------------------------------------


class Wide(torch.nn.Module):
    """Large and small matrices, a kernel, and integers of its own."""

    __module__ = MODULE

    def __init__(self):
        super().__init__()
        self.matrix, self.small = torch.nn.Linear(64, 96), torch.nn.Linear(8, 3)
        self.kernel = torch.nn.Conv1d(16, 32, 9)
        self.register_buffer("codes", torch.arange(-100, 100, dtype=torch.int8).repeat(30).view(60, 100))
        self.register_buffer("row", torch.rand(5000))

    @classmethod
    def from_config(cls, config):
        return cls()


@pytest.fixture
def wide(course, monkeypatch):
    sys.modules[MODULE].Wide = Wide
    return Wide(), course / "wide"


def in_8_bits(model, name="wide"):
    checkpoints.save(name, model, {}, "A card.", bits=8)
    return checkpoints.read(name)[1]


def assert_half_a_step(found, rows):
    """Within half of a 127th of each row's largest number, a little more for the step's own rounding."""
    step = rows.abs().flatten(1).amax(1) / 127
    assert ((found - rows).abs().flatten(1) <= 0.502 * step[:, None]).all()


def test_8_bits_move_a_number_by_half_a_step_of_its_row_at_most(wide):
    model, folder = wide
    with torch.no_grad():
        model.matrix.weight *= 10 ** torch.linspace(-2, 6, 96)[:, None]
    found = in_8_bits(model)
    for name in ("matrix.weight", "kernel.weight"):
        assert found[name].dtype == torch.float32
        assert_half_a_step(found[name], model.state_dict()[name])
    stored = safetensors.torch.load_file(folder / "model.safetensors")
    assert stored["matrix.weight"].dtype == torch.int8
    assert stored["matrix.weight.scale"].dtype == torch.float16 and stored["matrix.weight.scale"].shape == (
        96,
    )
    assert stored["matrix.weight"].abs().amax(1).ge(126).all()  # every row uses all of its range


def test_8_bits_touch_neither_what_is_small_nor_integers(wide):
    model, folder = wide
    in_8_bits(model)
    stored = safetensors.torch.load_file(folder / "model.safetensors")
    assert {key for key in stored if key.endswith(".scale")} == {"matrix.weight.scale", "kernel.weight.scale"}
    assert stored["small.weight"].dtype == stored["matrix.bias"].dtype == stored["row"].dtype == torch.float16
    assert torch.equal(checkpoints.load("wide").codes, model.codes)


def test_a_checkpoint_of_8_bits_says_so(wide):
    in_8_bits(wide[0])
    assert checkpoints.read("wide")[0]["stored"] == "int8"
    assert checkpoints.IN_8_BITS in (wide[1] / "README.md").read_text()
    checkpoints.save("wide", wide[0], {}, "A card.", half=True)
    assert checkpoints.read("wide")[0]["stored"] == "float16"
    assert (wide[1] / "README.md").read_text() == "A card.\n"


def test_rows_of_zeros_and_rows_smaller_than_any_step_survive_8_bits(wide):
    with torch.no_grad():
        wide[0].matrix.weight[0], wide[0].matrix.weight[1:3] = 0, 1e-9
        wide[0].matrix.weight[2, 0] = 1e-6
    found = in_8_bits(wide[0])["matrix.weight"]
    assert (found[:2] == 0).all()
    torch.testing.assert_close(
        found[2], wide[0].matrix.weight[2], rtol=0, atol=2**-25
    )  # half of the least step


def test_8_bits_reach_further_than_float16_but_not_everywhere(wide):
    model = wide[0]
    with torch.no_grad():
        model.matrix.weight[3, 3] = 8e6
        assert in_8_bits(model)["matrix.weight"][3, 3] == pytest.approx(8e6, rel=1e-3)
        model.matrix.weight[3, 3] = 9e6
    with pytest.raises(CheckpointError, match=r"matrix.weight reaches 9e\+06.*127 x 65504.*bits=32"):
        in_8_bits(model, "new")
    assert not (wide[1].parent / "new").exists()


def test_a_name_that_a_scale_would_take_is_refused(wide):
    model = wide[0]
    model._register_state_dict_hook(
        lambda _, state, *__: state.update({"kernel.weight.scale": torch.ones(1)})
    )
    with pytest.raises(CheckpointError, match=r"kernel.weight.scale is a tensor of the model.*bits=16"):
        in_8_bits(model)
    assert not wide[1].exists()


@pytest.mark.parametrize("bits", [4, 0, "8", None])
def test_another_number_of_bits_is_refused(wide, bits):
    with pytest.raises(ValueError, match="bits: expected 32, 16, 8"):
        checkpoints.save("wide", wide[0], {}, "A card.", bits=bits)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.update({"matrix.weight.scale": t["matrix.weight.scale"][1:]}), r"damaged.*one float16 for each row"),
        (lambda t: t.update({"matrix.weight.scale": t["matrix.weight.scale"].float()}), "damaged.*one float16"),
        (lambda t: t.update({"matrix.weight": t["matrix.weight"].int()}), "damaged.*expected int8"),
        (lambda t: t.pop("matrix.weight.scale"), "does not fit Wide.*int8"),
        (lambda t: t.pop("matrix.weight"), "does not fit Wide"),
    ],
    ids=["too few scales", "wide scales", "wide numbers", "no scale", "a scale of nothing"],
)  # fmt: skip
def test_scales_that_do_not_belong_to_their_rows_are_refused(wide, change, match):
    in_8_bits(wide[0])
    stored = safetensors.torch.load_file(wide[1] / "model.safetensors")
    change(stored)
    rewrite_weights(wide[1], safetensors.torch.save(stored))
    with pytest.raises(CheckpointError, match=f"(?s){match}"):
        checkpoints.load("wide")


def test_a_kind_of_storage_that_nobody_knows_is_refused(wide):
    in_8_bits(wide[0])
    rewrite(wide[1], stored="int4")
    with pytest.raises(CheckpointError, match=r"damaged.*'stored'.*'int4', expected float32, float16, int8"):
        checkpoints.load("wide")
    rewrite(wide[1], stored=["int8"])
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoints.load("wide")


# --- loading -------------------------------------------------------------------------------------------


def test_a_missing_checkpoint_says_how_to_get_it_and_what_may_have_been_meant(saved):
    with pytest.raises(CheckpointError, match=r"there are: small.*course train other"):
        checkpoints.load("other")
    with pytest.raises(CheckpointError, match="did you mean 'small'"):
        checkpoints.load("smal")


@pytest.mark.parametrize("name", ["", ".", "..", "../small", "a/b", "a\\b", "small\n", "x" * 300, None, 3])
def test_a_name_that_could_lead_elsewhere_is_refused(saved, name):
    with pytest.raises(CheckpointError, match=r"no name of a checkpoint.*pathlib\.Path"):
        checkpoints.load(name)
    with pytest.raises(CheckpointError, match="no name of a checkpoint"):
        checkpoints.save(name, saved[0], Config(), "A card.")


def flip(path):
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


DAMAGE = {
    "flipped bit": lambda f: flip(f / "model.safetensors"),
    "truncated": lambda f: (f / "model.safetensors").write_bytes(b"\x08" + bytes(19)),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "weights are no safetensors": lambda f: rewrite_weights(f, b"PK\x03\x04" + bytes(100)),
    "weights of nothing": lambda f: rewrite_weights(f, b""),
    "header longer than the file": lambda f: rewrite_weights(f, b"\xff" * 7 + b"\x7f" + b"{}"),
    "not JSON": lambda f: (f / "config.json").write_text("{not json"),
    "not text": lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"),
    "nested without end": lambda f: (f / "config.json").write_text("[" * 100_000),
    "a list": lambda f: (f / "config.json").write_text("[]"),
    "no module": lambda f: rewrite(f, module=None),
    "a module that is a number": lambda f: rewrite(f, module=3),
    "no class": lambda f: rewrite(f, **{"class": None}),
    "a configuration that is a list": lambda f: rewrite(f, config=[8]),
    "no checksum": lambda f: rewrite(f, sha256=None),
    "parameters in words": lambda f: rewrite(f, parameters="eighteen"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_noticed(saved, damage):
    DAMAGE[damage](saved[1])
    with pytest.raises(CheckpointError, match=r"'small' is damaged.*git checkout.*course train small"):
        checkpoints.load("small")


ELSEWHERE = {
    "a moved module": ({"module": "course_utils.models.gone"}, "can not be imported"),
    "a renamed class": ({"class": "Smaller"}, "no model 'Smaller'.*there are: Small"),
    "a class that is no model": ({"class": "Path"}, "no model 'Path'"),
    "a layer of torch": ({"class": "Linear"}, "no model 'Linear'"),
    "a path through the module": ({"class": "torch.nn.Linear"}, "no model"),
    "another width": ({"config": {"width": 9}}, "does not fit.*size mismatch"),
    "a width in words": ({"config": {"width": "8"}}, "does not fit"),
    "an entry of an older version": ({"config": {"depth": 2}}, "does not fit.*depth"),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_a_checkpoint_of_another_version_is_refused_with_what_to_do(saved, case):
    entries, reason = ELSEWHERE[case]
    rewrite(saved[1], **entries)
    with pytest.raises(CheckpointError, match=rf"(?s)'small' can not be used.*{reason}.*course train small"):
        checkpoints.load("small")


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("layer.bias"),
        lambda tensors: tensors.update(more=torch.zeros(1)),
        lambda tensors: tensors.update(seen=torch.zeros(())),
        lambda tensors: tensors.update({"layer.bias": torch.zeros(2, dtype=torch.int32)}),
        lambda tensors: tensors.update({"layer.bias": torch.zeros(3)}),
    ],
    ids=["missing", "one too many", "float for int", "int for float", "shape"],
)
def test_weights_of_another_model_are_refused(saved, change):
    tensors = {key: value.clone() for key, value in saved[0].state_dict().items()}
    change(tensors)
    rewrite_weights(saved[1], safetensors.torch.save(tensors))
    with pytest.raises(CheckpointError, match="does not fit Small"):
        checkpoints.load("small")


@pytest.mark.parametrize(
    "module",
    ["os", "course_utils", "course_utils.cli", "course_utils.models", "course_utils.models.a.b", "__main__",
     "course_utils.models.__init__", ".models.small", "course_utils.models.small\n", "course_utils.modelsx.y"],
)  # fmt: skip
def test_a_checkpoint_can_not_name_foreign_code(saved, module, monkeypatch):
    rewrite(saved[1], module=module)
    monkeypatch.setattr(checkpoints.importlib, "import_module", lambda name: pytest.fail(f"{name} was run"))
    with pytest.raises(CheckpointError, match="not part of the course"):
        checkpoints.load("small")


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta", "", "cpu:-1", None])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(saved, device):
    with pytest.raises(CheckpointError, match=r"there is: cpu.*Leave the device out"):
        checkpoints.load("small", device)


# --- saving --------------------------------------------------------------------------------------------


class OfANotebook(Small):
    """As a class of a notebook: nobody else can import it."""

    __module__ = "__main__"


def refused(course, match, model=None, config=None, name="new", **options):
    with pytest.raises(CheckpointError, match=match):
        checkpoints.save(name, model or Small(Config()), config or Config(), "A card.", **options)
    assert not course.exists()  # nothing was begun


def test_what_could_never_be_loaded_is_refused_before_anything_is_written(course):
    class Local(Small):
        __module__ = MODULE

    refused(course, "notebook.*course export", OfANotebook(Config()))
    refused(course, "could not be loaded again.*Local", Local(Config()))
    refused(course, "not part of the course", torch.nn.Linear(2, 2), {})
    refused(course, "unwrap_model", torch.nn.DataParallel(Small(Config())))
    refused(course, "no model 'Unbuildable' with `from_config`", Unbuildable(), {})
    refused(course, "size mismatch", config=Config(width=9))
    refused(course, "unexpected keyword", config={"depth": 1})


def test_a_class_that_was_replaced_while_it_was_in_use_is_refused(course, monkeypatch):
    model = Small(Config())
    monkeypatch.setattr(sys.modules[MODULE], "Small", type("Small", (Small,), {}))
    refused(course, "another Small by now", model)


@pytest.mark.parametrize(
    "config", [{"width": torch.tensor(8)}, {"width": float("nan")}, [8], Config, {"width": {8}}]
)
def test_a_configuration_that_is_not_json_is_refused(course, config):
    refused(course, "JSON", config=config)


@pytest.mark.parametrize("facts", [{"loss": float("inf")}, {"card_of": object()}])
def test_facts_that_are_not_json_are_refused(course, facts):
    refused(course, "JSON", **facts)


def test_facts_do_not_replace_what_loading_needs(course):
    refused(course, "sha256.*written by `save`", sha256="0")


@pytest.mark.parametrize(
    ("value", "half", "match"),
    [
        (7e4, True, "layer.weight reaches 7e.04.*65504.*bits=32"),
        (-7e4, True, "65504"),
        (float("nan"), False, "training went wrong"),
        (float("inf"), True, "training went wrong"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(course, value, half, match):
    model = Small(Config())
    with torch.no_grad():
        model.layer.weight[0, 0] = value
    refused(course, match, model, half=half)


def test_saving_leaves_the_random_numbers_of_the_training_alone(course):
    model = Small(Config())
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    checkpoints.save("small", model, Config(), "A card.")
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_disk_that_refuses_leaves_the_old_checkpoint_whole(saved, monkeypatch):
    _, folder = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.safetensors, "save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left.*unharmed in memory"):
        checkpoints.save("small", Small(Config()), Config(), "Another card.")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_half_written_checkpoints_are_not_listed(saved):
    (saved[1].parent / ".tmp").mkdir()
    (saved[1].parent / ".tmp" / "config.json").write_text("{}")
    assert checkpoints.available() == ["small"]
