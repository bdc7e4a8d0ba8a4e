"""Named sets of metrics."""

import pytest

from isrbench.harness.api.registry import metrics
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.sets import DEFAULT_METRICS, METRIC_SETS, expand


def test_every_set_holds_installed_metrics_and_no_metric_is_called_like_a_set():
    for ids in METRIC_SETS.values():
        assert set(ids) <= set(metrics()) and len(set(ids)) == len(ids)
    assert not set(METRIC_SETS) & set(metrics())
    assert METRIC_SETS["default"] == DEFAULT_METRICS == ("psnr", "ssim", "lpips", "musiq", "clipiqa")


def test_the_set_without_weights_is_all_that_needs_no_download():
    assert set(METRIC_SETS["no-weights"]) == {id for id in metrics() if not metrics().get(id).weights} - {"fid"}


def test_sets_and_ids_are_mixed_in_order_and_each_metric_comes_once():
    assert expand(["fid", "default", "psnr"]) == ("fid", *DEFAULT_METRICS)
    assert expand(["psnr", "zeta"]) == ("psnr", "zeta")
    with pytest.raises(UserError, match="'psnr' is given twice"):
        expand(["psnr", "ssim", "psnr"])
