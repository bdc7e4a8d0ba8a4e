"""Plots: the numbers behind them, and that files are made where there is something to show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from isrbench.harness.api.metric import Direction
from isrbench.harness.errors import UserError
from isrbench.reports.comparison import View, views
from isrbench.reports.figures import quality as plots
from isrbench.reports.figures import routing
from isrbench.reports.figures.pareto import front, pareto
from isrbench.reports.figures.style import COLUMN, colours, markers
from isrbench.reports.figures.training import training_curves
from isrbench.reports.statistics import compare
from isrbench.reports.strata import Rule, strata
from tests.support.report_frames import frames


@pytest.fixture(scope="module")
def view(tmp_path_factory) -> View:
    return views(frames(tmp_path_factory.mktemp("pictures")))[0]


def test_correlation_agrees_with_scipy():
    rng = np.random.default_rng(3)
    x = pd.Series(rng.normal(size=60))
    y = x + pd.Series(rng.normal(size=60))
    rho, p, low, high = routing.correlation(x, y)
    theirs = stats.spearmanr(x, y)
    assert (rho, p) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue))
    interval = stats.bootstrap(
        (x, y), lambda a, b: stats.spearmanr(a, b).statistic, paired=True, vectorized=False, n_resamples=1500,
        method="percentile", rng=1,
    ).confidence_interval  # fmt: skip
    assert low == pytest.approx(interval.low, abs=0.04) and high == pytest.approx(interval.high, abs=0.04)


def test_constant_routing_has_no_correlation():
    assert all(np.isnan(routing.correlation(pd.Series([1.0, 2, 3]), pd.Series([4.0, 4, 4]))))


def test_correlations_cover_severity_and_all_dimensions(view):
    table = routing.correlations(view, "MoR-SR tiny")
    assert next(iter(table["by"])) == "severity" and len(table) == 8
    assert (table["low"] <= table["rho"]).all() and (table["rho"] <= table["high"]).all()
    assert routing.correlations(view, "Bicubic").empty


def test_every_plot_is_a_png_at_column_width_and_an_svg(view, tmp_path):
    groups = strata(view.images, Rule("severity"))
    psnr = view.metrics[0]
    made = [
        plots.robustness(view, psnr, "Bicubic", tmp_path, "robustness"),
        plots.paired(view, psnr, "Bicubic", "MoR-SR tiny", tmp_path, "paired"),
        routing.severity_scatter(view, "MoR-SR tiny", tmp_path, "experts"),
        routing.dimension_bars(view, "MoR-SR tiny", tmp_path, "bars"),
        routing.dimension_scatter(view, "MoR-SR tiny", tmp_path, "scatter"),
        routing.layer_heatmap(view, "MoR-SR tiny", groups, tmp_path, "layers"),
        routing.zero_share(view, "MoR-SR tiny", groups, tmp_path, "zero"),
    ]
    for png, svg, dark in made:
        with Image.open(png) as image:
            assert image.width == pytest.approx(COLUMN * 300, abs=2)
            assert len(image.convert("L").getcolors(256) or []) > 10, "an empty plot"
        texts = [file.read_text(encoding="utf-8") for file in (svg, dark)]
        assert all(text.lstrip().startswith("<?xml") for text in texts)
        assert "#181c22" in texts[1] and "fill: #ffffff" not in texts[1], "a white ground in the dark"


def test_nothing_to_show_makes_no_file(view, tmp_path):
    assert routing.severity_scatter(view, "Bicubic", tmp_path, "a") == []
    assert routing.layer_heatmap(view, "Bicubic", [], tmp_path, "b") == []
    cells = compare(view, [], None)
    assert pareto(view, cells, view.metrics[0], "macs", tmp_path, "c") == ([], "")
    assert not list(tmp_path.iterdir())


def test_front_holds_what_nothing_beats():
    points = {"cheap": (1.0, 20.0), "beaten": (2.0, 19.0), "good": (3.0, 25.0), "dear": (9.0, 25.0)}
    assert front(points, Direction.HIGHER) == ["cheap", "good"]
    assert front(points, Direction.LOWER) == ["cheap", "beaten"]


def test_colour_and_marker_together_tell_sixteen_methods_apart():
    labels = [f"m{i}" for i in range(16)]
    assert len({(colours(labels)[label], markers(labels)[label]) for label in labels}) == 16


def test_training_curves(tmp_path):
    for run in ("mor", "osediff"):
        (tmp_path / run).mkdir()
        rows = "".join(f"{step},loss,{1 / (step + 1)}\n" for step in range(40))
        (tmp_path / run / "curves.csv").write_text("step,name,value\n" + rows)
    files = [tmp_path / run / "curves.csv" for run in ("mor", "osediff")]
    ((paths, text),) = training_curves(files, tmp_path / "out")
    assert [p.name for p in paths] == ["loss.png", "loss.svg", "loss.dark.svg"] and "loss" in text
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="has no columns step, name, value"):
        training_curves([tmp_path / "bad.csv"], tmp_path / "out")
