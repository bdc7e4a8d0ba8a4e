"""Runs end to end through the library: resume, failures, independence of workers and order, a full disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from isrbench.harness.api.method import PreparedInPart
from isrbench.harness.api.records import ImageStatus, Manifest, ScoreStatus
from isrbench.harness.api.registry import metrics
from isrbench.harness.engine import jobs
from isrbench.harness.engine.execution import execute
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.request import Request, Resume
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.identity import image_seed
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.store.frames import load_frames
from isrbench.harness.store.store import Store
from isrbench.harness.store.summary import summarise
from tests.support.images import write_pairs
from tests.support.nearest import CALLS, Nearest, run, table
from tests.support.paths import ROOT


def test_a_run_keeps_images_scores_routing_and_manifest(request_: Request, methods) -> None:
    id, store, outcome = run(request_, methods)
    images, scores, routing = table(store, id)
    assert outcome.failed == 0 and len(images) == 4 and len(scores) == 8 and len(routing) == 8
    kept = [(r["active_experts"], r["adapter_macs"], r["adapter_params"]) for r in images]
    assert kept == [(9, 12, 7)] * 4
    frame = load_frames(store, [id]).images[["active_experts", "adapter_macs", "adapter_params"]]
    assert (frame == [9, 12, 7]).all(axis=None)
    for row in images:
        assert file_hash(store.folder / row["output"]) == row["output_hash"]
    manifest = (store.folder / id / "manifest.json").read_text().replace(": ", ":")
    for key in (
        '"argv"',
        '"git"',
        '"packages"',
        '"content_hash"',
        '"definition"',
        '"end":"20',
        '"seed":0',
        '"torch"',
    ):
        assert key in manifest


def test_a_finished_run_computes_nothing_again(request_: Request, methods, monkeypatch) -> None:
    id, store, _ = run(request_, methods)
    before = table(store, id), (store.folder / id / "manifest.json").read_bytes()
    monkeypatch.setattr(Scorer, "score", lambda *a, **k: pytest.fail("scored again"))
    again, store, outcome = run(request_, methods)
    assert again == id and outcome.failed == 0 and CALLS == []
    assert (table(store, id), (store.folder / id / "manifest.json").read_bytes()) == before


def test_a_new_metric_is_added_without_restoring_again(request_: Request, methods) -> None:
    run(request_, methods)
    id, store, _ = run(replace(request_, metrics=("psnr", "gmsd", "ssim")), methods)
    assert CALLS == [] and len(store.rows("scores", [id])) == 12


@pytest.mark.parametrize("fault", ["raise", "nan", "shape", "type", "grey levels", "trace"])
def test_one_bad_image_is_a_row_with_its_traceback_and_the_others_go_on(fault: str, request_: Request, methods) -> None:
    id, store, outcome = run(replace(request_, options={"fault": fault}), methods)
    images = {r["image"]: r for r in store.rows("images", [id])}
    assert outcome.failed == 1 and [i for i, r in images.items() if r["status"] == "failed"] == ["b"]
    assert images["b"]["message"] and "Traceback" in images["b"]["traceback"] and images["b"]["output"] is None
    means = summarise(store, id, ("psnr", "gmsd")).metrics
    assert all(m.n == 3 and m.failed == 1 for m in means), "a failed image must not count as a value"
    assert all(m.mean is None and m.note == "1 of 4 failed" for m in means), "a mean over a part is blank"
    _, _, outcome = run(replace(request_, options={"fault": fault}), methods)
    assert outcome.failed == 1 and CALLS == ["b"], "only the failed image is tried again"


def test_results_do_not_depend_on_workers_or_order(request_: Request, methods, tmp_path: Path) -> None:
    tables = []
    for number, workers in enumerate((1, 3)):
        plan = make_plan(replace(request_, runs_dir=tmp_path / str(number), workers=workers), methods)
        if number:
            plan = replace(plan, pairs=tuple(reversed(plan.pairs)))
        store = Store(plan.request.runs_dir)
        tables.append(table(store, execute(plan, store).run))
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
    assert first != second and set(store.run_ids()) == {first, second}


def test_two_questions_whose_ids_begin_alike_are_two_runs(request_: Request, methods) -> None:
    """A run is found by its whole identity: 32 bits of it, as they stand in a run's name, are not enough."""
    store = Store(request_.runs_dir)
    plan = make_plan(request_, methods)
    other = replace(plan, identity=plan.identity[:8] + "0" * 56)
    first, second = execute(plan, store), execute(other, store)
    assert first.computed and second.computed
    assert second.run == f"{first.run}0" and execute(other, store).run == second.run
    assert execute(plan, store).run == first.run and not execute(plan, store).computed


