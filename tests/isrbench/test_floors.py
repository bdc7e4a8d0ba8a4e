"""The house as a whole: what may import what, and how many things are seen from outside."""

from __future__ import annotations

import grimp
import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module -> the modules of isrbench that it imports, those inside functions too."""
    graph = grimp.build_graph("isrbench", cache_dir=None, exclude_type_checking_imports=True)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_no_modules_import_each_other_in_a_circle(imports: dict[str, set[str]]) -> None:
    assert len(imports) > 100 and "isrbench.methods.mor.adapter" in imports, "the links in isrbench/ were not followed"
    left = {module: set(imported) for module, imported in imports.items()}
    # What imports nothing that is left, or is imported by nothing that is left, is in no circle.
    while True:
        imported_by_some = set().union(*left.values())
        ends = {module for module, imported in left.items() if not imported or module not in imported_by_some}
        if not ends:
            break
        left = {module: imported - ends for module, imported in left.items() if module not in ends}
    assert not left, f"modules in a circle: { {module: sorted(imported) for module, imported in left.items()} }"


def test_importing_isrbench_imports_none_of_its_modules(imports: dict[str, set[str]]) -> None:
    """An import there would be part of every run's identity."""
    assert imports["isrbench"] == set()


def test_the_harness_is_nine_packages_and_ten_files() -> None:
    inside = [path for path in (ROOT / "harness").iterdir() if not path.name.startswith("__")]
    assert len([path for path in inside if path.is_dir()]) <= 9
    assert len([path for path in inside if path.suffix == ".py"]) <= 10


def test_datasets_hold_no_python() -> None:
    """It would shadow Hugging Face's library of that name."""
    assert not list((ROOT / "datasets").rglob("*.py"))
