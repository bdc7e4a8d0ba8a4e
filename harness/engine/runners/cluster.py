"""The cluster that the runner ``ray`` works on: found or started, and how many workers it has room for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from isrbench.harness.api.containment import first_line
from isrbench.harness.api.steps import steps
from isrbench.harness.determinism import on_cpu
from isrbench.harness.engine.arguments import device_of
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.request import Request
from isrbench.harness.errors import UserError

log = logging.getLogger(__name__)


def load_ray() -> Any:
    """Return the module ``ray``, told what this project wants of it.

    Raises:
        UserError: If Ray is not installed.
    """
    # Of Ray's own: nothing about the use is sent, and a worker without GPUs of the cluster sees those of the machine.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("--runner ray needs Ray, which is not installed", "pip install 'isrbench[ray]'") from error
    return ray


@contextmanager
def cluster(request: Request, needs: Needs, jobs: int) -> Iterator[Any]:
    """Connect to Ray, and shut it down at the end if it was started here.

    Args:
        request: Which cluster, and how many workers.
        needs: What a worker needs; a cluster that is started here has room for all workers.
        jobs: How many there are.

    Raises:
        UserError: If no cluster answers.
    """
    ray = load_ray()
    ours = not ray.is_initialized()
    if ours:
        workers = min(len(request.devices) or request.workers or 1, jobs)
        cores = None if request.ray_address else cores_to_report(workers, needs.threads, os.cpu_count() or 1)
        try:
            ray.init(
                request.ray_address or "local", num_cpus=cores, include_dashboard=False, log_to_driver=False,
                logging_level=logging.ERROR,
            )  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = f"--ray-address {request.ray_address}" if request.ray_address else "a Ray cluster on this machine"
            raise UserError(
                f"{where} does not answer: {first_line(error)}",
                "ray status shows it; leave --ray-address out to use this machine alone",
            ) from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


@dataclass(frozen=True)
class Needs:
    """What one worker needs."""

    threads: int
    """Torch threads on a CPU, where they decide how sums are split up and so the last bits of what a network restores:
    as many as this process has, whatever a worker's share of the cores is. 0 = on GPUs, a share of a machine's cores.
    """
    gpus: float
    """GPUs of the cluster, or a part of one."""


def needs_of(plan: Plan) -> Needs:
    """Return what a worker of a run needs."""
    request = plan.request
    devices = [device_of(device) for device in request.devices] or [plan.device]
    if all(map(on_cpu, devices)):
        import torch

        return Needs(torch.get_num_threads(), request.gpus_per_worker)
    named = request.devices or request.workers or request.gpus_per_worker
    return Needs(0, request.gpus_per_worker if named or not plan.device.startswith("cuda") else 1)


def cores_to_report(workers: int, threads: int, have: int) -> int:
    """Return the number of cores to report to Ray: this machine's, or more where it is to hold more workers.

    Args:
        workers: How many are wanted.
        threads: ``Needs.threads``.
        have: This machine's cores.
    """
    if threads > 1 and workers * threads > have:
        log.warning(
            "%d workers with %d torch threads each, as in this process, will share %d cores. OMP_NUM_THREADS=%d is "
            "faster, but can change the last bits of images.",
            workers, threads, have, max(1, have // workers),
        )  # fmt: skip
    return max(have, workers * max(1, threads))


def places(machines: Sequence[Mapping[str, float]], request: Request, jobs: int, needs: Needs) -> tuple[int, int]:
    """Return how many workers there are, and how many cores each has; says where the cluster has room for fewer.

    Args:
        machines: What Ray knows of each: ``CPU`` and ``GPU``, where it has some.
        request: How many workers, or devices, are wanted.
        jobs: How many there are.
        needs: What a worker needs.

    Raises:
        UserError: If no machine has room for one.
    """
    threads, gpus = needs.threads, needs.gpus
    room = [
        (cores, min(int(cores // max(1, threads)), int(machine.get("GPU", 0) // gpus) if gpus else jobs))
        for machine in machines
        if (cores := machine.get("CPU", 0))
    ]
    most = sum(slots for _, slots in room)
    if not most:
        raise _no_room(machines, needs)
    wanted = min(len(request.devices) or request.workers or most, jobs)
    if wanted > most:
        log.warning("the cluster has room for %d of the %d workers, with %s each", most, wanted, _said(needs))
    elif threads > 1 and wanted == most < jobs and not request.devices and not request.workers:
        steps.info("workers: %d, torch threads each: %d; OMP_NUM_THREADS=1 makes room for more", wanted, threads)
    count = min(wanted, most)
    return count, threads or max(1, min(int(cores // min(slots, count)) for cores, slots in room if slots))


def _no_room(machines: Sequence[Mapping[str, float]], needs: Needs) -> UserError:
    cores, gpus = (max((machine.get(kind, 0) for machine in machines), default=0) for kind in ("CPU", "GPU"))
    said = f"a worker needs {_said(needs)}, and no machine of the cluster has so much"
    if 1 <= cores < needs.threads:
        return UserError(
            f"{said}: the largest has {cores:g} cores. A worker has as many torch threads as this process",
            f"OMP_NUM_THREADS={int(cores)} isrbench eval ..., or torch.set_num_threads({int(cores)}) in Python",
        )
    largest = f"at most {cores:g} cores, and at most {gpus:g} GPUs"
    return UserError(f"{said}: they have {largest}", "ray status shows what there is")


def _said(needs: Needs) -> str:
    threads = f"{max(1, needs.threads)} core{'s' if needs.threads > 1 else ''}"
    return f"{threads} and {needs.gpus:g} GPUs" if needs.gpus else threads
