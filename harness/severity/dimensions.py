"""What a severity vector is made of. Torch-free."""

from __future__ import annotations

DIMENSIONS = ("quality", "blur", "noise", "resolution", "edges", "detail", "compression")
"""The seven degradation dimensions, in the order of the severity vector s in [0, 1]^7; higher = worse."""
