"""The one-step family as a method of the harness: one image in, one image out, whatever the adapter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from isrbench.harness.api.complexity import count_parameters
from isrbench.harness.api.method import Cost, Restored, Runtime
from isrbench.harness.api.speed import compiled
from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import Estimator
from isrbench.methods.onestep.adapter import Adapter, FixedActive
from isrbench.methods.onestep.base.chunked_vae import available_bytes, check_memory
from isrbench.methods.onestep.base.diffusion import DiffusionBase, Pass
from isrbench.methods.onestep.infer.colour import fix_colour, truncate
from isrbench.methods.onestep.infer.cost import BaseCost, base_cost, count_positions
from isrbench.methods.onestep.infer.geometry import Geometry, pad, plan, resize, upscale
from isrbench.methods.onestep.infer.overrides import no_routing
from isrbench.methods.onestep.infer.prompts import FilePrompts, Prompter, Tagger
from isrbench.methods.onestep.infer.severities import FileSeverities
from isrbench.methods.onestep.infer.trained import SeverityEstimator
from isrbench.methods.onestep.options import ColourFix, OneStepOptions, RoutedOptions

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

        What goes through the VAE in chunks is restored one image after the other, and so is what is routed by compiled
        networks: they run folded, which one routing alone can be.

        Raises:
            UserError: As :meth:`restore`.
        """
        geometry = self._plan(*lrs.shape[-2:])
        chunked = self._chunked(*geometry.padded)
        if len(images) > 1 and (chunked or (self.compiles and self._routes)):
            given = zip(lrs, images, seeds, strict=True)
            return [self.restore(lr, image=image, seed=seed) for lr, image, seed in given]
        named = list(zip(lrs, images, strict=True))
        embedding = torch.cat([self.base.text.embed(self.prompter(image, lr)) for lr, image in named])
        if not self._off:
            found = [self.severity(lr, image=image) for lr, image in named] if self._routes else []
            self.adapter.route(torch.stack(found).to(self.base.device) if found else None)
        sources = [upscale(lr, geometry, self.runtime.scale, self.options.enlarge).to(self.base.device) for lr in lrs]
        models = {"vae": self.base.vae, "unet": self.base.unet}
        seen = [name for name in self.adapter.layers if self._calls(name, chunked)] if self._routes else []
        with count_positions(models, seen) as counted, compiled(self.compiles):
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
        if self.compiles:
            positions = self._positions(*lrs.shape[-2:]) | positions
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
    def compiles(self) -> bool:
        """Return whether torch compiles the networks; see :class:`isrbench.harness.api.speed.Compiles`."""
        return self.options.compile

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

    def _calls(self, layer: str, chunked: bool) -> bool:
        """Whether a layer is called as a module, so that a hook sees it; compiled code calls none."""
        return not self.compiles or (chunked and layer.startswith("vae."))

    def _positions(self, height: int, width: int) -> dict[str, int]:
        """Output positions of every adapted layer for one LR image, in all passes; the encoder runs once."""
        passes = len(self._passes())
        known = self.base_cost(height, width).positions
        return {name: n * (passes if name.startswith("unet.") else 1) for name, n in known.items()}

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
