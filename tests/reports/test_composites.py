"""Composites, against values computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from isrbench.harness.api.metric import Direction, Metric, Reference
from isrbench.harness.api.records import Manifest
from isrbench.harness.errors import UserError
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.comparison import compare
from isrbench.reports.composites import (
    MOBILE,
    NTIRE,
    NTIRE_PARTS,
    composite_cells,
    group_composites,
    ranked_metrics,
    with_ntire,
)
from isrbench.reports.statistics import Cell, bootstrap_means, compare_means
from tests.support.report_frames import frames, with_manifests

LABELS = ("Bicubic", "MoR-SR (tiny)", "OSEDiff")
PARTS = {  # of the two images of a method
    "lpips": (0.3, 0.2), "dists": (0.2, 0.1), "clipiqa": (0.7, 0.6), "maniqa": (0.5, 0.4), "musiq": (70, 60),
    "niqe": (5, 12),
}  # fmt: skip
SCORES = (0.7 + 0.8 + 0.7 + 0.5 + 0.7 + 0.5, 0.8 + 0.9 + 0.6 + 0.4 + 0.6 + 0.0)
"""3.9; and 3.3, since an NIQE above 10 adds nothing."""
HIGHER = ("clipiqa", "maniqa", "musiq", "psnr", "ssim")


def _metric(id: str) -> Metric:
    direction = Direction.HIGHER if id in HIGHER else Direction.LOWER
    return Metric(id, id.upper(), direction, Reference.FULL, "RGB", "", build="none:none")


def _runs(folder, change=lambda manifest: manifest, **costs: list[object]) -> AlignedRuns:
    """Three methods on two images, one called OSEDiff; ``costs`` are columns of the runs, in order of LABELS."""

    def renamed(manifest: Manifest) -> Manifest:
        (call,) = manifest.invocations
        facts: dict[str, object] = {"invocations": [call.model_copy(update={"platform": "Linux", "cpus": 2})]}
        if manifest.name == "folder":
            facts |= {"name": "osediff", "method": "osediff", "title": "OSEDiff"}
        return change(manifest.model_copy(update=facts))

    made = with_manifests(frames(folder, count=2, failed=False), renamed)
    (aligned,) = align(made)
    runs = aligned.runs.assign(latency_ms=[10.0, 32.0, 320.0], complexity_size="128x128")
    return replace(aligned, runs=runs.assign(**costs))


def _scored(aligned: AlignedRuns, values: dict[str, pd.DataFrame]) -> AlignedRuns:
    return replace(aligned, metrics=tuple(map(_metric, values)), values=values)


def _alike(aligned: AlignedRuns) -> AlignedRuns:
    """All methods have the values of PARTS."""
    ids = list(aligned.images.index)
    values = {m: pd.DataFrame(dict.fromkeys(aligned.labels, PARTS[m]), ids, dtype=float) for m in NTIRE_PARTS}
    return _scored(aligned, values)


def _cells(aligned: AlignedRuns, over: tuple[str, ...] = ()) -> dict[tuple[str, str], Cell]:
    images = list(aligned.images.index)
    cells = compare_means(aligned, images, None)
    columns, _ = group_composites(aligned, over)
    return cells | composite_cells(aligned, cells, images, columns, over)


def test_the_ntire_score_of_an_image(tmp_path):
    aligned = with_ntire(_alike(_runs(tmp_path)))
    assert aligned.metrics[-1] is NTIRE
    assert aligned.values["ntire"]["OSEDiff"].tolist() == pytest.approx(list(SCORES))
    cell = _cells(aligned)["Bicubic", "ntire"]
    assert cell.mean == pytest.approx(3.6)
    assert (cell.low, cell.high) == pytest.approx((3.3, 3.9)), "of two images, a resample is one of them twice, or both"


def test_a_part_that_is_missing_makes_it_blank_and_is_named(tmp_path):
    aligned = _alike(_runs(tmp_path))
    aligned.values["dists"].loc["scene_001", "OSEDiff"] = np.nan
    aligned.values["niqe"]["Bicubic"] = np.nan
    aligned.reasons["Bicubic", "niqe"] = "weights unavailable"
    cells = _cells(with_ntire(aligned))
    assert cells["MoR-SR (tiny)", "ntire"].mean == pytest.approx(3.6)
    assert cells["OSEDiff", "ntire"].reason == "1 of 2: lacks DISTS (not computed)"
    assert cells["Bicubic", "ntire"].reason == "lacks NIQE (weights unavailable)"
    assert cells["Bicubic", "mobile"].reason == "no NTIRE score: lacks NIQE (weights unavailable)"
    assert cells["OSEDiff", "ntire"].mean is cells["OSEDiff", "mobile"].mean is None


def test_without_a_part_there_is_no_column(tmp_path):
    aligned = _alike(_runs(tmp_path))
    fewer = replace(aligned, metrics=tuple(m for m in aligned.metrics if m.id != "maniqa"))
    assert with_ntire(fewer) is fewer and group_composites(fewer, ()) == ((), ())


def test_the_mobile_score(tmp_path):
    cells = _cells(with_ntire(_alike(_runs(tmp_path))))
    # 2^3.6 = 12.1257; a speed-up of 32 to the power of 0.2 is 2, one of 10 is 1.58489.
    assert cells["OSEDiff", "mobile"].mean == pytest.approx(12.1257, abs=1e-4)
    assert cells["Bicubic", "mobile"].mean == pytest.approx(24.2515, abs=1e-4)
    assert cells["MoR-SR (tiny)", "mobile"].mean == pytest.approx(12.1257 * 1.58489, abs=1e-3)
    assert cells["Bicubic", "mobile"].low == pytest.approx(2 * 2**3.3)
    assert cells["Bicubic", "mobile"].high == pytest.approx(2 * 2**3.9)
    assert [cells[label, "mobile"].rank for label in LABELS] == [1, 2, 3]


@pytest.mark.parametrize(
    ("costs", "reason"),
    [
        ({"latency_ms": [None, 32.0, 320.0]}, "no latency was measured"),
        ({"complexity_size": [None, "128x128", "128x128"]}, "no latency was measured"),
        ({"complexity_size": ["64x64", "128x128", "128x128"]}, "OSEDiff's latency was measured for another LR size"),
        ({"device": ["cuda", "cpu", "cpu"]}, "OSEDiff's latency was measured for another LR size, device or machine"),
    ],
)
def test_a_speed_up_that_was_not_measured_alike_is_refused(tmp_path, costs, reason):
    cells = _cells(with_ntire(_alike(_runs(tmp_path, **costs))))
    cell = cells["Bicubic", "mobile"]
    assert cell.mean is None and cell.reason.startswith(reason)
    assert cells["OSEDiff", "mobile"].mean == pytest.approx(12.1257, abs=1e-4)


def test_another_machine_is_refused(tmp_path):
    def moved(manifest: Manifest) -> Manifest:
        if manifest.name != "bicubic":
            return manifest
        return manifest.model_copy(update={"invocations": [manifest.invocations[0].model_copy(update={"cpus": 64})]})

    cell = _cells(with_ntire(_alike(_runs(tmp_path, moved))))["Bicubic", "mobile"]
    assert cell.mean is None and "another LR size, device or machine" in cell.reason


def test_tiny_osediff_is_no_reference(tmp_path):
    aligned = with_ntire(_alike(_runs(tmp_path, lambda manifest: manifest.model_copy(update={"variant": "tiny"}))))
    columns, notes = group_composites(aligned, ())
    assert columns == () and len(notes) == 1
    assert "OSEDiff's latency is not known here" in notes[0] and "isrbench eval --method osediff" in notes[0]
    assert group_composites(with_ntire(_alike(_runs(tmp_path))), ()) == ((MOBILE,), ())


def _two_metrics(aligned: AlignedRuns) -> AlignedRuns:
    ids = list(aligned.images.index)
    psnr = {"Bicubic": (30, 20), "MoR-SR (tiny)": (26, 26), "OSEDiff": (22, 23)}
    lpips = {"Bicubic": (0.4, 0.4), "MoR-SR (tiny)": (0.3, 0.3), "OSEDiff": (0.3, 0.3)}
    return _scored(aligned, {"psnr": pd.DataFrame(psnr, ids, dtype=float), "lpips": pd.DataFrame(lpips, ids)})


def test_the_mean_rank(tmp_path):
    cells = _cells(_two_metrics(_runs(tmp_path)), ("psnr", "lpips"))
    # Means: PSNR 25, 26, 22.5, so ranks 2, 1, 3; LPIPS 0.4, 0.3, 0.3, so 3, 1.5, 1.5.
    assert [cells[label, "mean-rank"].mean for label in LABELS] == [2.5, 1.25, 2.25]
    assert [cells[label, "mean-rank"].rank for label in LABELS] == [3, 1, 2]
    # Bicubic's PSNR rank is 1 on the first image twice (1 in 4), 2 on both (2 in 4), 3 on the second twice (1 in 4).
    assert [(cells[label, "mean-rank"].low, cells[label, "mean-rank"].high) for label in LABELS] == [
        (2.0, 3.0), (1.25, 1.75), (1.75, 2.25),
    ]  # fmt: skip


def test_images_are_resampled_together_as_everywhere(tmp_path):
    aligned = _two_metrics(_runs(tmp_path))
    psnr = bootstrap_means(aligned.values["psnr"].to_numpy())
    ranks = 1 + (psnr[:, [0]] < psnr).sum(axis=1)
    cell = _cells(aligned, ("psnr",))["Bicubic", "mean-rank"]
    assert [cell.low, cell.high] == np.quantile(ranks, (0.025, 0.975)).tolist()
    assert cell == _cells(aligned, ("psnr",))["Bicubic", "mean-rank"]


def test_who_lacks_a_mean_has_no_rank(tmp_path):
    aligned = _two_metrics(_runs(tmp_path))
    aligned.values["lpips"].loc["scene_000", "Bicubic"] = np.nan
    cells = _cells(aligned, ("psnr", "lpips"))
    assert cells["Bicubic", "mean-rank"].reason == "no mean of LPIPS: 1 of 2: not computed"
    assert [cells[label, "mean-rank"].mean for label in LABELS] == [None, 1.25, 1.75]
    assert _cells(aligned, ("psnr", "ssim"))["OSEDiff", "mean-rank"].reason == "no run here was scored by SSIM"
    aligned.values["psnr"]["OSEDiff"] = np.inf
    cells = _cells(aligned, ("psnr", "lpips"))
    assert cells["OSEDiff", "mean-rank"].reason == "the mean of PSNR is infinite"
    assert cells["MoR-SR (tiny)", "mean-rank"].reason == "no other method to rank it with"


def test_metrics_to_rank_over():
    assert ranked_metrics(["psnr", "fid", "lpips"]) == ("psnr", "lpips"), "FID has no value of an image"
    assert ranked_metrics(["@free"])[:2] == ("psnr", "ssim")
    assert ranked_metrics([]) == ()
    with pytest.raises(UserError, match="unknown metric 'pnsr'; did you mean 'psnr'"):
        ranked_metrics(["pnsr"])
    with pytest.raises(UserError, match="metrics that score images"):
        ranked_metrics(["fid"])


def test_composites_are_columns_of_tables_and_files_but_never_stored(tmp_path):
    made = frames(tmp_path, count=6, failed=False)
    found = compare(made, strata="level", rank_over="psnr")
    assert set(made.scores["metric"]) == {"psnr", "ssim", "lpips", "musiq"}
    ranks = found.table.query("metric == 'mean-rank'")
    assert set(ranks["group"]) == {"all", "level mild", "level medium", "level severe"}
    assert ranks["definition"].str.contains("over PSNR of a method's rank").all()
    for text in (found.to_markdown(), found.to_latex(), found.to_text()):
        assert "Mean rank" in text
    assert found.tables["sample"]["mean-rank"].tolist() == [2, 1, 3]
    with pytest.raises(UserError, match="derived from stored scores"):
        NTIRE.make("cpu")
