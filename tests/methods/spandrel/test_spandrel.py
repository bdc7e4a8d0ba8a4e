"""spandrel: what the shared contract test cannot know."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.api.options import options_key, parse_options
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.imaging.images import to_tensor
from isrbench.methods.spandrel.options import SpandrelOptions
from isrbench.methods.spandrel.plugin import PLUGIN
from tests.support.images import noise_image

BROKEN = [random.Random(seed).randbytes(64) for seed in range(20)]


@pytest.fixture(scope="module")
def span(tmp_path_factory) -> Path:
    from spandrel.architectures.SPAN import SPAN

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "span.pth"
    torch.save({"params": SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=4).state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def compact(tmp_path_factory) -> Path:
    """Plain convolutions; SPAN makes its weights anew at each call."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "compact.pth"
    torch.save(Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=4).state_dict(), path)
    return path


def _build_spandrel(path: Path, scale: int = 4, **options):
    return PLUGIN.make(SpandrelOptions(weights=path, **options), Runtime(scale=scale))


def test_spandrel_equals_a_direct_call(span, tmp_path):
    from safetensors.torch import save_file
    from spandrel import ModelLoader

    lr = to_tensor(noise_image(17, 23))
    model = ModelLoader().load_from_file(span).eval()
    with torch.inference_mode():
        expected = model(lr[None])[0]
    method = _build_spandrel(span)
    assert torch.equal(method.restore(lr, image="a", seed=0).image, expected)
    assert expected.std() > 0.01, "a flat image would prove nothing"
    assert method.weights_hash == file_hash(span)
    save_file(torch.load(span)["params"], tmp_path / "span.safetensors")
    assert torch.equal(_build_spandrel(tmp_path / "span.safetensors").restore(lr, image="a", seed=0).image, expected)


def test_the_older_name_of_dtype_still_works(span):
    texts = {"weights": str(span), "precision": "bf16"}
    assert parse_options(SpandrelOptions, texts) == SpandrelOptions(weights=span, dtype="bf16")


def test_spandrel_half_precision_stays_close(span):
    lr = to_tensor(noise_image(12, 12))
    full = _build_spandrel(span).restore(lr, image="a", seed=0).image
    half = _build_spandrel(span, dtype="bf16").restore(lr, image="a", seed=0).image
    assert half.dtype == torch.float32 and not torch.equal(full, half)
    assert (full - half).abs().mean() < 0.05


def _batch(count: int, side: int = 20) -> torch.Tensor:
    return torch.stack([to_tensor(noise_image(side, side, seed)) for seed in range(count)])


@pytest.mark.parametrize("tile", [0, 16])
def test_images_of_one_size_are_restored_together_as_alone(span, tile):
    """Up to rounding: sums of another shape are split otherwise."""
    method, lrs = _build_spandrel(span, tile=tile, overlap=8), _batch(3)
    together = method.restore_batch(lrs, images=["a", "b", "c"], seeds=[0, 0, 0])
    assert not torch.equal(together[0].image, together[1].image)
    for lr, one in zip(lrs, together, strict=True):
        assert torch.allclose(one.image, method.restore(lr, image="a", seed=0).image, atol=1e-5)


def test_channels_last_changes_rounding_alone(compact):
    plain, other = _build_spandrel(compact), _build_spandrel(compact, channels_last=True)
    lr = to_tensor(noise_image(12, 12))
    one, two = (method.restore(lr, image="a", seed=0).image for method in (plain, other))
    assert torch.allclose(one, two, atol=1e-5) and plain.cost(12, 12) == other.cost(12, 12)
    keys = [options_key(SpandrelOptions(weights=compact, **{name: True})) for name in ("channels_last", "compile")]
    assert options_key(SpandrelOptions(weights=compact)) not in keys


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with g++")
def test_a_network_is_compiled_once_a_size(compact):
    """With the same cost, and to the same bytes each time."""
    from torch._dynamo.utils import counters

    plain, fast = _build_spandrel(compact), _build_spandrel(compact, compile=True)
    graphs = [counters["stats"]["unique_graphs"]]
    for size in (12, 16, 12, 16):
        lr = to_tensor(noise_image(size, size))
        found = fast.restore(lr, image="a", seed=0).image
        assert torch.allclose(found, plain.restore(lr, image="a", seed=0).image, atol=1e-5)
        assert torch.equal(found, fast.restore(lr, image="a", seed=0).image)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] < graphs[1] < graphs[2] == graphs[3] == graphs[4]
    assert fast.compiles and fast.cost(12, 12) == plain.cost(12, 12)


