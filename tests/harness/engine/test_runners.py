"""Runners: the same rows and PNGs from one thread, from several, and from Ray's processes, also where these die."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isrbench.harness.api.records import Failure, ImageStatus
from isrbench.harness.engine.evaluate import RunResult, evaluate
from isrbench.harness.engine.jobs import Job, Measured, Written
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.engine.runners import RUNNERS, check_runner
from isrbench.harness.engine.runners.cluster import Needs, cores_to_report, needs_of, places
from isrbench.harness.engine.runners.on_ray import on_ray
from isrbench.harness.engine.runners.worker import Built, Order, Parcel, Worker, check_same, other_hardware, versions
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb
from tests.support.images import write_pairs
from tests.support.packages import install
from tests.support.plugins import FRAGILE_METHOD, THREADS_METHOD

METRICS = ["psnr", "ssim", "gmsd", "shift"]


def rows(result: RunResult) -> list[str]:
    """Scores, images and routing as text; what is about time, and where the runs folder lies, left out."""
    home = str(result.folder.parent)
    images = result.images().drop(columns="seconds").sort_values("image").to_csv(index=False).replace(home, "")
    scores = result.scores().sort_values(["image", "metric"]).to_csv(index=False).replace(home, "")
    routing = result.routing()
    return [images, scores, routing.sort_values(list(routing.columns)).to_csv(index=False)]


def pngs(result: RunResult) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((result.folder / "images").glob("*.png"))}


def run(runner: str, runs: Path, method: str = "bicubic", limit: int = 6, **more) -> RunResult:
    return evaluate(
        method, "sample", limit=limit, metrics=METRICS, runner=runner, runs_dir=runs, complexity=False, **more
    )


@pytest.mark.parametrize(
    ("method", "limit"), [("bicubic", 6), pytest.param("mor", 4, marks=pytest.mark.slow)], ids=["bicubic", "mor"]
)
def test_every_runner_gives_the_same_rows_and_images(tmp_path, method, limit):
    pytest.importorskip("ray", reason="needs the extra ray")
    one = run("serial", tmp_path / "serial", method, limit)
    assert len(pngs(one)) == limit and not one.failed
    for runner, workers in (("threads", 3), ("ray", 2)):
        other = run(runner, tmp_path / runner, method, limit, workers=workers)
        assert rows(other) == rows(one) and pngs(other) == pngs(one), runner
    other.folder.joinpath("images", f"{one.images().image[0]}.png").unlink()
    again = run("serial", tmp_path / "ray", method, limit)
    assert again.computed and rows(again) == rows(one), "another runner goes on with a run"


def test_a_worker_computes_with_the_threads_of_this_process(tmp_path, site, monkeypatch):
    """On a CPU a network's last bits follow them, whatever a worker's share of the cores is."""
    pytest.importorskip("ray", reason="needs the extra ray")
    install(site, "threads", {"isrbench.methods": {"threads": "threads_method:PLUGIN"}}, threads_method=THREADS_METHOD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    before, threads = torch.get_num_threads(), 5 if os.cpu_count() == 3 else 3
    torch.set_num_threads(threads)
    try:
        result = run("ray", tmp_path, "threads", 2, workers=2, estimator="none")
    finally:
        torch.set_num_threads(before)
    levels = {level for png in (result.folder / "images").glob("*.png") for level in np.unique(read_rgb(png))}
    assert len(pngs(result)) == 2 and levels == {threads}


ONE = Needs(threads=1, gpus=0)
GPU = Needs(threads=0, gpus=1)


@pytest.mark.parametrize(
    ("machines", "options", "needs", "expected"),
    [
        ([{"CPU": 16}], {}, ONE, (16, 1)),
        ([{"CPU": 16}], {}, Needs(4, 0), (4, 4)),
        ([{"CPU": 16}], {"workers": 2}, Needs(4, 0), (2, 4)),
        ([{}, {"CPU": 6}, {"CPU": 9}], {}, Needs(4, 0), (3, 4)),
        ([{"CPU": 16, "GPU": 8}], {}, GPU, (8, 2)),
        ([{"CPU": 16, "GPU": 4}, {"CPU": 8, "GPU": 4}], {}, Needs(0, 0.5), (16, 1)),
        ([{"CPU": 16, "GPU": 2}], {"devices": ("cuda:0", "cuda:1")}, Needs(0, 0), (2, 8)),
        ([{"CPU": 16}, {"CPU": 16, "GPU": 8}], {}, GPU, (8, 2)),
        ([{}, {"CPU": 64, "GPU": 8}], {}, GPU, (8, 8)),
        ([{"GPU": 2}, {"GPU": 2, "CPU": 8}], {}, Needs(0, 2), (1, 8)),
    ],
)
def test_workers_fill_the_machines(machines, options, needs, expected, caplog):
    assert places(machines, Request("bicubic", "sample", runner="ray", **options), 100, needs) == expected
    assert not caplog.records


def test_there_are_no_more_workers_than_jobs():
    assert places([{"CPU": 16}], Request("bicubic", "sample", runner="ray"), 3, ONE) == (3, 1)


def test_where_a_cluster_has_no_room_for_all_workers_it_says_so(caplog):
    many = Request("bicubic", "sample", runner="ray", workers=4)
    assert places([{"CPU": 16}], many, 100, Needs(16, 0)) == (1, 16)
    assert "room for 1 of the 4 workers, with 16 cores each" in caplog.text
    assert places([{"CPU": 16, "GPU": 2}], many, 100, GPU) == (2, 8)
    assert "room for 2 of the 4 workers, with 1 core and 1 GPUs each" in caplog.text


def test_what_is_short_on_every_machine_is_named():
    request = Request("bicubic", "sample", runner="ray")
    with pytest.raises(UserError, match=r"needs 8 cores.*has 4 cores") as raised:
        places([{"CPU": 4}, {"CPU": 2}], request, 9, Needs(8, 0))
    assert raised.value.fix == "OMP_NUM_THREADS=4 isrbench eval ..., or torch.set_num_threads(4) in Python"
    for machines, needs in (
        ([{"CPU": 4, "GPU": 1}], Needs(0, 2)), ([{"CPU": 4}, {"GPU": 1}], GPU), ([{}], ONE), ([], ONE)
    ):  # fmt: skip
        with pytest.raises(UserError, match="no machine of the cluster has so much") as raised:
            places(machines, request, 9, needs)
        assert raised.value.fix == "ray status shows what there is"


def test_more_threads_than_cores_are_told(caplog):
    assert cores_to_report(2, 1, 4) == 4 and cores_to_report(8, 1, 4) == 8 and cores_to_report(8, 0, 4) == 8
    assert cores_to_report(2, 2, 4) == 4 and not caplog.records
    assert cores_to_report(3, 2, 4) == 6 and "OMP_NUM_THREADS=1 is faster" in caplog.text


def test_on_a_cpu_a_worker_needs_the_threads_of_this_process_and_on_a_gpu_one_gpu(plan):
    def needs(device: str, **options) -> Needs:
        return needs_of(replace(plan, device=device, request=replace(plan.request, **options)))

    threads = torch.get_num_threads()
    assert needs("cpu") == needs("cpu", devices=("cpu", "cpu"), workers=2) == Needs(threads, 0)
    assert needs("cuda") == Needs(0, 1) and needs("mps") == Needs(0, 0)
    assert needs("cuda", workers=2) == Needs(0, 0) and needs("cuda", gpus_per_worker=0.5) == Needs(0, 0.5)


@pytest.mark.slow
def test_jobs_of_a_dead_worker_are_done_again_and_the_third_death_is_a_row(tmp_path, site, monkeypatch):
    pytest.importorskip("ray", reason="needs the extra ray")
    install(site, "fragile", {"isrbench.methods": {"fragile": "fragile:PLUGIN"}}, fragile=FRAGILE_METHOD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv("FRAGILE", str(tmp_path / "marks"))
    images = ["a", "always", "b", "c", "once"]
    result = evaluate(
        "fragile", write_pairs(tmp_path / "set", images), metrics=["psnr"], estimator="none", complexity=False,
        runner="ray", workers=2, runs_dir=tmp_path / "runs",
    )  # fmt: skip
    table = result.images().set_index("image")
    assert dict(table.status) == dict.fromkeys(images, "ok") | {"always": "failed"}
    assert "3 workers died on this image" in table.message["always"]
    assert sorted(result.scores().dropna(subset="value").image) == ["a", "b", "c", "once"]


@pytest.mark.slow
def test_a_run_survives_the_death_of_a_machine(tmp_path):
    """Two raylets on this machine are two machines to Ray; one is taken away after the third image."""
    pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    threads = torch.get_num_threads()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": threads, "include_dashboard": False})
    second = cluster.add_node(num_cpus=threads)
    seen = []

    def pull_the_plug(stage: str, done: int, total: int) -> None:
        if stage == "restore":
            seen.append(done)
            if done == 3:
                cluster.remove_node(second, allow_graceful=False)

    try:
        result = run("ray", tmp_path / "ray", limit=12, ray_address=cluster.address, progress=pull_the_plug)
    finally:
        cluster.shutdown()
    one = run("serial", tmp_path / "serial", limit=12)
    assert seen == list(range(1, 13)) and rows(result) == rows(one) and pngs(result) == pngs(one)


def test_an_image_that_is_gone_by_its_turn_is_a_failed_row(tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    folder = write_pairs(tmp_path / "set", ["a", "b"])

    plan = make_plan(Request("bicubic", str(folder), metrics=("psnr",), estimator="none", runner="ray", workers=1))
    (folder / "LR" / "b.png").unlink()
    events = list(on_ray(plan, "run", tmp_path, [Job(pair, True, ("psnr",)) for pair in plan.pairs]))
    failed = [event.row for event in events if isinstance(event, Written) and event.row.failure]
    assert [row.image for row in failed] == ["b"] and "b.png" in failed[0].failure.message
    assert [event.image for event in events if isinstance(event, Measured)] == ["a"]


def test_an_unknown_runner_and_options_that_do_not_fit_are_refused():
    check_runner(Request("bicubic", "sample"))
    for request, words in (
        (Request("bicubic", "sample", runner="rays"), "did you mean 'ray'"),
        (Request("bicubic", "sample", ray_address="auto"), "--ray-address is an option of --runner ray"),
        (Request("bicubic", "sample", gpus_per_worker=1), "--gpus-per-worker is an option of --runner ray"),
    ):
        with pytest.raises(UserError, match=words):
            check_runner(request)
    assert set(RUNNERS) == {"serial", "threads", "ray"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"devices": ("cpu", "cpu"), "workers": 2}, "--devices names one worker a device"),
        ({"gpus_per_worker": -1}, "--gpus-per-worker -1 is below 0"),
    ],
)
def test_rays_options_that_do_not_fit_are_refused(options, words):
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.raises(UserError, match=words):
        check_runner(Request("bicubic", "sample", runner="ray", **options))


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UserError, match="needs Ray") as raised:
        check_runner(Request("bicubic", "sample", runner="ray"))
    assert raised.value.fix == "pip install 'isrbench[ray]'"


@pytest.fixture
def plan():
    return make_plan(Request("bicubic", "sample", limit=2, metrics=("psnr",), estimator="none"))


def order(plan) -> Order:
    return Order(plan.request, plan.card, ("a",), plan.scorer.ids, False, "cpu", "/nowhere", 0)


def test_a_worker_builds_what_the_process_that_keeps_the_rows_has(plan):
    built = Worker().build(order(plan))
    assert isinstance(built, Built) and built == versions(plan)


def test_a_worker_with_other_weights_is_refused_and_one_on_other_hardware_named(plan):
    ours = versions(plan)
    check_same(replace(ours, node="there", hardware="other"), ours)
    with pytest.raises(UserError, match="the worker on there has another weights"):
        check_same(replace(ours, node="there", weights="0"), ours)
    assert other_hardware(replace(ours, node="there"), ours) == ""
    assert "workers on there compute on other" in other_hardware(replace(ours, node="there", hardware="other"), ours)


def test_a_worker_that_cannot_be_built_says_why(plan):
    failure = Worker().build(replace(order(plan), request=replace(plan.request, options={"nonsense": "1"})))
    assert isinstance(failure, Failure) and "nonsense" in failure.message


def test_a_worker_needs_no_file_of_the_set(plan):
    """Paths in the job are those of another machine."""
    worker, pair = Worker(), plan.pairs[0]
    worker.build(order(plan))
    lr, hr = pair.lr.read_bytes(), pair.hr.read_bytes()
    far = replace(pair, lr=Path("/elsewhere/a.png"), hr=Path("/elsewhere/b.png"))
    reply = worker.do(Parcel(Job(far, True, ("psnr",)), lr, hr, None))
    assert reply.row.status is ImageStatus.OK and reply.measured.scores[0].value > 20
    again = worker.do(Parcel(Job(far, False, ("psnr",)), lr, hr, reply.png))
    assert again.row is None and again.measured.scores == reply.measured.scores
    damaged = worker.do(Parcel(Job(far, True, ("psnr",)), lr[:60], hr, None))
    assert damaged.row.status is ImageStatus.FAILED and damaged.measured is None
