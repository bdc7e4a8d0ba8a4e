"""The table of built-in metrics: complete, in agreement with pyiqa, cheap to list."""

import subprocess
import sys

from isrbench.harness.api.metric import Direction, Reference
from isrbench.harness.api.registry import metrics

WITHOUT_WEIGHTS = ["gmsd", "piqe", "ms_ssim", "vsi", "niqe"]
WITH_WEIGHTS = [
    "lpips", "dists", "musiq", "maniqa-pipal", "clipiqa", "fid", "maniqa", "topiq_nr", "topiq_fr", "tres", "clipiqa+",
    "liqe", "lpips-vgg", "afine_all",
]  # fmt: skip
BUILT_IN = ["psnr", "ssim", *WITH_WEIGHTS, *WITHOUT_WEIGHTS]


def test_the_built_in_metrics_come_through_entry_points():
    assert set(BUILT_IN) <= set(metrics())
    for id in BUILT_IN:
        metric = metrics().get(id)
        assert metric.id == id
        assert metric.citation.startswith("@") and metric.citation.count("{") == metric.citation.count("}")
        assert metric.definition and metric.colour and metric.title


def test_directions_and_references_agree_with_pyiqa():
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    for id in BUILT_IN:
        metric, theirs = metrics().get(id), DEFAULT_CONFIGS[id]
        assert (metric.direction is Direction.LOWER) == theirs.get("lower_better", False), id
        if metric.reference is not Reference.SET:
            assert (metric.reference is Reference.FULL) == (theirs["metric_mode"] == "FR"), id


def test_listing_metrics_imports_nothing_heavy():
    heavy = ["torch", "numpy", "PIL", "pyiqa", "scipy", "pandas", "urllib.request"]
    listing = "import sys; from isrbench.harness.api.registry import metrics; assert len(metrics().load_all()[0]) > 12"
    code = f"{listing}; print([h for h in {heavy} if h in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
