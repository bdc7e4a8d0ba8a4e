import json
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base import chunked_vae as strips
from isrbench.methods.onestep.base.load import build_models, load_backbone, random_sd21, sd21_configs
from isrbench.methods.onestep.base.targets import unet_group, unet_targets, vae_targets
from isrbench.methods.onestep.base.text import TextEncoder
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, base_fingerprint, load_adapter, save_adapter
from isrbench.methods.onestep.infer.colour import adain, fix_colour, truncate, wavelet
from isrbench.methods.onestep.infer.cost import base_cost
from isrbench.methods.onestep.infer.geometry import pad, plan, upscale
from isrbench.methods.onestep.infer.prompts import TAGS, FilePrompts, Tagger, read_tags
from isrbench.methods.onestep.infer.tiling import gaussian_weights, in_tiles, tile_starts
from isrbench.methods.onestep.options import OneStepOptions
from tests.support.onestep_base import models, one_thread, write_base  # noqa: F401


def test_sd21_has_the_published_sizes_and_targets():
    vae, unet = build_models(*sd21_configs())
    assert sum(p.numel() for p in unet.parameters()) == 865_910_724
    assert sum(p.numel() for p in vae.parameters()) == 83_653_863
    names = unet_targets(unet)
    groups = [unet_group(name) for name in names]
    assert (len(names), len(vae_targets(vae))) == (258, 32)
    assert [groups.count(g) for g in ("encoder", "decoder", "others")] == [94, 148, 16]
    assert not any("time_emb" in name or "norm" in name for name in names)


def test_sd21_macs_at_512():
    cost = base_cost(*sd21_configs(), (512, 512), 96, 32, 77)
    for macs, published in ((cost.encoder, 558.3), (cost.unet, 402.1), (cost.decoder, 1257.3)):
        assert macs / 1e9 == pytest.approx(published, rel=1e-3)
    assert cost.positions["unet.conv_in"] == 64 * 64
    assert cost.positions["vae.encoder.conv_in"] == 512 * 512
    assert len(cost.positions) == 258 + 32


def test_tiled_unet_costs_one_unet_a_tile():
    vae, unet = models()
    whole = base_cost(vae.config, unet.config, (64, 64), 16, 4, 3)
    tiled = base_cost(vae.config, unet.config, (64, 112), 16, 4, 3)
    assert tiled.unet == 2 * whole.unet
    assert tiled.positions["unet.conv_in"] == 2 * whole.positions["unet.conv_in"]


def test_x0_is_exact_for_both_predictions():
    backbone = random_like(models())
    x0, eps = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    a = float(backbone.abar[999])
    assert 1 / math.sqrt(a) == pytest.approx(14.6488, rel=1e-4)
    z = math.sqrt(a) * x0 + math.sqrt(1 - a) * eps
    assert torch.allclose(backbone.clean(z, eps, 999), x0, atol=1e-4)
    backbone.prediction = "v_prediction"
    v = math.sqrt(a) * eps - math.sqrt(1 - a) * x0
    assert torch.allclose(backbone.clean(z, v, 999), x0, atol=1e-5)


def random_like(pair):
    from diffusers import DDPMScheduler

    from isrbench.methods.onestep.base.load import Backbone

    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    return Backbone(*pair, scheduler.alphas_cumprod, "epsilon", TextEncoder({"positive": torch.zeros(1, 3, 8)}), "x")


def test_random_sd21_is_not_built_by_accident_on_meta():
    backbone = random_sd21("meta")
    assert (backbone.factor, backbone.multiple, backbone.native_size) == (8, 64, 512)


@torch.no_grad()
@pytest.mark.parametrize("pixels", [64, 300, 10**6])
def test_vae_in_strips_is_the_vae(monkeypatch, pixels):
    monkeypatch.setattr(strips, "STRIP_PIXELS", pixels)
    vae, _ = models()
    x = torch.rand(2, 3, 44, 28) * 2 - 1
    assert torch.allclose(strips.encode_in_strips(vae, x), vae.encode(x).latent_dist.parameters, atol=2e-5)
    z = torch.randn(2, 4, 11, 7)
    assert torch.allclose(strips.decode_in_strips(vae, z), vae.decode(z).sample, atol=2e-5)


@torch.no_grad()
def test_strips_leave_no_seam_in_constant_and_gradient(monkeypatch):
    monkeypatch.setattr(strips, "STRIP_PIXELS", 128)
    vae, _ = models()
    ramp = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    for x in (torch.full((1, 3, 64, 64), 0.3), ramp, ramp.transpose(2, 3)):
        whole = vae.decode(vae.encode(x).latent_dist.mean).sample
        mean = strips.encode_in_strips(vae, x).chunk(2, dim=1)[0]
        assert (strips.decode_in_strips(vae, mean) - whole).abs().max() < 2e-5


