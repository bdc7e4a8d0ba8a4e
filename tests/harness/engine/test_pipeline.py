"""The pipeline of the runner ``threads``: what goes on at once, what waits, and that nobody can tell from the rows."""

from __future__ import annotations

import errno
import threading
from dataclasses import replace

import pytest

from isrbench.harness.api.registry import Registry
from isrbench.harness.engine import jobs
from isrbench.harness.engine.jobs import Job, Measured, Written
from isrbench.harness.engine.plan import Plan, make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.engine.runners import local
from isrbench.harness.engine.runners.local import serial, threads
from tests.support.images import write_pairs

NAMES = [f"{index:02d}" for index in range(12)]


@pytest.fixture
def plan(tmp_path, methods: Registry) -> Plan:
    folder = write_pairs(tmp_path / "set", NAMES)
    return make_plan(Request("nearest", str(folder), metrics=("psnr",), estimator="none", workers=2), methods)


def work(plan: Plan) -> list[Job]:
    return [Job(pair, True, ("psnr",)) for pair in plan.pairs]


def plain(events) -> list[str]:
    rows = [event.row.model_dump_json(exclude={"seconds"}) for event in events if isinstance(event, Written)]
    return sorted([*rows, *(str(event) for event in events if isinstance(event, Measured))])


def test_the_next_lr_is_read_and_the_last_image_scored_while_one_is_restored(plan, tmp_path, monkeypatch):
    """Each step waits for what only the others, going on beside it, can do; one after the other it would time out."""
    third_is_read, first_is_scored, met = threading.Event(), threading.Event(), []
    read, measure, restore = jobs.read_lr, jobs._measure, type(plan.method).restore

    def reading(path, expected=None):
        pixels = read(path, expected)
        if path.stem == "02":
            third_is_read.set()
        return pixels

    def restoring(self, lr, *, image, seed):
        if image == "01":
            met.append(third_is_read.wait(20) and first_is_scored.wait(20))
        return restore(self, lr, image=image, seed=seed)

    def measuring(plan, pair, *given):
        found = measure(plan, pair, *given)
        if pair.id == "00":
            first_is_scored.set()
        return found

    monkeypatch.setattr(jobs, "read_lr", reading)
    monkeypatch.setattr(jobs, "_measure", measuring)
    monkeypatch.setattr(type(plan.method), "restore", restoring)
    events = list(threads(plan, "run", tmp_path, work(plan)))
    assert met == [True]
    monkeypatch.undo()
    assert plain(events) == plain(list(serial(plan, "run", tmp_path, work(plan))))


def test_no_more_wait_than_the_queues_hold(plan, tmp_path, monkeypatch):
    """Whoever takes events slowly, or scores slowly, is waited for: memory does not grow with the set."""
    go, started = threading.Semaphore(0), []
    restore = type(plan.method).restore

    def restoring(self, lr, *, image, seed):
        started.append(image)
        return restore(self, lr, image=image, seed=seed)

    def slow(*given):
        go.acquire()
        return measured(*given)

    measured = jobs._measure
    monkeypatch.setattr(jobs, "_measure", slow)
    monkeypatch.setattr(type(plan.method), "restore", restoring)
    events = threads(plan, "run", tmp_path, work(plan))
    for _ in range(2):
        next(events)
    assert len(started) <= 2 + 2 + 1, "two threads score, two images wait, and one has just been restored"
    go.release(len(NAMES))
    assert len(list(events)) == 2 * len(NAMES) - 2


def test_a_place_that_takes_no_file_ends_it_and_what_is_in_work_is_kept(plan, tmp_path, monkeypatch):
    write = jobs.write_png

    def full(path, pixels):
        if path.stem == "03":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, pixels)

    monkeypatch.setattr(jobs, "write_png", full)
    kept = []
    with pytest.raises(OSError, match="No space left"):
        kept.extend(event for event in threads(plan, "run", tmp_path, work(plan)) if not kept.append(event))
    done = {event.row.image for event in kept if isinstance(event, Written)}
    on_disk = {path.stem for path in (tmp_path / "run" / "images").glob("*.png")}
    assert {"00", "01", "02"} <= done and done == on_disk


def test_an_lr_that_cannot_be_read_fails_alone(plan, tmp_path):
    gone = replace(plan.pairs[4], lr=tmp_path / "gone.png")
    todo = [Job(gone, True, ("psnr",)) if job.pair.id == gone.id else job for job in work(plan)]
    events = list(threads(plan, "run", tmp_path, todo))
    failed = [event.row for event in events if isinstance(event, Written) and event.row.failure is not None]
    assert [row.image for row in failed] == [gone.id] and len(events) == 2 * len(NAMES) - 1


def test_what_was_finished_when_it_is_interrupted_is_kept(plan, tmp_path, monkeypatch):
    whole = local.compute_group

    def interrupted(plan, group, lrs):
        if group.pairs[0].id == "03":
            raise KeyboardInterrupt
        return whole(plan, group, lrs)

    monkeypatch.setattr(local, "compute_group", interrupted)
    kept = []
    with pytest.raises(KeyboardInterrupt):
        for event in threads(plan, "run", tmp_path, work(plan)):
            kept.append(event)
    done = {event.row.image for event in kept if isinstance(event, Written)}
    assert {path.stem for path in (tmp_path / "run" / "images").iterdir()} == done and done <= {"00", "01", "02"}
