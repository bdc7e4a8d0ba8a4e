"""A third party's package is installed for real and found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.imaging.images import read_rgb
from tests.support.paths import ROOT

PACKAGE = Path(__file__).parent / "plugin_package"


def _installers(source: Path, target: Path) -> list[list[str]]:
    """Commands that would install ``source`` into ``target`` with what is here, fetching nothing."""
    flags = ["--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    commands = []
    if shutil.which("uv"):
        commands.append(["uv", "pip", "install", "--quiet", "--offline", "--python", sys.executable, *flags])
    commands.append([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", *flags])
    return commands


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    pytest.importorskip("setuptools", reason="building the plugin package needs setuptools")
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PACKAGE, folder / "source")  # a build writes beside its sources
    output = ""
    for command in _installers(source, folder / "site"):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode == 0:
            return folder / "site"
        output += done.stderr
    if "No module named pip" in output and not shutil.which("uv"):
        pytest.skip("neither uv nor pip is here to install the plugin package with")
    pytest.fail(f"the plugin package cannot be installed: {output}")


def _python(code: str, *paths: Path, args: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*paths, ROOT)))}
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def test_method_and_metric_of_an_installed_package_are_found_and_work(installed):
    code = """
import sys
from isrbench.harness.api.method import MethodPlugin, Runtime
from isrbench.harness.api.metric import Metric
from isrbench.harness.api.registry import Registry
methods = Registry.from_entry_points("method", MethodPlugin, "isrbench.methods")
metrics = Registry.from_entry_points("metric", Metric, "isrbench.metrics")
assert "nearest" in methods and "mae" in metrics, (list(methods), list(metrics))
assert "isrbench_nearest" not in sys.modules, "listing imported the plugin"
plugin, metric = methods.get("nearest"), metrics.get("mae")
assert "torch" not in sys.modules, "metadata imported torch"
import torch
lr = torch.rand(3, 5, 7)
image = plugin.build(plugin.options(), Runtime(scale=4)).restore(lr, image="a", seed=0).image
assert image.shape == (3, 20, 28) and torch.equal(image[:, ::4, ::4], lr)
print(plugin.info.title, metric.title)
"""
    done = _python(code, installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Nearest", "MAE"]


def test_eval_runs_an_installed_method_and_scores_with_an_installed_metric(installed, tmp_path):
    """Down to the report, which has to know a stranger's metric as well."""
    args = [
        "eval", "--method", "nearest", "--dataset", "sample", "--limit", "2", "--metrics", "mae",
        "--runs-dir", str(tmp_path / "runs"), "--json",
    ]  # fmt: skip
    done = _python(
        "import sys\nsys.argv[0] = 'isrbench'\nfrom isrbench.harness.cli.main import main\nmain()", installed, args=args
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    expected = []
    for pair in load_pairs(find_card("sample"))[:2]:
        large = read_rgb(pair.lr).repeat(4, axis=0).repeat(4, axis=1).astype(float)
        expected.append(np.abs(large - read_rgb(pair.hr)).mean())
    (row,) = summary["metrics"]
    assert (row["metric"], row["n"], row["failed"]) == ("mae", 2, 0)
    assert row["mean"] == pytest.approx(np.mean(expected), rel=1e-12)
    assert "MAE" in (tmp_path / "runs" / "report" / "index.html").read_text(encoding="utf-8")


def test_two_packages_with_one_name_are_refused_and_both_shown(installed, tmp_path):
    rival = tmp_path / "rival-1.0.dist-info"
    rival.mkdir()
    (rival / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (rival / "entry_points.txt").write_text("[isrbench.methods]\nnearest = rival.plugin:OTHER\n")
    code = """
from isrbench.harness.api.method import MethodPlugin
from isrbench.harness.api.registry import Registry
Registry.from_entry_points("method", MethodPlugin, "isrbench.methods")
"""
    done = _python(code, installed, tmp_path)
    assert done.returncode != 0
    assert "two methods are registered as 'nearest'" in done.stderr
    assert "isrbench_nearest:NEAREST" in done.stderr and "rival.plugin:OTHER" in done.stderr