def test_tiles_cover_everything_and_blend_to_identity():
    for length in (1, 5, 8, 9, 30, 31):
        starts = tile_starts(length, 8, 3)
        covered = {i for s in starts for i in range(s, min(s + 8, length))}
        assert covered == set(range(length)) and starts[-1] == max(0, length - 8)
    z = torch.randn(1, 2, 30, 21)
    assert torch.allclose(in_tiles(lambda part: part, z, 8, 3), z, atol=1e-5)
    assert torch.equal(in_tiles(lambda part: part * 0 + 1, z, 8, 3).round(decimals=5), torch.ones_like(z))
    weights = gaussian_weights(5, 8)
    assert torch.equal(weights, weights.flip(0)) and torch.equal(weights, weights.flip(1))


def test_tiles_leave_no_seam_in_constant_and_gradient():
    ramp = torch.linspace(0, 1, 160).expand(1, 1, 160, 160)
    box = torch.full((1, 1, 5, 5), 1 / 25)

    def blur(z):  # zero padding makes each tile wrong at its border, as in a UNet
        return F.conv2d(z, box, padding=2)

    for z in (torch.full((1, 1, 160, 160), 0.7), ramp, ramp.transpose(2, 3)):
        assert (in_tiles(blur, z, 96, 32) - blur(z)).abs().max() < 1e-4


def test_long_thin_latents_are_tiled_where_one_side_is_below_a_tile():
    seen = []
    in_tiles(lambda part: seen.append(part.shape[-2:]) or part, torch.randn(1, 1, 4, 40), 8, 2)
    assert {tuple(shape) for shape in seen} == {(4, 8)} and len(seen) == 7


def test_adain_matches_statistics_and_wavelet_matches_low_frequencies():
    image, source = torch.rand(3, 40, 40), torch.rand(3, 40, 40) * 0.5 + 0.2
    fixed = adain(image, source)
    assert torch.allclose(fixed.mean((1, 2)), source.mean((1, 2)), atol=1e-5)
    assert torch.allclose(fixed.std((1, 2)), source.std((1, 2)), atol=1e-4)
    flat = torch.full((3, 40, 40), 0.25)
    assert torch.allclose(wavelet(image, image), image, atol=1e-6)
    assert torch.allclose(wavelet(flat, source), wavelet(flat * 2, source), atol=1e-6)
    # One level by hand: the published loop sums the bands (image - blur) before it adds the source's rest.
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).expand(3, 1, 3, 3) / 16
    high, low, rest = torch.zeros(1, 3, 40, 40), image[None], source[None]
    for i in range(5):

        def blur(x, r=2**i):
            return F.conv2d(F.pad(x, (r,) * 4, mode="replicate"), kernel, groups=3, dilation=r)

        high, low, rest = high + low - blur(low), blur(low), blur(rest)
    assert torch.allclose(wavelet(image, source), (high + rest)[0], atol=1e-5)
    assert torch.isfinite(fix_colour(torch.rand(3, 1, 1), torch.rand(3, 1, 1), "adain")).all()


def test_truncation_keeps_every_level_and_rounds_down_between():
    levels = torch.arange(256) / 255
    assert torch.equal(truncate(levels) * 255, torch.arange(256.0).div(255).mul(255))
    assert truncate(torch.tensor([10.9 / 255])).mul(255).round() == 10


def test_geometry():
    assert plan(128, 128, 4, 512, 64).padded == (512, 512)
    small = plan(1, 1, 4, 512, 64)
    assert (small.upscaled, small.result) == ((512, 512), (4, 4))
    thin = plan(1, 1000, 4, 512, 64)
    assert thin.result == (4, 4000) and max(thin.upscaled) <= 4096
    assert plan(50, 60, 3, 0, 8).upscaled == (150, 180)
    image = torch.rand(3, 5, 7)
    padded = pad(image, (16, 24))
    assert torch.equal(padded[:, :5, :7], image) and torch.equal(padded[:, 5, :7], image[:, 3])
    assert torch.equal(pad(image[:, :1, :1], (4, 4)), image[:, :1, :1].expand(3, 4, 4))
    lr = (torch.rand(3, 6, 6) * 255).round() / 255
    assert torch.allclose(upscale(lr, plan(6, 6, 1, 0, 8), 1), lr)


def test_adapter_file_round_trip_and_refusals(tmp_path):
    path = tmp_path / "a.safetensors"
    state = {"x": torch.randn(3, 2)}
    save_adapter(path, AdapterCheckpoint("mor", {"shared": 8}, "beef", state, {"steps": 3}, 249))
    back = load_adapter(path, kind="mor", base="beef")
    assert (back.config, back.training, back.timestep) == ({"shared": 8}, {"steps": 3}, 249)
    assert torch.equal(back.state["x"], state["x"])
    for wanted, match in (({"kind": "osediff"}, "--method mor"), ({"base": "dead"}, "another base")):
        with pytest.raises(UserError, match=match):
            load_adapter(path, **wanted)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="no whole"):
        load_adapter(path)
    with pytest.raises(UserError, match="no adapter file"):
        load_adapter(tmp_path / "absent.safetensors")


