"""The data set that a training is validated on. Torch-free."""

from __future__ import annotations

import logging

from isrbench.harness.api.dataset import Card, Pair
from isrbench.harness.data.catalogue import catalogue, find_card
from isrbench.harness.data.find import find_root
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.train.config import Validation

log = logging.getLogger(__name__)

_SCALE = 4
"""What adapters are trained for; :data:`isrbench.methods.onestep.train.degrade.SCALE`, which takes torch to import."""


def find_dataset(look: Validation) -> Card:
    """Return the card of ``validation.dataset``, whose folder is there.

    Raises:
        UserError: If there is no such data set, it is not found, or its scale is not the one that is trained.
    """
    try:
        card = find_card(look.dataset)
        find_root(card, look.data_root)
    except UserError as error:
        raise UserError(
            f"validation.dataset: {error.message}", f"{error.fix}; --data-root is validation.data_root= here"
        ) from error
    if card.scale != _SCALE:
        raise UserError(
            f"validation.dataset: {card.id} has scale {card.scale}, and adapters are trained for {_SCALE}",
            f"choose a data set of scale {_SCALE}",
        )
    return card


def read_pairs(look: Validation) -> tuple[Card, list[Pair]]:
    """Return the card and all checked pairs of ``validation.dataset``, and warn of a set that papers report.

    Raises:
        UserError: As :func:`find_dataset`, or if an image is not what the card says.
    """
    card = find_dataset(look)
    if card.id in catalogue():
        log.warning(
            "validation looks at %s, a test set: do not report results on it of a checkpoint that was chosen by it",
            card.id,
        )
    return card, load_pairs(card, look.data_root)
