"""SEAL's figures against those that the authors publish."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from isrbench.reports import seal
from isrbench.reports.aligned import align
from isrbench.reports.compared_set import compare_set
from isrbench.reports.seal import seal_lines
from isrbench.reports.strata import Rule
from tests.support.report_frames import frames, of_metrics, on_dataset, without_routing

BSRNET = """
25.068 23.76 23.406 21.917 23.392 22.232 20.736 25.02 20.88 22.903 21.661 24.421 21.451 24.557 21.933 20.521
25.847 21.662 23.538 23.761 22.888 23.442 20.239 21.922 20.131 22.579 24.288 24.868 26.938 23.246 23.608 21.41
26.296 22.304 23.71 25.628 21.49 24.105 24.835 23.902 19.916 23.291 22.606 23.91 22.136 22.652 21.613 24.595
19.917 23.913 24.9 25.368 23.099 22.822 20.715 24.184 24.021 21.749 19.773 21.313 20.546 24.178 21.508 24.442
23.278 24.586 22.515 21.116 21.898 22.399 25.895 21.912 20.221 23.32 22.382 21.128 21.095 24.623 20.979 24.624
21.544 20.061 23.477 21.235 22.522 21.267 20.662 23.743 23.115 21.984 25.078 24.771 22.772 21.671 22.135
21.529 22.414 20.274 24.215 20.982
"""
"""PSNR of BSRNet on each of the 100 degradations, as XPixelGroup/SEAL has it in scripts/metrics/Set14_SE/model.csv."""


def _by_case(values: list[float]) -> pd.Series:
    return pd.Series(values, [f"deg_{place}" for place in range(100)])


def test_the_published_figures_of_bsrnet_come_out() -> None:
    found = seal.seal(_by_case([float(value) for value in BSRNET.split()]), "psnr")
    assert found.rpr_accepted is not None and found.rpr_others is not None
    figures = (found.acceptance_rate, found.rpr_spread, found.rpr_accepted, found.rpr_others)
    assert [round(figure, 2) for figure in figures] == [0.59, 0.42, 0.72, 0.27], "the README's table"
    assert found.cases == 93


def test_a_method_on_a_line_has_the_lines_ratio() -> None:
    lines = seal_lines("psnr")
    low, high = (seal.seal(lines[line], "psnr") for line in ("acceptance", "excellence"))
    assert (low.acceptance_rate, low.rpr_accepted, low.rpr_others) == (1, 0.5, None)
    assert high.rpr_accepted == pytest.approx(1 / (1 + np.exp(-1))) and high.rpr_spread == pytest.approx(0)
    below = seal.seal(lines["acceptance"] - 1, "psnr")
    assert (below.acceptance_rate, below.rpr_accepted) == (0, None) and 0 < (below.rpr_others or 0) < 0.5
    assert len(seal_lines("ssim")) < 100


def test_the_report_on_set14_se_has_them_and_no_other_set_does(tmp_path) -> None:
    made = of_metrics(without_routing(frames(tmp_path, count=100, failed=False)), "psnr", "lpips")
    assert [a.name for a in compare_set(align(made)[0], "s", baseline=None, rule=Rule("severity"))
            .analyses] == ["interaction", "agreement"]  # fmt: skip
    ids = sorted(made.images["image"].unique())
    cases = dict(zip(ids, (f"deg_{place}" for place in range(100)), strict=True))
    own = on_dataset(replace(made, images=made.images.assign(level=made.images["image"].map(cases))), seal.DATASET)
    (analysis,) = seal.analyse(align(own)[0])
    assert len(analysis.rows) == 3 and list(analysis.rows["metric"]) == ["psnr"] * 3
    assert [m.id for m in analysis.table.metrics] == ["psnr"] and len(analysis.table.rows) == 12
    part = replace(align(own)[0], partial=True)
    assert seal.analyse(part)[0].table.caption == "Not computed: it takes the whole set, with its 100 degradations."
