"""What is said of a training: in its states, to resume by, and in the file of its adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.methods.onestep.train.best import Best
from isrbench.methods.onestep.train.config import Data
from isrbench.methods.onestep.train.photos import LIMITED

if TYPE_CHECKING:
    from isrbench.methods.onestep.train.run import Run

_NO_MATTER: Any = {
    "out": True, "validation": True, "severity_note": True, "save_every": True, "keep": True, "log_every": True,
    "trackers": True, "data": {"workers"}, "optim": {"max_skipped"},
    "adapter": True,  # the file's `config` holds it whole
}  # fmt: skip
"""Options that change nothing in an adapter."""


def resumed_by(run: Run) -> dict[str, Any]:
    """Return the options of a run, and what hides behind their names: what a resumed run has to have again."""
    return run.config.model_dump(mode="json") | {
        **run.photos,
        "base_hash": run.nets.base.weights_hash,
        "estimator_id": _estimator_id(run),
        "routed_among": run.split.batch if run.config.routed_by == "next" else None,
    }


def provenance(run: Run, best: Best | None = None) -> dict[str, Any]:
    """Return how an adapter was trained, the last one or the best, without the places on this machine.

    Nor does it say what a resumed run may do otherwise and end with the same tensors: so the file's bytes are equal.
    """
    plain = run.config.model_dump(mode="json", exclude=_NO_MATTER)
    plain["data"] |= without_places(run.config.data)
    plain |= {
        "step": best.step if best else run.step,
        "processes": run.accelerator.num_processes,
        "estimator_id": _estimator_id(run),
    }
    return plain | ({"best": {"by": run.config.validation.best, "value": best.value}} if best else {})


def without_places(data: Data) -> dict[str, Any]:
    """Return the fields that name places on this machine, with names and limits only."""
    limited = {word: LIMITED.fullmatch(word) for word in data.folders}
    names = [f"{Path(match[1]).name}:{match[2]}" if match else Path(word).name for word, match in limited.items()]
    return {"folders": names, "prompts": Path(data.prompts).name}


def _estimator_id(run: Run) -> str | None:
    return run.nets.estimator.id if run.nets.estimator else None
