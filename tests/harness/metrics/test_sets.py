"""Named sets of metrics."""

import pytest

from isrbench.harness.api.metric import Reference
from isrbench.harness.api.registry import metrics
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.sets import DEFAULT_METRICS, METRIC_SETS, expand


def test_every_set_holds_installed_metrics_and_no_metric_is_called_like_a_set():
    for ids in METRIC_SETS.values():
        assert set(ids) <= set(metrics()) and len(set(ids)) == len(ids)
    assert all(name.startswith("@") for name in METRIC_SETS) and not any(id.startswith("@") for id in metrics())


def test_the_default_is_osediffs_table_and_what_is_quick_without_weights():
    assert (*expand(["@osediff"]), "gmsd", "vsi", "piqe") == DEFAULT_METRICS
    against_lr = {"lr_consistency", "shift", "hallucination", "omission", "improvement"}
    assert set(expand(["@free"])) - set(DEFAULT_METRICS) == {"ms_ssim", *against_lr}


def test_the_free_set_is_all_that_needs_no_download():
    ours = [id for id in metrics() if callable(metrics().get(id).build) or "isrbench" in str(metrics().get(id).build)]
    assert set(METRIC_SETS["@free"]) == {id for id in ours if not metrics().get(id).weights}


def test_all_is_every_metric():
    assert expand(["all"]) == expand(["@all"]) == tuple(metrics()) and expand(["psnr", "all"])[0] == "psnr"
    assert not {"all", "@all"} & {*metrics(), *METRIC_SETS}


def test_metrics_of_the_set_that_looks_at_the_restored_image_alone_do_so():
    assert {metrics().get(id).reference for id in expand(["@nr"])} == {Reference.NONE}


def test_sets_and_ids_are_mixed_in_order_and_each_metric_comes_once():
    mor = ("psnr", "lpips", "clipiqa", "musiq", "maniqa", "topiq_nr", "tres")
    assert expand(["tres", "@mor", "psnr"]) == ("tres", *mor[:-1])
    assert expand(["psnr", "zeta"]) == ("psnr", "zeta")
    with pytest.raises(UserError, match="'psnr' is given twice"):
        expand(["psnr", "ssim", "psnr"])
    with pytest.raises(UserError, match="did you mean '@osediff'"):
        expand(["psnr", "@osedif"])
