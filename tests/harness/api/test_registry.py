"""A registry is lazy, names what it does not know, and survives what other people's modules do on import."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from types import FunctionType

import pytest

from isrbench.harness.api.registry import Registry, load_target, metrics, unknown_name
from isrbench.harness.errors import UserError
from tests.support.packages import install


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
    with pytest.raises(UserError, match="elsewhere:WORD and lazy_target:WORD"):
        registry.register("hello", "elsewhere:WORD")


def test_unknown_name_suggests_and_lists(registry):
    with pytest.raises(UserError, match=r"unknown word 'helo'; did you mean 'hello'\? Known words: hello"):
        registry.get("helo")
    assert unknown_name("word", "zzz", ["hello"]) == "unknown word 'zzz'. Known words: hello"
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


def test_a_target_may_lie_inside_an_object():
    assert load_target("pathlib:Path.home") == Path.home


# ---------------------------------------------------------------- entry points

GROUP = "isrbench.words"
WORDS = 'A = "a"\nB = "b"\n'


def words() -> Registry[str]:
    return Registry.from_entry_points("word", str, GROUP)


def test_entry_points_are_registered_without_being_imported(site):
    install(site, "one", {GROUP: {"a": "acme_one:A"}}, acme_one=WORDS)
    registry = words()
    assert list(registry) == ["a"] and "acme_one" not in sys.modules and not registry.refused
    assert registry.get("a") == "a"


def test_of_two_foreign_packages_that_take_one_name_neither_gets_it(site):
    install(site, "one", {GROUP: {"a": "acme_one:A", "b": "acme_one:B"}}, acme_one=WORDS)
    install(site, "two", {GROUP: {"a": "acme_two:A"}}, acme_two=WORDS)
    registry = words()
    assert list(registry) == ["b"] and "a" not in registry
    with pytest.raises(UserError, match="two words are registered as 'a': acme_one:A and acme_two:A") as caught:
        registry.get("a")
    assert "uninstall all but one" in (caught.value.fix or "")
    working, broken = registry.load_all()
    assert working == {"b": "b"} and broken == registry.refused and list(broken) == ["a"]


def test_three_foreign_packages_that_take_one_name_are_all_named(site):
    for package in ("one", "two", "three"):
        install(site, package, {GROUP: {"a": f"acme_{package}:A"}})
    assert list(words()) == []
    with pytest.raises(UserError, match="3 words are registered as 'a': acme_one:A, acme_three:A and acme_two:A"):
        words().get("a")


def test_the_same_target_from_two_packages_is_no_clash(site):
    install(site, "one", {GROUP: {"a": "acme_one:A"}}, acme_one=WORDS)
    install(site, "two", {GROUP: {"a": "acme_one:A"}})
    assert words().get("a") == "a" and not words().refused


def test_isrbenchs_own_plugin_keeps_its_name(site):
    install(site, "two", {GROUP: {"a": "acme_two:A"}}, acme_two=WORDS)
    install(site, "isrbench", {GROUP: {"a": "acme_one:A"}}, acme_one=WORDS)
    install(site, "three", {GROUP: {"a": "acme_three:A"}})
    registry = words()
    assert registry.get("a") == "a" and "acme_two" not in sys.modules
    assert "acme_one:A, acme_three:A and acme_two:A" in registry.refused["a"].message
    working, broken = registry.load_all()
    assert list(working) == list(broken) == ["a"]


def test_capital_letters_make_no_other_name(site):
    install(site, "isrbench", {GROUP: {"a": "acme_one:A"}}, acme_one=WORDS)
    install(site, "two", {GROUP: {"A": "acme_two:A", "b": "acme_two:B"}})
    install(site, "three", {GROUP: {"B": "acme_three:B"}})
    registry = words()
    assert list(registry) == ["a"] and set(registry.refused) == {"A", "B", "b"}
    with pytest.raises(UserError, match=r"word 'A' \(acme_two:A\) differs from 'a' in capital letters alone"):
        registry.get("A")


def test_a_foreign_metric_of_a_built_in_name_changes_nothing_and_is_reported(site):
    install(site, "two", {"isrbench.metrics": {"psnr": "acme_two:PSNR"}})
    registry = metrics()
    assert registry.get("psnr").build == "isrbench.harness.metrics.fidelity:build_psnr"
    assert "acme_two:PSNR" in registry.refused["psnr"].message and list(registry.refused) == ["psnr"]


@pytest.mark.parametrize(
    ("source", "words_said"),
    [
        ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
        ("import sys; sys.exit('needs Windows')", "SystemExit: needs Windows"),
        ("raise RuntimeError('no driver')", "RuntimeError: no driver"),
        ("B = 3", "has no attribute 'A'"),
        ("A = 3", "is a int, not a str"),
    ],
)
def test_a_package_that_cannot_be_imported_harms_nobody_else(source, words_said, site):
    install(site, "one", {GROUP: {"a": "acme_broken:A"}}, acme_broken=source)
    install(site, "two", {GROUP: {"b": "acme_works:B"}}, acme_works=WORDS)
    sys.modules.pop("acme_broken", None)
    registry = words()
    assert list(registry) == ["a", "b"], "listing imports nothing"
    working, broken = registry.load_all()
    assert working == {"b": "b"} and words_said in broken["a"].message and broken["a"].fix


@pytest.mark.parametrize(
    ("kind", "target", "own"),
    [
        ("method", "tests.support.nearest:PLUGIN", "nearest"),
        ("metric", "isrbench.harness.metrics.builtin:PSNR", "psnr"),
    ],
)
def test_a_plugin_whose_id_is_another_name_is_broken(kind: str, target: str, own: str) -> None:
    """Its rows would take the place of the plugin of that id."""
    from isrbench.harness.api.method import MethodPlugin
    from isrbench.harness.api.metric import Metric

    registry = Registry(kind, MethodPlugin if kind == "method" else Metric)
    registry.register("mine", target)
    with pytest.raises(UserError, match=f"{kind} 'mine': {target} calls itself '{own}'"):
        registry.get("mine")
    assert registry.find("mine") is None and list(registry.load_all()[1]) == ["mine"]
    registry.register(own, target)
    assert registry.find(own) is not None and registry.find("absent") is None


def test_a_file_stands_for_an_entry_where_its_ending_has_a_reader(tmp_path, registry, monkeypatch):
    (tmp_path / "reading_target.py").write_text("def read(path):\n    return path.read_text()\n")
    readers: Registry[FunctionType] = Registry("word file", FunctionType)
    readers.register("txt", "reading_target:read")
    words: Registry[str] = Registry("word", str, readers)
    words.register("hello", "lazy_target:WORD")
    file = tmp_path / "other.txt"
    file.write_text("good morning")
    assert words.get(str(file)) == "good morning" and list(words) == ["hello"]
    file.write_text("good evening")
    assert words.get(str(file)) == "good evening"
    file.rename(tmp_path / "Hello.txt")
    with pytest.raises(UserError, match="takes the id of a word that is installed, hello"):
        words.get(str(tmp_path / "Hello.txt"))
    with pytest.raises(UserError, match="unknown word"):
        words.get(str(tmp_path / "other.csv"))
    with pytest.raises(UserError, match="unknown word"):
        registry.get("other.txt")
