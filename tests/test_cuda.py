"""Every path that computes, on a GPU against the CPU: ``nox -s gpu``, or ``-m gpu --device cpu`` for a dry run.

Networks are compared before anything is rounded to 8 bits: ``latent=mode``, no colour fix, no truncation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import isrbench
from isrbench.harness.api.complexity import measure
from isrbench.harness.api.method import Runtime
from isrbench.harness.api.registry import methods
from isrbench.harness.determinism import make_deterministic
from isrbench.harness.imaging.images import read_rgb, to_pixels, to_tensor, write_png
from isrbench.harness.severity.estimator import Estimator
from isrbench.methods.lora_moe.adapter import SPEC as LORA_MOE
from isrbench.methods.mor.adapter import SPEC as MOR
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.base.chunked_vae import available_bytes
from isrbench.methods.onestep.base.load import load_base
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.train.config import parse_config
from isrbench.methods.onestep.train.curves import read_curves
from isrbench.methods.onestep.train.data import Batch
from isrbench.methods.onestep.train.draws import draw
from isrbench.methods.onestep.train.networks import build_networks
from isrbench.methods.onestep.train.optimizers import make_optimizers
from isrbench.methods.onestep.train.run import Run
from isrbench.methods.onestep.train.step import run_micro_batch
from isrbench.methods.osediff.adapter import SPEC as OSEDIFF
from isrbench.methods.studies.bench_training import build
from tests.support.images import make_image, write_pairs
from tests.support.paths import ROOT

pytestmark = pytest.mark.gpu

SPECS = {"mor": MOR, "osediff": OSEDIFF, "lora_moe": LORA_MOE}
PLAIN = {"latent": "mode", "colour_fix": "none", "truncate": False}
RMS = {"fp32": 2e-5, "bf16": 2e-2, "fp16": 2e-3}
"""How far a GPU may be from the CPU in float32, root mean square of values in [0, 1]: sums in another order, and the
rounding of 24, 8 and 11 bits through some fifty layers."""


@pytest.fixture(scope="module")
def device(pytestconfig: pytest.Config) -> str:
    name = str(pytestconfig.getoption("device"))
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device (--device cpu for a dry run)")
    make_deterministic(name)
    return name


@pytest.fixture(scope="module")
def size(pytestconfig: pytest.Config) -> str:
    return str(pytestconfig.getoption("size"))


@pytest.fixture(scope="module")
def lr() -> Tensor:
    """(3, 64, 48), the middle of a sample image."""
    whole = to_tensor(read_rgb(sorted((ROOT / "datasets/sample/LR").rglob("*.png"))[0]))
    return whole[:, 24:88, 20:68].contiguous()


def load(method: str, device: str, **options: Any) -> OneStepMethod:
    plugin = methods().get(method)
    made = plugin.make(plugin.options(**{**PLAIN, **options}), Runtime(4, device))
    assert isinstance(made, OneStepMethod)
    return made


@pytest.fixture(scope="module")
def on_cpu(lr: Tensor) -> Callable[[str], Tensor]:
    """What a method restores on the CPU in float32."""
    known: dict[str, Tensor] = {}

    def restored(method: str) -> Tensor:
        if method not in known:
            known[method] = load(method, "cpu").restore(lr, image="x", seed=0).image
        return known[method]

    return restored


def rms(a: Tensor, b: Tensor) -> float:
    return float((a.cpu().float() - b.cpu().float()).square().mean().sqrt())


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("method", SPECS)
def test_restores_what_the_cpu_restores(method: str, dtype: str, device: str, lr: Tensor, on_cpu) -> None:
    found = load(method, device, dtype=dtype).restore(lr, image="x", seed=0).image
    assert found.device.type == torch.device(device).type
    assert rms(found, on_cpu(method)) <= RMS[dtype]


@pytest.mark.parametrize("method", SPECS)
def test_apart_from_the_base_it_restores_what_merged_or_folded_does(method: str, device: str, lr: Tensor) -> None:
    folded, apart = (load(method, device, merge=merge).restore(lr, image="x", seed=0) for merge in (True, False))
    assert rms(folded.image, apart.image) <= RMS["fp32"]
    assert folded.trace == apart.trace


@pytest.mark.parametrize("method", SPECS)
def test_the_same_bits_every_time_and_whatever_came_before(method: str, device: str, lr: Tensor) -> None:
    loaded = load(method, device, latent="sample")
    first = loaded.restore(lr, image="x", seed=7).image
    loaded.restore(lr.flip(-1)[:, :40], image="y", seed=1)
    assert torch.equal(loaded.restore(lr, image="x", seed=7).image, first)
    assert torch.equal(load(method, device, latent="sample").restore(lr, image="x", seed=7).image, first)


def test_the_noise_of_an_image_is_the_cpus(device: str, lr: Tensor) -> None:
    found, known = (load("mor", d, latent="sample").restore(lr, image="x", seed=3).image for d in (device, "cpu"))
    assert rms(found, known) <= RMS["fp32"]


@pytest.mark.parametrize("options", [{"tile": 24, "overlap": 8}, {"vae_pixels": 1}], ids=["tiles", "chunks"])
def test_large_images(options: dict[str, int], device: str, lr: Tensor) -> None:
    found, known = (load("mor", d, **options).restore(lr, image="x", seed=0).image for d in (device, "cpu"))
    assert rms(found, known) <= RMS["fp32"]


def test_a_batch_of_several_severities(device: str) -> None:
    """Each image of a mixed batch is what it is alone, gathered or masked."""
    base = load_base("tiny", device)
    adapter: Any = MOR.attach(base.unet, base.vae, MoRConfig(router_std=1.0), 0)
    for name, parameter in adapter.parameters().items():
        if name.endswith(".B"):
            nn.init.normal_(parameter, std=1e-2)
    generator = torch.Generator().manual_seed(0)
    pixels = (torch.rand(4, 3, 96, 96, generator=generator) * 2 - 1).to(device)
    severity = torch.rand(4, 7, generator=generator).to(device)
    prompt = base.text.embed("")

    def restored(execution: Any, rows: slice) -> Tensor:
        adapter.run_as(execution)
        adapter.route(severity[rows])
        with torch.no_grad():
            return base.one_step(pixels[rows], 99, prompt)

    together = restored("gathered", slice(None))
    alone = torch.cat([restored("folded", slice(n, n + 1)) for n in range(4)])
    assert rms(together, alone) <= 1e-4 and rms(together, restored("masked", slice(None))) <= 1e-4


def test_severity(device: str, lr: Tensor) -> None:
    found, known = (Estimator("tiny", d).estimate(lr[None]) for d in (device, "cpu"))
    assert torch.allclose(found, known, atol=1e-4)


def test_evaluation(device: str, tmp_path: Path) -> None:
    """The whole way: restored, written, scored and measured; the second time nothing is computed."""
    seen = []
    for name, place in (("known", "cpu"), ("found", device)):
        how: dict[str, Any] = {
            "device": place, "limit": 2, "runs_dir": tmp_path / name,
            "metrics": ["psnr", "ssim", "gmsd", "ms_ssim", "vsi", "piqe"],
        }  # fmt: skip
        run = isrbench.evaluate("mor", "sample", **how)
        assert run.failed == 0 and run.computed
        assert not isrbench.evaluate("mor", "sample", **how).computed
        scores = run.scores().set_index(["image", "metric"])["value"].sort_index()
        seen.append((scores, run.images()["severity"].to_numpy()))
    (known, severity), (found, same_severity) = seen
    # PIQE counts blocks above a threshold: a pixel that is rounded the other way can move one block.
    tolerance = known.index.get_level_values("metric").map({"piqe": 0.5, "psnr": 0.01}).fillna(1e-3).to_numpy()
    assert len(known) == 12 and (abs(found - known) <= tolerance).all()
    assert abs(same_severity - severity).max() <= 1e-4


def test_restoring_files(device: str, tmp_path: Path, lr: Tensor) -> None:
    write_png(tmp_path / "lr.png", to_pixels(lr))
    images = []
    for name, place in (("known.png", "cpu"), ("found.png", device)):
        isrbench.restore(tmp_path / "lr.png", "mor", to=tmp_path / name, device=place)
        images.append(to_tensor(read_rgb(tmp_path / name)))
    assert rms(*images) <= 1 / 255


def test_time_and_memory(device: str) -> None:
    method = load("mor", device)
    seen = measure(lambda image: method.restore(image, image="x", seed=0).image, 24, 24, device, warm_up=1, runs=2)
    assert seen.latency_ms > 0
    if device.startswith("cuda"):
        weights = sum(p.numel() * 4 for m in (method.base.unet, method.base.vae) for p in m.parameters())
        assert seen.peak_mib is not None and seen.peak_mib > weights / 2**20
        assert 2**30 < available_bytes(device) < torch.cuda.get_device_properties(0).total_memory


def micro_batch(method: str, device: str, *more: str) -> tuple[dict[str, float], Tensor]:
    """The losses and all gradients of one micro-batch of the tiny preset."""
    config, _ = parse_config(method, ["--data", "random", "batch=2", *more])
    spec, place = SPECS[method], torch.device(device)
    nets = build_networks(config, spec, replace(spec.default, **config.adapter), place)
    generator = torch.Generator().manual_seed(0)
    sides = (config.data.crop, config.data.crop // 4, config.data.severity_window // 4)
    images = [torch.rand(2, 3, side, side, generator=generator) for side in sides]
    batch = Batch(*(part.to(place) for part in (*images, torch.tensor([4, 5]))))
    latent = nets.base.latent_shape(config.data.crop, config.data.crop)
    draws = draw(0, batch.items, latent, config.losses, place)
    values = run_micro_batch(nets, config.losses, batch, draws, config.losses.gan_start, 1.0)
    groups = [group for optimizer in make_optimizers(nets, config.optim).values() for group in optimizer.param_groups]
    gradients = [p.grad.flatten().cpu() for group in groups for p in group["params"] if p.grad is not None]
    return {name: float(value) for name, value in values.items()}, torch.cat(gradients)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for n in range(4):
        write_png(folder / f"{n}.png", make_image(n, 256, 256))
    return folder


@pytest.mark.parametrize("method", SPECS)
def test_a_training_step_is_the_cpus(method: str, device: str) -> None:
    losses, gradient = micro_batch(method, device)
    known, expected = micro_batch(method, "cpu")
    assert losses == pytest.approx(known, rel=1e-3, abs=1e-5)
    assert float(torch.cosine_similarity(gradient, expected, dim=0)) > 0.999
    assert float(gradient.norm() / expected.norm()) == pytest.approx(1, rel=1e-2)


def test_training_in_half_precision(device: str) -> None:
    losses, gradient = micro_batch("mor", device, "dtype=bf16")
    known, expected = micro_batch("mor", device)
    assert losses["l2"] == pytest.approx(known["l2"], rel=0.05)
    assert float(torch.cosine_similarity(gradient, expected, dim=0)) > 0.9


def test_trains_resumes_and_restores(device: str, photos: Path, tmp_path: Path, lr: Tensor) -> None:
    """Interrupted after two of four steps and resumed it makes the same adapter, and that restores."""

    def trained(out: Path, resume: bool = False) -> Path:
        place = ["device=cpu"] if device == "cpu" else []
        given = ["--data", str(photos), "--out", str(out), "--steps", "4", "global_batch=2", "save_every=2", "keep=9"]
        config, _ = parse_config("mor", [*given, *place])
        Run(config, MOR, resume).loop()
        return out / "adapter.safetensors"

    whole = trained(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    (tmp_path / "resumed/states/state-4.pt").unlink()
    resumed = trained(tmp_path / "resumed", resume=True)
    images = [load("mor", device, adapter=path).restore(lr, image="x", seed=0).image for path in (whole, resumed)]
    assert torch.isfinite(images[0]).all() and rms(*images) <= RMS["fp32"]


def test_a_validation_gives_what_an_evaluation_gives(device: str, photos: Path, tmp_path: Path) -> None:
    """In training under autocast, too: an evaluation computes in float32."""
    pairs = write_pairs(tmp_path / "pairs", ["a", "b"], lr=32)
    look = [f"validation.dataset={pairs}", 'validation.metrics=["psnr", "gmsd"]', "severity_note=4", "dtype=bf16"]
    place = ["device=cpu"] if device == "cpu" else []
    given = ["--data", str(photos), "--out", str(tmp_path / "run"), "--steps", "1", "global_batch=2"]
    Run(parse_config("mor", [*given, *look, *place])[0], MOR, False).loop()
    options = {"adapter": tmp_path / "run/adapter.safetensors"}
    run = isrbench.evaluate(
        "mor", pairs, options=options, metrics=["psnr", "gmsd"], device=device, complexity=False, runs_dir=tmp_path
    )
    curves = read_curves(tmp_path / "run/curves.csv")
    for mean in run.summary.metrics:
        assert curves[f"validation/{mean.metric}@pairs"] == [(1, pytest.approx(mean.mean, rel=1e-5))], mean.metric


@pytest.mark.parametrize("name", ["mor", "osediff", "osediff, 3 UNets"])
def test_a_step_of_the_full_size(name: str, device: str, size: str) -> None:
    """With random weights, at 512 px: every network gets finite gradients that are not zero."""
    plain = ["losses.perceptual_kind=features", "estimator=tiny", 'data.folders=["random"]', "data.severity_window=0"]
    crop = 512 if size == "sd21" else 96
    config, _ = parse_config("osediff", ["--preset", size, *plain, f"data.crop={crop}", "batch=1"])
    candidate = build(size, name, config, torch.device(device))
    candidate.step()
    for optimizer in candidate.optimizers.values():
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        assert grads and all(torch.isfinite(g).all() for g in grads)
        assert any(float(g.abs().max()) > 0 for g in grads)
