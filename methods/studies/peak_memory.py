"""How much memory a training step takes, found without a GPU, without weights and without computing anything.

isrbench tools peak-memory --method mor --preset sd21 --batch 1 2 4
isrbench tools peak-memory --method osediff --preset sd21 --batch 2 --json data.crop=256 losses.perceptual=0

The preset's networks are built of fake tensors, which have shapes and types but no values, and one real micro-batch
runs forward and backward over them while :class:`TensorPeak` counts what is alive. Rounding of blocks, workspaces of
kernels and the CUDA context come on top; docs/training.md compares the figures with an allocator's.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from isrbench.harness.api.options import positive
from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.spec import FFT, folder_of
from isrbench.methods.lora_moe.adapter import SPEC as LORA_MOE
from isrbench.methods.mor.adapter import SPEC as MOR
from isrbench.methods.onestep.adapter import AdapterSpec
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.load import build_models, random_sd21
from isrbench.methods.onestep.base.tiny import UNET_CONFIG, VAE_CONFIG, tiny_base
from isrbench.methods.onestep.options import SHIPPED
from isrbench.methods.onestep.train import step
from isrbench.methods.onestep.train.config import TIMESTEPS, TrainConfig, parse_config, split_overrides
from isrbench.methods.onestep.train.data import Batch
from isrbench.methods.onestep.train.degrade import SCALE
from isrbench.methods.onestep.train.draws import Diffused, Draws
from isrbench.methods.onestep.train.networks import assemble
from isrbench.methods.onestep.train.optimizers import make_optimizers
from isrbench.methods.osediff.adapter import SPEC as OSEDIFF
from isrbench.methods.studies.tensor_peak import TensorPeak

log = logging.getLogger(__name__)

SPECS = {spec.id: spec for spec in (MOR, LORA_MOE, OSEDIFF)}
_GIB = 2**30
_PARTS = ("weights", "gradients", "optimizers", "activations")
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Memory:
    """What one process of a training run holds at its worst moment, in bytes."""

    batch: int
    """Images of the micro-batch."""
    gradient_checkpointing: bool
    weights: int
    """Base, adapter, regulariser, discriminator, severity estimator and LPIPS."""
    gradients: int
    """Of everything that is trained, as from the second micro-batch of a step on."""
    optimizers: int
    """AdamW's two moments, and the running mean of the adapter where the run keeps one."""
    activations: int
    """The most that everything else takes at once: activations, their gradients, lower copies of weights."""

    @property
    def total(self) -> int:
        """Return the sum of the four."""
        return self.weights + self.gradients + self.optimizers + self.activations


def peak_memory(config: TrainConfig, spec: AdapterSpec) -> Memory:
    """Run one micro-batch of fake tensors, and count.

    Args:
        config: The run; its base is ``tiny`` or ``sd21``.
        spec: The adapter.

    Raises:
        UserError: If the base is another one, or the adapter's config does not fit.
    """
    base = _base(config.base)
    estimator = _estimator_bytes(config.estimator) if spec.routes else 0
    with FakeTensorMode(allow_non_fake_inputs=True):
        nets = _networks(base, config, spec)
        batch, draws = _micro_batch(config, nets.base.latent_shape(config.data.crop, config.data.crop))
        trained = [p for o in make_optimizers(nets, config.optim).values() for g in o.param_groups for p in g["params"]]
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        models = [nets.base.vae, nets.base.unet, nets.discriminator]
        models += [nets.lpips] if isinstance(nets.lpips, nn.Module) else []
        weights = [tensor for model in models for tensor in (*model.parameters(), *model.buffers())]
        gradients = [p.grad for p in trained if p.grad is not None]
        inputs = [*batch, draws.encode, nets.positive, nets.negative, nets.base.abar]
        inputs += [tensor for d in (draws.vsd, draws.regulariser, draws.features) for tensor in (d.t, d.noise)]
        with (
            TensorPeak([*weights, *gradients, *inputs]) as watch,
            mock.patch.object(step, "upsample", _enlarge),
            _norms_in_float32(nets.base) if nets.base.autocast else mock.MagicMock(),
        ):
            step.run_micro_batch(nets, config.losses, batch, draws, config.losses.gan_start, 1.0)
    mean = nets.adapter.parameters().values() if config.optim.ema else ()
    return Memory(
        batch=config.batch,
        gradient_checkpointing=config.gradient_checkpointing,
        weights=_bytes(weights) + estimator,
        gradients=_bytes(gradients),
        optimizers=2 * _bytes(trained) + _bytes(mean),
        activations=watch.peak,
    )


class _Severity:
    """Stands for the severity estimator, whose own pass ends before the step's worst moment."""

    id = "fake"

    def load(self) -> None:
        pass

    def estimate(self, lr: Tensor) -> Tensor:
        return torch.rand(len(lr), len(DIMENSIONS), device=lr.device)


def _base(name: str) -> DiffusionBase:
    """A base on the meta device, laid out as training lays it out."""
    if name not in ("sd21", *SHIPPED):
        raise UserError(f"what base '{name}' is made of is not known without its files", "pass base=tiny or base=sd21")
    base = random_sd21("meta") if name == "sd21" else tiny_base(*build_models(VAE_CONFIG, UNET_CONFIG))
    return base.to(torch.device("meta"))


