"""Plots of routing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.figures import routing
from isrbench.reports.figures.style import Target
from isrbench.reports.routing import correlations
from isrbench.reports.strata import Rule, strata
from tests.support.plots import assert_drawn
from tests.support.report_frames import frames


@pytest.fixture(scope="module")
def aligned(tmp_path_factory) -> AlignedRuns:
    return align(frames(tmp_path_factory.mktemp("images")))[0]


def test_every_plot_of_routing_is_drawn(aligned, tmp_path):
    groups, table = strata(aligned.images, Rule("severity")), correlations(aligned, "MoR-SR (tiny)")
    for made in (
        routing.severity_scatter(aligned, "MoR-SR (tiny)", Target(tmp_path, "experts")),
        routing.dimension_bars(aligned, "MoR-SR (tiny)", table, Target(tmp_path, "bars")),
        routing.dimension_scatter(aligned, "MoR-SR (tiny)", table, Target(tmp_path, "scatter")),
        routing.layer_heatmap(aligned, "MoR-SR (tiny)", groups, Target(tmp_path, "layers")),
        routing.zero_share(aligned, "MoR-SR (tiny)", groups, Target(tmp_path, "zero")),
    ):
        assert_drawn(made)


def test_nothing_to_show_makes_no_file(aligned, tmp_path):
    assert routing.severity_scatter(aligned, "Bicubic", Target(tmp_path, "a")) == []
    assert routing.layer_heatmap(aligned, "Bicubic", [], Target(tmp_path, "b")) == []
    assert not list(tmp_path.iterdir())


def test_a_stratum_that_failed_or_has_fewer_layers_leaves_the_heat_map_standing(tmp_path):
    made = frames(tmp_path / "images", count=12, failed=False)
    mine = made.images[made.images["method"] == "mor"].sort_values("severity")["image"]
    rows = made.routing[~made.routing["image"].isin(mine.tail(4))]
    rows = rows[~(rows["image"].isin(mine.head(4)) & (rows["position"] > 3))]
    (own,) = align(replace(made, routing=rows))
    groups = strata(own.images, Rule("severity"))
    assert_drawn(routing.layer_heatmap(own, "MoR-SR (tiny)", groups, Target(tmp_path, "layers")))
    assert_drawn(routing.zero_share(own, "MoR-SR (tiny)", groups, Target(tmp_path, "zero")))
