"""What a stored score was computed by: a value holds only for as long as its version does. Torch-free."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from isrbench.harness.api.metric import Metric
from isrbench.harness.api.records import MetricRecord
from isrbench.harness.identity import code_hash, code_modules, import_closure
from isrbench.harness.metrics import weights

ABSENT = "absent"
"""The weights of a version while weight files are missing."""

OTHER_WEIGHTS = "weights that are not the published ones"

RELEASES = ("pyiqa", "torch", "torchvision", "timm", "scipy", "numpy", "pillow")
"""Libraries whose release can change a score."""
SCORING = ("isrbench.harness.imaging.images", "isrbench.harness.metrics.scoring")
"""The modules that read images for every metric and that every value passes."""


@dataclass(frozen=True)
class MetricVersion:
    """Hashes of what decides a metric's values, in hex."""

    code: str
    """The declared definition, the code that computes it and that reads the images, and the libraries' releases."""
    weights: str
    """The weight files' bytes; ``none`` where there are none to have, ``absent`` while some are missing or are not the
    published ones, which nothing is computed with."""

    def still_holds(self, current: MetricVersion) -> bool:
        """Return whether a value of this version is what ``current`` would compute.

        Weight files that have been removed since do not speak against a value that they gave.
        """
        return self.code == current.code and current.weights in {self.weights, ABSENT}


def version_of(metric: Metric) -> MetricVersion:
    """Return what would compute the metric now."""
    declared = [metric.id, metric.reference.value, metric.colour, metric.definition, dict(metric.settings)]
    if metric.uses_lr:  # said of these alone, so that the versions of others stay what they were
        declared.append("lr")
    if metric.weights:  # a value of files that were not the published ones, or of which nobody could say, does not hold
        declared.append([file.sha256 for file in metric.weights])
    modules = {*code_modules(metric.build), *(name for module in SCORING for name in import_closure(module))}
    code = hashlib.sha256(json.dumps([declared, code_hash(modules, RELEASES)]).encode())
    return MetricVersion(code.hexdigest()[:16], _weights(metric))


def version_if_any(metric: Metric) -> MetricVersion:
    """Return the metric's version; of one whose code has no source, which fails, a word that is no hash."""
    try:
        return version_of(metric)
    except ModuleNotFoundError:
        return MetricVersion("unidentified", "none")


def record_of(metric: Metric, version: MetricVersion) -> MetricRecord:
    """Return what the values of a metric depend on, for the manifest."""
    return MetricRecord(
        direction=metric.direction.value,
        reference=metric.reference.value,
        colour=metric.colour,
        definition=metric.definition,
        weights={file.path: weights.digest(file) for file in metric.weights},
        code=version.code,
        weights_version=version.weights,
    )


def marks(metric: Metric, digests: Mapping[str, str | None]) -> str:
    """Return what tables have to say of values that were computed with weight files of these hashes; "" = nothing.

    Args:
        metric: As it is declared now.
        digests: sha256 by the files' paths, as a manifest keeps them.
    """
    read = [(file, found) for file in metric.weights if (found := digests.get(file.path))]
    other = [file.path for file, found in read if file.sha256 and not found.startswith(file.sha256)]
    if other:
        return f"{OTHER_WEIGHTS} ({', '.join(other)})"
    unknown = [file.path for file, _ in read if not file.proof]
    if unknown:
        return f"weights of which no whole sha256 is published ({', '.join(unknown)})"
    return ""


def _weights(metric: Metric) -> str:
    if not metric.weights:
        return "none"
    hashes = [weights.digest(file) for file in metric.weights]
    if None in hashes or weights.other_content(metric.weights):
        return ABSENT
    return hashlib.sha256("".join(map(str, hashes)).encode()).hexdigest()[:16]