def test_an_image_that_changes_between_check_and_use_fails_alone(request_: Request, methods, pairs_folder) -> None:
    plan, store = make_plan(request_, methods), Store(request_.runs_dir)
    for kind, name in (("LR", "b"), ("HR", "c")):
        path = pairs_folder / kind / f"{name}.png"
        with Image.open(path) as image:
            image.rotate(180).save(path)
    id = execute(plan, store).run
    images = {row.image: row for row in store.images(id)}
    assert [i for i, row in images.items() if row.status is ImageStatus.FAILED] == ["b"]
    assert "has changed since it was checked" in images["b"].failure.message
    failed = [(row.image, row.metric) for row in store.scores(id) if row.status is ScoreStatus.FAILED]
    assert failed == [("c", "gmsd"), ("c", "psnr")]


def test_a_moved_set_and_a_corrected_level_update_the_rows(request_: Request, methods, tmp_path) -> None:
    def card(folder: Path, level: str) -> str:
        (folder / "levels.csv").write_text(f"image,level\na,{level}\nb,mild\n")
        (folder / "card.toml").write_text(
            'id="two"\ntitle="Two"\nscale=4\nlicense="CC0"\nsource="s"\nroot="."\nlevels="levels.csv"\n'
        )
        return str(folder / "card.toml")

    first, second = write_pairs(tmp_path / "one", ["a", "b"]), write_pairs(tmp_path / "two", ["a", "b"])
    id, store, _ = run(replace(request_, dataset=card(first, "mild")), methods)
    changed = store.last_computed()
    other, store, outcome = run(replace(request_, dataset=card(second, "severe")), methods)
    assert other == id and not outcome.computed and CALLS == []
    assert store.last_computed() > changed, "a report written before shows the old level"
    assert [(row.level, Path(row.lr).parent.parent) for row in store.images(id)] == [
        ("severe", second), ("mild", second)
    ]  # fmt: skip


def test_a_limited_run_says_of_how_many_and_decodes_no_more(request_: Request, methods, pairs_folder) -> None:
    (pairs_folder / "LR" / "d.png").write_bytes(b"not an image")
    id, store, outcome = run(replace(request_, limit=2), methods)
    dataset = store.manifest(id).dataset
    assert outcome.failed == 0 and [row.image for row in store.images(id)] == ["a", "c"]
    assert (dataset.images, dataset.whole, dataset.label) == (2, 4, "small, 2 of 4 images")


def test_a_set_that_grows_or_shrinks_around_a_runs_images_changes_what_it_is_called(
    request_: Request, methods, tmp_path: Path
) -> None:
    folder = write_pairs(tmp_path / "set", ["a"])
    whole, part = replace(request_, dataset=str(folder)), replace(request_, dataset=str(folder), limit=1)
    id, store, _ = run(whole, methods)
    assert store.manifest(id).dataset.label == "set" and not store.manifest(id).dataset.partial
    changed = store.last_computed()
    write_pairs(folder, ["a", "b", "c", "d"])
    again, store, outcome = run(part, methods)
    assert again == id and not outcome.computed and store.last_computed() > changed
    assert store.manifest(id).dataset.label == "set, 1 of 4 images"
    assert store.states()[0].state == "complete, 1 of 4"
    assert store.manifest(id) == Manifest.model_validate_json((store.folder / id / "manifest.json").read_text())
    for name in "bcd":
        (folder / "LR" / f"{name}.png").unlink()
        (folder / "HR" / f"{name}.png").unlink()
    again, store, _ = run(whole, methods)
    assert again == id and not store.manifest(id).dataset.partial and store.manifest(id).dataset.limit is None


