"""What is built: one package of real folders, each file once."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.cli import finished
from tests.support.paths import ROOT

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    pytest.importorskip("build.__main__", reason="needs build and hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory) -> Path:
    """The wheel's content, as it would lie in site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_the_wheel_is_one_package(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")} == {"isrbench"}
    inside = {path.name for path in (unpacked / "isrbench").iterdir()}
    assert inside == {"__init__.py", "__main__.py", "py.typed", "studies", "harness", "methods", "reports", "datasets"}
    for tree in ("harness", "methods", "reports", "datasets"):
        shipped = {
            p.relative_to(unpacked / "isrbench") for p in (unpacked / "isrbench" / tree).rglob("*") if p.is_file()
        }
        checkout = {p.relative_to(ROOT) for p in (ROOT / tree).rglob("*") if p.is_file() and p.suffix != ".pyc"}
        assert shipped == checkout, shipped ^ checkout


def test_the_sdist_holds_each_file_once(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
    names = [member.name.partition("/")[2] for member in files]
    assert len(names) == len(set(names))
    studies = {path.relative_to(ROOT).as_posix() for path in (ROOT / "isrbench" / "studies").glob("*.py")}
    assert {name for name in names if name.startswith("isrbench/")} == {
        "isrbench/__init__.py", "isrbench/__main__.py", "isrbench/py.typed", *studies,
    }  # fmt: skip
    assert {"harness/cli/main.py", "tests/conftest.py", "noxfile.py", "constraints.txt"} <= set(names)
    assert sum(member.size for member in files) < 50 * 2**20


def test_the_wheel_alone_evaluates_from_another_folder(unpacked: Path, tmp_path: Path) -> None:
    code, out, err = finished("list", "datasets", path=(unpacked,), cwd=tmp_path)
    assert code == 0 and "RealSR" in out, err
    args = ("--dataset", "sample", "--limit", "2", "--metrics", "psnr,ssim")
    code, out, err = finished("eval", "--method", "bicubic", *args, path=(unpacked,), cwd=tmp_path)
    assert code == 0 and "2 of 2 images restored" in out, err
    assert (tmp_path / "runs" / "report" / "index.html").is_file()
    where = "import isrbench.harness.cli.main as m; print(m.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(unpacked)
