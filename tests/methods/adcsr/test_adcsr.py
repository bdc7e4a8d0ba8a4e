"""AdcSR: its authors' files exactly, its network by hand, sizes as published, files that do not fit refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from isrbench.harness.api.complexity import count_macs, count_parameters
from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.adcsr.method import as_lr
from isrbench.methods.adcsr.network import Sizes, build_network
from isrbench.methods.adcsr.options import AdcSROptions
from isrbench.methods.adcsr.plugin import PLUGIN
from isrbench.methods.adcsr.weights import load_weights
from tests.support.authors_files import adcsr_contents, write_adcsr
from tests.support.onestep_base import one_thread  # noqa: F401

SMALL = Sizes((48, 48, 96, 144), (32, 32, 64, 64))
EXACT = {"truncate": False, "colour_fix": False}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_adcsr(tmp_path_factory.mktemp("adcsr"), SMALL)


@pytest.fixture(scope="module")
def build(files):
    def build(**options):
        paths = {name: Path(path) for name, path in files.items()}
        return PLUGIN.make(AdcSROptions(**{**paths, **options}), Runtime(4))

    return build


class ByHand:
    """The published forward pass in terms of tensors: no time, no text, heads of 48 channels."""

    def __init__(self, sizes):
        network, decoder = adcsr_contents(sizes)
        self.state = {name.removeprefix("module."): tensor for name, tensor in network.items()} | decoder["state_dict"]

    def conv(self, name, x, **options):
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state[f"{name}.bias"], padding=weight.shape[-1] // 2, **options)

    def norm(self, name, x, eps=1e-5):
        channels = x.shape[1]
        groups = next(n for n in (32, 24, 16, 12, 8, 6, 4, 2, 1) if channels % n == 0)
        return F.group_norm(x, groups, self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps)

    def linear(self, name, x):
        return F.linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def layer_norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def resnet(self, name, x, eps=1e-5):
        y = self.conv(f"{name}.conv1", F.silu(self.norm(f"{name}.norm1", x, eps)))
        y = self.conv(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", y, eps)))
        shortcut = f"{name}.conv_shortcut"
        return y + (self.conv(shortcut, x) if f"{shortcut}.weight" in self.state else x)

    def attention(self, name, x, head):
        q, k, v = (self.linear(f"{name}.to_{which}", x).unflatten(-1, (-1, head)).transpose(1, 2) for which in "qkv")
        mixed = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(head), dim=-1) @ v
        return self.linear(f"{name}.to_out.0", mixed.transpose(1, 2).flatten(2))

    def transformer(self, name, x):
        height, width = x.shape[-2:]
        y = self.norm(f"{name}.norm", x, 1e-6).flatten(2).transpose(1, 2)
        y = self.linear(f"{name}.proj_in", y)
        block = f"{name}.transformer_blocks.0"
        y = y + self.attention(f"{block}.attn1", self.layer_norm(f"{block}.norm1", y), 48)
        value, gate = self.linear(f"{block}.ff.net.0.proj", self.layer_norm(f"{block}.norm3", y)).chunk(2, dim=-1)
        y = y + self.linear(f"{block}.ff.net.2", value * F.gelu(gate))
        y = self.linear(f"{name}.proj_out", y)
        return y.transpose(1, 2).unflatten(2, (height, width)) + x

    def unet(self, x):
        at = "body.1"
        x = self.conv(f"{at}.conv_in", x)
        skips = [x]
        for n in range(4):
            for i in range(2):
                x = self.resnet(f"{at}.down_blocks.{n}.resnets.{i}", x)
                x = self.transformer(f"{at}.down_blocks.{n}.attentions.{i}", x) if n < 3 else x
                skips.append(x)
            if n < 3:
                x = self.conv(f"{at}.down_blocks.{n}.downsamplers.0.conv", x, stride=2)
                skips.append(x)
        x = self.resnet(f"{at}.mid_block.resnets.0", x)
        x = self.resnet(f"{at}.mid_block.resnets.1", self.transformer(f"{at}.mid_block.attentions.0", x))
        for n in range(4):
            for i in range(3):
                x = self.resnet(f"{at}.up_blocks.{n}.resnets.{i}", torch.cat([x, skips.pop()], dim=1))
                x = self.transformer(f"{at}.up_blocks.{n}.attentions.{i}", x) if n > 0 else x
            if n < 3:
                x = self.conv(f"{at}.up_blocks.{n}.upsamplers.0.conv", F.interpolate(x, scale_factor=2.0))
        return self.conv(f"{at}.conv_out", F.silu(self.norm(f"{at}.conv_norm_out", x)))

    def __call__(self, lr):
        x = self.unet(F.pixel_unshuffle(lr, 2))
        x = self.resnet("body.2.resnets.0", x, 1e-6)
        height, width = x.shape[-2:]
        y = self.norm("body.2.attentions.0.group_norm", x, 1e-6).flatten(2).transpose(1, 2)
        y = self.attention("body.2.attentions.0", y, y.shape[-1]).transpose(1, 2)
        x = self.resnet("body.2.resnets.1", y.unflatten(2, (height, width)) + x, 1e-6)
        for n in range(4):
            for i in range(3):
                x = self.resnet(f"decoder.up_blocks.{n}.resnets.{i}", x, 1e-6)
            if n < 3:
                x = self.conv(f"decoder.up_blocks.{n}.upsamplers.0.conv", F.interpolate(x, scale_factor=2.0))
        return self.conv("decoder.conv_out", F.silu(self.norm("decoder.conv_norm_out", x, 1e-6)))


@torch.no_grad()
def test_restoring_is_the_published_network(build):
    lr = torch.rand(3, 16, 32, generator=torch.Generator().manual_seed(0))
    expected = ByHand(SMALL)(lr[None] * 2 - 1)[0]
    assert expected.shape == (3, 64, 128) and expected.std() > 0.01
    found = build(**EXACT).restore(lr, image="x", seed=0).image
    assert (found - (expected / 2 + 0.5).clamp(0, 1)).abs().max() < 1e-4
    coloured = build(truncate=False).restore(lr, image="x", seed=1).image
    for channel in range(3):
        own, source = expected[channel], lr[channel] * 2 - 1
        normal = (own - own.mean()) / own.std() * source.std() + source.mean()
        assert (coloured[channel] - (normal / 2 + 0.5).clamp(0, 1)).abs().max() < 1e-4
    cut = build().restore(lr, image="x", seed=2).image * 255
    assert (cut - cut.round()).abs().max() < 1e-3


def test_any_size_is_padded_by_reflection_and_cropped(build):
    method = build(**EXACT)
    lr = torch.rand(3, 9, 20, generator=torch.Generator().manual_seed(1))
    rows = [*range(9), *range(7, 0, -1)]
    columns = [*range(20), *range(18, 6, -1)]
    whole = method.restore(lr[:, rows][:, :, columns], image="x", seed=0).image
    assert torch.equal(method.restore(lr, image="x", seed=0).image, whole[:, :36, :80])
    assert method.cost(9, 20) == method.cost(16, 32)


def test_a_flat_channel_keeps_the_lr_s_mean():
    flat = as_lr(torch.zeros(3, 4, 4), torch.full((3, 1, 1), 0.25))
    assert torch.equal(flat, torch.full((3, 4, 4), 0.25))


def test_parameters_and_macs_are_the_published_ones():
    """456 M parameters, 74 % below OSEDiff's 1775 M, and 78 % below its 2265 G, which leaves out attention's products.

    Those of 512 x 512: five layers on 4096 positions of 240 channels, five on 1024 of 480, five on 256 of 960, one on
    64, and the decoder's on 4096 of 256.
    """
    network = build_network(Sizes())
    total, _ = count_parameters(network)
    macs = count_macs(lambda: network(torch.empty(1, 3, 128, 128, device="meta")))
    products = 2 * (5 * (4096**2 * 240 + 1024**2 * 480 + 256**2 * 960) + 64**2 * 960 + 4096**2 * 256)
    assert total == 456_073_683 and macs / 1e9 == pytest.approx(549.5, abs=0.1)
    assert 1 - total / 1775e6 == pytest.approx(0.74, abs=0.005)
    assert 1 - (macs - products) / 2265e9 == pytest.approx(0.78, abs=0.005)


def test_files_that_do_not_fit_are_one_message(tmp_path):
    network, decoder = adcsr_contents(SMALL)
    paths = tmp_path / "net_params_200.pkl", tmp_path / "halfDecoder.ckpt"
    name = "module.body.1.conv_in.weight"
    twice = "module.body.1.body.4.resnets.0.conv1.weight"
    inner, width = decoder["state_dict"], "decoder.up_blocks.1.resnets.0.conv1.weight"
    first = [f"module.body.1.{block}.0.resnets.0.conv1.weight" for block in ("down_blocks", "body")]
    odd = torch.zeros(48, 3, 3, 3)

    def without(state, key):
        return {k: v for k, v in state.items() if k != key}

    for match, *contents in (
        ("lacks 'unet.conv_in.weight'", without(network, name), decoder),
        ("unknown entry 'body.3.x'", network | {"module.body.3.x": inner["loss.logvar"]}, decoder),
        ("no use for 'unet.time_embedding.x'", network | {"module.body.1.time_embedding.x": network[name]}, decoder),
        ("two different tensors for 'mid_block", network | {twice: network[twice] + 1}, decoder),
        ("not a tensor", network | {name: 3}, decoder),
        ("do not fit: 'unet.conv_in.weight'", network | {name: network[name][:, :3]}, decoder),
        ("has no 'state_dict'", network, inner),
        ("unknown entry 'surprise'", network, decoder | {"surprise": 1}),
        ("unknown entry 'other.x'", network, {"state_dict": inner | {"other.x": torch.zeros(1)}}),
        ("lacks 'decoder.up_blocks.1", network, {"state_dict": without(inner, width)}),
        ("blocks of 64, 48, 32, 32 channels, not multiples of 32", network, {"state_dict": inner | {width: odd[:48]}}),
        ("blocks of 64, 0, 32, 32 channels", network, {"state_dict": inner | {width: torch.tensor(1.0)}}),
        ("blocks of 16, 48, 96, 144 channels, not multiples of 48", network | dict.fromkeys(first, odd[:16]), decoder),
    ):  # fmt: skip
        for path, content in zip(paths, contents, strict=True):
            torch.save(content, path)
        with pytest.raises(UserError, match=match):
            load_weights(*paths)


def test_without_weights_one_line_says_what_to_get(build, files):
    with pytest.raises(UserError, match="two files") as error:
        PLUGIN.make(AdcSROptions(), Runtime(4))
    assert "net_params_200.pkl" in error.value.fix and "halfDecoder.ckpt" in error.value.fix
    assert "\n" not in error.value.fix
    with pytest.raises(UserError, match="scale 4, not 2"):
        PLUGIN.make(AdcSROptions(**{name: Path(value) for name, value in files.items()}), Runtime(2))
    with pytest.raises(UserError, match="does not exist"):
        build(weights=Path("absent.pkl"))
