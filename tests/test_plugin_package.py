"""A third party's package is installed for real and found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.imaging.images import read_rgb
from tests.support.cli import finished
from tests.support.packages import install
from tests.support.paths import ROOT

pytestmark = pytest.mark.process

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


def _python(code: str, *paths: Path) -> tuple[int, str, str]:
    return finished(script=code, path=(*paths, ROOT))


def test_method_and_metric_of_an_installed_package_are_found_and_eval_runs_them(installed, tmp_path):
    """Down to the report, which has to know a stranger's metric as well."""
    code = """
import sys
from isrbench.harness.api.method import Runtime
from isrbench.harness.api.registry import methods, metrics
from isrbench.harness.cli.main import main
assert "nearest" in methods() and "mae" in metrics(), (list(methods()), list(metrics()))
assert "isrbench_nearest" not in sys.modules, "listing imported the plugin"
plugin, metric = methods().get("nearest"), metrics().get("mae")
assert (plugin.info.title, metric.title) == ("Nearest", "MAE")
assert "torch" not in sys.modules, "metadata imported torch"
import torch
lr = torch.rand(3, 5, 7)
image = plugin.make(plugin.options(), Runtime(scale=4)).restore(lr, image="a", seed=0).image
assert image.shape == (3, 20, 28) and torch.equal(image[:, ::4, ::4], lr)
main()
"""
    args = ("--dataset", "sample", "--limit", "2", "--metrics", "mae,brightness", "--estimator", "none", "--json")
    args += ("--runs-dir", tmp_path / "runs")
    code, out, err = finished("eval", "--method", "nearest", *args, script=code, path=(installed, ROOT))
    assert code == 0, err
    summary = json.loads(out)
    expected = []
    for pair in load_pairs(find_card("sample"), limit=2):
        large = read_rgb(pair.lr).repeat(4, axis=0).repeat(4, axis=1).astype(float)
        expected.append(np.abs(large - read_rgb(pair.hr)).mean())
    row, brightness = summary["metrics"]
    assert (row["metric"], row["n"], row["failed"]) == ("mae", 2, 0)
    assert row["mean"] == pytest.approx(np.mean(expected), rel=1e-12)
    # It was given the LR: repeating pixels keeps their mean, to the last digits of a float.
    assert brightness["metric"] == "brightness" and brightness["mean"] == pytest.approx(0, abs=1e-9)
    assert brightness["n"] == 2
    assert "MAE" in (tmp_path / "runs" / "report" / "index.html").read_text(encoding="utf-8")


def test_what_an_installed_package_holds_passes_the_checks_that_ship(installed):
    code = """
from isrbench.harness.engine.contract.check import Verdict
from isrbench.harness.engine.contract.method import check_method
from isrbench.harness.engine.contract.metric import check_metric
from isrbench.harness.data.catalogue import find_card
for checked in (check_method("nearest"), check_metric("mae"), check_metric("brightness")):
    assert not [one for one in checked if one.verdict is Verdict.FAIL], checked
    assert sum(one.verdict is Verdict.PASS for one in checked) > 5, checked
assert find_card("night").count == 50
"""
    code, _, err = _python(code, installed)
    assert code == 0, err


def test_two_packages_with_one_name_are_refused_and_both_shown(installed, tmp_path):
    install(tmp_path, "rival", {"isrbench.methods": {"nearest": "rival.plugin:OTHER"}})
    code = """
from isrbench.harness.api.registry import methods
assert "nearest" not in methods() and "bicubic" in methods()
print(methods().refused["nearest"].message)
"""
    code, out, err = _python(code, installed, tmp_path)
    assert code == 0, err
    assert "isrbench_nearest:NEAREST" in out and "rival.plugin:OTHER" in out


def test_contributing_names_what_the_example_has():
    """The five steps and the example cannot drift apart."""
    steps = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    example = (PACKAGE / "src" / "isrbench_nearest" / "__init__.py").read_text(encoding="utf-8")
    for name in (
        "weights_hash",
        "restore",
        "cost",
        "input_hash",
        "MethodPlugin",
        "definition",
        "direction",
        "colour",
        "uses_lr",
    ):
        assert f"`{name}" in steps or f"{name}," in steps or f"{name}(" in steps, name
        assert name in example, name
    metadata = (PACKAGE / "pyproject.toml").read_text(encoding="utf-8")
    for group in ("isrbench.methods", "isrbench.metrics", "isrbench.datasets"):
        assert f'[project.entry-points."{group}"]' in steps and f'[project.entry-points."{group}"]' in metadata
