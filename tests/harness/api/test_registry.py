"""A registry is lazy, names what it does not know, and survives what other people's modules do on import."""

from __future__ import annotations

import re
import sys
import textwrap

import pytest

from isrbench.harness.api.method import MethodPlugin
from isrbench.harness.api.metric import Metric
from isrbench.harness.api.registry import Registry, unknown_name
from isrbench.harness.engine.listing import description, listing
from isrbench.harness.errors import UserError


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry[str]:
    (tmp_path / "lazy_target.py").write_text(
        textwrap.dedent("""\
        WORD = "hello"
        NUMBER = 3
    """)
    )
    (tmp_path / "broken_target.py").write_text("import no_such_module_anywhere\n")
    (tmp_path / "raising_target.py").write_text("raise RuntimeError('driver too old\\nand more')\n")
    (tmp_path / "leaving_target.py").write_text("import sys\nsys.exit('needs Windows')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lazy_target", raising=False)
    registry: Registry[str] = Registry("word", str)
    registry.register("hello", "lazy_target:WORD")
    return registry


def test_listing_imports_nothing_and_get_imports_once(registry):
    assert list(registry) == ["hello"] and "hello" in registry and "hullo" not in registry
    assert "lazy_target" not in sys.modules
    assert registry.get("hello") == "hello"
    assert "lazy_target" in sys.modules


def test_names_are_sorted(registry):
    registry.register("alpha", "lazy_target:WORD")
    assert list(registry) == ["alpha", "hello"]


def test_same_target_twice_is_harmless_and_another_is_refused_with_both(registry):
    registry.register("hello", "lazy_target:WORD")
    with pytest.raises(UserError, match="lazy_target:WORD and elsewhere:WORD"):
        registry.register("hello", "elsewhere:WORD")


def test_unknown_name_suggests_and_lists(registry):
    with pytest.raises(UserError, match=r"there is no word 'helo'; did you mean 'hello'\? Known words: hello"):
        registry.get("helo")
    assert unknown_name("word", "zzz", ["hello"]) == "there is no word 'zzz'. Known words: hello"
    assert "did you mean 'RealSR'?" in unknown_name("dataset", "realsr", ["RealSR", "DRealSR"])
    assert unknown_name("word", "x", []).endswith("Known words: none")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("lazy_target:NUMBER", "is a int, not a str"),
        ("lazy_target:ABSENT", "cannot be loaded from lazy_target:ABSENT"),
        ("broken_target:WORD", "no_such_module_anywhere"),
        ("raising_target:WORD", "cannot be loaded from raising_target:WORD: RuntimeError: driver too old$"),
        ("leaving_target:WORD", "SystemExit: needs Windows"),
        ("lazy_target", "cannot be loaded from lazy_target"),
        ("", "cannot be loaded"),
    ],
)
def test_target_that_is_wrong_missing_or_broken(registry, target, message):
    registry.register("bad", target)
    with pytest.raises(UserError) as caught:
        registry.get("bad")
    assert re.search(message, caught.value.message) and caught.value.fix
    working, broken = registry.load_all()
    assert working == {"hello": "hello"} and list(broken) == ["bad"]


def test_a_broken_method_is_listed_as_broken_among_the_others(tmp_path, monkeypatch):
    (tmp_path / "bad_plugin.py").write_text("raise RuntimeError('no driver')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    methods = Registry("method", MethodPlugin)
    methods.register("bicubic", "isrbench.methods.classical.plugin:BICUBIC")
    methods.register("alpha", "bad_plugin:PLUGIN")
    columns, rows = listing("methods", lambda: methods, tmp_path)
    assert [row[0] for row in rows] == ["alpha", "bicubic"]
    assert rows[0][1] == "(broken)" and "RuntimeError: no driver" in rows[0][3]
    assert rows[1][1] == "Bicubic" and len(columns) == 4
    assert description("method", "bicubic", lambda: methods)[0]["title"] == "Bicubic"
    with pytest.raises(UserError, match="RuntimeError: no driver"):
        description("method", "alpha", lambda: methods)


def test_a_broken_metric_is_listed_as_broken_among_the_others(tmp_path, monkeypatch):
    metrics = Registry("metric", Metric)
    metrics.register("psnr", "isrbench.harness.metrics.builtin:PSNR")
    metrics.register("zeta", "no_such_module_anywhere:METRIC")
    monkeypatch.setattr("isrbench.harness.metrics.builtin.METRICS", metrics)
    columns, rows = listing("metrics", lambda: pytest.fail("no method is needed"), tmp_path)
    assert columns == ("id", "title", "better", "reference", "default", "weights")
    assert rows[0] == ("psnr", "PSNR", "higher", "full", "yes", "ready")
    assert rows[1][:2] == ("zeta", "(broken)") and "no_such_module_anywhere" in rows[1][5]


def test_a_row_of_the_list_of_metrics_is_a_line_of_100_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # no weights: every row that can names its command
    columns, rows = listing("metrics", lambda: pytest.fail("no method is needed"), tmp_path)
    assert any(row[-1] == "isrbench fetch weights --metric maniqa-pipal" for row in rows)
    widths = [max(len(str(row[i])) for row in (columns, *rows)) for i in range(len(columns))]
    assert all(columns) and sum(widths) + 2 * (len(widths) - 1) <= 100
