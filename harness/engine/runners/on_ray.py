"""The runner ``ray``: actors that each hold the method and the metrics, on this machine or on a cluster of many.

This process alone reads the set and writes the store and the PNGs; images travel as bytes, so workers need no shared
file system. What a method reads of its own (weights, an adapter) has to lie on each machine under the same path. Ray
hands jobs to machines, and finds out who died. A dead worker is replaced, and its jobs are done again; an image on
which :data:`_DEATHS` workers died gets a row that says so. Needs the extra ``ray``.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isrbench.harness.api.containment import first_line
from isrbench.harness.api.method import Prepares
from isrbench.harness.api.records import Failure, ImageStatus
from isrbench.harness.engine.jobs import Event, Job, Written, lost, png_file, restore
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.request import Request
from isrbench.harness.engine.runners.cluster import Needs, cluster, load_ray, needs_of, places
from isrbench.harness.engine.runners.worker import Order, Parcel, Reply, Worker, check_same, other_hardware, versions
from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing

log = logging.getLogger(__name__)

_DEATHS = 3
"""Workers that may die on one image, and starts of a worker that may fail."""
_QUEUE = 2
"""Jobs that a worker holds at most: one in work, and the next, whose bytes travel meanwhile."""
_WAITING = "OMP_WAIT_POLICY"
"""How a torch thread waits for the others: where workers share cores, by spinning it would keep those from working."""
_STARTING = 300.0
"""Seconds that a cluster has for starting a worker while no other works."""


def check(request: Request) -> None:
    """Refuse options that do not go together, and a machine without Ray.

    Raises:
        UserError: For anything the user can fix.
    """
    load_ray()
    if request.devices and (request.ray_address or request.gpus_per_worker or request.workers):
        raise UserError(
            "--devices names one worker a device of this machine",
            "leave out --ray-address, --gpus-per-worker and --workers, or --devices",
        )
    if request.gpus_per_worker < 0:
        raise UserError(f"--gpus-per-worker {request.gpus_per_worker:g} is below 0", "--gpus-per-worker 1")


def on_ray(plan: Plan, run: str, home: Path, jobs: Sequence[Job]) -> Generator[Event]:
    """Have Ray's actors do the jobs; see the module.

    Raises:
        UserError: If the method has to see all images at once, no cluster answers, a worker has other weights, code or
            releases than this process, or no worker can be started.
    """
    if isinstance(plan.method, Prepares):
        id = plan.plugin.info.id
        raise UserError(f"{id} works on all images at once, which cannot be divided", "--runner threads")
    waiting = []
    for job in jobs:
        if job.restore and job.pair.id in plan.faults:  # what is wrong here needs no worker
            yield restore(plan, job.pair, run, png_file(home, run, job.pair.id), home)
        else:
            waiting.append(job)
    if not waiting:
        return
    needs = needs_of(plan)
    with cluster(plan.request, needs, len(waiting)) as ray:
        crew = _Crew(plan, ray, len(waiting), needs)
        try:
            for job, reply in crew.work(waiting, lambda job: _parcel(job, png_file(home, run, job.pair.id))):
                yield from _kept(run, home, job, reply)
        finally:
            crew.dismiss()


def _parcel(job: Job, png: Path) -> Parcel:
    pair = job.pair
    return Parcel(
        job=job,
        lr=pair.lr.read_bytes(),
        hr=pair.hr.read_bytes() if pair.hr is not None and job.metrics else None,
        png=None if job.restore else png.read_bytes(),
    )


def _kept(run: str, home: Path, job: Job, reply: Reply) -> Iterator[Event]:
    """Write the PNG, and give rows this run's id and this machine's paths."""
    if reply.row is not None:
        png = png_file(home, run, job.pair.id)
        if reply.png is not None:
            png.parent.mkdir(parents=True, exist_ok=True)
            with replacing(png) as partial:
                partial.write_bytes(reply.png)
        here = {
            "run": run,
            "lr": str(job.pair.lr),
            "hr": None if job.pair.hr is None else str(job.pair.hr),
            "output": None if reply.png is None else png.relative_to(home).as_posix(),
        }
        yield Written(reply.row.model_copy(update=here), reply.trace)
    if reply.measured is not None:
        scores = [score.model_copy(update={"run": run}) for score in reply.measured.scores]
        yield replace(reply.measured, scores=scores)


@dataclass(eq=False)
class _Member:
    """One actor and what it was handed."""

    actor: Any
    device: str
    building: Any
    """Ray's reference to what ``build`` returns; None once it is there."""
    refs: deque[Any] = field(default_factory=deque)
    """Ray's references to replies that are awaited, the oldest first."""


