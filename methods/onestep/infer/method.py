"""The one-step family as a method of the harness: one image in, one image out, whatever the adapter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from isrbench.harness.api.complexity import count_parameters
from isrbench.harness.api.method import Cost, Restored, Runtime
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import Estimator, get_estimator
from isrbench.methods.onestep.adapter import Adapter, AdapterSpec, Estimators, FixedActive
from isrbench.methods.onestep.authors import weights_hash
from isrbench.methods.onestep.base.chunked_vae import available_bytes, check_memory
from isrbench.methods.onestep.base.diffusion import DiffusionBase, Pass
from isrbench.methods.onestep.base.load import TINY, load_base
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, load_adapter
from isrbench.methods.onestep.infer.colour import fix_colour, truncate
from isrbench.methods.onestep.infer.cost import BaseCost, base_cost, count_positions
from isrbench.methods.onestep.infer.geometry import Geometry, check_tile, pad, plan, resize, upscale
from isrbench.methods.onestep.infer.overrides import no_routing, overrule, variant
from isrbench.methods.onestep.infer.prompts import FilePrompts, OnePrompt, Prompter, Tagger, make_prompter, one_prompt
from isrbench.methods.onestep.infer.severities import FileSeverities
from isrbench.methods.onestep.infer.trained import SeverityEstimator, trained_colour_fix, trained_estimator
from isrbench.methods.onestep.options import ColourFix, MixtureOptions, OneStepOptions, RoutedOptions

Reader = Callable[[Path, DiffusionBase], AdapterCheckpoint]
"""Reads an adapter file for a base; raises UserError where it does not fit."""
Passes = Callable[[Tensor], Sequence[Pass]]
"""The runs of the UNet that an image takes, from its prompt embedding."""


def one_pass(embedding: Tensor) -> tuple[Pass, ...]:
    """Run the UNet once, with the image's own prompt."""
    return (Pass(embedding),)


