"""The load-balancing loss of the routers, with and without regard to how degraded each image is."""

from __future__ import annotations

import torch
from torch import Tensor

from isrbench.methods.mor.config import Balance
from isrbench.methods.mor.router import Routing


def balance_loss(routing: Routing, severity: Tensor, alpha: float, kind: Balance, hits: Tensor | None = None) -> Tensor:
    """Compute the balance loss, averaged over the layers (paper section 3.4).

    Per layer, with load f_i = (N / (k B)) x (images that pick target i), constant under the gradient::

        L = alpha * ( sum_{i <= n} f_i mean_b p_bi  +  sum_{i > n} f_i mean_b (w_b p_bi) )

    ``degradation``: w_b is the mean severity of image b, so that a badly degraded image pays more for choosing a
    zero slot than a clean one. ``uniform``: w_b = 1, the conventional loss.

    The load is that of a whole step. Of a batch in equal parts, each with the load of the whole, the mean of the parts'
    losses is the loss of the whole, because the rest is a mean over images.

    Args:
        routing: The routing of a batch of B images.
        severity: (B, dims) in [0, 1].
        alpha: Weight.
        kind: Which of the two losses.
        hits: (L, N), how many images of the step pick each target; None = the routing's own images are the step.

    Returns:
        Scalar; a uniform router with a uniform load gives alpha times 1 (``uniform``).
    """
    probabilities = routing.probabilities
    hits = routing.hits if hits is None else hits
    # Every image makes k picks in a layer: they sum up to k B.
    load = hits * (probabilities.shape[-1] / hits.sum(-1, keepdim=True))
    weight = torch.ones_like(probabilities)
    if kind == "degradation":
        scalar = severity.to(probabilities).mean(-1)
        weight[..., routing.gates.shape[-1] :] = scalar[:, None, None]
    return alpha * (load * (weight * probabilities).mean(0)).sum(-1).mean()
