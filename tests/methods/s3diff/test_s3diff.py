"""S3Diff: the authors' files exactly, its formula by hand, routed per image, folded, sizes, bad files refused."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from isrbench.harness.api.complexity import count_macs
from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.methods.onestep.base.load import load_base, random_sd21
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.s3diff.adapter import S3DiffConfig, attach, targets
from isrbench.methods.s3diff.authors import read
from isrbench.methods.s3diff.degradation import DegradationNet, DegradationScores
from isrbench.methods.s3diff.method import guided
from isrbench.methods.s3diff.modulation import block_of
from isrbench.methods.s3diff.options import S3DiffOptions
from isrbench.methods.s3diff.plugin import PLUGIN
from tests.support.authors_files import de_net_state, s3diff_content, write_de_net, write_s3diff
from tests.support.onestep_base import models, one_thread, write_base  # noqa: F401

EXACT = {"truncate": False, "colour_fix": "none"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s3diff")
    base = load_base(str(write_base(folder / "base")))
    write_s3diff(folder, base.vae, base.unet)
    write_de_net(folder)
    return folder


@pytest.fixture(scope="module")
def build(folder):
    def build(**options):
        files = {"base": str(folder / "base"), "adapter": folder / "s3diff.pkl", "de_net": folder / "de_net.pth"}
        return PLUGIN.make(S3DiffOptions(**{**files, **options}), Runtime(4))

    return build


def an_lr(height=8, width=8, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def scores_by_hand(lr):
    """Two networks: first convolution, six blocks, a stride, two blocks, the mean, two linear maps, sigmoid."""
    state, scores = de_net_state(), []
    for score in (0, 1):

        def conv(name, x, stride=1, score=score):
            weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            return F.conv2d(x, weight, bias, stride=stride, padding=1)

        x = conv(f"conv_first.{score}", lr[None])
        for place in range(9):
            name = f"body.{score}.{place}"
            x = conv(name, x, 2) if place == 6 else x + conv(f"{name}.conv2", conv(f"{name}.conv1", x).relu())
        x = x.mean((2, 3))
        for place in (0, 2):
            name = f"fc_degree.{score}.{place}"
            x = F.linear(x if place == 0 else x.relu(), state[f"{name}.weight"], state[f"{name}.bias"])
        scores.append(torch.sigmoid(x[0, 0]))
    return torch.stack(scores)


def mix_by_hand(content, part, scores, block):
    """M of one block: sines then cosines of 2 pi w s for each score, a layer; the block's, a layer; both, a layer."""
    rank = content[f"rank_{part}"]
    embedded = []
    for score in scores:
        angles = 2 * math.pi * content["w"] * score
        embedded += [torch.sin(angles), torch.cos(angles)]

    def layer(name, x, key=""):
        state = content[f"state_dict_{part}_{name}"]
        return F.linear(x, state[f"{key}weight"], state[f"{key}bias"])

    image = layer("de_mlp", torch.cat(embedded), "0.").relu()
    own = content["state_embeddings"][f"state_dict_{part}_block"]["weight"][block]
    joined = torch.cat([image, layer("block_mlp", own, "0.").relu()])
    return layer("fuse_mlp", joined).view(rank, rank)


def merge_by_hand(vae, unet, content, scores):
    """(A x) as a row times M, then B, times 8 / rank; the UNet's first convolution is another one."""
    blocks = {"vae": ("down_blocks.0", "down_blocks.1", "down_blocks.2", "", "mid_block"), "unet": None}
    for part, model in {"vae": vae, "unet": unet}.items():
        state, rank = content[f"state_dict_{part}"], content[f"rank_{part}"]
        for name, a in state.items():
            if ".lora_A" not in name:
                continue
            module = name.partition(".lora_A")[0]
            if part == "vae":
                where = [b for b in blocks["vae"] if b and f"encoder.{b}." in module]
                block = blocks["vae"].index(where[0]) if where else 5
            else:
                known = {"down_blocks.0": 0, "down_blocks.1": 1, "mid_block": 4, "up_blocks.0": 5, "up_blocks.1": 6}
                block = next((n for b, n in known.items() if module.startswith(f"{b}.")), 9)
            mix = mix_by_hand(content, part, scores, block)
            b = state[name.replace(".lora_A", ".lora_B")].flatten(1)
            delta = torch.einsum("or,kr,k...->o...", b, mix, a)
            weight = model.get_submodule(module).weight
            weight.data = weight.data + 8 / rank * delta
    for name in ("weight", "bias"):
        getattr(unet.conv_in, name).data = content["state_dict_unet"][f"conv_in.{name}"]


