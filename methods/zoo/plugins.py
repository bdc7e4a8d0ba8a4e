"""A method for each model card: ``realesrgan-x4plus`` is this module's attribute ``realesrgan_x4plus``.

:func:`read_plugin` makes one of a card of the user's own: ``--method mine.toml``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.method import MethodInfo, MethodPlugin, Runtime
from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError
from isrbench.methods.spandrel.options import NetworkOptions
from isrbench.methods.zoo.card import ModelCard, fetching, find_weights, read_card, shipped_cards

if TYPE_CHECKING:
    from isrbench.methods.spandrel.network import Network

_CORRECT = "correct the model card"


@dataclass(frozen=True)
class DenoiseOptions(NetworkOptions):
    """How to run a network that comes in two: one that denoises, and one that does not."""

    denoise: float = field(
        default=1.0,
        metadata={"help": "0 to 1: share of the weights that denoise, the rest from those that keep noise"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.denoise <= 1:
            raise UserError(f"option 'denoise' is {self.denoise}, but has to lie in 0 to 1", "write -o denoise=0.5")


def __getattr__(name: str) -> MethodPlugin:
    card = shipped_cards().get(name.replace("_", "-"))
    if card is None:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return plugin_of(card)


def read_plugin(path: Path) -> MethodPlugin:
    """Return the method that a user's own card describes.

    Raises:
        UserError: If it is no valid card.
    """
    return plugin_of(read_card(path), path)


def plugin_of(card: ModelCard, card_file: Path | None = None) -> MethodPlugin:
    """Return the method that runs the network of a card.

    Args:
        card: The card.
        card_file: Where it is; None = it ships.
    """
    if card.package:
        needs = (f"the package {card.package.distribution}",)
    elif card.download:
        needs = (fetching(card, card_file) + _megabytes(sum(address.size for address in card.download)),)
    else:
        needs = tuple(file.path for file in card.file)
    info = MethodInfo(
        id=card.id,
        title=card.title,
        summary=card.summary,
        license=card.license,
        trained_on_metrics=card.trained_on_metrics,
        citation=card.citation,
        training_data=card.training_data,
        needs=needs,
    )
    return MethodPlugin(
        info=info,
        options=DenoiseOptions if card.denoise else NetworkOptions,
        build=lambda options, runtime: load(card, options, runtime, card_file),
        weights=card.weights,
    )


def _megabytes(size: int) -> str:
    return f" ({size / 1e6:.1f} MB)" if size else ""


def load(card: ModelCard, options: NetworkOptions, runtime: Runtime, card_file: Path | None = None) -> Network:
    """Load the network of a card.

    Raises:
        UserError: If spandrel does not know its architecture; if its weights are not here or not as published, or it is
            another network than the card says, or does not fit scale, dtype or tiling.
    """
    from isrbench.methods.spandrel.network import architectures, load_network

    known = architectures()
    if card.architecture not in known:
        raise UserError(f"the card of {card.id}: {unknown_name('architecture', card.architecture, known)}", _CORRECT)
    if card.scale != runtime.scale:
        raise UserError(
            f"{card.id} enlarges x{card.scale}, but the dataset asks for x{runtime.scale}",
            f"choose a network for x{runtime.scale}",
        )
    first, *others = (path for path in find_weights(card, card_file) if path.suffix.lower() != ".bin")
    share = options.denoise if isinstance(options, DenoiseOptions) else 1.0
    network = load_network(first, options, runtime, others[0] if share < 1 else None, share)
    if network.architecture != card.architecture:
        raise UserError(
            f"the card of {card.id} says {card.architecture}, but its weights are a network of {network.architecture}",
            _CORRECT,
        )
    return network
