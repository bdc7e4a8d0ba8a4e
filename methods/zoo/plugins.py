"""A method for each model card: ``realesrgan-x4plus`` is this module's attribute ``realesrgan_x4plus``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isrbench.harness.api.method import MethodInfo, MethodPlugin, Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.spandrel.options import NetworkOptions
from isrbench.methods.zoo.card import ModelCard, find_weights, shipped_cards

if TYPE_CHECKING:
    from isrbench.methods.spandrel.network import Network


def __getattr__(name: str) -> MethodPlugin:
    card = shipped_cards().get(name.replace("_", "-"))
    if card is None:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return plugin_of(card)


def plugin_of(card: ModelCard) -> MethodPlugin:
    """Return the method that runs the network of a card."""
    package = card.package
    needs = f"the package {package.distribution}" if package else f"isrbench fetch weights --method {card.id}"
    info = MethodInfo(
        id=card.id,
        title=card.title,
        summary=card.summary,
        license=card.license,
        trained_on_metrics=card.trained_on_metrics,
        citation=card.citation,
        training_data=card.training_data,
        needs=(needs,),
    )
    return MethodPlugin(
        info=info,
        options=NetworkOptions,
        build=lambda options, runtime: load(card, options, runtime),
        weights=card.weights,
    )


def load(card: ModelCard, options: NetworkOptions, runtime: Runtime) -> Network:
    """Load the network of a card.

    Raises:
        UserError: If its weights are not here or not as published, or it is another network than the card says, or
            does not fit scale, dtype or tiling.
    """
    from isrbench.methods.spandrel.network import load_network

    network = load_network(find_weights(card), options, runtime)
    if network.architecture != card.architecture:
        raise UserError(
            f"the card of {card.id} says {card.architecture}, but its weights are a network of {network.architecture}",
            "correct the model card",
        )
    return network