def test_a_run_that_is_being_worked_on_is_refused(request_: Request, methods, monkeypatch) -> None:
    pytest.importorskip("fcntl")
    restore, refusals = Nearest.restore, []

    def meanwhile(self, lr, *, image: str, seed: int):
        if image == "a":
            with pytest.raises(UserError, match="another process is working on the run") as caught:
                execute(make_plan(request_, methods), Store(request_.runs_dir))
            refusals.append(caught.value.fix)
        return restore(self, lr, image=image, seed=seed)

    monkeypatch.setattr(Nearest, "restore", meanwhile)
    id, store, outcome = run(request_, methods)
    assert outcome.failed == 0 and len(refusals) == 1 and len(store.rows("scores", [id])) == 8
    assert not (store.folder / id / ".lock").exists()


def test_what_another_process_noted_in_the_manifest_stays(request_: Request, methods, monkeypatch) -> None:
    """Where no lock can be had, two may work on one run."""
    restore = Nearest.restore

    def meanwhile(self, lr, *, image: str, seed: int):
        if image == "a":
            with Store(request_.runs_dir) as other:
                known = other.manifest(other.run_ids()[0])
                more = known.invocations[0].model_copy(update={"argv": ["another"]})
                other.add_run(known.model_copy(update={"invocations": [*known.invocations, more]}))
        return restore(self, lr, image=image, seed=seed)

    monkeypatch.setattr(Nearest, "restore", meanwhile)
    id, store, _ = run(request_, methods)
    ours, theirs = store.manifest(id).invocations
    assert ours.end is not None and theirs.argv == ["another"] and theirs.end is None


def test_the_seconds_of_an_image_are_the_methods_alone(request_: Request, methods, monkeypatch) -> None:
    read = jobs.read_lr
    monkeypatch.setattr(jobs, "read_lr", lambda *a: (time.sleep(0.3), read(*a))[1])
    id, store, _ = run(request_, methods)
    assert all(row.seconds < 0.3 for row in store.images(id))


def test_changed_input_is_another_run(request_: Request, methods, pairs_folder: Path) -> None:
    first, _, _ = run(request_, methods)
    write_pairs(pairs_folder, ["b", "a", "c", "d"])
    second, _, _ = run(request_, methods)
    assert first != second and len(CALLS) == 4


def test_resume_words(request_: Request, methods) -> None:
    with pytest.raises(UserError, match="nothing is stored"):
        run(replace(request_, resume=Resume.ONLY_CACHE), methods)
    first, store, _ = run(request_, methods)
    _, _, outcome = run(replace(request_, resume=Resume.ONLY_CACHE), methods)
    assert outcome.failed == 0 and CALLS == []
    run(replace(request_, resume=Resume.NEVER), methods)
    assert len(CALLS) == 4 and store.run_ids() == [first, f"{first}-2"]


def test_a_lost_or_altered_png_is_made_again(request_: Request, methods) -> None:
    id, store, _ = run(request_, methods)
    before = table(store, id)
    (store.folder / id / "images" / "a.png").unlink()
    (store.folder / id / "images" / "c.png").write_bytes(b"rubbish")
    id, store, outcome = run(request_, methods)
    assert outcome.failed == 0 and CALLS == ["a", "c"] and table(store, id) == before


def test_a_full_disk_stops_with_one_message_and_keeps_what_is_done(request_: Request, methods, monkeypatch) -> None:
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
    id, store, outcome = run(request_, methods)
    assert outcome.failed == 0 and CALLS in (["c"], ["c", "d"]) and len(store.rows("scores", [id])) == 8


