"""A worker of the runner ``ray``: what runs in another process, perhaps on another machine. Knows nothing of Ray."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from isrbench.harness.api.containment import contained
from isrbench.harness.api.dataset import Card
from isrbench.harness.api.method import RoutingTrace, Runtime
from isrbench.harness.api.records import Failure, ImageRow, ImageStatus
from isrbench.harness.api.registry import methods as installed
from isrbench.harness.determinism import make_deterministic, on_cpu
from isrbench.harness.engine.arguments import device_of
from isrbench.harness.engine.jobs import Job, Measured, measure, restore
from isrbench.harness.engine.plan import Plan, code_version
from isrbench.harness.engine.remote import method_options
from isrbench.harness.engine.request import Request
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.metrics.version import MetricVersion
from isrbench.harness.severity.estimator import get_estimator


@dataclass(frozen=True)
class Order:
    """What a worker needs to build what the driver has built."""

    request: Request
    card: Card
    images: tuple[str, ...]
    """Ids of the whole set (``Runtime.images``)."""
    metrics: tuple[str, ...]
    download: bool
    device: str
    folder: str
    """The driver's working folder, which relative paths in options are below."""
    threads: int
    """Torch threads a worker; 0 = as torch chooses."""


@dataclass(frozen=True)
class Built:
    """What rows depend on in one process: in a worker it has to be what it is in the process that keeps them."""

    node: str
    """The machine's name."""
    code: str
    """Of the method, with the releases of its libraries."""
    weights: str
    metrics: dict[str, MetricVersion]
    estimator: str | None
    hardware: str
    """The GPU's model, or the CPU's vector unit: another one may round otherwise."""


def versions(plan: Plan) -> Built:
    """Return what rows of this process depend on."""
    import torch

    cpu = on_cpu(plan.device) or not torch.cuda.is_available()
    return Built(
        node=platform.node(),
        code=code_version(plan.plugin),
        weights=plan.weights_hash,
        metrics={id: plan.scorer.version(id) for id in plan.scorer.image_metrics},
        estimator=plan.estimator.version if plan.estimator else None,
        hardware=torch.backends.cpu.get_cpu_capability() if cpu else torch.cuda.get_device_name(plan.device),
    )


@dataclass(frozen=True)
class Parcel:
    """A job with the bytes of its files."""

    job: Job
    lr: bytes
    hr: bytes | None
    png: bytes | None
    """The restored image, where it is there already."""


@dataclass(frozen=True)
class Reply:
    """What became of a job, and the PNG's bytes where it was restored."""

    row: ImageRow | None = None
    trace: RoutingTrace | None = None
    png: bytes | None = None
    measured: Measured | None = None


class Worker:
    """One actor: the method, the metrics and the estimator, loaded once."""

    def build(self, order: Order) -> Built | Failure:
        """Load everything; a failure is returned, since an actor whose start raises says it in Ray's words only."""
        try:
            with contained():
                return self._build(order)
        except Exception as error:
            return Failure.of(error)

    def _build(self, order: Order) -> Built:
        import torch

        if Path(order.folder).is_dir():
            os.chdir(order.folder)
        if order.threads:
            torch.set_num_threads(order.threads)
        request = order.request
        plugin = installed().get(request.method)
        options = method_options(plugin, request.options)
        device = device_of(order.device)
        make_deterministic(device)
        method = plugin.make(options, Runtime(scale=order.card.scale, device=device, images=order.images))
        scorer = Scorer(order.metrics, device, download=order.download)
        estimator = None if request.estimator == "none" else get_estimator(request.estimator, device)
        if estimator is not None:
            estimator.load()
        self._plan = Plan(
            request=request, plugin=plugin, options=options, method=method, card=order.card, pairs=(),
            whole=order.images, scorer=scorer, estimator=estimator, device=device, inputs=(), variant="",
            weights_hash=method.weights_hash, identity="",
        )  # fmt: skip
        return versions(self._plan)

    def do(self, parcel: Parcel) -> Reply:
        """Do one job, in a folder of its own; its files' names are not the driver's."""
        job, reply = parcel.job, Reply()
        with TemporaryDirectory(prefix="isrbench-ray-") as made:
            folder = Path(made)
            pair = replace(
                job.pair,
                lr=_file(folder / f"lr{job.pair.lr.suffix}", parcel.lr),
                hr=None if job.pair.hr is None else _file(folder / f"hr{job.pair.hr.suffix}", parcel.hr),
            )
            png = _file(folder / "restored.png", parcel.png)
            if job.restore:
                written = restore(self._plan, pair, "", png, folder)
                if written.row.status is not ImageStatus.OK:
                    return Reply(written.row)
                reply = Reply(written.row, written.trace, png.read_bytes())
            if job.metrics or job.estimate:
                reply = replace(reply, measured=measure(self._plan, pair, "", png, job.metrics, job.estimate))
        return reply


def _file(path: Path, content: bytes | None) -> Path:
    if content is not None:
        path.write_bytes(content)
    return path


def check_same(theirs: Built, ours: Built) -> None:
    """Check that a worker computes as this process does.

    Raises:
        UserError: If its code, weights, metrics or estimator are others.
    """
    for what in ("code", "weights", "metrics", "estimator"):
        if getattr(theirs, what) != getattr(ours, what):
            raise UserError(
                f"the worker on {theirs.node} has another {what} than this process: its rows would not fit the others",
                "install the same releases, and put the same files, on every machine of the cluster",
            )


def other_hardware(theirs: Built, ours: Built) -> str:
    """Return a warning where a worker may round otherwise than this process; "" where it has the same hardware."""
    if theirs.hardware == ours.hardware:
        return ""
    return (
        f"workers on {theirs.node} compute on {theirs.hardware}, this process on {ours.hardware}: images of networks "
        "may differ in their last bits"
    )
