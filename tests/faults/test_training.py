"""A training that is killed at any moment and resumed ends as one that was not, byte for byte."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.cli import finished, started
from tests.support.training_world import write_world

FILES = ("adapter.safetensors", "best.safetensors", "curves.csv")


@pytest.mark.slow
@pytest.mark.process
def test_after_kill_9_and_resume_the_files_have_the_bytes_of_an_unbroken_run(tmp_path: Path) -> None:
    world = write_world(tmp_path)
    plain = [f"base={world / 'base'}", "timestep=249", "data.crop=32", "data.severity_window=0", "data.workers=0"]
    plain += ["batch=2", "device=cpu", "threads=1", "log_every=1", "save_every=2", "optim.warmup=0", "severity_note=2"]
    plain += [f'validation.folders=["{world / "photos"}"]', "validation.crop=32", "validation.images=1"]
    plain += ["validation.every=2", 'validation.metrics=["psnr"]', "validation.best=psnr", "validation.levels=[0.5]"]

    def argv(out: str) -> list[str]:
        return [
            "train",
            "--method",
            "mor",
            "--data",
            str(world / "photos"),
            "--out",
            str(tmp_path / out),
            "--steps",
            "8",
            *plain,
        ]

    code, _, said = finished(*argv("whole"))
    assert code == 0, said
    resume: list[str] = []
    for name in ("states/state-2.pt", "adapter.safetensors"):
        # Each time at another event: when this file has been written, or written once more.
        seen = (tmp_path / "cut" / name).stat().st_mtime_ns if (tmp_path / "cut" / name).exists() else 0
        process = started(*argv("cut"), *resume)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (tmp_path / "cut" / name).exists() and (tmp_path / "cut" / name).stat().st_mtime_ns > seen:
                break
            time.sleep(0.001)
        process.kill()
        process.communicate()
        if list((tmp_path / "cut" / "states").glob("*.pt")):
            resume = ["--resume"]
    code, _, said = finished(*argv("cut"), *resume)
    assert code == 0, said
    for name in FILES:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name
