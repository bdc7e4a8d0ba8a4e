"""What nox installs into its environments."""

from __future__ import annotations

import importlib.util

import pytest

from tests.support.paths import ROOT


def test_plugin_packages_are_installed_beside_isrbench(tmp_path, monkeypatch) -> None:
    """Folders as `pip install -e` does, names as they are; isrbench, which they need, comes first."""
    pytest.importorskip("nox", reason="needs nox")
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec is not None and spec.loader is not None
    noxfile = importlib.util.module_from_spec(spec)
    monkeypatch.chdir(ROOT)
    spec.loader.exec_module(noxfile)
    monkeypatch.setenv("ISRBENCH_UNCONSTRAINED", "1")
    monkeypatch.setenv("ISRBENCH_PLUGINS", f"'{tmp_path}' some-package>=2")
    installed = []

    class Session:
        def install(self, *words: str) -> None:
            installed.append(words)

    noxfile.install(Session())
    assert installed == [("-e", "."), ("-e", str(tmp_path)), ("some-package>=2",)]