def test_an_unwritable_runs_folder(request_: Request, methods, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be used"):
        run(replace(request_, runs_dir=tmp_path / "file" / "runs"), methods)


def test_sets_without_hr_leave_full_reference_metrics_blank(request_: Request, methods, pairs_folder: Path) -> None:
    id, store, outcome = run(replace(request_, dataset=str(pairs_folder / "LR"), metrics=("psnr",)), methods)
    rows = store.rows("scores", [id])
    assert (
        outcome.failed == 0
        and {r["status"] for r in rows} == {"no-reference"}
        and all(r["value"] is None for r in rows)
    )


def test_unavailable_metrics_are_blank_and_the_run_goes_on(
    request_: Request, methods, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    id, store, outcome = run(replace(request_, metrics=("psnr", "lpips")), methods)
    rows = [r for r in store.rows("scores", [id]) if r["metric"] == "lpips"]
    assert outcome.failed == 0 and len(rows) == 4
    assert all(r["status"] == "unavailable" and r["value"] is None for r in rows)
    assert "isrbench fetch weights --metric lpips" in rows[0]["fix"]


def test_a_finished_run_with_absent_weights_computes_nothing_until_they_are_there(
    request_: Request, methods, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    request_ = replace(request_, metrics=("psnr", "lpips"))
    id, store, _ = run(request_, methods)
    before = table(store, id)
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "score", lambda *a, **k: pytest.fail("scored again"))
        id, store, outcome = run(request_, methods)
    assert outcome.failed == 0 and CALLS == [] and table(store, id) == before
    lpips = replace(metrics().get("lpips"), weights=(), build=lambda device, **settings: lambda restored, hr, lr: 0.5)
    monkeypatch.setitem(metrics()._loaded, "lpips", lpips)
    id, store, _ = run(request_, methods)
    rows = [r for r in store.rows("scores", [id]) if r["metric"] == "lpips"]
    assert CALLS == [] and {r["value"] for r in rows} == {0.5}


def test_killed_at_any_moment_the_next_run_gives_the_same_table(request_: Request, methods, tmp_path: Path) -> None:
    request_ = replace(request_, metrics=("psnr", "ssim"))  # for which the process that dies imports no pyiqa
    script = textwrap.dedent(
        f"""
        import os, signal
        from dataclasses import replace
        from pathlib import Path
        from isrbench.harness.engine import jobs
        from isrbench.harness.engine import execution as runner
        from isrbench.harness.engine.plan import make_plan
        from isrbench.harness.engine.request import Request
        from isrbench.harness.api.registry import Registry
        from isrbench.harness.api.method import MethodPlugin
        from isrbench.harness.store.store import Store
        methods = Registry("method", MethodPlugin)
        methods.register("nearest", "tests.support.nearest:PLUGIN")
        request = Request(method="nearest", dataset={request_.dataset!r}, metrics={request_.metrics!r},
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
    id, store, outcome = run(replace(request_, runs_dir=tmp_path / "killed"), methods)
    assert outcome.failed == 0 and "c" in CALLS, "only images in flight may be lost"
    assert table(store, id) == table(untouched, id)


def test_what_was_prepared_before_an_interruption_is_kept(request_: Request, methods, monkeypatch) -> None:
    seen = []

    def prepare(self, images):
        seen.append([image for image, _ in images])
        if len(images) > 2:
            raise PreparedInPart(("d", "b"))

    monkeypatch.setattr(Nearest, "prepare", prepare, raising=False)
    with pytest.raises(KeyboardInterrupt):
        run(request_, methods)
    assert CALLS == ["b", "d"]
    id, store, outcome = run(request_, methods)
    assert CALLS == ["a", "c"] and seen == [["a", "b", "c", "d"], ["a", "c"]]
    assert outcome.failed == 0 and len(table(store, id)[1]) == 8


def test_after_an_interruption_nothing_else_is_measured(request_: Request, methods, monkeypatch) -> None:
    run(request_, methods)
    png = next(request_.runs_dir.rglob("images/a.png"))
    png.unlink()

    def prepare(self, images):
        raise PreparedInPart(())

    with monkeypatch.context() as patch:
        patch.setattr(Nearest, "prepare", prepare, raising=False)
        with pytest.raises(KeyboardInterrupt):
            run(replace(request_, metrics=("psnr", "ssim")), methods)
    store = Store(request_.runs_dir)
    assert {row.metric for row in store.scores(store.run_ids()[0])} == {"psnr", "gmsd"}


def test_a_run_that_repeats_itself_or_a_stranger_is_refused(request_: Request, methods) -> None:
    first, store, _ = run(request_, methods)
    for base in (first, "nowhere"):
        with pytest.raises(UserError, match=r"cannot repeat|names nowhere"):
            run(replace(request_, repeat_of=base), methods)
    assert store.newest_runs() == [first]
