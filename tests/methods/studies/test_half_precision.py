"""Half precision at timestep 999 on Stable Diffusion 2.1's architecture: what the preset trains with holds."""

import json
from dataclasses import replace

import pytest
import torch

from isrbench.methods.onestep.base.load import random_sd21
from isrbench.methods.onestep.train.config import parse_config
from isrbench.methods.onestep.train.networks import for_training
from isrbench.methods.studies import half_precision
from isrbench.methods.studies.half_precision import TIMESTEP, encoder_errors, small_sd21, unet_errors

CPU = torch.device("cpu")
ENOUGH = 0.03
"""The largest rms error of x0, of a variance of about 1, that training from timestep 999 puts up with."""


def rms(tensor):
    return float(tensor.square().mean().sqrt())


def as_trained(base, side):
    """x0's error as the sd21 preset computes it, where eps has an rms of 1."""
    config, _ = parse_config("mor", ["--preset", "sd21", "--data", "d"])
    draws = torch.Generator().manual_seed(5)
    z, prompt = (
        torch.randn(1, 4, side, side, generator=draws),
        torch.randn(1, 77, base.unet.config["cross_attention_dim"]),
    )
    exact = base.predict(z, TIMESTEP, prompt)
    found = for_training(base, config, CPU).predict(z, TIMESTEP, prompt)
    unit = rms(exact)
    return config, rms(base.x0(z, found / unit, TIMESTEP) - base.x0(z, exact / unit, TIMESTEP))


@torch.no_grad()
def test_the_preset_is_exact_enough_on_as_many_layers():
    base = small_sd21()
    full = random_sd21("meta")
    assert len(list(base.unet.modules())) == len(list(full.unet.modules()))
    config, error = as_trained(base, 32)
    assert (config.timestep, config.dtype) == (TIMESTEP, "fp16") and 0.005 < error < ENOUGH


def test_float32_islands_do_not_make_bf16_exact_enough():
    found = {(e.dtype, e.how, e.islands): e for e in unet_errors(small_sd21().to(CPU), 16, 0, ["fp16", "bf16"])}
    bf16 = {e.islands: e.x0 for e in found.values() if (e.dtype, e.how) == ("bf16", "autocast")}
    assert bf16["none"] > 0.1 and min(bf16.values()) == bf16["all three, first and last block"] > ENOUGH
    # Even with float32 for all but what is multiplied.
    assert found["bf16", "products", ""].x0 > ENOUGH > found["fp16", "autocast", "none"].x0
    assert found["fp16", "cast", ""].x0 < ENOUGH < 0.1 < found["bf16", "cast", ""].x0
    for error in found.values():
        assert error.x0 == pytest.approx(14.61 * error.relative, rel=1e-3)


def test_what_is_measured_is_put_back_as_it_was():
    base = small_sd21().to(CPU)
    z, prompt = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 64)
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = base.predict(z, TIMESTEP, prompt), base.encode(pixels)
        list(unet_errors(base, 8, 0, ["bf16"]))
        errors = list(encoder_errors(base, pixels, ["bf16"]))
        after = base.predict(z, TIMESTEP, prompt), base.encode(pixels)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert [e.islands for e in errors] == ["none", "tail", "conv_in, tail", ""] and all(e.x0 > 0 for e in errors)


def test_a_module_in_float32_under_autocast():
    base = replace(small_sd21(), autocast=torch.bfloat16)
    seen = []
    base.unet.conv_out.register_forward_hook(lambda _, args, output: seen.append((args[0].dtype, output.dtype)))
    with torch.no_grad(), half_precision.in_float32([base.unet.conv_norm_out, base.unet.conv_out], CPU):
        base.predict(torch.randn(1, 4, 8, 8), TIMESTEP, torch.randn(1, 77, 64))
    assert seen[0][1] == torch.float32


@pytest.mark.slow
@torch.no_grad()
def test_the_preset_is_exact_enough_on_the_full_architecture_at_512_px():
    config, error = as_trained(random_sd21().to(CPU), 512 // 8)
    assert config.dtype == "fp16" and 0.01 < error < ENOUGH


def test_the_tool_writes_what_it_logs(tmp_path, caplog):
    caplog.set_level("INFO", logger="isrbench.methods.studies.half_precision")
    out = tmp_path / "half.json"
    argv = ["--size", "small", "--pixels", "64", "--dtype", "fp16", "--out", str(out)]
    assert half_precision.main(argv) == 0
    errors = json.loads(out.read_text())["errors"]
    assert len(errors) == 9 + 4 and {e["part"] for e in errors} == {"unet", "encoder"}
    assert all(f"{e['x0']:.4f}" in caplog.text for e in errors)