def test_damaged_adapter_headers_are_one_message(tmp_path):
    path = tmp_path / "a.safetensors"
    save_adapter(path, AdapterCheckpoint("mor", {"shared": 8}, "beef", {"x": torch.zeros(2)}))
    with safe_open(path, framework="pt") as file:
        good = file.metadata()
    assert load_adapter(path).config == {"shared": 8}
    for match, header in {
        "format None": {},
        "has no 'kind'": {k: v for k, v in good.items() if k != "kind"},
        "has no 'timestep'": {k: v for k, v in good.items() if k != "timestep"},
        "is damaged: Expecting": good | {"config": "{not json"},
        "is damaged: config and training": good | {"training": "[1]"},
        "is damaged: invalid literal": good | {"timestep": "late"},
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


def test_fingerprint_sees_every_value_but_not_half_precision():
    vae, unet = models()
    whole = base_fingerprint(unet, vae)
    assert base_fingerprint(unet, vae) == whole and len(whole) == 16
    assert base_fingerprint(models()[1].half(), models()[0].half()) == whole
    others = {base_fingerprint(*reversed(models(1))), base_fingerprint(vae, unet)}
    others |= {base_fingerprint(unet, vae, extra=text) for text in ("epsilon", "v_prediction")}
    weight = unet.conv_in.weight.detach().view(-1)
    for at in (0, len(weight) - 1):  # one of the sampled values, and one far behind them
        before = weight[at].clone()
        weight[at] += 0.01
        others.add(base_fingerprint(unet, vae))
        weight[at] = before
    assert base_fingerprint(unet, vae) == whole and len(others | {whole}) == 7


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [("vae", "scaling_factor", 0.5), ("unet", "norm_eps", 0.1), ("unet", "sample_size", 16),
     ("scheduler", "beta_end", 0.02), ("scheduler", "prediction_type", "v_prediction")],
)  # fmt: skip
def test_a_base_s_fingerprint_sees_its_configs(tmp_path, part, field, value):
    whole = load_backbone(str(write_base(tmp_path))).fingerprint
    file = tmp_path / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    config = json.loads(file.read_text())
    for name, default in (("_diffusers_version", "0.1"), ("resnet_time_scale_shift", "default")):
        file.write_text(json.dumps(config | {name: default}))
        assert load_backbone(str(tmp_path)).fingerprint == whole
    file.write_text(json.dumps(config | {field: value}))
    assert load_backbone(str(tmp_path)).fingerprint != whole


@pytest.mark.parametrize("vector_unit", ["default", "avx2"])
def test_the_shipped_adapters_fit_on_any_processor(vector_unit):
    """An older vector unit rounds the noise schedule differently."""
    script = (
        "from isrbench.harness.api.method import Runtime\nfrom isrbench.methods.mor.plugin import PLUGIN\n"
        "PLUGIN.build(PLUGIN.options(), Runtime())"
    )
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": vector_unit}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_bases_that_do_not_load(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(UserError, match="ISRBENCH_OFFLINE is set"):
        load_backbone("nobody/nothing")
    with pytest.raises(UserError, match="neither a folder nor a hub id"):
        load_backbone("nothing")
    with pytest.raises(UserError, match="is no hub id"):
        load_backbone("no body/nothing")
    with pytest.raises(UserError, match="has no vae/config"):
        load_backbone(str(tmp_path))
    base = write_base(tmp_path / "base")
    weights, prompts = base / "unet" / "diffusion_pytorch_model.safetensors", base / "prompts.safetensors"
    for file in (prompts, weights):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match="does not load"):
            load_backbone(str(base))
        file.write_bytes(whole)
    prompts.unlink()
    (base / "tokenizer").mkdir()
    (base / "text_encoder").mkdir()
    with pytest.raises(UserError, match="does not load"):
        load_backbone(str(base))


def test_prompt_file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a\ta house\nb\t\n")
    prompts = FilePrompts(path)
    assert prompts("a", torch.zeros(3, 1, 1)) == "a house" and prompts.of("b") == ""
    with pytest.raises(UserError, match="no line for image 'c'"):
        prompts.of("c")
    for text in ("no tab", "a\tx\na\ty"):
        path.write_text(text)
        with pytest.raises(UserError):
            FilePrompts(path)


def test_tags_are_those_of_highest_similarity():
    class Clip(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = torch.nn.Module()
            self.visual.image_size, self.visual.image_mean, self.visual.image_std = 4, (0, 0, 0), (1, 1, 1)
            self.p = torch.nn.Parameter(torch.zeros(1))

        def encode_image(self, x):
            return x.mean((2, 3))

        def encode_text(self, tokens):
            return torch.eye(3)[tokens]

    tagger = Tagger(
        Clip(),
        lambda texts: torch.tensor([t.startswith("a green") + 2 * t.endswith("blue") for t in texts]),
        ["red", "green", "blue"],
        "a {}",
        2,
    )
    lr = torch.zeros(3, 5, 5)
    lr[2], lr[1] = 0.9, 0.4
    assert tagger("x", lr) == "blue, green"
    tags, template = read_tags(TAGS)
    assert len(tags) == len(set(tags)) > 100 and "{}" in template


@pytest.mark.parametrize("wrong", [{"overlap": 96}, {"prompts": "file"}, {"prompt": "x"}, {"timestep": -1}])
def test_options_refuse_what_does_not_fit(wrong):
    with pytest.raises(UserError):
        OneStepOptions(**wrong)
