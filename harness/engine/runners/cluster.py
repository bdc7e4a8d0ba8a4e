"""The cluster that the runner ``ray`` works on: found or started, and how many workers it has room for."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from isrbench.harness.determinism import on_cpu
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
def cluster(request: Request, threads: int) -> Iterator[Any]:
    """Yield Ray, connected to a cluster; one that was started for it, with room for all workers, is ended.

    Args:
        request: Which cluster, and how many workers.
        threads: What :func:`threads_of` returned.

    Raises:
        UserError: If no cluster answers.
    """
    ray = load_ray()
    ours = not ray.is_initialized()
    if ours:
        cores = None if request.ray_address else _cores(len(request.devices) or request.workers or 1, threads)
        try:
            ray.init(
                request.ray_address or "local", num_cpus=cores, include_dashboard=False, log_to_driver=False,
                logging_level=logging.ERROR,
            )  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = f"--ray-address {request.ray_address}" if request.ray_address else "a Ray cluster on this machine"
            raise UserError(
                f"{where} does not answer: {said(error)}",
                "ray status shows it; leave --ray-address out to use this machine alone",
            ) from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def threads_of(plan: Plan) -> int:
    """Return the torch threads of every worker; 0 = as many as it has cores.

    On a CPU they decide how sums are split up, and so the last bits of what a network restores: they are those of this
    process, whatever a worker's share of the cores is.
    """
    if not all(map(on_cpu, plan.request.devices or (plan.device,))):
        return 0
    import torch

    return torch.get_num_threads()


def _cores(workers: int, threads: int) -> int:
    """Cores that Ray is told of: this machine's, or more where it is to hold more workers than that."""
    have = os.cpu_count() or 1
    if threads > 1 and workers * threads > have:
        log.warning(
            "%d workers of %d threads each, as many as this process has, share %d cores; OMP_NUM_THREADS=%d is faster, "
            "but networks may round otherwise",
            workers, threads, have, max(1, have // workers),
        )  # fmt: skip
    return max(have, workers * max(1, threads))


def places(machines: Sequence[Mapping[str, float]], request: Request, jobs: int, threads: int) -> tuple[int, int]:
    """Return how many workers there are, and how many cores each has.

    Args:
        machines: What Ray knows of each: ``CPU`` and ``GPU``, where it has some.
        request: How many workers, or devices, are wanted.
        jobs: How many there are.
        threads: What :func:`threads_of` returned.

    Raises:
        UserError: If the cluster has too few GPUs for one, or no machine with as many cores as a worker has threads.
    """
    cores, gpus = ([machine.get(kind, 0) for machine in machines] for kind in ("CPU", "GPU"))
    if threads > max(cores):
        raise UserError(
            f"a worker computes with {threads} threads, as this process does, and the largest machine of the cluster "
            f"has {max(cores):g} cores",
            f"OMP_NUM_THREADS={max(1, int(max(cores)))} isrbench eval ...",
        )
    room = sum(int(count // max(1, threads)) for count in cores)
    if request.gpus_per_worker:
        room = int(sum(gpus) // request.gpus_per_worker)
    count = min(len(request.devices) or request.workers or room, jobs)
    if count < 1:
        raise UserError(
            f"the cluster has {sum(gpus):g} GPUs, and a worker takes {request.gpus_per_worker:g}", "--gpus-per-worker 0"
        )
    return count, threads or max(1, int(min(cores) // math.ceil(count / len(machines))))


def said(error: BaseException) -> str:
    """Return the first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
