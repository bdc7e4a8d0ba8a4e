"""The one-step family as a method of the harness: one image in, one image out, whatever the adapter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from isrbench.harness.api.method import Cost, Restored, Runtime
from isrbench.harness.complexity import count_parameters
from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.methods.onestep.adapter import Adapter
from isrbench.methods.onestep.base.chunked_vae import available_bytes, check_memory
from isrbench.methods.onestep.base.load import TINY, Backbone, load_backbone
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, load_adapter
from isrbench.methods.onestep.infer.colour import fix_colour, truncate
from isrbench.methods.onestep.infer.cost import base_cost, count_positions
from isrbench.methods.onestep.infer.geometry import Geometry, pad, plan, shrink, upscale
from isrbench.methods.onestep.infer.prompts import FilePrompts, Prompter, Tagger, make_prompter
from isrbench.methods.onestep.infer.tiling import check_tile, in_tiles
from isrbench.methods.onestep.options import ColourFix, OneStepOptions, RoutedOptions

Reader = Callable[[Path, Backbone], AdapterCheckpoint]
"""Reads an adapter file for a base; raises UserError where it does not fit."""


@dataclass
class OneStepMethod:
    """A loaded base with its adapter; see :class:`isrbench.harness.api.method.Method`."""

    backbone: Backbone
    adapter: Adapter
    options: OneStepOptions
    runtime: Runtime
    timestep: int
    """Timestep of the one step."""
    prompter: Prompter
    severity: Any = None
    """A :class:`isrbench.harness.severity.clip.SeverityEstimator` for adapters that route, else None."""
    weights: str = ""
    """Hash of the adapter file, or empty."""
    colour_fix: ColourFix = "adain"
    """How results get the LR's colours; decided by then, the options' ``adapter`` included."""

    @torch.no_grad()
    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        """See :class:`isrbench.harness.api.method.Method`.

        Raises:
            UserError: If the image has no prompt, or half precision overflowed.
        """
        geometry = self._plan(*lr.shape[-2:])
        context = self.backbone.text.embed(self.prompter(image, lr))
        self.adapter.route(self.severity.estimate(lr[None]).to(self.backbone.device) if self.severity else None)
        source = upscale(lr, geometry, self.runtime.scale).to(self.backbone.device)
        models = {"vae": self.backbone.vae, "unet": self.backbone.unet}
        with count_positions(models, self.adapter.layers if self.severity else ()) as positions:
            restored = self._one_step(pad(source, geometry.padded), context, seed)
        height, width = geometry.upscaled
        result = self._finish(restored[:, :height, :width], source, geometry)
        traces = self.adapter.traces()
        if not traces:
            return Restored(result)
        macs, params = self.adapter.macs(positions), self.adapter.active_parameters()
        return Restored(result, replace(traces[0], macs=macs, params=params))

    def cost(self, height: int, width: int) -> Cost:
        """Cost of one LR image.

        A merged adapter costs nothing on top of the base; a folded one costs the folding, once an image. With
        ``merge=false`` the branches that are on count. Where it routes, it is for an image of severity 0.5 throughout.
        """
        cost = self._base_cost(height, width)
        if self.severity:
            self.adapter.route(torch.full((1, len(DIMENSIONS)), 0.5, device=self.backbone.device))
        total, _ = count_parameters(self.backbone.vae, self.backbone.unet)
        own = sum(parameter.numel() for parameter in self.adapter.parameters().values())
        active = self.adapter.active_parameters()
        return Cost(
            macs=cost.total
            + (self.adapter.folding_macs() if self.options.merge else self.adapter.macs(cost.positions)),
            params_total=total,
            params_trainable=own,
            params_active=total - own + active,
        )

    def prepare(self, images: Sequence[tuple[str, Path]]) -> None:
        """Check that every image has a prompt before the first one is restored.

        Raises:
            UserError: If the prompt file misses one.
        """
        if isinstance(self.prompter, FilePrompts):
            for image, _ in images:
                self.prompter.of(image)

    @property
    def weights_hash(self) -> str:
        """Hash of the base, the adapter file, the severity estimator and the tag list."""
        parts = [self.backbone.fingerprint, self.weights]
        if self.severity:
            parts.append(self.severity.fingerprint())
        if isinstance(self.prompter, Tagger):
            parts.append(self.prompter.fingerprint())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def input_hash(self, image: str) -> str:
        """Return the hash of the image's own prompt, "" where all share one.

        Raises:
            UserError: If the prompt file has none for it.
        """
        own = isinstance(self.prompter, FilePrompts)
        return hashlib.sha256(self.prompter.of(image).encode()).hexdigest() if own else ""

    def _plan(self, height: int, width: int) -> Geometry:
        size = self.options.process_size
        process_size = self.backbone.native_size if size is None else size
        return plan(height, width, self.runtime.scale, process_size, self.backbone.multiple)

    def _base_cost(self, height: int, width: int) -> Any:
        backbone, options = self.backbone, self.options
        tokens = backbone.text.embed(options.prompt).shape[1]
        size = self._plan(height, width).padded
        return base_cost(backbone.vae.config, backbone.unet.config, size, options.tile, options.overlap, tokens)

    def _one_step(self, pixels: Tensor, context: Tensor, seed: int) -> Tensor:
        """Padded pixels (3, H, W) in [0, 1] to restored ones."""
        backbone, options = self.backbone, self.options
        strips = pixels.shape[-2] * pixels.shape[-1] > options.vae_pixels
        if strips:
            value = backbone.vae.dtype.itemsize
            height, width = pixels.shape[-2:]
            check_memory(backbone.vae.config, height, width, value, available_bytes(self.runtime.device))
        noise = None
        if options.latent == "sample":
            side = (pixels.shape[-2] // backbone.factor, pixels.shape[-1] // backbone.factor)
            shape = (1, backbone.vae.config.latent_channels, *side)
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        z = backbone.encode(pixels[None] * 2 - 1, noise, strips=strips)
        predicted = in_tiles(
            lambda part: backbone.predict(part, self.timestep, context), z, options.tile, options.overlap
        )
        decoded = backbone.decode(backbone.clean(z, predicted, self.timestep), strips=strips)[0]
        if not torch.isfinite(decoded).all():  # before the clamp, which would hide an infinity
            raise UserError(
                f"the network gave values that are no numbers in {options.precision}", "use -o precision=fp32 or bf16"
            )
        return decoded.clamp(-1, 1) / 2 + 0.5

    def _finish(self, restored: Tensor, source: Tensor, geometry: Geometry) -> Tensor:
        cut = truncate if self.options.truncate else (lambda image: image)
        restored = cut(restored)
        if self.colour_fix != "none":
            restored = cut(fix_colour(restored, source, self.colour_fix))
        return restored if geometry.upscaled == geometry.result else shrink(restored, geometry.result)


def build_method(options: OneStepOptions, runtime: Runtime, kind: Any, read: Reader | None = None) -> OneStepMethod:
    """Load base and adapter as the options say.

    Args:
        options: Checked options; a :class:`RoutedOptions` where ``kind`` routes.
        runtime: Scale and device.
        kind: The method's ``AdapterKind``; its config type has ``from_json``.
        read: Reads the adapter file; None reads this project's own format.

    Raises:
        UserError: If base, adapter, timestep, estimator or prompts do not fit or cannot be loaded.
    """
    if runtime.scale not in (1, 2, 3, 4):
        raise UserError(f"one-step methods restore at scales 1 to 4, not {runtime.scale}", "choose another data set")
    path = options.adapter or shipped_adapter(kind.id, options.base)
    if not path.is_file():  # before gigabytes are fetched
        raise UserError(f"there is no adapter file {path}", "check -o adapter=")
    backbone = load_backbone(options.base, runtime.device, options.precision)
    check_tile(options.tile, backbone.multiple // backbone.factor)
    if options.prompts not in ("adapter", "none") and not backbone.text.takes_text:
        raise UserError(f"base '{options.base}' has one fixed prompt and takes no text", "use -o prompts=none")
    checkpoint = read(path, backbone) if read else load_adapter(path, kind=kind.id, base=backbone.fingerprint)
    timestep = checkpoint.timestep if options.timestep is None else options.timestep
    if not 0 <= timestep < len(backbone.abar):
        raise UserError(f"timestep is {timestep}", f"choose one of 0 to {len(backbone.abar) - 1}")
    colour_fix = _colour_fix(options, checkpoint, path)
    adapter: Adapter = kind.attach(backbone.unet, backbone.vae, type(kind.default).from_json(checkpoint.config), 0)
    adapter.load_state_dict(checkpoint.state)
    adapter.for_inference(merge=options.merge)
    severity = _estimator(options, checkpoint, path, runtime.device) if isinstance(options, RoutedOptions) else None
    prompt = str(checkpoint.training.get("prompt", "")) if backbone.text.takes_text else ""
    prompter = make_prompter(options, prompt, runtime.device)
    weights = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return OneStepMethod(backbone, adapter, options, runtime, timestep, prompter, severity, weights, colour_fix)


def _colour_fix(options: OneStepOptions, checkpoint: AdapterCheckpoint, path: Path) -> ColourFix:
    """The colour fix that the adapter was validated with, or the one that the user insists on."""
    if options.colour_fix != "adapter":
        return options.colour_fix
    trained = checkpoint.training.get("colour_fix", "adain")
    if trained not in get_args(ColourFix):
        raise UserError(
            f"{path} was trained for colour fix '{trained}', which is none of ours", "add -o colour_fix=adain"
        )
    return trained


def _estimator(options: RoutedOptions, checkpoint: AdapterCheckpoint, path: Path, device: str) -> Any:
    """The severity estimator that the adapter's routers were trained with, or the one that the user insists on."""
    from isrbench.harness.severity.clip import load_estimator

    if options.estimator is not None:
        return load_estimator(options.estimator, device, options.logit_scale)
    trained = checkpoint.training.get("estimator")
    if trained is None:
        raise UserError(
            f"{path} does not say with which severity estimator it was trained", "name it: -o estimator=tiny"
        )
    scale = checkpoint.training.get("logit_scale")
    estimator = load_estimator(trained, device, scale)
    fingerprint = checkpoint.training.get("estimator_fingerprint")
    if fingerprint is not None and fingerprint != estimator.fingerprint():
        raise UserError(
            f"{path} was trained with severity estimator '{trained}', but the one of this name has changed since",
            f"train the adapter again, or insist on it with -o estimator={trained}"
            + (f" -o logit_scale={scale}" if scale is not None else ""),
        )
    return estimator


def shipped_adapter(kind: str, base: str) -> Path:
    """Where the adapter of method ``kind`` for the tiny base ships.

    Raises:
        UserError: If the base is another one, for which none ships.
    """
    if base != "tiny":
        raise UserError(f"no {kind} adapter ships for base '{base}'", "add -o adapter=FILE, or use -o base=tiny")
    return TINY / f"{kind}.safetensors"