class _Crew:
    """The actors of one run: hires, hands out, replaces the dead."""

    def __init__(self, plan: Plan, ray: Any, jobs: int, needs: Needs) -> None:
        self._plan, self._ray = plan, ray
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        count, self._cores = places(machines, plan.request, jobs, needs)
        self._needs = needs
        self._ours, self._noted = versions(plan), {""}
        self._deaths: dict[str, int] = {}
        self._failed_starts = 0
        devices = plan.request.devices or (plan.device,) * count
        self._members = [self._hire(device) for device in devices[:count]]
        self._alive = time.monotonic()

    def work(self, jobs: Iterable[Job], pack: Callable[[Job], Parcel]) -> Iterator[tuple[Job, Reply]]:
        """Yield each job with its reply, as they come; a few at a time are handed out."""
        waiting: deque[Job] = deque(jobs)
        handed: dict[Any, tuple[_Member, Job]] = {}
        while waiting or handed:
            for member in self._members:
                while member.building is None and waiting and len(member.refs) < _QUEUE:
                    job = waiting.popleft()
                    try:
                        ref = member.actor.do.remote(pack(job))
                    except OSError as error:  # a file of the set, or the PNG, is gone
                        yield job, _lost(job, Failure.of(error))
                        continue
                    handed[ref] = member, job
                    member.refs.append(ref)
            for ref in self._arrived([*handed]):
                if ref not in handed:
                    continue  # of a worker that died a moment ago
                member, job = handed.pop(ref)
                member.refs.remove(ref)
                try:
                    reply = self._ray.get(ref)
                except self._ray.exceptions.RayTaskError as error:
                    reply = _lost(job, Failure.of(error.cause))
                except self._ray.exceptions.RayError as error:
                    others = [handed.pop(other)[1] for other in member.refs]
                    self._replace(member)
                    reply = self._after_death(job, error)
                    waiting.extendleft(reversed([*([] if reply else [job]), *others]))
                if reply is not None:
                    yield job, reply

    def dismiss(self) -> None:
        """End every actor."""
        for member in self._members:
            self._ray.kill(member.actor)
        self._members = []

    def _hire(self, device: str) -> _Member:
        plan = self._plan
        order = Order(
            request=plan.request, card=plan.card, images=plan.whole, metrics=plan.scorer.ids,
            download=plan.scorer.download, device=device, folder=str(Path.cwd()), threads=self._cores,
        )  # fmt: skip
        needs: dict[str, Any] = {"num_cpus": self._cores, "num_gpus": self._needs.gpus}
        if self._needs.threads > 1:
            needs["runtime_env"] = {"env_vars": {_WAITING: os.environ.get(_WAITING, "PASSIVE")}}
        actor = self._ray.remote(Worker).options(**needs).remote()
        return _Member(actor, device, actor.build.remote(order))

    def _replace(self, member: _Member) -> None:
        self._ray.kill(member.actor)
        self._members[self._members.index(member)] = self._hire(member.device)

    def _arrived(self, handed: list[Any]) -> list[Any]:
        """Wait a while; return replies that have come, and take in workers that are built."""
        building = {member.building: member for member in self._members if member.building is not None}
        if not handed and not building:
            return []  # what was left could not even be read
        done, _ = self._ray.wait([*handed, *building], num_returns=1, timeout=5.0)
        now = time.monotonic()
        if len(building) < len(self._members):
            self._alive = now
        elif not any(node["Alive"] for node in self._ray.nodes()):
            again = "the same command goes on where it stopped"
            raise UserError("no machine of the Ray cluster is left: its processes there have ended", again)
        elif now - self._alive > _STARTING:
            raise UserError(
                f"Ray started no worker in {_STARTING:.0f} s: the cluster has no room for one with {self._cores} cores "
                f"and {self._needs.gpus:g} GPUs",
                f"ray status shows what is free; {'OMP_NUM_THREADS' if self._needs.threads else '--gpus-per-worker'} "
                "asks for less",
            )
        for ref in done:
            if ref in building:
                self._take_in(building[ref])
        return [ref for ref in done if ref not in building]

    def _take_in(self, member: _Member) -> None:
        try:
            built = self._ray.get(member.building)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _DEATHS * len(self._members):
                message = f"Ray's workers die while they load {self._plan.plugin.info.id}: {_said(error)}"
                raise UserError(message, "--runner threads loads it in this process") from error
            self._replace(member)
            return
        if isinstance(built, Failure):
            raise UserError(f"a worker cannot start: {built.message}", built.fix or "--runner threads shows where")
        check_same(built, self._ours)
        if (note := other_hardware(built, self._ours)) not in self._noted:
            self._noted.add(note)
            log.warning(note)
        member.building = None

    def _after_death(self, job: Job, error: Exception) -> Reply | None:
        """Count; None where the job is to be done again."""
        deaths = self._deaths[job.pair.id] = self._deaths.get(job.pair.id, 0) + 1
        log.warning("a worker died on %s (%d of %d): %s", job.pair.id, deaths, _DEATHS, _said(error))
        if deaths < _DEATHS:
            return None
        message = f"{deaths} workers died on this image, the last: {_said(error)}"
        failure = Failure(message=message, fix="isrbench eval --runner threads, with more memory")
        short = isinstance(error, self._ray.exceptions.OutOfMemoryError)  # Ray ends what takes a machine's last memory
        return _lost(job, failure, ImageStatus.OOM if short else ImageStatus.FAILED)


def _lost(job: Job, failure: Failure, status: ImageStatus = ImageStatus.FAILED) -> Reply:
    event = lost(job, failure, status)
    return Reply(event.row) if isinstance(event, Written) else Reply(measured=event)


def _said(error: Exception) -> str:
    return first_line(error) or type(error).__name__
