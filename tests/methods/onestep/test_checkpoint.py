"""Adapter files: what is read back, what is refused, and that equal ones are equal bytes; the hash of a base."""

import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, base_hash, load_adapter, save_adapter
from tests.support.onestep_base import models, one_thread  # noqa: F401


def test_adapter_file_round_trip_and_refusals(tmp_path):
    path = tmp_path / "a.safetensors"
    state = {"x": torch.randn(3, 2)}
    save_adapter(path, AdapterCheckpoint("mor", {"shared": 8}, "beef", state, {"steps": 3}, 249))
    back = load_adapter(path, method="mor", base="beef")
    assert (back.config, back.training, back.timestep) == ({"shared": 8}, {"steps": 3}, 249)
    assert torch.equal(back.state["x"], state["x"])
    for wanted, match in (({"method": "osediff"}, "--method mor"), ({"base": "dead"}, "another base")):
        with pytest.raises(UserError, match=match):
            load_adapter(path, **wanted)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="not a whole"):
        load_adapter(path)
    with pytest.raises(UserError, match=r"the adapter file .* does not exist"):
        load_adapter(tmp_path / "absent.safetensors")


def test_damaged_adapter_headers_are_one_message(tmp_path):
    path = tmp_path / "a.safetensors"
    save_adapter(path, AdapterCheckpoint("mor", {"shared": 8}, "beef", {"x": torch.zeros(2)}))
    with safe_open(path, framework="pt") as file:
        good = file.metadata()
    assert load_adapter(path).config == {"shared": 8}
    for match, header in {
        "format None": {},
        "has no 'method'": {k: v for k, v in good.items() if k != "method"},
        "has no 'timestep'": {k: v for k, v in good.items() if k != "timestep"},
        "is damaged: Expecting": good | {"config": "{not json"},
        "is damaged: config and training": good | {"training": "[1]"},
        "is damaged: invalid literal": good | {"timestep": "late"},
        "is damaged: Exceeds the limit": good | {"timestep": "9" * 5000},
        "is damaged: it is nested too deeply": good | {"config": "[" * 90_000},
        "is damaged: dims is 1000000000000, but no tensor in the file has a side longer than 2": good
        | {"config": '{"dims": 1000000000000}'},
        "is damaged: data of training is of type list": good | {"training": '{"data": []}'},
        "is damaged: logit_scale of training is nan": good | {"training": '{"logit_scale": NaN}'},
        "is damaged: logit_scale of training is of type str": good | {"training": '{"logit_scale": "1"}'},
    }.items():
        save_file({"x": torch.zeros(2)}, path, metadata=header)
        with pytest.raises(UserError, match=match):
            load_adapter(path)


def test_half_files_keep_routers_whole(tmp_path):
    path = tmp_path / "a.safetensors"
    state = {name: torch.full((3,), 1 / 3) for name in ("unet.x.A", "router.weight", "router.bias")}
    state["count"] = torch.tensor([70_000])
    save_adapter(path, AdapterCheckpoint("mor", {}, "", state), torch.float16)
    back = load_adapter(path).state
    kept = {"router.weight": torch.float32, "router.bias": torch.float32, "count": torch.int64}
    assert {name: tensor.dtype for name, tensor in back.items()} == kept | {"unet.x.A": torch.float16}
    assert all(torch.equal(back[name], state[name]) for name in kept)


def test_a_base_s_hash_sees_every_value_but_not_half_precision():
    vae, unet = models()
    whole = base_hash(unet, vae)
    assert base_hash(unet, vae) == whole and len(whole) == 64
    assert base_hash(models()[1].half(), models()[0].half()) == whole
    assert base_hash(unet, vae, half=False) != base_hash(models()[1].half().float(), vae, half=False)
    others = {base_hash(*reversed(models(1))), base_hash(vae, unet)}
    others |= {base_hash(unet, vae, extra=text) for text in ("epsilon", "v_prediction")}
    weight = unet.conv_in.weight.detach().view(-1)
    for at in (0, len(weight) - 1):
        before = weight[at].clone()
        weight[at] += 0.01
        others.add(base_hash(unet, vae))
        weight[at] = before
    assert base_hash(unet, vae) == whole and len(others | {whole}) == 7


def test_permuted_weights_are_another_base():
    vae, unet = models()
    whole, weight = base_hash(unet, vae), unet.conv_out.weight.detach()
    weight.copy_(weight.flip(0).clone())  # the same values in another order
    assert base_hash(unet, vae) != whole


def test_equal_adapters_are_equal_bytes(tmp_path):
    """Whatever the order of their parts, and in another process: the library's own writer shuffles its header."""
    state = {"b": torch.randn(3, 5), "a": torch.randn(2).half(), "n": torch.tensor(7), "empty": torch.zeros(0, 4)}
    for name, order in (("one", list(state)), ("two", sorted(state))):
        training = {"steps": 3, "seed": 1} if name == "one" else {"seed": 1, "steps": 3}
        ordered = {key: state[key] for key in order}
        save_adapter(tmp_path / name, AdapterCheckpoint("mor", {"shared": 8, "top_k": 2}, "beef", ordered, training))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from isrbench.methods.onestep.checkpoint import load_adapter, save_adapter\n"
        "save_adapter(Path(sys.argv[2]), load_adapter(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "one"), str(tmp_path / "three")]
    subprocess.run(command, check=True, timeout=120)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "three").read_bytes()


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
)
def test_adapter_files_are_readable_by_the_library(tmp_path, dtype):
    path = tmp_path / "a.safetensors"
    state = {"x": torch.arange(6).view(2, 3).to(dtype), "y.t": torch.arange(12).view(3, 4).t().to(dtype)}
    save_adapter(path, AdapterCheckpoint("mor", {"umlaut": "\u00fc"}, "", state | {"odd": torch.zeros(3).byte()}))
    read = load_file(path)
    assert all(torch.equal(read[name], tensor) and read[name].dtype == dtype for name, tensor in state.items())
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0, "tensors are aligned"


def test_an_adapter_of_an_earlier_format_is_refused(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "old", metadata={"format": "isrbench.onestep-adapter/1"})
    with pytest.raises(UserError, match="not an adapter of this release") as caught:
        load_adapter(tmp_path / "old")
    assert "train it again" in str(caught.value)
