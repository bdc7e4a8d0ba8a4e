"""Objects named by strings: what is imported only when it is asked for."""

from __future__ import annotations

from functools import reduce
from importlib import import_module
from typing import Any


def load_target(target: str) -> Any:
    """Import and return the object that ``"module:attribute"`` names; the attribute may have dots."""
    module, _, attribute = target.partition(":")
    return reduce(getattr, attribute.split("."), import_module(module))
