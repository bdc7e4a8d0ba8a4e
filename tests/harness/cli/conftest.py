"""Runs that several test files start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import isrbench


@pytest.fixture
def evaluated(pairs_folder: Path, tmp_path: Path, capsys) -> Path:
    """A runs folder with one finished run of bicubic."""
    runs = tmp_path / "runs"
    code, _, _ = isrbench(
        capsys, "eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr,ssim", "--runs-dir", runs,
        "--no-complexity", "--no-report", "--estimator", "none",
    )  # fmt: skip
    assert code == 0
    return runs
