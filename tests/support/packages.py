"""Installed packages, made in a folder: real metadata and modules, found as anyone's are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isrbench.harness.api import registry
from isrbench.harness.data import catalogue

CACHED: tuple[Any, ...] = (registry.methods, registry.metrics, registry.cards, catalogue.carried)
"""What is looked up once a process."""

RIVAL = """
from isrbench.harness.api.metric import Direction, Metric, Reference
METRIC = Metric("psnr", "Rival", Direction.HIGHER, Reference.NONE, "RGB", "always 1", lambda device: lambda *a: 1.0)
"""
"""A metric that wants the name of isrbench's own."""


def install(folder: Path, package: str, points: dict[str, dict[str, str]], **modules: str) -> None:
    """Install a distribution into ``folder``, which has to be on ``sys.path``.

    Args:
        folder: Where modules and metadata are written.
        package: The distribution's name.
        points: By entry-point group, targets by name.
        **modules: Source code by module name.
    """
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    groups = [f"[{group}]\n" + "".join(f"{n} = {t}\n" for n, t in names.items()) for group, names in points.items()]
    (info / "entry_points.txt").write_text("\n".join(groups))
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on ``sys.path`` to install into; the registries look again, during the test and after it."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for cached in CACHED:
        cached.cache_clear()
    yield folder
    monkeypatch.undo()
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """Packages with plugins of every bad kind."""
    site = tmp_path_factory.mktemp("hostile") / "site"
    install(site, "rival", {"isrbench.metrics": {"psnr": "rival:METRIC"}}, rival=RIVAL)
    install(
        site, "broken",
        {"isrbench.methods": {"crash": "crash:PLUGIN", "leave": "leave:PLUGIN", "absent": "not_there:PLUGIN"},
         "isrbench.metrics": {"crashing": "crash:METRIC", "odd": "json:dumps"},
         "isrbench.tools": {"crash": "crash:main", "convert": "crash:main"},
         "isrbench.reports": {"default": "crash:write", "aaa": "crash:write"},
         "isrbench.hub_cards": {"default": "crash:write"}},
        crash="1 / 0\n", leave="raise SystemExit('goodbye')\n",
    )  # fmt: skip
    install(site, "twin_a", {"isrbench.methods": {"twin": "crash:A"}})
    install(site, "twin_b", {"isrbench.methods": {"twin": "crash:B"}})
    return site
