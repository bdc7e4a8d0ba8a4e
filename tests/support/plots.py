"""What every plot that was drawn must be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from isrbench.reports.figures.style import COLUMN


def assert_drawn(files: Sequence[Path]) -> None:
    """A PNG at a column's width with something on it, an SVG for either background, and a PDF of TrueType letters."""
    png, svg, dark, pdf = files
    with Image.open(png) as image:
        assert image.width == pytest.approx(COLUMN * 300, abs=2)
        assert len(image.convert("L").getcolors(256) or []) > 10, "an empty plot"
    texts = [file.read_text(encoding="utf-8") for file in (svg, dark)]
    assert all(text.lstrip().startswith("<?xml") for text in texts)
    assert "#181c22" in texts[1] and "fill: #ffffff" not in texts[1], "a white background in the dark"
    data = pdf.read_bytes()
    assert data.startswith(b"%PDF") and b"/Subtype /Type3" not in data and b"CreationDate" not in data
