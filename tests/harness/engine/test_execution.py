"""Runs end to end through the library: resume, failures, independence of workers and order, a full disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, Restored, RoutingTrace, Runtime
from isrbench.harness.api.registry import Registry
from isrbench.harness.engine.execution import execute
from isrbench.harness.engine.plan import Plan, Request, Resume, make_plan
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.identity import image_seed
from isrbench.harness.store.frames import load_frames
from isrbench.harness.store.store import Store
from isrbench.harness.store.summary import summarise
from tests.conftest import write_pairs
from tests.support.paths import ROOT


@dataclass(frozen=True)
class Options:
    """How the method under test misbehaves."""

    fault: str = "none"
    on: str = "b"


CALLS: list[str] = []


class Nearest:
    """Repeats pixels, adds seeded noise, and fails where it is told to."""

    def __init__(self, options: Options, runtime: Runtime) -> None:
        self.options, self.scale = options, runtime.scale

    def restore(self, lr: torch.Tensor, *, image: str, seed: int) -> Restored:
        CALLS.append(image)
        noise = torch.rand(lr.shape, generator=torch.Generator().manual_seed(seed)) * 0.1
        large = (lr + noise).repeat_interleave(self.scale, 1).repeat_interleave(self.scale, 2)
        if image == self.options.on:
            if self.options.fault == "raise":
                raise RuntimeError("the method broke")
            if self.options.fault == "nan":
                large[0, 0, 0] = float("nan")
            if self.options.fault == "shape":
                large = large[:, 1:]
            if self.options.fault == "grey levels":
                large = large * 255
            if self.options.fault == "trace":
                return Restored(large.clamp(0, 1), RoutingTrace((), (), ()))
            if self.options.fault == "overshoot":
                return Restored(large.clamp(0, 1) * 1.0009)
            if self.options.fault == "type":
                return large  # type: ignore[return-value]
        if self.options.fault == "grey levels" and image == self.options.on:
            return Restored(large)
        return Restored(large.clamp(0, 1), RoutingTrace(("l0", "l1"), (8, 10), (4, 2), macs=12, params=7))

    def complexity(self, height: int, width: int) -> Cost:
        return Cost(macs=0, params_total=0)

    def fingerprint(self, image: str) -> str:
        return ""


PLUGIN = MethodPlugin(
    info=MethodInfo(id="nearest", title="Nearest", summary="For tests.", license="Apache-2.0", routes=True),
    options=Options,
    build=Nearest,
)


@pytest.fixture
def methods() -> Registry[MethodPlugin]:
    registry = Registry("method", MethodPlugin)
    registry.register("nearest", "tests.harness.engine.test_execution:PLUGIN")
    return registry


@pytest.fixture
def request_(pairs_folder: Path, tmp_path: Path) -> Request:
    return Request(
        method="nearest", dataset=str(pairs_folder), metrics=("psnr", "gmsd"), runs_dir=tmp_path / "runs",
        estimator="none", complexity=False, device="cpu",
    )  # fmt: skip


def run(request: Request, methods: Registry[MethodPlugin]) -> tuple[Plan, Store, int]:
    CALLS.clear()
    plan = make_plan(request, methods)
    store = Store(request.runs_dir)
    return plan, store, execute(plan, store).exit_code


def table(store: Store, run_id: str) -> tuple[list, list, list]:
    images = [{k: v for k, v in r.items() if k != "seconds"} for r in store.rows("images", [run_id])]
    return images, store.rows("scores", [run_id]), store.rows("routing", [run_id])


def test_a_run_keeps_images_scores_routing_and_manifest(request_: Request, methods) -> None:
    plan, store, code = run(request_, methods)
    images, scores, routing = table(store, plan.run)
    assert code == 0 and len(images) == 4 and len(scores) == 8 and len(routing) == 8
    kept = [(r["active_experts"], r["adapter_macs"], r["adapter_params"]) for r in images]
    assert kept == [(9, 12, 7)] * 4
    frame = load_frames(store, [plan.run]).images[["active_experts", "adapter_macs", "adapter_params"]]
    assert (frame == [9, 12, 7]).all(axis=None)
    for row in images:
        assert file_hash(store.folder / row["output"]) == row["output_hash"]
    manifest = (store.folder / plan.run / "manifest.json").read_text()
    for key in ('"argv"', '"git"', '"packages"', '"content_hash"', '"protocol"', '"end": "20', '"seed": 0', '"torch"'):
        assert key in manifest


def test_a_finished_run_computes_nothing_again(request_: Request, methods, monkeypatch) -> None:
    plan, store, _ = run(request_, methods)
    before = table(store, plan.run), (store.folder / plan.run / "manifest.json").read_bytes()
    monkeypatch.setattr("isrbench.harness.metrics.scorer.Scorer.score", lambda *a, **k: pytest.fail("scored again"))
    again, store, code = run(request_, methods)
    assert again.run == plan.run and code == 0 and CALLS == []
    assert (table(store, plan.run), (store.folder / plan.run / "manifest.json").read_bytes()) == before


def test_a_new_metric_is_added_without_restoring_again(request_: Request, methods) -> None:
    run(request_, methods)
    plan, store, _ = run(replace(request_, metrics=("psnr", "gmsd", "ssim")), methods)
    assert CALLS == [] and len(store.rows("scores", [plan.run])) == 12


@pytest.mark.parametrize("fault", ["raise", "nan", "shape", "type", "grey levels", "trace"])
def test_one_bad_image_is_a_row_with_its_traceback_and_the_others_go_on(fault: str, request_: Request, methods) -> None:
    plan, store, code = run(replace(request_, options={"fault": fault}), methods)
    images = {r["image"]: r for r in store.rows("images", [plan.run])}
    assert code == 1 and [i for i, r in images.items() if r["status"] == "failed"] == ["b"]
    assert "Traceback" in images["b"]["error"] and images["b"]["output"] is None
    means = summarise(store, plan.run, ("psnr", "gmsd")).metrics
    assert all(m.n == 3 and m.failed == 1 for m in means), "a failed image must not count as a value"
    _, _, code = run(replace(request_, options={"fault": fault}), methods)
    assert code == 1 and CALLS == ["b"], "only the failed image is tried again"


@pytest.mark.parametrize("fault", ["nan", "shape"])
def test_restoring_pictures_holds_the_method_to_its_contract(fault: str, pairs_folder: Path, tmp_path: Path) -> None:
    from isrbench.harness.engine.restore_files import Pictures, restore_files

    pictures = Pictures(pairs_folder / "LR", tmp_path / "out")
    written, failed = restore_files(Nearest(Options(fault), Runtime(4)), pictures, progress=lambda *_: None)
    assert [p.name for p in failed] == ["b.png"] and len(written) == 3 and not (tmp_path / "out" / "b.png").exists()


def test_results_do_not_depend_on_workers_or_order(request_: Request, methods, tmp_path: Path) -> None:
    tables = []
    for number, workers in enumerate((1, 3)):
        plan = make_plan(replace(request_, runs_dir=tmp_path / str(number), workers=workers), methods)
        if number:
            plan = replace(plan, pairs=tuple(reversed(plan.pairs)))
        store = Store(plan.request.runs_dir)
        execute(plan, store)
        tables.append(table(store, plan.run))
    assert tables[0] == tables[1]


def test_seeds_depend_on_the_image_not_on_its_place() -> None:
    assert image_seed(0, "a") == image_seed(0, "a") != image_seed(0, "b")
    assert image_seed(1, "a") != image_seed(0, "a") and 0 <= image_seed(0, "a") < 2**63


@pytest.mark.parametrize(
    "other", [{"options": {"on": "c"}}, {"seed": 1}, {"limit": 2}], ids=["options", "seed", "limit"]
)
def test_another_question_is_another_run(other: dict, request_: Request, methods) -> None:
    first, store, _ = run(request_, methods)
    second, store, _ = run(replace(request_, **other), methods)
    assert first.run != second.run and set(store.run_ids()) == {first.run, second.run}


def test_changed_input_is_another_run(request_: Request, methods, pairs_folder: Path) -> None:
    first, _, _ = run(request_, methods)
    write_pairs(pairs_folder, ["b", "a", "c", "d"])
    second, _, _ = run(request_, methods)
    assert first.run != second.run and len(CALLS) == 4


def test_resume_words(request_: Request, methods) -> None:
    with pytest.raises(UserError, match="nothing is stored"):
        run(replace(request_, resume=Resume.ONLY_CACHE), methods)
    first, store, _ = run(request_, methods)
    _, _, code = run(replace(request_, resume=Resume.ONLY_CACHE), methods)
    assert code == 0 and CALLS == []
    run(replace(request_, resume=Resume.NEVER), methods)
    assert len(CALLS) == 4 and store.run_ids() == [first.run, f"{first.run}-2"]


def test_a_lost_or_altered_png_is_made_again(request_: Request, methods) -> None:
    plan, store, _ = run(request_, methods)
    before = table(store, plan.run)
    (store.folder / plan.run / "images" / "a.png").unlink()
    (store.folder / plan.run / "images" / "c.png").write_bytes(b"rubbish")
    plan, store, code = run(request_, methods)
    assert code == 0 and CALLS == ["a", "c"] and table(store, plan.run) == before


def test_a_full_disk_stops_with_one_message_and_keeps_what_is_done(request_: Request, methods, monkeypatch) -> None:
    from isrbench.harness.engine import jobs

    write = jobs.write_png

    def full(path: Path, pixels: object) -> None:
        if path.stem == "c":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, pixels)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs, "write_png", full)
    with pytest.raises(UserError, match="No space left") as caught:
        run(request_, methods)
    assert "same command" in (caught.value.fix or "")
    monkeypatch.undo()
    plan, store, code = run(request_, methods)
    assert code == 0 and CALLS == ["c", "d"] and len(store.rows("scores", [plan.run])) == 8


def test_an_unwritable_runs_folder(request_: Request, methods, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be used"):
        run(replace(request_, runs_dir=tmp_path / "file" / "runs"), methods)


def test_a_store_of_another_version_is_refused(request_: Request, methods) -> None:
    import sqlite3

    _, store, _ = run(request_, methods)
    store.close()
    db = sqlite3.connect(store.file)
    db.execute("PRAGMA user_version=99")
    db.commit()
    db.close()
    with pytest.raises(UserError, match="schema version 99"):
        Store(request_.runs_dir)


def test_sets_without_hr_leave_full_reference_metrics_blank(request_: Request, methods, pairs_folder: Path) -> None:
    plan, store, code = run(replace(request_, dataset=str(pairs_folder / "LR"), metrics=("psnr",)), methods)
    rows = store.rows("scores", [plan.run])
    assert code == 0 and {r["status"] for r in rows} == {"no-reference"} and all(r["value"] is None for r in rows)


def test_unavailable_metrics_are_blank_and_the_run_goes_on(
    request_: Request, methods, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    plan, store, code = run(replace(request_, metrics=("psnr", "lpips")), methods)
    rows = [r for r in store.rows("scores", [plan.run]) if r["metric"] == "lpips"]
    assert code == 0 and len(rows) == 4
    assert all(r["status"] == "unavailable" and r["value"] is None for r in rows)
    assert "isrbench fetch weights --metric lpips" in rows[0]["error"]


def test_a_finished_run_with_absent_weights_computes_nothing_until_they_are_there(
    request_: Request, methods, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    request_ = replace(request_, metrics=("psnr", "lpips"))
    plan, store, _ = run(request_, methods)
    before = table(store, plan.run)
    with monkeypatch.context() as patch:
        patch.setattr("isrbench.harness.metrics.scorer.Scorer.score", lambda *a, **k: pytest.fail("scored again"))
        plan, store, code = run(request_, methods)
    assert code == 0 and CALLS == [] and table(store, plan.run) == before
    monkeypatch.setattr("isrbench.harness.metrics.weights.missing", lambda metric: [])
    monkeypatch.setattr(
        "isrbench.harness.metrics.scorer.Scorer._build", lambda self, metric: lambda restored, reference: 0.5
    )
    plan, store, _ = run(request_, methods)
    rows = [r for r in store.rows("scores", [plan.run]) if r["metric"] == "lpips"]
    assert CALLS == [] and {r["value"] for r in rows} == {0.5}


def test_killed_at_any_moment_the_next_run_gives_the_same_table(request_: Request, methods, tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal
        from dataclasses import replace
        from pathlib import Path
        from isrbench.harness.engine import jobs
        from isrbench.harness.engine import execution as runner
        from isrbench.harness.engine.plan import Request, make_plan
        from isrbench.harness.api.registry import Registry
        from isrbench.harness.api.method import MethodPlugin
        from isrbench.harness.store.store import Store
        methods = Registry("method", MethodPlugin)
        methods.register("nearest", "tests.harness.engine.test_execution:PLUGIN")
        request = Request(method="nearest", dataset={request_.dataset!r}, metrics=("psnr", "gmsd"),
                          runs_dir=Path({str(tmp_path / "killed")!r}), estimator="none", complexity=False, device="cpu")
        write = jobs.write_png
        def dying(path, pixels):
            write(path, pixels)
            if path.stem == "c":
                os.kill(os.getpid(), signal.SIGKILL)
        jobs.write_png = dying
        plan = make_plan(request, methods)
        runner.execute(plan, Store(request.runs_dir))
        """
    )
    died = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    _, untouched, _ = run(request_, methods)
    plan, store, code = run(replace(request_, runs_dir=tmp_path / "killed"), methods)
    assert code == 0 and CALLS == ["c", "d"], "only the image in flight may be lost"
    assert table(store, plan.run) == table(untouched, plan.run)
