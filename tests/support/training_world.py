"""A micro base, four photos and a stand-in for the severity estimator: a world in which training takes seconds."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image

from isrbench.methods.mor.adapter import SPEC as MOR
from isrbench.methods.onestep.adapter import AdapterSpec
from isrbench.methods.onestep.base.tiny import save_base
from isrbench.methods.onestep.train.config import validated
from isrbench.methods.onestep.train.data import Batch, open_loader
from isrbench.methods.onestep.train.draws import draw
from isrbench.methods.onestep.train.run import Run
from isrbench.methods.onestep.train.step import run_micro_batch
from isrbench.methods.osediff.adapter import DenseConfig
from isrbench.methods.osediff.adapter import attach as attach_dense

BALANCED = {"losses": {"balance": 200.0}, "adapter": {"router_std": 1.0}}
"""Changes of a config that make the balance loss decide the routers, and images differ in their routing."""
DENSE = AdapterSpec("osediff", DenseConfig(rank=2), attach_dense, routes=False)
CPU = torch.device("cpu")


class Statistics:
    """A stand-in for the CLIP estimator: seven statistics of the LR."""

    def estimate(self, lr):
        parts = [lr.mean((1, 2, 3)), lr.std((1, 2, 3)), lr.amax((1, 2, 3)), lr.amin((1, 2, 3)), *lr.mean((2, 3)).T]
        return torch.stack(parts, dim=1).clamp(0, 1)

    id = "statistics"

    def load(self):
        pass


def statistics(spec="tiny", device="cpu", logit_scale=None):
    """Stands for ``get_estimator``."""
    return Statistics()


@pytest.fixture(autouse=True)
def light():
    """One thread; import it to have it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


def write_world(root: Path) -> Path:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        in_channels=4, out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"), block_out_channels=(8, 16), layers_per_block=1,
        cross_attention_dim=8, attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip
    save_base(root / "base", vae, unet, {name: torch.randn(1, 2, 8) for name in ("positive", "negative")})
    (root / "photos").mkdir()
    rng = np.random.default_rng(0)
    for n in range(4):
        pixels = np.repeat(np.repeat(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), 6, 0), 6, 1)
        Image.fromarray(pixels).save(root / "photos" / f"{n}.png")
    return root


def values(world, out, **changes):
    """A config's values in the micro world."""
    plain = {
        "base": str(world / "base"), "timestep": 249, "out": out, "steps": 4, "batch": 2, "device": "cpu",
        "log_every": 1, "save_every": 2, "keep": 9, "colour_fix": "wavelet", "severity_note": 0,
        "adapter": {"shared": 1, "routed": 3, "zero_slots": 1, "top_k": 2},
        "data": {"folders": (str(world / "photos"),), "crop": 32, "workers": 0},
        "losses": {"perceptual_kind": "features", "r1": 0.1},
        "optim": {"lr": 1e-3, "lr_regulariser": 1e-3, "lr_discriminator": 1e-3, "ema": 0.9},
        "validation": {},
    }  # fmt: skip
    for key, value in changes.items():
        plain[key] = plain[key] | value if isinstance(value, dict) else value
    return plain


def begin(world, out, spec=MOR, resume=False, **changes) -> Run:
    plain = values(world, out, **changes)
    return Run(validated(plain if spec is MOR else plain | {"adapter": {}}), spec, resume, statistics)


def run(world, out, spec=MOR, resume=False, **changes) -> Run:
    one = begin(world, out, spec, resume, **changes)
    one.loop()
    return one


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def trained(one):
    """The parameters that each optimizer moves."""
    return {name: [p for group in o.param_groups for p in group["params"]] for name, o in one.optimizers.items()}


def gradients(one, *batches):
    """Each network's gradient of one optimizer step over these micro-batches."""
    nets, losses = one.nets, one.config.losses
    severities = [nets.severity(batch.severity_window) for batch in batches]
    hits = [nets.adapter.hits(severity) for severity in severities]
    whole = None if hits[0] is None else torch.stack(hits).sum(0)
    for batch, severity in zip(batches, severities, strict=True):
        draws = draw(0, batch.items, one.latent, losses, CPU)
        run_micro_batch(nets, losses, batch, draws, 0, 1 / len(batches), severity, whole)
    found = {name: [p.grad for p in ps if p.grad is not None] for name, ps in trained(one).items()}
    for optimizer in one.optimizers.values():
        optimizer.zero_grad(set_to_none=True)
    return {name: torch.cat([g.flatten() for g in grads]) for name, grads in found.items() if grads}


def a_batch(window: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(0)
    hr, lr = (torch.rand(2, 3, side, side, generator=generator) for side in (32, 8))
    seen = lr if window == 8 else torch.rand(2, 3, window, window, generator=generator)
    return Batch(hr, lr, seen, torch.tensor([4, 5]))


def poison(monkeypatch, *items):
    """Let these items have no number in their images, whichever process loads them."""

    def loader(*args):
        for batch in open_loader(*args):
            bad = torch.isin(batch.items, torch.tensor(items))
            yield batch._replace(hr=batch.hr.masked_fill(bad[:, None, None, None], float("nan")))

    monkeypatch.setattr("isrbench.methods.onestep.train.run.open_loader", loader)


def state(out, step):
    return torch.load(out / f"states/state-{step}.pt", weights_only=True)


def same_state(a, b):
    """Whether two states hold the same bits: networks, optimizers, running mean and counts."""
    parts = [same(a[name], b[name]) for name in ("adapter", "regulariser", "discriminator", "mean")]
    moments = [
        a["optimizers"][name]["state"].keys() == b["optimizers"][name]["state"].keys()
        and all(same(of, b["optimizers"][name]["state"][n]) for n, of in a["optimizers"][name]["state"].items())
        for name in ("generator", "regulariser", "discriminator")
    ]
    return all(parts) and all(moments)


def curve_rows(out):
    """The rows of a run's curves, the header among them."""
    with (out / "curves.csv").open() as file:
        return list(csv.reader(file))
