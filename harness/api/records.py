"""What is stored of a run: a manifest, one row an image, one row an image and metric. Typed on the way in and out."""

from __future__ import annotations

import traceback
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from isrbench.harness.api.containment import text_of
from isrbench.harness.errors import UserError

MANIFEST_VERSION = 2
SCATTER = 0.2
"""A latency whose calls lie further apart than this share of their median says little."""


class ImageStatus(str, Enum):
    """What became of an image."""

    OK = "ok"
    FAILED = "failed"
    OOM = "oom"
    """The device had no memory for it; the next run tries again."""


class ScoreStatus(str, Enum):
    """What became of a score."""

    OK = "ok"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"
    """The metric's weights are not there."""
    NO_REFERENCE = "no-reference"
    """The metric needs an HR image, and the set has none."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_LINES, _LETTERS = 20, 1000
"""Of a message, and of each of its lines: a plugin may say megabytes."""


def storable(text: str) -> str:
    """Return text as UTF-8 can hold it: lone surrogates, as of file names in another encoding, become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _told(text: str) -> str:
    """Return what an error says as a row and a terminal can hold it; all of it stands in the traceback."""
    lines = ["".join(c for c in line if c.isprintable() or c == "\t") for line in storable(text).splitlines()]
    shown = [line if len(line) <= _LETTERS else f"{line[:_LETTERS]}..." for line in lines[:_LINES]]
    return "\n".join([*shown, *([f"... ({len(lines) - _LINES} lines more)"] if len(lines) > _LINES else [])])


class Failure(_Record):
    """Why something failed, in parts that are never put together and taken apart again."""

    message: str
    """What is wrong, in one sentence or a few lines."""
    fix: str = ""
    """How to fix it; "" where that is not known."""
    traceback: str = ""
    """Where it happened; "" for an error that the user can fix."""

    @property
    def brief(self) -> str:
        """Return the first line of the message."""
        return (self.message.strip().splitlines() or [""])[0]

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe an exception; call it where the exception is handled."""
        if isinstance(error, UserError):
            return cls(message=_told(str(error.message)), fix=_told(str(error.fix or "")))
        said = _told(text_of(error))
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        kind = type(error).__name__
        return cls(message=f"{kind}: {said}" if said else kind, traceback=storable(text))


class ImageRow(_Record):
    """What happened to one image of a run."""

    run: str
    image: str
    status: ImageStatus
    lr: str
    """Absolute path of the LR file."""
    hr: str | None = None
    hr_hash: str | None = None
    """sha256 of the decoded HR pixels; None without HR, and in rows of before version 5 of the store."""
    level: str | None = None
    """The true severity level of a synthetic image."""
    failure: Failure | None = None
    """Why the image failed, or did not fit into memory; None where it is restored."""
    tiles: int | None = None
    """In how many tiles it was restored, since memory was short (``--on-oom tile``); None = as the method does it."""
    seconds: float | None = None
    """Wall-clock seconds of the method's ``restore`` alone."""
    output: str | None = None
    """The PNG's path relative to the runs folder."""
    output_hash: str | None = None
    """sha256 of the PNG's bytes."""
    estimator: str | None = None
    """Version of the estimator that gave the severity; None where there is none yet."""
    severity: tuple[float, ...] | None = None
    """The seven dimensions in [0, 1], in the order of ``DIMENSIONS``."""
    active_experts: float | None = None
    """Mean over the adapted layers; None for methods that do not route."""
    adapter_macs: int | None = None
    """MACs of the active experts, as if run beside the base; None where not counted."""
    adapter_params: int | None = None
    """Parameters of the active experts and of the routers; None where not counted."""

    @property
    def mean_severity(self) -> float | None:
        """Return the scalar severity, the mean over the dimensions."""
        return None if self.severity is None else sum(self.severity) / len(self.severity)


class ScoreRow(_Record):
    """One value of one metric for one image; long form."""

    run: str
    image: str
    """Image id; "" for a metric of the whole set."""
    metric: str
    status: ScoreStatus
    value: float | None = None
    """None unless status is OK; never 0 for something missing; may be infinite."""
    failure: Failure | None = None
    """Why there is no value; None where there is one, or nothing more to say."""
    code: str = ""
    """See :class:`isrbench.harness.metrics.version.MetricVersion`; "" where unknown."""
    weights: str = ""


