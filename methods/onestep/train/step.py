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

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from isrbench.methods.onestep.adapter import Adapter
from isrbench.methods.onestep.train import losses as L
from isrbench.methods.onestep.train.config import Losses
from isrbench.methods.onestep.train.data import Batch
from isrbench.methods.onestep.train.degrade import upsample
from isrbench.methods.onestep.train.discriminator import Discriminator, FeatureTaps
from isrbench.methods.onestep.train.draws import Diffused, Draws
from isrbench.methods.onestep.train.frozen import Frozen
from isrbench.methods.onestep.train.regulariser import Regulariser


@dataclass(frozen=True)
class Networks:
    """Everything that takes part in a step."""

    frozen: Frozen
    adapter: Adapter
    regulariser: Regulariser
    discriminator: Discriminator
    taps: FeatureTaps
    severity: Callable[[Tensor], Tensor] | None
    """LR images (B, 3, h, w) in [0, 1] to severity vectors (B, 7); None for an adapter that does not route."""
    estimator: str | None
    """Fingerprint of what estimates the severity."""
    lpips: Callable[[Tensor, Tensor], Tensor] | None
    timestep: int
    autocast: Callable[[], AbstractContextManager]

    @contextmanager
    def plain(self):  # noqa: ANN201
        """Switch the adapter off: the UNet is the teacher."""
        self.adapter.set_enabled(False)
        try:
            yield
        finally:
            self.adapter.set_enabled(True)

    def predict(self, z: Tensor, t: Tensor, prompt: Tensor) -> Tensor:
        """Predict the noise in latents (B, C, h, w) at timesteps (B,), in float32, whatever state the UNet is in."""
        with self.autocast():
            return self.frozen.unet(z, t, prompt.expand(len(z), -1, -1)).sample.float()

    def generate(self, lr: Tensor, context: Tensor, noise: Tensor) -> Tensor:
        """Restore LR images (B, 3, h, w) in [0, 1] to latents x0: route by the context's severity, encode, one step."""
        self.adapter.route(self.severity(context) if self.severity else None)
        scaling = self.frozen.vae.config["scaling_factor"]
        with self.autocast():
            posterior = self.frozen.vae.encode(upsample(lr) * 2 - 1).latent_dist
        z = (posterior.mean.float() + posterior.std.float() * noise) * scaling
        t = torch.full((len(z),), self.timestep, device=z.device)
        return L.clean_from_noise(z, self.predict(z, t, self.frozen.positive), self.frozen.abar[t])

    def decode(self, z: Tensor) -> Tensor:
        """Decode latents to images (B, 3, H, W), about [-1, 1], in float32."""
        with self.autocast():
            return self.frozen.vae.decode(z / self.frozen.vae.config["scaling_factor"]).sample.float()


def run_micro_batch(nets: Networks, weights: Losses, batch: Batch, draws: Draws, step: int, share: float) -> dict:
    """Add one micro-batch's gradients to all three networks.

    Args:
        nets: The networks.
        weights: Weights and choices of the losses.
        batch: The pairs, on the device.
        draws: The batch's randomness.
        step: The optimizer step, for losses that start late.
        share: What the micro-batch counts in its step, 1 / accumulate.

    Returns:
        The losses' values by name: detached scalars.
    """
    x0 = nets.generate(batch.lr, batch.context, draws.encode)
    z = x0.detach().requires_grad_()
    parts, features = generator_losses(nets, weights, z, batch.hr, draws, step)
    total = torch.stack(list(parts.values())).sum()
    with nets.plain():
        (total * share).backward()
    balance = weights.balance * nets.adapter.balance_loss()
    roots, gradients = [x0], [z.grad]
    if balance.requires_grad:
        roots.append(balance * share)
        gradients.append(None)
    torch.autograd.backward(roots, gradients)
    values = parts | {"balance": balance, "generator": total + balance}
    if features is not None:
        values["discriminator"] = _discriminator_loss(nets, weights, features)
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
    """Compute the generator's weighted losses of latents ``z`` (a leaf), and what the discriminator learns from."""
    target = hr * 2 - 1
    image = nets.decode(z)
    parts = {"l2": weights.l2 * F.mse_loss(image, target)}
    if weights.perceptual and nets.lpips is not None:
        parts["perceptual"] = weights.perceptual * nets.lpips(image.clamp(-1, 1), target)
    with nets.plain():
        if weights.vsd:
            parts["vsd"] = weights.vsd * L.vsd_loss(z, vsd_direction(nets, z.detach(), draws.vsd, weights.cfg))
        by_features = weights.perceptual > 0 and nets.lpips is None
        if not weights.gan and not by_features:
            return parts, None
        with torch.no_grad():
            with nets.autocast():
                real_z = nets.frozen.vae.encode(target).latent_dist.mean
            real = _features(nets, real_z.float() * nets.frozen.vae.config["scaling_factor"], draws.features)
        fake = _features(nets, z, draws.features)
    if by_features:
        parts["perceptual"] = weights.perceptual * L.feature_distance(fake, real)
    if not weights.gan:
        return parts, None
    if step >= weights.gan_start:
        nets.discriminator.requires_grad_(False)
        parts["gan"] = weights.gan * L.generator_gan_loss(nets.discriminator(fake), weights.gan_kind)
        nets.discriminator.requires_grad_(True)
    return parts, Features(real, [f.detach() for f in fake])


@torch.no_grad()
def vsd_direction(nets: Networks, z: Tensor, diffused: Diffused, cfg: float) -> Tensor:
    """Return VSD's gradient at ``z`` for a plain UNet; the teacher is guided: negative + cfg (positive - negative)."""
    abar = nets.frozen.abar[diffused.t]
    z_t = L.add_noise(z, diffused.noise, abar)
    positive = nets.predict(z_t, diffused.t, nets.frozen.positive)
    negative = nets.predict(z_t, diffused.t, nets.frozen.negative)
    with nets.regulariser.enabled():
        own = nets.predict(z_t, diffused.t, nets.frozen.positive)
    teacher = L.clean_from_noise(z_t, negative + cfg * (positive - negative), abar)
    return L.vsd_gradient(z, L.clean_from_noise(z_t, own, abar), teacher)


def regulariser_loss(nets: Networks, z: Tensor, diffused: Diffused) -> Tensor:
    """Return the plain diffusion loss of the regulariser on generated latents."""
    z_t = L.add_noise(z, diffused.noise, nets.frozen.abar[diffused.t])
    with nets.plain(), nets.regulariser.enabled():
        return F.mse_loss(nets.predict(z_t, diffused.t, nets.frozen.positive), diffused.noise)


def _discriminator_loss(nets: Networks, weights: Losses, features: Features) -> Tensor:
    real = [f.requires_grad_(weights.r1 > 0) for f in features.real]
    logits = nets.discriminator(real)
    loss = L.discriminator_loss(logits, nets.discriminator(features.fake), weights.gan_kind)
    return loss + weights.r1 * L.r1_penalty(logits, real) if weights.r1 else loss


def _features(nets: Networks, z: Tensor, diffused: Diffused) -> list[Tensor]:
    with nets.taps as features:
        nets.predict(L.add_noise(z, diffused.noise, nets.frozen.abar[diffused.t]), diffused.t, nets.frozen.positive)
    return [f.float() for f in features]
