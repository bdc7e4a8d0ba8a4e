"""The load-balancing loss of the routers, with and without regard to how degraded each image is."""

from __future__ import annotations

import torch
from torch import Tensor

from isrbench.methods.mor.config import Balance
from isrbench.methods.mor.router import Routing


def balance_loss(routing: Routing, severity: Tensor, alpha: float, kind: Balance) -> Tensor:
    """Compute the balance loss, averaged over the layers (paper section 3.4).

    Per layer, with load f_i = (N / (k B)) x (images that pick target i), constant under the gradient::

        L = alpha * ( sum_{i <= n} f_i mean_b p_bi  +  sum_{i > n} f_i mean_b (w_b p_bi) )

    ``degradation``: w_b is the mean severity of image b, so that a badly degraded image pays more for choosing a
    zero slot than a clean one. ``uniform``: w_b = 1, the conventional loss.

    Args:
        routing: The routing of a batch of B images.
        severity: (B, dims) in [0, 1].
        alpha: Weight.
        kind: Which of the two losses.

    Returns:
        Scalar; a uniform router with a uniform load gives alpha times 1 (``uniform``).
    """
    probabilities, picked = routing.probabilities, routing.picked
    batch, _, targets = probabilities.shape
    hits = torch.zeros_like(probabilities).scatter(-1, picked, 1.0).detach()
    load = hits.sum(0) * (targets / (picked.shape[-1] * batch))
    weight = torch.ones_like(probabilities)
    if kind == "degradation":
        scalar = severity.to(probabilities).mean(-1)
        weight[..., routing.gates.shape[-1] :] = scalar[:, None, None]
    return alpha * (load * (weight * probabilities).mean(0)).sum(-1).mean()
