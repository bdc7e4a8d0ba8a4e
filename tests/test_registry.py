from __future__ import annotations

import sys
import textwrap

import pytest

from harness.errors import UserError
from harness.registry import Registry, unknown_name


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry[str]:
    (tmp_path / "lazy_target.py").write_text(textwrap.dedent("""\
        WORD = "hello"
        NUMBER = 3
    """))
    (tmp_path / "broken_target.py").write_text("import no_such_module_anywhere\n")
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
    ],
)
def test_target_that_is_wrong_missing_or_broken(registry, target, message):
    registry.register("bad", target)
    with pytest.raises(UserError, match=message):
        registry.get("bad")
