"""The losses of one-step training, each a function of tensors.

The paper: L = L2 + 2 LPIPS + lambda_1 VSD + lambda_2 GAN + balance. VSD is OSEDiff's (Wu et al., 2024, section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.harness.metrics.weights import check_published, location
from isrbench.methods.onestep.train.needs import LPIPS_FILES


def vsd_gradient(z: Tensor, x0_regulariser: Tensor, x0_teacher: Tensor) -> Tensor:
    """Return the direction of variational score distillation: (x0_reg - x0_teacher) / mean |z - x0_teacher|.

    Args:
        z: The generator's latents, (B, C, H, W).
        x0_regulariser: What the regulariser makes of the noised latents; the same shape.
        x0_teacher: What the guided teacher makes of them; the same shape.

    Returns:
        The gradient with respect to z; the mean is taken per image.
    """
    weight = (z - x0_teacher).abs().mean(dim=(1, 2, 3), keepdim=True)
    return (x0_regulariser - x0_teacher) / weight.clamp_min(1e-8)


def vsd_loss(z: Tensor, gradient: Tensor) -> Tensor:
    """Return the loss whose derivative points along ``gradient``: mse(z, stopgrad(z - gradient))."""
    return F.mse_loss(z, (z - gradient).detach())


GanKind = Literal["hinge", "nonsaturating"]


def generator_gan_loss(fake: Sequence[Tensor], kind: GanKind) -> Tensor:
    """Return the generator's loss, averaged over the heads: lower when the logits of its images are higher.

    Args:
        fake: Logits of generated images, one tensor a head, each of any shape.
        kind: ``hinge``: -fake. ``nonsaturating``: softplus(-fake).
    """
    parts = [-part.mean() if kind == "hinge" else F.softplus(-part).mean() for part in fake]
    return torch.stack(parts).mean()


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor], kind: GanKind) -> Tensor:
    """Return the discriminator's loss, averaged over the heads.

    Args:
        real: Logits of real images, one tensor a head, each of any shape.
        fake: Logits of generated ones.
        kind: ``hinge``: relu(1 - real) + relu(1 + fake). ``nonsaturating``: softplus(-real) + softplus(fake).
    """
    if kind == "hinge":
        parts = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    else:
        parts = [F.softplus(-r).mean() + F.softplus(f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(parts).mean()


def r1_penalty(logits: Sequence[Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """Return half the squared norm of d logits / d inputs, averaged over images and heads (Mescheder et al., 2018).

    Args:
        logits: Logits of real images, one tensor a head.
        inputs: The heads' inputs (B, C, H, W), with gradient.
    """
    gradients = torch.autograd.grad([part.sum() for part in logits], list(inputs), create_graph=True)
    return torch.stack([g.square().flatten(1).sum(1).mean() / 2 for g in gradients]).mean()


def feature_distance(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Return the LPIPS-like distance of two feature pyramids: squared distance of unit vectors, averaged.

    Args:
        first: Features (B, C, H, W) of one image at several depths.
        second: Those of the other; the same shapes.

    Returns:
        A scalar in [0, 4], averaged over images, positions and depths.
    """
    pairs = zip(first, second, strict=True)
    unit = [(F.normalize(a.float(), dim=1), F.normalize(b.float(), dim=1)) for a, b in pairs]
    return torch.stack([(a - b).square().sum(1).mean() for a, b in unit]).mean()


def load_lpips(device: str | torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """Load LPIPS with VGG through pyiqa.

    Args:
        device: Where it runs.

    Returns:
        A function of two image batches (B, 3, H, W) in [-1, 1]; a scalar, with gradient.

    Raises:
        UserError: If its weights are not on this machine, or are not the published ones; nothing is downloaded in the
            middle of a training.
    """
    check_published(LPIPS_FILES, "isrbench fetch training --preset sd21", "LPIPS")
    missing = [str(location(file)) for file in LPIPS_FILES if not location(file).is_file()]
    if missing:
        raise UserError(
            f"LPIPS needs weights that are not here: {', '.join(missing)}",
            "with a network: isrbench fetch training --preset sd21; or use losses.perceptual_kind=features",
        )
    import pyiqa

    metric = pyiqa.create_metric("lpips-vgg", device=device, as_loss=True)
    return lambda x, y: metric((x + 1) / 2, (y + 1) / 2)
