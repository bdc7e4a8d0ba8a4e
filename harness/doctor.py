"""What works here, what is missing, and the command that mends it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import weights
from harness.cards import catalogue, load_card
from harness.errors import UserError
from harness.manifest import package_versions
from harness.metrics import METRICS
from harness.pairs import find_root


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    mend: str = ""
    """The command that mends it; empty where nothing has to be."""


def examine(data_root: Path | None, runs_dir: Path) -> Iterator[Finding]:
    """Look at packages, devices, data sets, metric weights and the runs folder. Reaches for no network."""
    yield from _packages()
    yield _device()
    for name, path in catalogue().items():
        yield _dataset(name, path, data_root)
    for name in METRICS:
        yield _metric(name)
    yield _runs(runs_dir)


def _packages() -> Iterator[Finding]:
    import importlib

    for distribution, module in (
        ("torch", "torch"), ("torchvision", "torchvision"), ("diffusers", "diffusers"), ("peft", "peft"),
        ("open_clip_torch", "open_clip"), ("pyiqa", "pyiqa"), ("spandrel", "spandrel"), ("datasets", "datasets"),
    ):  # fmt: skip
        try:
            importlib.import_module(module)
            yield Finding(distribution, True, package_versions().get(distribution, "no version"))
        except Exception as error:  # a broken binary wheel raises whatever it likes
            mend = "pip install -c constraints.txt isrbench (take torch and torchvision from one place)"
            yield Finding(distribution, False, f"does not import: {(str(error).splitlines() or [''])[0]}", mend)


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("device", True, torch.cuda.get_device_name(0))
    return Finding("device", True, f"cpu, {torch.get_num_threads()} threads (no CUDA device)")


def _dataset(name: str, path: Path, data_root: Path | None) -> Finding:
    try:
        return Finding(f"dataset {name}", True, str(find_root(load_card(path), data_root)))
    except UserError as error:
        return Finding(f"dataset {name}", False, "not found", error.mend or "")


def _metric(name: str) -> Finding:
    absent = weights.missing(METRICS.get(name))
    if not absent:
        return Finding(f"metric {name}", True, "ready")
    return Finding(
        f"metric {name}", False, f"{len(absent)} weight file(s) missing", f"isrbench fetch weights --metric {name}"
    )


def _runs(runs_dir: Path) -> Finding:
    place = next(p for p in (runs_dir.resolve(), *runs_dir.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    enough = free > 1
    return Finding(
        "runs folder", enough, f"{runs_dir}, {free:.0f} GiB free", "" if enough else "make room or use --runs-dir DIR"
    )
