"""Installed packages, made in a folder: real metadata and modules, found as anyone's are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isrbench.harness.api import registry


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
    for cached in (registry.methods, registry.metrics):
        cached.cache_clear()
    yield folder
    monkeypatch.undo()
    for cached in (registry.methods, registry.metrics):
        cached.cache_clear()
