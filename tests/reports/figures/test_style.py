"""One style for every plot."""

from __future__ import annotations

from isrbench.reports.figures.style import colours, markers


def test_colour_and_marker_together_tell_sixteen_methods_apart():
    labels = [f"m{i}" for i in range(16)]
    assert len({(colours(labels)[label], markers(labels)[label]) for label in labels}) == 16
