"""What works here, what is missing, and the command that fixes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isrbench.harness.api.metric import Metric
from isrbench.harness.api.registry import Registry, methods, metrics
from isrbench.harness.data.catalogue import carried, catalogue, load_card
from isrbench.harness.data.find import find_root
from isrbench.harness.engine.listing import faults
from isrbench.harness.engine.provenance import package_versions
from isrbench.harness.errors import UserError
from isrbench.harness.metrics import weights

PACKAGES = {
    "torch": "torch", "torchvision": "torchvision", "diffusers": "diffusers", "peft": "peft",
    "open_clip_torch": "open_clip", "pyiqa": "pyiqa", "spandrel": "spandrel", "datasets": "datasets",
}  # fmt: skip
"""What isrbench cannot do without: module by distribution."""
_REINSTALL = "pip install -c constraints.txt ."
_CHILD = """
import importlib, json, os, sys, warnings
if sys.path[:1] == [""]:
    del sys.path[0]
answers = os.fdopen(os.dup(1), "w")
silence = os.open(os.devnull, os.O_WRONLY)
os.dup2(silence, 1), os.dup2(silence, 2)
warnings.simplefilter("ignore")
for name in sys.argv[1:]:
    answer = {"module": name}
    try:
        module = importlib.import_module(name)
        if name == "torch" and module.cuda.is_available():
            answer["device"] = module.cuda.get_device_name(0)
        elif name == "torch":
            answer["device"] = f"cpu, {module.get_num_threads()} threads (no CUDA device)"
    except BaseException as error:
        answer["error"] = (str(error).splitlines() or [type(error).__name__])[0]
    print(json.dumps(answer), file=answers, flush=True)
"""
"""Imports the modules that are its arguments and writes a JSON line for each, whatever they print themselves. A folder
``datasets`` or ``torch`` in the working directory, which ``python -c`` would import first, is not what is asked for."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    what: str
    ok: bool
    found: str
    fix: str = ""
    """The command that fixes it; empty where nothing has to be."""
    needed: bool = False
    """Whether isrbench is broken without it; data sets and weights that are not here are no fault."""


def examine(data_root: Path | None, runs_dir: Path, packages: Mapping[str, str] = PACKAGES) -> Iterator[Finding]:
    """Check packages, devices, plugins, data sets, metric weights and the runs folder; never uses the network.

    Args:
        data_root: Where data sets are looked for; None = ``$ISRBENCH_DATA`` and ``./data``.
        runs_dir: Where runs would be kept.
        packages: Modules to import in a process of their own, by distribution.
    """
    answers = _import_apart(tuple(packages.values()))
    for distribution, module in packages.items():
        yield _package(distribution, answers[module].get("error"))
    if "torch" in answers:
        device = answers["torch"].get("device")
        yield Finding("device", device is not None, device or "unknown: torch does not work", needed=True)
    yield from _faulty(methods())
    for name, plugin in methods().load_all()[0].items():
        if wrong := weights.not_published(plugin.weights):
            yield Finding(f"method {name}", False, wrong, f"isrbench fetch weights --method {name}")
    for name, path in catalogue().items():
        yield _dataset(name, path, data_root)
    for name, error in carried()[1].items():
        yield Finding(f"dataset {name} of another package", False, error.message, error.fix or "")
    for name, metric in metrics().load_all()[0].items():
        yield _metric(name, metric)
    yield from _faulty(metrics())
    yield _runs(runs_dir)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 where everything that isrbench itself needs works, else 1; absent data sets and weights do not count."""
    return 1 if any(f.needed and not f.ok for f in findings) else 0


def _import_apart(modules: Sequence[str]) -> dict[str, dict[str, str]]:
    """Import modules in a child process: a broken binary may print or crash, and must not end this one.

    Returns:
        By module: "error" where it does not import; for torch "device" where it does.
    """
    answers: dict[str, dict[str, str]] = {}
    while left := [module for module in modules if module not in answers]:
        done = subprocess.run([sys.executable, "-c", _CHILD, *left], capture_output=True, text=True)
        answers |= {answer["module"]: answer for answer in map(json.loads, done.stdout.splitlines())}
        crashed = next((module for module in left if module not in answers), None)
        if crashed is not None:
            answers[crashed] = {"error": f"importing it ends Python (exit code {done.returncode})"}
    return answers


def _package(distribution: str, error: str | None) -> Finding:
    if error is None:
        return Finding(distribution, True, package_versions().get(distribution, "no version"), needed=True)
    return Finding(distribution, False, f"does not import: {error}", _REINSTALL, needed=True)


def _faulty(registry: Registry[Any]) -> Iterator[Finding]:
    """Plugins that do not work: other packages', as a rule, which isrbench itself does not need."""
    for name, word, error in faults(registry):
        what = f"{registry.kind} {name}" + (" of another package" if word == "refused" else "")
        yield Finding(what, False, error.message, error.fix or "")


def _dataset(name: str, path: Path, data_root: Path | None) -> Finding:
    try:
        return Finding(f"dataset {name}", True, str(find_root(load_card(path), data_root)))
    except UserError as error:
        return Finding(f"dataset {name}", False, "not found", error.fix or "")


def _metric(name: str, metric: Metric) -> Finding:
    fix = weights.fetch_command([name])
    if wrong := weights.not_published(metric.weights):
        return Finding(f"metric {name}", False, wrong, fix)
    absent = weights.missing(metric)
    if not absent:
        unknown = ", ".join(file.path for file in weights.unproven(metric.weights))
        return Finding(
            f"metric {name}", True, f"ready; no whole sha256 of {unknown} is published" if unknown else "ready"
        )
    return Finding(f"metric {name}", False, f"{len(absent)} weight file(s) missing", fix)


def _runs(runs_dir: Path) -> Finding:
    """Whether runs can be written: in the folder, or where it would be made."""
    place = next(p for p in (runs_dir.resolve(), *runs_dir.resolve().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            free = shutil.disk_usage(place).free / 2**30
    except OSError as error:
        return Finding(
            "runs folder", False, f"{place} cannot be written: {error.strerror}", "use --runs-dir DIR", needed=True
        )
    fix = "" if free > 1 else "make room or use --runs-dir DIR"
    return Finding("runs folder", free > 1, f"{runs_dir}, {free:.0f} GiB free", fix, needed=True)
