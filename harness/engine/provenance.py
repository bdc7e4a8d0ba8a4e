"""What it takes to trust a number later: where it came from, on what, with which code."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from isrbench.harness.api.options import options_key
from isrbench.harness.api.records import DatasetRecord, Invocation, Manifest, MetricRecord, storable
from isrbench.harness.data.pairs import content_hash
from isrbench.harness.engine.plan import Plan
from isrbench.harness.identity import release
from isrbench.harness.metrics.version import MetricVersion
from isrbench.harness.store.store import now

_PACKAGES = (
    "isrbench", "torch", "torchvision", "diffusers", "transformers", "peft", "open_clip_torch", "pyiqa", "timm",
    "numpy", "pillow", "spandrel", "datasets",
)  # fmt: skip


@cache
def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that a result depends on."""
    return {name: found for name in _PACKAGES if (found := release(name)) is not None}


@cache
def git_state() -> dict[str, Any] | None:
    """Return commit and dirty flag of the checkout that this code runs from; None when it is not a checkout."""
    here = Path(__file__).resolve().parents[2]

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # A wheel installed below somebody else's checkout must not be taken for that checkout.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != here:
            return None
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def invocation(argv: Sequence[str]) -> Invocation:
    """Describe this process: command line, start, machine, code and packages."""
    return Invocation(
        argv=[storable(word) for word in argv],
        start=now(),
        git=git_state(),
        packages=package_versions(),
        python=platform.python_version(),
        platform=platform.platform(),
        cpus=os.cpu_count(),
    )


def describe_run(plan: Plan, run: str) -> Manifest:
    """Describe what stays the same for a run over all its invocations."""
    info, request = plan.plugin.info, plan.request
    return Manifest(
        run=run,
        created=now(),
        identity=plan.identity,
        name=plan.name,
        method=info.id,
        title=plan.title,
        variant=plan.variant,
        routes=info.routes,
        license=info.license,
        citation=info.citation,
        trained_on_metrics=list(info.trained_on_metrics),
        options=options_key(plan.options),
        weights_hash=plan.weights_hash,
        inputs_hash=hashlib.sha256(json.dumps(plan.inputs).encode()).hexdigest(),
        dataset=describe_dataset(plan),
        repeat_of=request.repeat_of,
        seed=request.seed,
        device=plan.device,
    )


def describe_dataset(plan: Plan) -> DatasetRecord:
    """Describe the plan's images and the set that they are from, as it is now."""
    card, request = plan.card, plan.request
    return DatasetRecord(
        id=card.id,
        title=card.title,
        images=len(plan.pairs),
        whole=len(plan.whole),
        scale=card.scale,
        limit=request.limit,
        sample=request.sample,
        content_hash=content_hash(plan.pairs),
        verified=card.content_hash is not None and len(plan.pairs) == len(plan.whole),
        license=card.license,
        notes=card.notes,
        citation=card.citation,
    )


def merged_metrics(stored: dict[str, MetricRecord], current: dict[str, MetricRecord]) -> dict[str, MetricRecord]:
    """Return the manifest's metrics with the current ones added; where a stored value still holds, so does its record.

    Args:
        stored: As the manifest has them.
        current: ``Scorer.definitions()``.
    """

    def holds(id: str) -> bool:
        before, now = stored[id], current[id]
        version = MetricVersion(before.code, before.weights_version)
        return version.still_holds(MetricVersion(now.code, now.weights_version))

    kept = {id: record for id, record in stored.items() if id not in current or holds(id)}
    return {**stored, **current, **kept}
