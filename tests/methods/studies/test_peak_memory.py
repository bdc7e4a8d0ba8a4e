"""Peak memory from fake tensors, against what real ones take. The tiny preset's networks, at small crops."""

import contextlib
import io
import json

import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.train import networks
from isrbench.methods.onestep.train.config import parse_config
from isrbench.methods.onestep.train.discriminator import Discriminator
from isrbench.methods.onestep.train.draws import draw
from isrbench.methods.onestep.train.step import run_micro_batch
from isrbench.methods.studies import peak_memory
from isrbench.methods.studies.bench_training import build
from isrbench.methods.studies.peak_memory import SPECS
from isrbench.methods.studies.tensor_peak import TensorPeak
from tests.support.training_world import CPU, light, statistics  # noqa: F401

TOLERANCE = 0.01
"""What fake and real tensors may differ by: the LR is enlarged by Pillow, which PyTorch does not see."""
SMALL = ["data.crop=32", "data.severity_window=0"]


def config_of(method, *texts, preset="tiny"):
    return parse_config(method, ["--preset", preset, "--data", "d", *texts])[0]


def nbytes(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def really(method, config):
    """Weights, gradients, optimizer states and the rest's peak of a step of real tensors."""
    candidate = build("tiny", method, config, CPU, statistics)
    candidate.step()
    nets, batch = candidate.nets, candidate.batch
    draws = draw(0, batch.items, nets.base.latent_shape(32, 32), config.losses, CPU)
    trained = [p for o in candidate.optimizers.values() for g in o.param_groups for p in g["params"]]
    states = [value for o in candidate.optimizers.values() for state in o.state.values() for value in state.values()]
    with TensorPeak(candidate.tensors()) as watch:
        run_micro_batch(nets, config.losses, batch, draws, config.losses.gan_start, 1.0)
    models = (nets.base.vae, nets.base.unet, nets.discriminator)
    weights = [t for model in models for t in (*model.parameters(), *model.buffers())]
    return nbytes(weights), nbytes([p.grad for p in trained]), nbytes(s for s in states if s.ndim), watch.peak


@pytest.mark.slow
@pytest.mark.parametrize(("method", "checkpointing"), [("osediff", "false"), ("mor", "true")])
def test_fake_tensors_take_what_real_ones_take(method, checkpointing):
    own = ["adapter.train_conv_in=false"] if method == "osediff" else []  # as the bench has it
    config = config_of(method, *SMALL, *own, "batch=2", f"gradient_checkpointing={checkpointing}", "optim.ema=0")
    fake = peak_memory.peak_memory(config, SPECS[method])
    weights, gradients, optimizers, activations = really(method, config)
    assert fake.gradients == gradients and fake.optimizers == optimizers == 2 * gradients
    estimator = fake.weights - weights
    assert estimator == 0 if method == "osediff" else 7 * 2**20 < estimator < 9 * 2**20
    assert fake.activations == pytest.approx(activations, rel=TOLERANCE)
    assert fake.total == fake.weights + gradients + optimizers + fake.activations


def written(*batches):
    """What the tool writes for osediff, by batch and gradient checkpointing."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        command = ["--method", "osediff", "--preset", "tiny", "--batch", *batches, "--json", *SMALL]
        assert peak_memory.main(command) == 0
    return {(row["batch"], row["gradient_checkpointing"]): row for row in json.loads(out.getvalue())}


@pytest.mark.slow
def test_the_tool_reports_each_batch_with_and_without_checkpointing():
    rows = written("1", "2")
    assert list(rows) == [(batch, on) for batch in (1, 2) for on in (True, False)]
    parts = ("weights", "gradients", "optimizers", "activations")
    assert all(row["total"] == sum(row[part] for part in parts) for row in rows.values())
    assert len({tuple(row[part] for part in parts[:3]) for row in rows.values()}) == 1
    two, saved = (rows[2, on] for on in (False, True))
    assert saved["activations"] < 0.7 * two["activations"]
    assert 1.7 * rows[1, False]["activations"] < two["activations"] < 2.1 * rows[1, False]["activations"]
    # The tiny preset keeps a running mean of the adapter beside AdamW's two moments.
    assert 2 * two["gradients"] < two["optimizers"] < 3 * two["gradients"]
    # And everything is as it was.
    assert type(torch.zeros(1)) is torch.Tensor
    assert torch.nn.Linear(1, 1).to(torch.float64).weight.dtype == torch.float64


def found(*texts):
    return peak_memory.peak_memory(config_of("osediff", *texts), SPECS["osediff"])


@pytest.mark.slow
def test_osediff_s_own_preset_is_counted():
    fake = peak_memory.peak_memory(config_of("osediff", "data.crop=128", preset="sd21-osediff"), SPECS["osediff"])
    # Of generator and regulariser 8,492,620 parameters are trained, the 8.5M of its paper.
    heads = Discriminator([320, 640, 1280, 1280, 1280], networks.HEAD_WIDTH, 0)
    discriminator = 4 * sum(p.numel() for p in heads.parameters())
    assert fake.gradients - discriminator == 4 * 8_492_620


@pytest.mark.slow
def test_lpips_costs_and_needs_no_weights():
    """VGG16 without its classifier has 14,714,688 parameters."""
    without = found(*SMALL, "batch=1")
    lpips = found(*SMALL, "batch=1", "losses.perceptual_kind=lpips")
    assert 4 * 14_714_688 <= lpips.weights - without.weights < 4 * 14_720_000
    assert lpips.activations > without.activations


@pytest.mark.slow
def test_lower_dtypes_take_less_where_activations_outweigh_the_copies_of_weights():
    full, half = (found("data.crop=192", "data.severity_window=0", "batch=2", f"dtype={d}") for d in ("fp32", "fp16"))
    assert half.weights == full.weights and 0.5 * full.activations < half.activations < full.activations


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "measured"), [(1, 13.3), (4, 39.1)])
def test_fake_tensors_take_what_an_h100_s_allocator_counted(batch, measured, monkeypatch):
    """docs/gpu.md: a step of mor at 512 px, when only the UNet was recomputed."""
    recompute = networks.recompute
    monkeypatch.setattr(networks, "recompute", lambda m: recompute(m) if "UNet" in type(m).__name__ else None)
    texts = [f"batch={batch}", "dtype=bf16", "losses.perceptual_kind=features", "estimator=tiny"]
    fake = peak_memory.peak_memory(config_of("mor", *texts, preset="sd21"), SPECS["mor"])
    assert fake.total / 2**30 == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["base=owner/name"], "not known without its files"),
        (["estimator=ViT-B-33/x"], "did you mean 'ViT-B-32'"),
        (["adapter.nothing=1"], "adapter config of mor"),
    ],
)
def test_what_cannot_be_built_is_refused(texts, message):
    with pytest.raises(UserError, match=message):
        peak_memory.peak_memory(config_of("mor", *SMALL, *texts), SPECS["mor"])
