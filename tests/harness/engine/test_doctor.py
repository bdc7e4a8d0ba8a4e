"""`isrbench doctor` where something is broken, the case that it exists for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isrbench.harness.engine.doctor import Finding, examine, exit_code
from tests.support.packages import install
from tests.support.paths import ROOT

BROKEN = {
    "raises": "print('noise')\nraise OSError('libcudart.so.13: cannot open shared object file')",
    "ends Python": "import os, sys\nprint('noise', file=sys.stderr, flush=True)\nos.abort()",
}
PACKAGES_HERE = {"torch": "torch", "torchvision": "torchvision", "numpy": "numpy"}
"""A broken one, one that needs it, and one that does not."""


@pytest.mark.process
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_torch_is_a_finding_with_the_readmes_fix(how: str, tmp_path: Path) -> None:
    """In a process of its own, in which nothing can import torch; what comes after torch is looked at all the same."""
    (tmp_path / "torch.py").write_text(BROKEN[how])
    code = (
        "import json, pathlib\nfrom isrbench.harness.engine.doctor import examine, exit_code\n"
        f"packages = {PACKAGES_HERE}\n"
        f"findings = list(examine(None, pathlib.Path({str(tmp_path / 'runs')!r}), packages))\n"
        "print(json.dumps([exit_code(findings), [vars(f) for f in findings]]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "third-party noise"
    exit_with, findings = json.loads(done.stdout)
    found = {f["what"]: f for f in findings}
    assert exit_with == 1 and not found["torch"]["ok"] and not found["device"]["ok"]
    assert {"raises": "libcudart.so.13", "ends Python": "ends Python"}[how] in found["torch"]["found"]
    fix = found["torch"]["fix"]
    assert fix in (ROOT / "README.md").read_text(encoding="utf-8") and fix.startswith("pip install")
    assert found["numpy"]["ok"] and not found["torchvision"]["ok"]
    assert found["metric psnr"]["ok"] and found["dataset sample"]["ok"], "the rest must still be looked at"


def test_a_runs_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    bad = list(examine(None, tmp_path / "file" / "runs", packages={}))[-1]
    assert (bad.what, bad.ok, bad.fix) == ("runs folder", False, "use --runs-dir DIR") and bad.needed
    good = list(examine(None, tmp_path / "new" / "runs", packages={}))[-1]
    assert good.ok and [p.name for p in tmp_path.iterdir()] == ["file"], "looking must leave nothing behind"


def test_a_broken_plugin_is_a_finding_of_its_own(site: Path, tmp_path: Path) -> None:
    install(site, "bad", {"isrbench.methods": {"bad": "bad_plugin:PLUGIN"}}, bad_plugin="1 / 0\n")
    findings = {f.what: f for f in examine(None, tmp_path, packages={})}
    assert not findings["method bad"].ok and "ZeroDivisionError" in findings["method bad"].found
    assert exit_code(findings.values()) == 0, "a stranger's plugin does not break isrbench"


def test_a_file_that_is_not_the_published_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    files = {
        "lpips": "pyiqa/LPIPS_v0.1_alex-df73285e.pth",
        "bsrgan": "isrbench/bsrgan/BSRGAN.pth",
        "liqe": "pyiqa/liqe_koniq.pt",
    }
    for name in files.values():
        path = tmp_path / "hub" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x80\x02}.")
    findings = {f.what: f for f in examine(None, tmp_path / "runs", packages={})}
    for what in ("metric lpips", "method bsrgan"):
        kind, _, name = what.partition(" ")
        found = findings[what]
        assert not found.ok and f"{files[name]} is not the published file: its sha256 is" in found.found
        assert found.fix == f"isrbench fetch weights --{kind} {name}"
    assert findings["metric liqe"].ok and findings["metric liqe"].found == (
        "ready; no whole sha256 of pyiqa/liqe_koniq.pt is published"
    )


def test_a_plugin_that_takes_a_name_is_a_finding_beside_the_one_that_keeps_it(site: Path, tmp_path: Path) -> None:
    install(site, "rival", {"isrbench.metrics": {"psnr": "rival:METRIC"}})
    findings = {f.what: f for f in examine(None, tmp_path, packages={})}
    assert findings["metric psnr"].ok
    refused = findings["metric psnr of another package"]
    assert not refused.ok and "rival:METRIC" in refused.found and refused.fix


@pytest.mark.process
def test_a_folder_of_a_librarys_name_is_not_taken_for_the_library(tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("raise ImportError('not this one')\n")
    code = (
        "import os, pathlib\nfrom isrbench.harness.engine.doctor import examine\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "found = next(examine(None, pathlib.Path('runs'), packages={'numpy': 'numpy'}))\nassert found.ok, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_exit_code_counts_only_what_is_needed() -> None:
    good, absent = Finding("torch", True, "2", needed=True), Finding("dataset x", False, "not found", "fetch it")
    assert exit_code([good, absent]) == 0
    assert exit_code([good, absent, Finding("torch", False, "", needed=True)]) == 1
