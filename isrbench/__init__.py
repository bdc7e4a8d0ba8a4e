"""A benchmark for real-world image super-resolution: methods x datasets x metrics, stratified by degradation.

    import isrbench

    run = isrbench.evaluate("bicubic", "sample")
    run.scores()
    isrbench.restore("photo.jpg", "bicubic", to="large.png")
    isrbench.compare(isrbench.load_runs("runs"), baseline="bicubic")

Nothing here prints or ends the process: what goes wrong raises :class:`UserError`, or is counted in the result.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isrbench.harness.api.layout import Layout
    from isrbench.harness.engine.evaluate import RunResult, evaluate, load_runs
    from isrbench.harness.engine.listing import list_datasets, list_methods, list_metrics
    from isrbench.harness.engine.restore_files import RestoredFiles, restore
    from isrbench.harness.errors import UserError
    from isrbench.reports.comparison import Comparison, compare
    from isrbench.studies.result import RoutingStudy
    from isrbench.studies.routing import study_routing

    __version__: str

_HOMES = {
    "Comparison": "isrbench.reports.comparison",
    "Layout": "isrbench.harness.api.layout",
    "RestoredFiles": "isrbench.harness.engine.restore_files",
    "RoutingStudy": "isrbench.studies.result",
    "RunResult": "isrbench.harness.engine.evaluate",
    "UserError": "isrbench.harness.errors",
    "compare": "isrbench.reports.comparison",
    "evaluate": "isrbench.harness.engine.evaluate",
    "list_datasets": "isrbench.harness.engine.listing",
    "list_methods": "isrbench.harness.engine.listing",
    "list_metrics": "isrbench.harness.engine.listing",
    "load_runs": "isrbench.harness.engine.evaluate",
    "restore": "isrbench.harness.engine.restore_files",
    "study_routing": "isrbench.studies.routing",
}
"""Where each public name lives. By name, not by import: importing isrbench costs nothing, and no run's identity, which
follows imports, holds what only this file knows."""

__all__ = [
    "Comparison",
    "Layout",
    "RestoredFiles",
    "RoutingStudy",
    "RunResult",
    "UserError",
    "__version__",
    "compare",
    "evaluate",
    "list_datasets",
    "list_methods",
    "list_metrics",
    "load_runs",
    "restore",
    "study_routing",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("isrbench")
    if name not in _HOMES:
        raise AttributeError(f"module 'isrbench' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