@dataclass
class OneStepMethod:
    """A loaded base with its adapter; see :class:`isrbench.harness.api.method.Method`."""

    base: DiffusionBase
    adapter: Adapter
    options: OneStepOptions
    runtime: Runtime
    timestep: int
    """Timestep of the one step."""
    prompter: Prompter
    estimator: Estimator | SeverityEstimator | None = None
    """For adapters that route by what it estimates, else None."""
    adapter_hash: str = ""
    """sha256 of the adapter, or empty."""
    colour_fix: ColourFix = "adain"
    """How results get the LR's colours; the options' ``adapter`` is resolved by then."""
    variant: str = ""
    """``tiny`` on the base that ships, and what overrules the routing; see
    :class:`isrbench.harness.api.method.Labeled`."""
    severities: FileSeverities | None = None
    """What routes in place of the estimator, if anything."""
    passes: Passes = one_pass
    cut_source: bool = False
    """Whether ``truncate`` cuts the enlarged LR as well, before the colour fix looks at it."""

    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        """Restore one image; see :class:`isrbench.harness.api.method.Method`.

        Raises:
            UserError: If the image has no prompt or no severity, or half precision overflowed.
        """
        return self.restore_batch(lr[None], images=[image], seeds=[seed])[0]

    @torch.no_grad()
    def restore_batch(self, lrs: Tensor, *, images: Sequence[str], seeds: Sequence[int]) -> list[Restored]:
        """Restore images of one size at once; see :class:`isrbench.harness.api.batch.Batches`.

        What goes through the VAE in chunks is restored one image after the other.

        Raises:
            UserError: As :meth:`restore`.
        """
        geometry = self._plan(*lrs.shape[-2:])
        if len(images) > 1 and self._chunked(*geometry.padded):
            given = zip(lrs, images, seeds, strict=True)
            return [self.restore(lr, image=image, seed=seed) for lr, image, seed in given]
        named = list(zip(lrs, images, strict=True))
        embedding = torch.cat([self.base.text.embed(self.prompter(image, lr)) for lr, image in named])
        if not self._off:
            found = [self.severity(lr, image=image) for lr, image in named] if self._routes else []
            self.adapter.route(torch.stack(found).to(self.base.device) if found else None)
        sources = [upscale(lr, geometry, self.runtime.scale, self.options.enlarge).to(self.base.device) for lr in lrs]
        models = {"vae": self.base.vae, "unet": self.base.unet}
        with count_positions(models, self.adapter.layers if self._routes else ()) as counted:
            restored = self._one_step(torch.stack([pad(one, geometry.padded) for one in sources]), embedding, seeds)
        height, width = geometry.upscaled
        results = [
            self._finish(one[:, :height, :width], source, geometry)
            for one, source in zip(restored, sources, strict=True)
        ]
        if self._off:
            return [Restored(result, no_routing(self.adapter.layers)) for result in results]
        traces = self.adapter.traces()
        if not traces:
            return [Restored(result) for result in results]
        positions = {name: count // len(results) for name, count in counted.items()}
        return [
            Restored(
                result,
                replace(
                    trace,
                    macs=self.adapter.macs(positions, place),
                    params=self.adapter.active_parameters(place),
                ),
            )
            for place, (result, trace) in enumerate(zip(results, traces, strict=True))
        ]

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of one LR image.

        A merged adapter costs nothing on top of the base; a folded one costs the folding, once an image. With
        ``merge=false`` the branches that are on count, in each pass. Where it routes, it is for an image of severity
        0.5 throughout. An adapter that is off costs nothing and has no parameters.
        """
        cost = self.base_cost(height, width)
        total, _ = count_parameters(self.base.vae, self.base.unet)
        own = sum(parameter.numel() for parameter in self.adapter.parameters().values())
        if self._off:
            return Cost(macs=cost.total, params_total=total - own, params_trainable=0, params_active=total - own)
        if self._routes:
            self.adapter.route(torch.full((1, len(DIMENSIONS)), 0.5, device=self.base.device))
        branches, active = self._switched_on(cost.positions)
        apart = self.adapter.folding_macs() if self.options.merge else branches
        return Cost(
            macs=cost.total + apart,
            params_total=total,
            params_trainable=own,
            params_active=total - own + active,
        )

    def base_cost(self, height: int, width: int) -> BaseCost:
        """Return what the base alone costs for one LR image of ``height`` x ``width`` pixels, all passes together.

        Positions are those of one pass.
        """
        base, options = self.base, self.options
        size = self._plan(height, width).padded
        cost = base_cost(base.vae.config, base.unet.config, size, options.tile, options.overlap, base.text.tokens)
        return replace(cost, unet=cost.unet * len(self._passes()))

    @property
    def weights_hash(self) -> str:
        """Return the hash of the base, the adapter file, the severity estimator and the tags."""
        parts = [self.base.weights_hash, self.adapter_hash]
        if self.estimator:
            parts.append(self.estimator.id)
        if isinstance(self.prompter, Tagger):
            parts.append(self.prompter.tags_hash)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def input_hash(self, image: str) -> str:
        """Return the hash of the image's own prompt and severity, "" where no file gives either.

        Raises:
            UserError: If a file has none for it.
        """
        own = [self.prompter.of(image)] if isinstance(self.prompter, FilePrompts) else []
        if self.severities:
            own.append(self.severities.hash_of(image))
        return hashlib.sha256("\n".join(own).encode()).hexdigest() if own else ""

    def severity(self, lr: Tensor, *, image: str) -> Tensor:
        """Return what routes this image; see :class:`isrbench.harness.api.method.Routed`.

        Raises:
            UserError: If the severities file has no line for it.
            RuntimeError: If nothing routes it: a dense adapter, or one that is off.
        """
        if self.severities:
            return torch.tensor(self.severities.of(image))
        if self.estimator is None:
            raise RuntimeError("nothing routes here: the adapter is dense, or off")
        return self.estimator.estimate(lr[None])[0]

    def active_counts(self) -> tuple[int, ...]:
        """Return what the option ``active`` takes; see :class:`isrbench.harness.api.method.Routed`."""
        return self.adapter.active_counts if isinstance(self.adapter, FixedActive) else ()

    @property
    def _off(self) -> bool:
        return isinstance(self.options, RoutedOptions) and self.options.adapter_off

    @property
    def _routes(self) -> bool:
        return isinstance(self.options, RoutedOptions) and not self._off

    def _plan(self, height: int, width: int) -> Geometry:
        size = self.options.process_size
        process_size = self.base.native_size if size is None else size
        return plan(height, width, self.runtime.scale, process_size, self.base.multiple)

    def _passes(self) -> Sequence[Pass]:
        return self.passes(torch.empty(0))

    def _switched_on(self, positions: Mapping[str, int]) -> tuple[int, int]:
        """The branches that are on: MACs in all passes (the encoder runs once), parameters of the pass with most."""
        macs = active = 0
        for index, one in enumerate(self._passes()):
            if one.enter is not None:
                one.enter()
            computed = {name: n if index == 0 or name.startswith("unet.") else 0 for name, n in positions.items()}
            macs += self.adapter.macs(computed)
            active = max(active, self.adapter.active_parameters())
        return macs, active

    def _chunked(self, height: int, width: int) -> bool:
        return height * width > self.options.vae_pixels

    def _one_step(self, pixels: Tensor, embedding: Tensor, seeds: Sequence[int]) -> Tensor:
        """Padded pixels (B, 3, H, W) in [0, 1] to restored ones."""
        base, options = self.base, self.options
        height, width = pixels.shape[-2:]
        chunked = self._chunked(height, width)
        if chunked:
            check_memory(base.vae.config, height, width, base.dtype.itemsize, available_bytes(self.runtime.device))
        noise = None
        if options.latent == "sample":
            shape = (1, *base.latent_shape(height, width))
            noise = torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        z = base.one_step(
            pixels * 2 - 1, self.timestep, self.passes(embedding), noise,
            tile=options.tile, overlap=options.overlap, chunked=chunked,
        )  # fmt: skip
        decoded = base.decode(z, chunked=chunked)
        if not torch.isfinite(decoded).all():  # before the clamp, which would hide an infinity
            raise UserError(
                f"the network returned values that are not finite in {options.dtype}", "use -o dtype=fp32 or bf16"
            )
        return decoded.clamp(-1, 1) / 2 + 0.5

    def _finish(self, restored: Tensor, source: Tensor, geometry: Geometry) -> Tensor:
        cut = truncate if self.options.truncate else (lambda image: image)
        restored = cut(restored)
        if self.colour_fix != "none":
            source = cut(source) if self.cut_source else source
            restored = cut(fix_colour(restored, source, self.colour_fix))
        return restored if geometry.upscaled == geometry.result else resize(restored, geometry.result)


def read_own(spec: AdapterSpec) -> Reader:
    """Return a reader of this project's own adapter files of one method."""
    return lambda path, base: load_adapter(path, method=spec.id, base=base.base_hash)


def build_method(
    options: OneStepOptions, runtime: Runtime, spec: AdapterSpec, read: Reader | None = None,
    estimators: Estimators = get_estimator, scores: SeverityEstimator | None = None,
    passes: Callable[[DiffusionBase, Adapter], Passes] | None = None,
) -> OneStepMethod:  # fmt: skip
    """Load base and adapter as the options say.

    Args:
        options: Checked options; a :class:`RoutedOptions` where the adapter routes.
        runtime: Scale and device.
        spec: The method's adapter.
        read: Reads the adapter file; None reads this project's own format.
        estimators: Where the severity estimator comes from.
        scores: What routes images where the method brings a network of its own for it; None = an estimator.
        passes: Makes the runs of the UNet from base and adapter, before the text encoder may go; None = a single one.

    Raises:
        UserError: If base, adapter, timestep, estimator or prompts do not fit or cannot be loaded.
    """
    if runtime.scale not in (1, 2, 3, 4):
        raise UserError(f"one-step methods restore at scales 1 to 4, not {runtime.scale}", "choose another dataset")
    path = options.adapter or shipped_adapter(spec, options.base)
    if not path.exists():  # before gigabytes are fetched
        raise UserError(f"the adapter file {path} does not exist", "check -o adapter=")
    base = load_base(options.base, runtime.device, options.dtype)
    if spec.prediction is not None:
        base = replace(base, prediction=spec.prediction)
    check_tile(options.tile, base.multiple // base.factor)
    if options.prompts not in ("adapter", "none") and not base.text.takes_text:
        raise UserError(f"base '{options.base}' has one fixed prompt and takes no text", "use -o prompts=none")
    checkpoint = (read or read_own(spec))(path, base)
    timestep = checkpoint.timestep if options.timestep is None else options.timestep
    if not 0 <= timestep < len(base.abar):
        raise UserError(f"timestep is {timestep}", f"choose one of 0 to {len(base.abar) - 1}")
    colour_fix = trained_colour_fix(options, checkpoint, path)
    with foreign(f"{path} does not fit", "fetch or train it again"):
        adapter = spec.attach(base.unet, base.vae, type(spec.default).from_json(checkpoint.config), 0)
        adapter.load_state_dict(checkpoint.state)
    adapter.for_inference(merge=options.merge)
    estimator = severities = None
    if isinstance(options, RoutedOptions):
        overrule(adapter, options, spec.id)
        severities = FileSeverities(options.severities) if options.severities else None
        if severities is None and not options.adapter_off:
            estimator = scores
            if isinstance(options, MixtureOptions):
                estimator = trained_estimator(options, checkpoint, path, runtime.device, estimators)
                estimator.load()
    prompt = one_prompt(options, checkpoint, path) if base.text.takes_text else ""
    prompter = make_prompter(options, prompt, runtime.device)
    runs = one_pass if passes is None else passes(base, adapter)
    if isinstance(prompter, OnePrompt):
        base.text.free(prompter.prompt)
    return OneStepMethod(
        base, adapter, options, runtime, timestep, prompter, estimator, weights_hash(path, spec.files), colour_fix,
        variant(options), severities, runs,
    )  # fmt: skip


def shipped_adapter(spec: AdapterSpec, base: str) -> Path:
    """Return the path of the adapter of a method that ships for the tiny base.

    Raises:
        UserError: If none ships for this base.
    """
    if spec.source:
        raise UserError(f"{spec.id} needs its authors' adapter", f"get {spec.source}, and add -o adapter=FILE")
    if base != "tiny":
        raise UserError(f"no {spec.id} adapter ships for base '{base}'", "add -o adapter=FILE, or use -o base=tiny")
    return TINY / f"{spec.id}.safetensors"