@torch.no_grad()
def by_hand(lr, guidance, seed):
    """Bilinear, encode, e(negative) + g (e(positive) - e(negative)) at t = 999, x0, decode."""
    vae, unet = models()
    content = s3diff_content(vae, unet)
    merge_by_hand(vae, unet, content, scores_by_hand(lr))
    positive = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
    pixels = F.interpolate(lr[None], scale_factor=4, mode="bilinear", align_corners=False) * 2 - 1
    posterior = vae.encode(pixels).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(seed))
    z = (posterior.mean + posterior.std * noise) * vae.config.scaling_factor
    good, bad = (unet(z, torch.tensor([999]), encoder_hidden_states=e).sample for e in (positive, -positive))
    eps = bad + guidance * (good - bad)
    abar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)[999]
    x0 = (z - (1 - abar).sqrt() * eps) / abar.sqrt()
    return vae.decode(x0 / vae.config.scaling_factor).sample[0].clamp(-1, 1) / 2 + 0.5


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("guidance", [1.07, 1.0])
def test_restoring_is_the_formula(build, merge, guidance):
    method = build(merge=merge, guidance=guidance, **EXACT)
    assert (method.timestep, len(method.passes(torch.empty(0)))) == (999, 1 if guidance == 1 else 2)
    for seed in (5, 6):  # another image: routed, and folded, anew
        lr = an_lr(seed=seed)
        found = method.restore(lr, image="x", seed=seed).image
        expected = by_hand(lr, guidance, seed)
        assert expected.std() > 0.01
        assert (found - expected).abs().max() < 5e-4, "x0 at t = 999 multiplies the rounding of eps by 14.6"


def test_the_scores_are_the_network_s(build):
    method, lr = build(), an_lr(17, 23)
    severity = method.severity(lr, image="x")
    expected = torch.zeros(7)
    expected[1], expected[2] = scores_by_hand(lr)
    assert DIMENSIONS[1:3] == ("blur", "noise")
    assert torch.allclose(severity, expected, atol=1e-6) and 0 < severity[1] < 1 and severity[1] != severity[2]


def test_defaults_are_the_script_s(build):
    method = build()
    assert method.colour_fix == "wavelet" and method.options.enlarge == "bilinear"
    assert method._plan(10, 11).upscaled == (40, 44), "a small image is not enlarged first"
    assert method.options.tile == 96 and method.options.overlap == 32
    assert method.input_hash("x") == "" and method.active_counts() == ()


def test_colours_are_those_of_the_enlarged_lr_in_8_bits(build):
    lr = an_lr()
    restored = build(colour_fix="none").restore(lr, image="x", seed=0).image
    pixels = F.interpolate(lr[None], scale_factor=4, mode="bilinear", align_corners=False)[0]
    source = (pixels * 255 + 1e-3).floor() / 255

    def low(x):
        kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).expand(3, 1, 3, 3) / 16
        for radius in (1, 2, 4, 8, 16):
            x = F.conv2d(F.pad(x[None], (radius,) * 4, mode="replicate"), kernel, groups=3, dilation=radius)[0]
        return x

    expected = (restored - low(restored) + low(source)).clamp(0, 1)
    found = build().restore(lr, image="x", seed=0).image
    assert (found - expected).abs().max() < 1.01 / 255 and (found - expected).max() < 0.02 / 255, "cut, not rounded"


def test_scores_from_a_file_and_the_base_alone(build, tmp_path):
    path, lr = tmp_path / "severities.csv", an_lr()
    own = build().severity(lr, image="x").tolist()
    other = [value if name not in ("blur", "noise") else 1 - value for name, value in zip(DIMENSIONS, own, strict=True)]
    plain = build().restore(lr, image="x", seed=0)
    for vector, same in ((own, True), ([0.7, *own[1:3], 1, 0.2, 1, 1], True), (other, False)):
        path.write_text(",".join(["image", *DIMENSIONS]) + "\n" + ",".join(["x", *map(repr, vector)]))
        given = build(severities=path, de_net=None).restore(lr, image="x", seed=0)
        assert torch.equal(given.image, plain.image) == same, "of the seven, blur and noise are read"
        assert given.trace == plain.trace
    off = build(adapter_off=True, de_net=None).restore(lr, image="x", seed=0)
    assert off.trace.mean_active == 0 and not torch.allclose(off.image, plain.image, atol=1e-3)
    base = build(adapter_off=True, de_net=None)
    assert torch.equal(base.base.unet.conv_in.weight, models()[1].conv_in.weight), "the first convolution too"


