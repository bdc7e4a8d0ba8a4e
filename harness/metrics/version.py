"""What a stored score was computed by, as a key: a value holds only for as long as its key does. Torch-free."""

from __future__ import annotations

import hashlib
from functools import cache

from isrbench.harness.api.metric import Metric
from isrbench.harness.identity import hash_sources, package_of
from isrbench.harness.metrics import weights

ABSENT = "absent"
"""The second half of a key while weight files are missing."""

_RELEASES = ("pyiqa", "torch", "torchvision", "timm", "scipy", "numpy", "pillow")
_OUR_METRICS = ("metrics/fidelity.py", "metrics/pyiqa_bridge.py", "metrics/builtin.py", "imaging/images.py")
"""The files of this package that decide a built-in metric's value."""


def protocol_key(metric: Metric) -> str:
    """``CODE-WEIGHTS``: hashes of what decides the metric's values.

    CODE covers the declared protocol, the source that computes it (ours, or the whole package of a plugin) and the
    libraries' releases; WEIGHTS the bytes of the weight files, ``none`` where there are none to have.
    """
    return f"{_code(metric)}-{_weights(metric)}"


def holds(stored: str | None, current: str) -> bool:
    """Whether a value computed under the key ``stored`` is what ``current`` would give.

    Weight files that have been removed since do not speak against a value that they gave.
    """
    if stored is None:
        return False
    (code, _, files), (code_now, _, files_now) = stored.partition("-"), current.partition("-")
    return code == code_now and files_now in {files, ABSENT}


def _code(metric: Metric) -> str:
    declared = [metric.id, metric.reference.value, metric.colour, metric.protocol, _source(package_of(metric.build))]
    return hashlib.sha256("\0".join(declared).encode()).hexdigest()[:16]


@cache
def _source(package: str) -> str:
    ours = package == "isrbench"
    return hash_sources(() if ours else (package,), _OUR_METRICS if ours else (), _RELEASES)


def _weights(metric: Metric) -> str:
    if not metric.weights:
        return "none"
    digests = [weights.digest(file) for file in metric.weights]
    if None in digests:
        return ABSENT
    return hashlib.sha256("".join(map(str, digests)).encode()).hexdigest()[:16]
