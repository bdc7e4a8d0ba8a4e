"""One micro-batch of training: the generator's, the discriminator's and the regulariser's gradients.

One frozen UNet does all the work. With the adapter on it is the generator; with everything off it is the teacher and
the feature net of the GAN; with its own LoRA on it is the regulariser. The generator's graph is cut at its latents x0:
the losses are differentiated down to x0 first, then x0 through the generator. So the UNet is in the generator's state
whenever the generator's graph is walked, which gradient checkpointing depends on.

All three gradients are those of the same networks, and the optimizers step together afterwards: with gradients
accumulated over micro-batches and processes there is no "after (a), before (b)" in between. (Our choice; the paper
alternates regulariser, generator and discriminator.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import Estimator
from isrbench.methods.onestep.adapter import Adapter
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.train import losses as L
from isrbench.methods.onestep.train.config import Losses
from isrbench.methods.onestep.train.data import Batch
from isrbench.methods.onestep.train.degrade import upsample
from isrbench.methods.onestep.train.discriminator import Discriminator, FeatureTaps
from isrbench.methods.onestep.train.draws import Diffused, Draws
from isrbench.methods.onestep.train.regulariser import Regulariser


@dataclass(frozen=True)
class Networks:
    """Everything that takes part in a step."""

    base: DiffusionBase
    positive: Tensor
    """float32 (1 or B, tokens, width): the prompt embedding of the generator, the teacher and the regulariser."""
    negative: Tensor
    """float32 (1, tokens, width): what guidance leads away from."""
    adapter: Adapter
    regulariser: Regulariser
    discriminator: Discriminator
    taps: FeatureTaps
    estimator: Estimator | None
    """Estimates the severity; None for an adapter that does not route."""
    lpips: Callable[[Tensor, Tensor], Tensor] | None
    timestep: int
    """Where the single step starts."""
    routed_by: Literal["own", "constant", "next"] = "own"
    """As the training config has it."""
    prompts: Callable[[Tensor], Tensor] | None = None
    """Embeds the prompts of items, int64 (B,), as float32 (B, tokens, width); None = ``positive`` is that of all."""

    @contextmanager
    def plain(self) -> Iterator[None]:
        """Switch the adapter off: the UNet is the teacher."""
        self.adapter.set_enabled(False)
        try:
            yield
        finally:
            self.adapter.set_enabled(True)

    def severity(self, window: Tensor) -> Tensor | None:
        """Return what routes LRs (B, 3, h, w) in [0, 1]: float32 (B, 7); None for an adapter that does not route."""
        if self.estimator is None:
            return None
        if self.routed_by == "constant":
            return torch.full((len(window), len(DIMENSIONS)), 0.5, device=window.device)
        own = self.estimator.estimate(window)
        return own.roll(-1, 0) if self.routed_by == "next" else own

    def generate(self, lr: Tensor, severity: Tensor | None, noise: Tensor) -> Tensor:
        """Restore LRs to latents x0: route, then make the one step.

        Args:
            lr: (B, 3, h, w) in [0, 1].
            severity: What :meth:`severity` estimates, of a window around each LR.
            noise: (B, C, ...), what the encoder's posterior is sampled with.
        """
        self.adapter.route(severity)
        return self.base.one_step(upsample(lr) * 2 - 1, self.timestep, self.positive, noise)


def run_micro_batch(
    nets: Networks, weights: Losses, batch: Batch, draws: Draws, step: int, share: float,
    severity: Tensor | None = None, hits: Tensor | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Add one micro-batch's gradients to all three networks.

    Args:
        nets: The networks.
        weights: Weights and choices of the losses.
        batch: The pairs, on the device.
        draws: The batch's randomness.
        step: The optimizer step, for losses that start late.
        share: What the micro-batch counts in its step, 1 / accumulate.
        severity: What :meth:`Networks.severity` estimates of the batch's windows; None = it is estimated here.
        hits: What the adapter's ``hits`` counts over the whole step, for the balance loss; None = the micro-batch is
            the whole step.

    Returns:
        The losses' values by name: detached scalars.
    """
    if nets.prompts:
        nets = replace(nets, positive=nets.prompts(batch.items))
    severity = nets.severity(batch.severity_window) if severity is None else severity
    x0 = nets.generate(batch.lr, severity, draws.encode)
    z = x0.detach().requires_grad_()
    parts, features = generator_losses(nets, weights, z, batch.hr, draws, step)
    total = torch.stack(list(parts.values())).sum()
    with nets.plain():
        (total * share).backward()
    balance = weights.balance * nets.adapter.balance_loss(hits)
    roots, gradients = [x0], [z.grad]
    if balance.requires_grad:
        roots.append(balance * share)
        gradients.append(None)
    torch.autograd.backward(roots, gradients)
    values = parts | {"balance": balance, "generator": total + balance}
    if features is not None:
        values["discriminator"] = discriminator_loss(nets, weights, features)
        (values["discriminator"] * share).backward()
    if weights.vsd:
        values["regulariser"] = regulariser_loss(nets, z.detach(), draws.regulariser)
        with nets.regulariser.enabled(), nets.plain():
            (values["regulariser"] * share).backward()
    return {name: value.detach() for name, value in values.items()}