def test_spandrel_pads_and_counts(tmp_path):
    """SwinIR asks for multiples of its window: odd sizes must come back exact."""
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(0)
    net = SwinIR(
        img_size=16, window_size=8, depths=[1], num_heads=[2], embed_dim=8, mlp_ratio=2, upscale=4,
        upsampler="pixelshuffledirect", resi_connection="1conv",
    )  # fmt: skip
    torch.save(net.state_dict(), tmp_path / "swin.pth")
    method = _build_spandrel(tmp_path / "swin.pth")
    assert method.restore(to_tensor(noise_image(17, 23)), image="a", seed=0).image.shape == (3, 68, 92)
    cost = method.cost(16, 16)
    assert cost.params_total == sum(p.numel() for p in net.parameters())
    assert cost.macs is not None and cost.macs > 0
    assert method.cost(9, 9).macs == cost.macs, "9x9 is padded to 16x16, and that is what it costs"


def test_spandrel_macs_of_convolutions_are_the_textbook_ones(tmp_path):
    from spandrel.architectures.Compact import Compact

    net = Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=4)
    torch.save(net.state_dict(), tmp_path / "compact.pth")
    cost = _build_spandrel(tmp_path / "compact.pth").cost(10, 14)
    assert cost.macs == 10 * 14 * 9 * (3 * 8 + 2 * 8 * 8 + 8 * 48)
    assert cost.params_total == sum(p.numel() for p in net.parameters())


def test_spandrel_tiles_agree_inside_and_cost_more(span):
    lr = to_tensor(noise_image(40, 40))
    whole, tiled = _build_spandrel(span), _build_spandrel(span, tile=32, overlap=16)
    assert tiled.restore(lr, image="a", seed=0).image.shape == (3, 160, 160)
    macs = tiled.cost(40, 40).macs
    assert macs == 4 * (whole.cost(32, 32).macs or 0)


class _Bomb:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt"])
def test_spandrel_runs_no_code_from_a_pickle(tmp_path, suffix):
    path = tmp_path / f"evil{suffix}"
    torch.save({"params": _Bomb(str(tmp_path / "exploded"))}, path)
    with pytest.raises(UserError, match="holds more than weights"):
        _build_spandrel(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"<!DOCTYPE html>", b"\x80\x02\x8a", *BROKEN])
def test_files_that_are_no_torch_files_are_one_message(tmp_path, content):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|0 bytes|a text|a web page") as error:
        _build_spandrel(path)
    assert ("0 bytes" in error.value.message) == (not content)


def test_spandrel_refusals(span, tmp_path):
    with pytest.raises(UserError, match=r"enlarges x4, but the dataset asks for x2"):
        _build_spandrel(span, scale=2)
    with pytest.raises(UserError, match="does not exist"):
        _build_spandrel(tmp_path / "absent.pth")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "unknown.pth")
    with pytest.raises(UserError, match="holds no network that spandrel knows"):
        _build_spandrel(tmp_path / "unknown.pth")
    (tmp_path / "cut.pth").write_bytes(span.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        _build_spandrel(tmp_path / "cut.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\x00")
    with pytest.raises(UserError, match="damaged"):
        _build_spandrel(tmp_path / "cut.safetensors")
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(UserError, match=r"is not a \.pth"):
        _build_spandrel(tmp_path / "model.onnx")
    with pytest.raises(UserError, match="more than half"):
        SpandrelOptions(weights=span, tile=16, overlap=9)


def test_spandrel_refuses_precisions_that_the_architecture_lacks(tmp_path):
    from spandrel.architectures.SwinIR import SwinIR

    net = SwinIR(
        img_size=16, window_size=8, depths=[1], num_heads=[2], embed_dim=8, mlp_ratio=2, upscale=4,
        upsampler="pixelshuffledirect", resi_connection="1conv",
    )  # fmt: skip
    torch.save(net.state_dict(), tmp_path / "swin.pth")
    with pytest.raises(UserError, match="cannot run in fp16"):
        _build_spandrel(tmp_path / "swin.pth", dtype="fp16")