def test_a_batch_is_routed_image_by_image_and_folds_as_it_runs_apart():
    vae, unet = models()
    adapter = attach(unet, vae, S3DiffConfig(3, 2), 0)
    generator = torch.Generator().manual_seed(2)
    state = {k: v + torch.randn(v.shape, generator=generator) * 0.1 for k, v in adapter.state_dict().items()}
    adapter.load_state_dict(state)
    x, embedding = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(1, 3, 8, generator=generator)
    severity = torch.rand(2, 7, generator=generator)

    def run(rows, latents):
        adapter.route(rows)
        with torch.no_grad():
            return unet(latents, torch.tensor(9), encoder_hidden_states=embedding.expand(len(latents), -1, -1)).sample

    with pytest.raises(RuntimeError, match="route"):
        unet(x, torch.tensor(9), encoder_hidden_states=embedding.expand(2, -1, -1))
    together = run(severity, x)
    alone = torch.cat([run(severity[i : i + 1], x[i : i + 1]) for i in range(2)])
    assert torch.allclose(together, alone, atol=1e-4) and not torch.allclose(together[0], run(severity[1:], x)[0])
    adapter.for_inference()
    folded = torch.cat([run(severity[i : i + 1], x[i : i + 1]) for i in range(2)])
    assert torch.allclose(folded, alone, atol=1e-4)
    assert torch.equal(folded[:1], run(severity[:1], x[:1])), "nothing drifts"
    with pytest.raises(ValueError, match="severity"):
        adapter.route(None)
    adapter.for_training()
    with pytest.raises(ValueError, match="batch has 3"):
        run(severity, torch.randn(3, 4, 8, 8))
    adapter.detach()
    fresh = models()[1].state_dict()
    assert unet.state_dict().keys() == fresh.keys()
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in unet.state_dict().items())


def test_blocks_are_the_published_ones():
    names = ("conv_in", "down_blocks.3.resnets.0.conv1", "mid_block.x")
    assert [block_of(f"vae.encoder.{name}") for name in names] == [5, 3, 4]
    names = ("down_blocks.2.x", "mid_block.x", "up_blocks.0.x", "up_blocks.3.x", "conv_out")
    assert [block_of(f"unet.{name}") for name in names] == [2, 4, 5, 8, 9]
    with pytest.raises(UserError, match="knows no block"):
        block_of("unet.up_blocks.4.x")


def test_modules_parameters_and_macs_on_stable_diffusion():
    """SD-Turbo has Stable Diffusion 2.1-base's architecture. 34.5 M trained parameters, as the paper says."""
    base = random_sd21("meta")
    named = targets(base.unet, base.vae)
    assert (len(named["unet"]), len(named["vae"])) == (257, 31)
    adapter = attach(base.unet, base.vae, S3DiffConfig(), 0)
    sizes = dict.fromkeys(("vae", "unet", "modulation", "conv_in"), 0)
    for name, parameter in adapter.parameters().items():
        sizes["conv_in" if "conv_in.weight" in name or "conv_in.bias" in name else name.partition(".")[0]] += (
            parameter.numel()
        )
    assert sizes == {"vae": 1_477_168, "unet": 32_434_304, "modulation": 551_808, "conv_in": 11_840}
    assert adapter.active_parameters() == sum(sizes.values()) == 34_475_120
    network = DegradationNet().to("meta")
    assert count_macs(lambda: network(torch.empty(1, 3, 128, 128, device="meta"))) / 1e9 == pytest.approx(20.0, abs=0.1)

    def cost(merge, guidance):
        options = S3DiffOptions(merge=merge, guidance=guidance)
        method = OneStepMethod(base, adapter, options, Runtime(4), 999, lambda image, lr: "")
        method.passes = guided(torch.empty(0), guidance)
        return method.cost(128, 128), method.base_cost(128, 128)

    two, counted = cost(True, 1.07)
    one, plain = cost(True, 1.0)
    assert plain.total / 1e9 == pytest.approx(2217.7, rel=1e-4)
    assert counted.total / 1e9 == pytest.approx(2619.8, rel=1e-4)
    assert adapter.folding_macs() == 27_654_852_608, "rank times every adapted weight, and B M^T"
    assert two.macs - counted.total == one.macs - plain.total == adapter.folding_macs()
    apart, _ = cost(False, 1.07)
    assert (two.macs / 1e9, one.macs / 1e9) == pytest.approx((2647.5, 2245.4), abs=0.1)
    assert apart.macs / 1e9 == pytest.approx(2711.6, abs=0.1)
    assert two.params_total == 865_910_724 + 83_653_863 + 34_475_120


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_files_that_do_not_fit_are_one_message(folder, tmp_path, capsys):
    base = load_base(str(folder / "base"))
    good, path = s3diff_content(base.vae, base.unet), tmp_path / "s3diff.pkl"
    unet, vae = good["state_dict_unet"], good["state_dict_vae"]
    first = next(name for name in unet if "lora_A" in name)
    mlp, blocks = good["state_dict_vae_de_mlp"], good["state_embeddings"]

    def without(state, name):
        return {k: v for k, v in state.items() if k != name}

    for match, content in {
        "holds more than weights": good | {"rank_unet": Evil()},
        "has no 'w'": without(good, "w"),
        "unknown entry 'surprise'": good | {"surprise": 1},
        "rank_vae 0, which": good | {"rank_vae": 0},
        "neither names": good | {"vae_lora_target_modules": 3},
        "no 'conv_in.bias'": good | {"state_dict_unet": without(unet, "conv_in.bias")},
        "unexpected tensor 'conv_out.weight'": good | {"state_dict_unet": unet | {"conv_out.weight": unet[first]}},
        "only half a LoRA": good | {"state_dict_unet": without(unet, first)},
        "another base": good | {"state_dict_vae": {k: v for k, v in vae.items() if "encoder.conv_in." not in k}},
        "unknown adapter 'spare'": good
        | {"state_dict_vae": vae | {f"encoder.conv_in.lora_{m}.spare.weight": unet[first] for m in "AB"}},
        "has no '0.bias'": good | {"state_dict_vae_de_mlp": without(mlp, "0.bias")},
        "unknown entry '2.bias'": good | {"state_dict_vae_de_mlp": mlp | {"2.bias": mlp["0.bias"]}},
        "something other than a dict": good | {"state_embeddings": [1]},
        "no 'state_dict_vae_block'": good | {"state_embeddings": without(blocks, "state_dict_vae_block")},
        "'w' that is not a tensor": good | {"w": 3.0},
    }.items():
        torch.save(content, path)
        with pytest.raises(UserError, match=match):
            read(path, base)
    assert "run" not in capsys.readouterr().out
    for match, content in {
        r"'vae\..*\.A' is .* need": good | {"rank_vae": 4},
        "modulation.frequencies": good | {"w": torch.zeros(3)},
    }.items():
        torch.save(content, path)
        checkpoint = read(path, base)
        adapter = attach(*reversed(models()), S3DiffConfig.from_json(checkpoint.config), 0)
        with pytest.raises(UserError, match=match):
            adapter.load_state_dict(checkpoint.state)