@dataclass(frozen=True)
class Features:
    """The tapped features of the same noise in real and generated latents, cut from every graph."""

    real: list[Tensor]
    fake: list[Tensor]


def generator_losses(
    nets: Networks, weights: Losses, z: Tensor, hr: Tensor, draws: Draws, step: int
) -> tuple[dict[str, Tensor], Features | None]:
    """Compute the generator's weighted losses of latents ``z`` (a leaf), and what the discriminator learns from.

    The discriminator takes part from step ``gan_start`` on; before, it neither runs nor learns.
    """
    target = hr * 2 - 1
    image = nets.base.decode(z)
    parts = {"l2": weights.l2 * F.mse_loss(image, target)}
    if weights.perceptual and nets.lpips is not None:
        parts["perceptual"] = weights.perceptual * nets.lpips(image.clamp(-1, 1), target)
    with nets.plain():
        if weights.vsd:
            parts["vsd"] = weights.vsd * L.vsd_loss(z, vsd_direction(nets, z.detach(), draws.vsd, weights.cfg))
        by_features = weights.perceptual > 0 and nets.lpips is None
        by_discriminator = weights.gan > 0 and step >= weights.gan_start
        if not by_discriminator and not by_features:
            return parts, None
        with torch.no_grad():
            real = _features(nets, nets.base.encode(target), draws.features)
        fake = _features(nets, z, draws.features)
    if by_features:
        parts["perceptual"] = weights.perceptual * L.feature_distance(fake, real)
    if not by_discriminator:
        return parts, None
    nets.discriminator.requires_grad_(False)
    parts["gan"] = weights.gan * L.generator_gan_loss(nets.discriminator(fake), weights.gan_kind)
    nets.discriminator.requires_grad_(True)
    return parts, Features(real, [f.detach() for f in fake])


@torch.no_grad()
def vsd_direction(nets: Networks, z: Tensor, diffused: Diffused, cfg: float) -> Tensor:
    """Return VSD's gradient at ``z`` for a plain UNet; the teacher is guided: negative + cfg (positive - negative).

    The teacher's two predictions are one pass of twice the batch: without gradient it keeps no activations, so that it
    needs less memory than the generator's pass does.
    """
    base, t = nets.base, diffused.t
    z_t = base.add_noise(z, diffused.noise, t)
    prompts = torch.cat([p.expand(len(z_t), -1, -1) for p in (nets.positive, nets.negative)])
    positive, negative = base.predict(z_t.repeat(2, 1, 1, 1), t.repeat(2), prompts).chunk(2)
    with nets.regulariser.enabled():
        own = base.predict(z_t, t, nets.positive)
    teacher = base.x0(z_t, negative + cfg * (positive - negative), t)
    return L.vsd_gradient(z, base.x0(z_t, own, t), teacher)


def regulariser_loss(nets: Networks, z: Tensor, diffused: Diffused) -> Tensor:
    """Return the plain diffusion loss of the regulariser on generated latents."""
    base, t = nets.base, diffused.t
    z_t = base.add_noise(z, diffused.noise, t)
    with nets.plain(), nets.regulariser.enabled():
        return F.mse_loss(base.predict(z_t, t, nets.positive), base.diffusion_target(z, diffused.noise, t))


def discriminator_loss(nets: Networks, weights: Losses, features: Features) -> Tensor:
    """Return the discriminator's loss, its gradient penalty included where that has a weight."""
    real = [f.requires_grad_(weights.r1 > 0) for f in features.real]
    logits = nets.discriminator(real)
    loss = L.discriminator_loss(logits, nets.discriminator(features.fake), weights.gan_kind)
    return loss + weights.r1 * L.r1_penalty(logits, real) if weights.r1 else loss


def _features(nets: Networks, z: Tensor, diffused: Diffused) -> list[Tensor]:
    with nets.taps as features:
        nets.base.predict(nets.base.add_noise(z, diffused.noise, diffused.t), diffused.t, nets.positive)
    return [f.float() for f in features]