class DatasetRecord(_Record):
    """The set that a run is about, or the part of it."""

    id: str
    title: str
    images: int
    """How many images the run has."""
    whole: int | None
    """How many images the set has; more than ``images`` under ``--limit`` and ``--sample``. None where an isrbench of
    long ago took the first ones and did not say of how many."""
    scale: int
    limit: int | None = None
    """``--limit``: that many images, drawn evenly over the set."""
    sample: int | None = None
    """``--sample``: that many images, drawn by the seed."""
    content_hash: str
    """Of ids and pixels of the run's images."""
    verified: bool = False
    """Whether the card states the content hash and the set has it."""
    license: str = ""
    notes: str = ""
    """What a reader must know before comparing numbers."""
    citation: str = ""

    @property
    def partial(self) -> bool:
        """Return whether the run is about a part of the set."""
        return self.whole is None or self.images < self.whole

    @property
    def label(self) -> str:
        """Return what tables call it: ``RealSR``, or ``RealSR, 20 of 100 images``."""
        if not self.partial:
            return self.id
        count = f"the first {self.images}" if self.whole is None else f"{self.images} of {self.whole}"
        return f"{self.id}, {count} images"


class MetricRecord(_Record):
    """What a run's values of one metric depend on."""

    direction: str
    reference: str
    colour: str
    definition: str
    weights: dict[str, str | None] = {}
    """sha256 of each weight file; None for one that is absent."""
    code: str
    """With ``weights_version`` the version: see :class:`isrbench.harness.metrics.version.MetricVersion`."""
    weights_version: str


class EstimatorRecord(_Record):
    """What estimated the severities."""

    spec: str
    """As ``--estimator`` names it."""
    version: str
    """Of weights, prompts and code."""

    @property
    def label(self) -> str:
        """Name and head of the version: ``tiny (1a2b3c4d)``."""
        return f"{self.spec} ({self.version[:8]})"


class Invocation(_Record):
    """One process that worked on a run."""

    argv: list[str]
    start: str
    """ISO 8601, UTC; so is ``end``."""
    end: str | None = None
    """None until it has ended well."""
    git: dict[str, Any] | None = None
    """Commit and dirty flag of the checkout; None where isrbench does not run from one."""
    packages: dict[str, str] = {}
    python: str = ""
    platform: str = ""
    cpus: int | None = None


class RunCost(_Record):
    """What restoring one image of a run costs; None for what is not known."""

    macs: int | None = None
    flops: int | None = None
    params_total: int | None = None
    params_trainable: int | None = None
    params_active: int | None = None
    latency_ms: float | None = None
    """Median milliseconds of one ``restore``."""
    latency_runs: int | None = None
    """Calls behind the median."""
    latency_spread: float | None = None
    """The slowest of them less the fastest, as a share of the median; None for a single call."""
    load: float | None = None
    """The machine's load average over a minute when they began."""
    peak_mib: float | None = None
    """MiB of memory; see :class:`isrbench.harness.api.complexity.Measured`."""
    complexity_size: str | None = None
    """LR size counted and timed, such as ``128x128``."""

    @property
    def scatters(self) -> bool:
        """Return whether the calls behind the latency lay further apart than SCATTER of their median."""
        return self.latency_spread is not None and self.latency_spread > SCATTER


class Manifest(_Record):
    """What it takes to trust a run's numbers later."""

    version: int = MANIFEST_VERSION
    run: str
    created: str
    """ISO 8601, UTC."""
    identity: str
    """sha256 that two runs share only if they must give the same images."""
    name: str
    """What rows call the method: ``--name``, or its id."""
    method: str
    title: str
    """What tables call the method: ``--name``, or its title, with its variant in parentheses."""
    variant: str = ""
    """``tiny`` for methods that run on the tiny weights that ship; "" otherwise."""
    routes: bool
    license: str = ""
    citation: str = ""
    trained_on_metrics: list[str] = []
    """As the method said: see :class:`isrbench.harness.api.method.MethodInfo`."""
    options: dict[str, Any]
    weights_hash: str = ""
    inputs_hash: str = ""
    dataset: DatasetRecord
    repeat_of: str = ""
    """The run that this one repeats under another seed: tables show that one alone. "" for a run of its own."""
    seed: int
    device: str
    metrics: dict[str, MetricRecord] = {}
    estimator: EstimatorRecord | None = None
    invocations: list[Invocation] = Field(default_factory=list)