def test_a_degradation_network_that_does_not_fit_is_one_message(tmp_path):
    good, path = de_net_state(), tmp_path / "de_net.pth"
    name = "body.1.6.weight"
    with pytest.raises(UserError, match="does not exist"):
        DegradationScores.load(path, "cpu")
    for match, content in {
        f"lacks '{name}'": {k: v for k, v in good.items() if k != name},
        "unknown entry 'conv_first.2.weight'": good | {"conv_first.2.weight": good[name]},
        "not numbers": good | {name: good[name][:3]},
        "str, not": good | {name: "x"},
    }.items():
        torch.save(content, path)
        with pytest.raises(UserError, match=match):
            DegradationScores.load(path, "cpu")


def test_without_weights_one_line_says_what_to_get(build):
    with pytest.raises(UserError, match="its authors' adapter") as error:
        PLUGIN.make(S3DiffOptions(), Runtime(4))
    for part in ("s3diff.pkl", "de_net.pth", "sd-turbo"):
        assert part in error.value.fix
    assert "\n" not in error.value.fix
    with pytest.raises(UserError, match="blur and noise") as error:
        build(de_net=None)
    assert "-o de_net=FILE" in error.value.fix
    with pytest.raises(UserError, match="guidance is -1"):
        build(guidance=-1)


def test_a_negative_prompt_that_nothing_reads_is_refused(build):
    with pytest.raises(UserError, match="guidance=1 takes one pass, without it"):
        S3DiffOptions(guidance=1, negative_prompt="blur")
    assert S3DiffOptions(guidance=2, negative_prompt="blur").negative_prompt == "blur"
    with pytest.raises(UserError, match="has fixed prompts and takes no negative_prompt"):
        build(negative_prompt="blur")


def test_it_runs_on_the_base_that_ships(folder, tmp_path):
    tiny = load_base("tiny")
    files = {"adapter": write_s3diff(tmp_path, tiny.vae, tiny.unet), "de_net": folder / "de_net.pth"}
    method = PLUGIN.make(S3DiffOptions(base="tiny", **files), Runtime(4))
    assert method.variant == "tiny"
    restored = method.restore(torch.rand(3, 9, 10), image="x", seed=0)
    assert restored.image.shape == (3, 36, 40) and torch.isfinite(restored.image).all()
    assert set(restored.trace.active) == {2, 3} and set(restored.trace.zero) == {0} and restored.trace.macs > 0
