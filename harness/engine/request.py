"""What a user asks ``eval`` for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError


class Resume(str, Enum):
    """What to do about results that are stored already."""

    ONLY_MISSING = "only-missing"
    """Compute what is missing or failed (the default)."""
    NEVER = "never"
    """Start a new run beside the old one."""
    ONLY_CACHE = "only-cache"
    """Compute nothing; show what is stored."""


@dataclass(frozen=True)
class Request:
    """What a user asks ``eval`` for."""

    method: str
    dataset: str
    options: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    """Metric ids and names of sets; None = the default metrics, as far as their weights are on this machine."""
    data_root: Path | None = None
    limit: int | None = None
    """Only N images, drawn evenly over the set; such a run is a run of its own."""
    sample: int | None = None
    """Only N images, drawn by the seed; likewise."""
    scale: int | None = None
    """How many times larger; None = as the dataset says. Another one makes a set without HR images a set of its own."""
    hr_crop: str | None = None
    """``modulo`` = HR images are cut to a multiple of the scale; None = as the card says."""
    runs_dir: Path = Path("runs")
    resume: Resume = Resume.ONLY_MISSING
    device: str = "auto"
    seed: int = 0
    runner: str = "threads"
    """What carries out the jobs (:mod:`isrbench.harness.engine.runners`). Never changes a result."""
    workers: int | None = None
    """Threads that score, None = one a core; or Ray's workers, None = as many as there is room for."""
    ray_address: str | None = None
    """A Ray cluster's address, ``auto`` for one on this machine; None = start one here for this run."""
    gpus_per_worker: float = 0
    """GPUs of the cluster that each worker takes."""
    devices: tuple[str, ...] = ()
    """Torch devices of this machine, one worker each."""
    batch: int = 1
    """Images of one size that are restored together; more than one is part of a run's identity."""
    on_oom: str = "skip"
    """What becomes of an image that the device has no memory for (:data:`isrbench.harness.engine.memory.ON_OOM`)."""
    estimator: str = "tiny"
    """Severity estimator (:mod:`isrbench.harness.severity.estimator`), or ``none``."""
    hr_severity: bool = False
    """Whether to estimate the severity of the HR images too, once for each content."""
    complexity: bool = True
    """Whether to count and time the method as well."""
    name: str | None = None
    """What rows and tables call the method; None = its id. Tells two folders or checkpoints apart."""
    repeat_of: str = ""
    """Id of the run that this one repeats under another seed; "" for a run of its own."""
    argv: tuple[str, ...] = ()


def parse_resume(word: str) -> Resume:
    """Return the resume mode called ``word``.

    Raises:
        UserError: If there is none.
    """
    try:
        return Resume(word)
    except ValueError:
        raise UserError(unknown_name("resume mode", word, [r.value for r in Resume]), "--resume only-missing") from None
