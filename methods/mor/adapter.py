"""The mixture-of-ranks adapter: attached to a UNet and a VAE encoder, routed once per batch, steered as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import count
from typing import Literal, cast

import torch
from torch import Tensor, nn

from isrbench.harness.api.method import RoutingTrace
from isrbench.harness.errors import UserError
from isrbench.methods.mor.balance import balance_loss
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.mor.layers import Execution, MoRLayer, Steering, wrap
from isrbench.methods.mor.router import RouterBank, Routing
from isrbench.methods.onestep.adapter import AdapterSpec, BaseAdapter, wrap_layers
from isrbench.methods.onestep.base.targets import in_order, unet_targets, vae_targets

_ROUTER = "mor_router"


class MoRAdapter(BaseAdapter):
    """Mixture-of-ranks branches under :class:`isrbench.methods.onestep.adapter.Adapter`; made by :func:`attach`.

    Every trainable tensor lives inside the UNet or the VAE (the routers as ``unet.mor_router``), so that moving the
    models moves the adapter. The routers stay float32 through any cast.
    """

    def __init__(self, models: dict[str, nn.Module], layers: dict[str, MoRLayer], steering: Steering) -> None:
        super().__init__(models, layers)
        self._layers = layers
        self._steering = steering
        self._router = cast(RouterBank, models["unet"].get_submodule(_ROUTER))
        self._execution: Execution | Literal["auto"] = "masked"
        self._experts: int | None = None
        self._routing: Routing | None = None
        self._severity: Tensor | None = None

    @property
    def config(self) -> MoRConfig:
        """Return what the adapter was attached with."""
        return self._router.config

    @property
    def execution(self) -> Execution | None:
        """Return how the next forward pass runs; None before the first route."""
        return self._steering.execution

    @property
    def routing(self) -> Routing:
        """Return how the last ``route`` routed each image.

        Raises:
            RuntimeError: If there was none.
        """
        if self._routing is None:
            raise RuntimeError("call the adapter's route(severity) first")
        return self._routing

    def route(self, severity: Tensor | None) -> None:
        """Route all layers for the following forward passes.

        Args:
            severity: (B, dims) in [0, 1]; B is 1 or the batch of every following forward pass. A single row serves
                a batch of any size, such as the tiles of one image.

        Raises:
            ValueError: If it is missing or of another shape.
        """
        self._severity = self._checked(severity)
        self._routing = routing = self._router(self._severity, self._experts)
        gates = self._rank_gates(routing)
        execution = self._choose(gates) if self._execution == "auto" else self._execution
        self._steer(execution, gates)

    @property
    def active_counts(self) -> tuple[int, ...]:
        """The numbers of active ranks that ``fix_active`` takes: from the shared ones to the budget."""
        config = self.config
        return tuple(range(config.shared, config.budget + 1, config.expert_rank))

    def fix_active(self, count: int | None) -> None:
        """Fix the number of active ranks of every image in every layer, from the next ``route`` on; None = as routed.

        Gates are normalised over what is picked, as without it, so that a uniform router still gives gate 1.

        Raises:
            UserError: If ``count`` is none of ``active_counts``.
        """
        if count is not None and count not in self.active_counts:
            raise UserError(
                f"{count} active experts are not possible with this adapter ({self.config.shared} shared, top "
                f"{self.config.top_k} of {self.config.routed} of rank {self.config.expert_rank})",
                f"set active to one of {', '.join(map(str, self.active_counts))}",
            )
        self._experts = None if count is None else (count - self.config.shared) // self.config.expert_rank
        self._forget()

    def run_as(self, execution: Execution | Literal["auto"]) -> None:
        """Set how the branches run from the next ``route`` on, which has to come before the next forward pass.

        ``auto`` folds where all images share a routing (and the base layers are plain), and gathers elsewhere.
        """
        self._execution = execution
        self._forget()

    def for_inference(self, *, merge: bool = True) -> None:
        """Choose the fastest exact execution at every following ``route``; without ``merge``, what is on runs apart."""
        self.run_as("auto" if merge else "gathered")

    def for_training(self) -> None:
        """Run masked from the next ``route`` on, with gradient, and free the folded weights."""
        self.run_as("masked")

    def set_enabled(self, enabled: bool) -> None:
        """Switch all branches on or off; off = the plain base."""
        self._steering.enabled = enabled

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by stable name: ``unet.<module>.A``, ``.B``; ``router.weight``, ``.bias``."""
        named = {}
        for name, layer in self._layers.items():
            named[f"{name}.A"], named[f"{name}.B"] = layer.ranks.A, layer.ranks.B
        return named | {"router.weight": self._router.weight, "router.bias": self._router.bias}

    def parameters_changed(self) -> None:
        """Free the folded weights and the last routing."""
        self._forget()

    @torch.no_grad()
    def hits(self, severity: Tensor | None) -> Tensor:
        """Return how many of these images each layer's router sends to each target; see ``Adapter.hits``."""
        return self._router(self._checked(severity), self._experts).hits

    def balance_loss(self, hits: Tensor | None = None) -> Tensor:
        """Return the load-balancing loss of the last ``route``, weighted by the config's alpha; see ``Adapter``."""
        config, severity = self.config, cast(Tensor, self._severity)
        return balance_loss(self.routing, severity, config.balance_alpha, config.balance, hits)

    def traces(self) -> tuple[RoutingTrace, ...]:
        """Return the routing of each image of the last ``route``; active experts are counted in ranks."""
        routing = self.routing
        active = self.config.shared + routing.experts * self.config.expert_rank
        return tuple(
            RoutingTrace(self.layers, tuple(ranks), tuple(zeros))
            for ranks, zeros in zip(active.tolist(), routing.zeros.tolist(), strict=True)
        )

    def macs(self, positions: Mapping[str, int], image: int = 0) -> int:
        """Count active ranks x positions x (A's row + B's row); see ``Adapter.macs``."""
        costs = zip(self._layers.items(), self.traces()[image].active, strict=True)
        return sum(active * positions[name] * layer.rank_cost for (name, layer), active in costs)

    def folding_macs(self) -> int:
        """Return the MACs of folding the last route's first image: B diag(g) A over the active ranks of every layer."""
        costs = zip(self._layers.values(), self.traces()[0].active, strict=True)
        return sum(active * layer.weight.numel() for layer, active in costs)

    def active_parameters(self, image: int = 0) -> int:
        """Return how many parameters touch one image of the last route: its active ranks, and the routers."""
        costs = zip(self._layers.values(), self.traces()[image].active, strict=True)
        routers = sum(parameter.numel() for parameter in self._router.parameters())
        return routers + sum(active * layer.rank_cost for layer, active in costs)

    def detach(self) -> None:
        """Put the base's own modules back, bit-identical, and take the routers away."""
        super().detach()
        delattr(self._models["unet"], _ROUTER)

    def _checked(self, severity: Tensor | None) -> Tensor:
        if severity is None or severity.ndim != 2 or severity.shape[1] != self.config.dims:
            given = None if severity is None else tuple(severity.shape)
            raise ValueError(f"a routed adapter needs severity (B, {self.config.dims}), not {given}")
        return severity

    def _forget(self) -> None:
        enabled = self._steering.enabled
        _assign(self._steering, Steering(enabled=enabled))
        self._routing = None
        for layer in self._layers.values():
            layer.forget()

    def _rank_gates(self, routing: Routing) -> Tensor:
        """Gates of all ranks, (B, L, R): shared ones, then the experts' own; times the scale."""
        shared = routing.gates.new_ones(*routing.gates.shape[:2], self.config.shared)
        routed = routing.gates.repeat_interleave(self.config.expert_rank, dim=-1)
        return self.config.scale * torch.cat([shared, routed], dim=-1)

    def _choose(self, gates: Tensor) -> Execution:
        alike = gates.shape[0] == 1 or torch.equal(gates, gates[:1].expand_as(gates))
        return "folded" if alike and all(layer.foldable for layer in self._layers.values()) else "gathered"

    def _steer(self, execution: Execution, gates: Tensor) -> None:
        steering = Steering(enabled=self._steering.enabled, execution=execution)
        if execution == "folded":
            if not torch.equal(gates, gates[:1].expand_as(gates)):
                raise ValueError("folded needs every image of the batch to share one routing; use `auto` or `gathered`")
            self._fold(gates[0].detach())
        elif execution == "gathered":
            # Ranks that are on, in front: a stable sort keeps them in order.
            on = self._on(self.routing)
            steering.rows = torch.sort(on.to(torch.int8), dim=-1, descending=True, stable=True).indices
            steering.row_gates = gates.gather(-1, steering.rows)
            steering.widths = tuple(on.sum(-1).amax(0).tolist())
        else:
            steering.gates = gates
        _assign(self._steering, steering)

    def _fold(self, gates: Tensor) -> None:
        """Fold every layer whose gates, a row of (L, R), are not those of its last fold."""
        # One copy to the CPU decides for all layers; asking layer by layer would wait for a GPU 290 times.
        known = gates.cpu()
        stale = [
            (layer, tuple(row.tolist()), row.nonzero()[:, 0], row)
            for layer, row in zip(self._layers.values(), known, strict=True)
            if not layer.folded_as(tuple(row.tolist()))
        ]
        if not stale:
            return
        layers, keys, rows, values = zip(*stale, strict=True)
        counts = [len(row) for row in rows]
        on = torch.cat([value[row] for value, row in zip(values, rows, strict=True)]).to(gates.device).split(counts)
        moved = torch.cat(rows).to(gates.device).split(counts)
        for layer, *what in zip(layers, moved, on, keys, strict=True):
            layer.fold(*what)

    def _on(self, routing: Routing) -> Tensor:
        """Which ranks are on: bool (B, L, R)."""
        hits = torch.zeros_like(routing.probabilities, dtype=torch.bool).scatter(-1, routing.picked, True)
        experts = hits[..., : self.config.routed].repeat_interleave(self.config.expert_rank, dim=-1)
        return torch.cat([experts.new_ones(*experts.shape[:2], self.config.shared), experts], dim=-1)