def _networks(base: DiffusionBase, config: TrainConfig, spec: AdapterSpec) -> step.Networks:
    """Everything that takes part in a step, in fake tensors."""
    try:
        adapter_config = replace(spec.default, **config.adapter)
    except TypeError as error:
        raise UserError(f"adapter config of {spec.id}: {error}", f"see {type(spec.default).__module__}") from error
    models = (model.to_empty(device="cpu") for model in (base.vae, base.unet))
    base = replace(base, **dict(zip(("vae", "unet"), models, strict=True)), abar=torch.rand(TIMESTEPS))
    lpips = config.losses.perceptual > 0 and config.losses.perceptual_kind == "lpips"
    # LPIPS is put in afterwards: the one that a run loads needs its weights.
    plain = config.model_copy(update={"losses": config.losses.model_copy(update={"perceptual_kind": "features"})})
    estimator: Any = _Severity()
    # Nothing has to be moved or cast, and fake parameters cannot always be.
    with mock.patch.object(nn.Module, "_apply", lambda module, *_, **__: module):
        nets = assemble(base, plain, spec, adapter_config, _CPU, lambda *_: estimator)
        return replace(nets, lpips=_Lpips() if lpips else None)


class _Lpips(nn.Module):
    """LPIPS of random weights, called as :func:`isrbench.methods.onestep.train.losses.load_lpips`'s."""

    def __init__(self) -> None:
        super().__init__()
        from pyiqa.archs import lpips_arch

        vgg16 = lpips_arch.models.vgg16
        with mock.patch.object(lpips_arch.models, "vgg16", lambda weights: vgg16(weights=None)):
            self.net = lpips_arch.LPIPS(pretrained=False, net="vgg").requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.net((x + 1) / 2, (y + 1) / 2).mean()


def _estimator_bytes(spec: str) -> int:
    """The weights of a severity estimator in float32, from its architecture alone."""
    import open_clip

    from isrbench.harness.severity.clip import no_remote_code

    if spec == FFT:
        return 0
    folder, name = folder_of(spec), spec.partition("/")[0]
    if not folder.is_dir() and name not in open_clip.list_models():
        raise UserError(unknown_name("severity estimator", spec, ["tiny", *open_clip.list_models()]), "estimator=tiny")
    logging.disable(logging.WARNING)  # of the weights that are missing
    try:
        with torch.device("meta"):
            name = f"local-dir:{folder}" if folder.is_dir() else name
            with no_remote_code():
                model = open_clip.create_model(name, precision="fp32", device="meta", load_weights=False)
    finally:
        logging.disable(logging.NOTSET)
    return _bytes([*model.parameters(), *model.buffers()])


def _micro_batch(config: TrainConfig, latent: tuple[int, int, int]) -> tuple[Batch, Draws]:
    count, crop = config.batch, config.data.crop
    sides = (crop, crop // SCALE, max(crop, config.data.severity_window) // SCALE)
    hr, lr, window = (torch.rand(count, 3, side, side) for side in sides)

    def diffused() -> Diffused:
        return Diffused(torch.zeros(count, dtype=torch.int64), torch.randn(count, *latent))

    draws = Draws(torch.randn(count, *latent), diffused(), diffused(), diffused())
    return Batch(hr, lr, window, torch.arange(count)), draws


def _enlarge(lr: Tensor) -> Tensor:
    """Stand for ``train.degrade.upsample``, which hands values to Pillow."""
    return F.interpolate(lr, scale_factor=SCALE)


@contextmanager
def _norms_in_float32(base: DiffusionBase) -> Iterator[None]:
    """Normalise in float32 under autocast, as CUDA's does and the CPU's does not; it is a fifth of a step's memory."""
    norms = [
        m for model in (base.vae, base.unet) for m in model.modules() if isinstance(m, nn.GroupNorm | nn.LayerNorm)
    ]
    hooks = [norm.register_forward_pre_hook(lambda _, args: (args[0].float(), *args[1:])) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _bytes(tensors: Iterable[Tensor]) -> int:
    """The bytes of tensors, each storage once."""
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Find the peak memory of a preset for each batch, with and without gradient checkpointing; returns 0."""
    parser = argparse.ArgumentParser(
        prog="isrbench tools peak-memory", usage="%(prog)s [options] [key=value ...]", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--method", choices=tuple(SPECS), default="mor")
    parser.add_argument("--preset", default="sd21", help="tiny, tiny-gen, sd21, sd21-osediff, or a TOML file")
    parser.add_argument("--batch", type=positive, nargs="+", default=[1], help="images of a micro-batch")
    parser.add_argument("--json", action="store_true", help="write the bytes as JSON to the standard output")
    words, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
    given = parser.parse_args(words)
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    found = []
    log.info("%-6s %-13s %s", "batch", "checkpointing", " ".join(f"{name:>12}" for name in (*_PARTS, "total")))
    for batch in given.batch:
        for on in (True, False):
            texts = [*overrides, f"batch={batch}", f"gradient_checkpointing={str(on).lower()}"]
            config, _ = parse_config(given.method, ["--preset", given.preset, "data.folders=['-']", *texts])
            found.append(peak_memory(config, SPECS[given.method]))
            sizes = [getattr(found[-1], name) / _GIB for name in (*_PARTS, "total")]
            log.info("%6d %-13s %s GiB", batch, "on" if on else "off", " ".join(f"{size:12.2f}" for size in sizes))
    if given.json:
        sys.stdout.write(json.dumps([asdict(memory) | {"total": memory.total} for memory in found], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
