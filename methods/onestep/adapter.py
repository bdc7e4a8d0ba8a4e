"""What a one-step method adds to the frozen base: the one place where the family's methods differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from isrbench.harness.api.method import RoutingTrace


class Adapter(Protocol):
    """Trainable branches attached to a UNet and a VAE encoder, steered as one.

    Attached by ``attach(unet, vae, config, seed)`` of the method's own module. The base weights stay frozen
    and bit-identical. With the branches freshly attached or disabled the model equals its base. An adapter starts
    enabled and ready for training.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """Adapted modules in the order of execution: ``vae.`` or ``unet.`` and the module's dotted name."""
        ...

    def route(self, severity: Tensor | None) -> None:
        """Decide the routing of every following forward pass, for all layers at once, before the UNet runs.

        Args:
            severity: float32 (B, 7) in [0, 1], one row per image; tiles of one image share its row. A dense
                adapter ignores it and accepts None.
        """
        ...

    def set_enabled(self, enabled: bool) -> None:
        """Switch all branches on or off; off = the plain base (teacher, regulariser base, GAN features)."""
        ...

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trainable parameters by stable name."""
        ...

    def balance_loss(self) -> Tensor:
        """The load-balancing loss of the last ``route``: a scalar, 0 for adapters that do not route."""
        ...

    def traces(self) -> tuple[RoutingTrace, ...] | None:
        """The routing of each image of the last ``route``, or None for adapters that do not route."""
        ...

    def for_inference(self, *, merge: bool = True) -> None:
        """Choose the fastest exact execution (merge a dense LoRA, fold a routed one) until ``for_training``.

        Args:
            merge: False computes the branches that are on beside the base, which is what their MACs are counted for.
        """
        ...

    def for_training(self) -> None:
        """Undo ``for_inference``: run the branches apart from the base, with gradient."""
        ...

    def detach(self) -> None:
        """Put the base's own modules back; the adapter is of no use afterwards."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All that has to be saved, by stable name, on the CPU."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what ``state_dict`` gave.

        Raises:
            UserError: If names or shapes do not fit; names the first that does not.
        """
        ...

    def macs(self, positions: Mapping[str, int]) -> int:
        """Count the MACs of the active branches of the last route's first image, run apart from the base.

        Args:
            positions: For every name in ``layers``: how many output positions (tokens of a linear map, output pixels
                of a convolution) it computes for one image, over all forward passes (tiles).
        """
        ...

    def folding_macs(self) -> int:
        """Count the MACs of merging the branches for the last route's first image; 0 where one merge serves all."""
        ...

    def active_parameters(self) -> int:
        """Adapter parameters that touch the last route's first image."""
        ...