def attach(unet: nn.Module, vae: nn.Module, config: MoRConfig, seed: int) -> MoRAdapter:
    """Attach fresh branches to a UNet and a VAE encoder: 258 + 32 modules on Stable Diffusion 2.1.

    Every parameter of both is frozen, but for those of peft adapters that are there already (the trainer's
    regulariser): such an adapter goes in first, and the branches then stand inside of it, at the plain layer, so that
    either can be switched without the other.

    Args:
        unet: A diffusers ``UNet2DConditionModel``.
        vae: A diffusers ``AutoencoderKL``.
        config: Sizes and choices.
        seed: Decides the start of A and of the routers, whatever the device.

    Returns:
        The adapter: enabled, in training execution, to be routed before the first forward pass.

    Raises:
        UserError: If the models already carry such branches, or a target is not a plain Linear or ungrouped Conv2d.
    """
    if hasattr(unet, _ROUTER):
        raise UserError("the UNet already carries a mixture-of-ranks adapter", "call its detach() first")
    models = {"vae": vae, "unet": unet}
    targets = {"vae": in_order(vae_targets(vae)), "unet": in_order(unet_targets(unet))}
    generator = torch.Generator().manual_seed(seed)
    steering, position, device = Steering(), count(), next(unet.parameters()).device

    def wrapped(name: str, base: nn.Module) -> MoRLayer:
        return wrap(base, next(position), steering, config, generator)

    layers = wrap_layers(models, targets, wrapped)
    unet.add_module(_ROUTER, RouterBank(len(layers), config, device, generator))
    return MoRAdapter(models, layers, steering)


SPEC = AdapterSpec("mor", MoRConfig(), attach)


def _assign(target: Steering, source: Steering) -> None:
    for field in fields(Steering):
        setattr(target, field.name, getattr(source, field.name))
