"""Runners carry out the jobs of a run, one an image; the process that called them writes every row and every PNG.

``serial`` and ``threads`` (:mod:`.local`) work in this process, ``ray`` (:mod:`.on_ray`) in others, on one machine or
many. All give the same rows, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.engine.jobs import Event, Job
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.request import Request
from isrbench.harness.engine.runners.local import serial, threads
from isrbench.harness.errors import UserError

Runner = Callable[[Plan, str, Path, Sequence[Job]], Generator[Event]]
"""``(plan, run id, runs folder, jobs)``: what became of the jobs, as it comes; of one image a ``Written`` first."""
RUNNERS = ("serial", "threads", "ray")


def check_runner(request: Request) -> None:
    """Refuse a runner that there is not, and options that it does not take.

    Raises:
        UserError: For anything the user can fix.
    """
    if request.runner not in RUNNERS:
        raise UserError(unknown_name("runner", request.runner, list(RUNNERS)), "--runner threads")
    if request.runner != "ray":
        of_ray = {
            "--ray-address": request.ray_address,
            "--gpus-per-worker": request.gpus_per_worker,
            "--devices": request.devices,
        }
        given = next((option for option, value in of_ray.items() if value), None)
        if given is not None:
            raise UserError(f"{given} is an option of --runner ray", f"--runner ray {given} ..., or leave it out")
        return
    if request.batch > 1:
        raise UserError("--batch is not an option of --runner ray, whose workers take one image", "--runner threads")
    from isrbench.harness.engine.runners.on_ray import check

    check(request)


def get_runner(name: str) -> Runner:
    """Return the runner called ``name``, one of :data:`RUNNERS`."""
    if name == "ray":
        from isrbench.harness.engine.runners.on_ray import on_ray

        return on_ray
    return serial if name == "serial" else threads
