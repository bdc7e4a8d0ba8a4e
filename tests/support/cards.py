"""Cards and how loading their sets is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError

CARD = 'id = "{id}"\ntitle = "m"\nscale = 4\nlicense = "x"\nsource = "y"\n'


def write_card(path: Path, *lines: str, id: str = "mine") -> Path:
    """Write a card with the needed keys and ``lines``, and return its path."""
    path.write_text(CARD.format(id=id) + "\n".join(lines) + "\n")
    return path


def refusal(card: Path | str, data_root: Path | None = None) -> UserError:
    """What loading the set is refused with."""
    with pytest.raises(UserError) as caught:
        load_pairs(find_card(str(card)), data_root)
    return caught.value
