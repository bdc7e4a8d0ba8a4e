"""What is stored is what would be computed now: definitions, estimators, shadowed runs, damaged or read-only stores."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from isrbench.harness import determinism as devices
from isrbench.harness.api.records import RunCost, ScoreStatus
from isrbench.harness.api.registry import metrics
from isrbench.harness.engine import execution
from isrbench.harness.engine.request import Resume
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.scorer import Score, Scorer
from isrbench.harness.severity.estimator import get_estimator
from isrbench.harness.store import opening
from isrbench.harness.store.frames import load_frames
from isrbench.harness.store.store import Store
from isrbench.harness.store.summary import summarise
from tests.support.nearest import CALLS, Nearest, run
from tests.support.paths import ROOT


def redefine(monkeypatch: pytest.MonkeyPatch, id: str, definition: str) -> None:
    monkeypatch.setitem(metrics()._loaded, id, replace(metrics().get(id), definition=definition))


def test_a_value_of_another_version_is_computed_again_and_no_other(request_, methods, monkeypatch) -> None:
    id, store, _ = run(request_, methods)
    before = {(row.image, row.metric): row.code for row in store.scores(id)}
    assert all(before.values())
    redefine(monkeypatch, "psnr", "border 4")
    id, store, outcome = run(request_, methods)
    after = {(row.image, row.metric): row.code for row in store.scores(id)}
    assert outcome.computed and CALLS == []
    assert all((after[key] != before[key]) == (key[1] == "psnr") for key in before)
    psnr = store.manifest(id).metrics["psnr"]
    assert psnr.definition == "border 4" and psnr.code == after["a", "psnr"]
    assert not run(request_, methods)[2].computed


def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the next run as Ctrl-C would, when it has begun and before anything is computed."""
    monkeypatch.setattr(execution, "_restore_and_measure", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))


def test_the_manifest_never_describes_a_value_that_it_did_not_give(request_, methods, monkeypatch) -> None:
    """Stopped while changing over, old values are gone before the manifest speaks of the new definition."""
    id, store, _ = run(request_, methods)
    redefine(monkeypatch, "psnr", "border 4")
    stopped(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(request_, methods)
    store = Store(request_.runs_dir)
    assert {row.metric for row in store.scores(id)} == {"gmsd"}
    assert store.manifest(id).metrics["psnr"].definition == "border 4"
    assert store.states()[0].state == "partial 0 of 4"


def test_severities_of_two_estimators_never_mix(request_, methods, monkeypatch) -> None:
    request = replace(request_, estimator="tiny", metrics=("psnr",))
    id, store, _ = run(request, methods)
    first = {row.estimator for row in store.images(id)}
    assert first == {get_estimator("tiny").version}
    monkeypatch.setattr(get_estimator("tiny"), "version", "of tomorrow's code")
    with monkeypatch.context() as patch:
        stopped(patch)
        with pytest.raises(KeyboardInterrupt):
            run(request, methods)
    assert {row.severity for row in Store(request.runs_dir).images(id)} == {None}
    id, store, _ = run(request, methods)
    second = {row.estimator for row in store.images(id)}
    assert second == {"of tomorrow's code"}
    store.set_severity(id, "a", "another", [0.5] * 7)
    frames = load_frames(store, [id])
    assert "MIXED" in frames.runs["estimator"][0] and set(frames.images["estimator"]) == {*second, "another"}
    assert any("more than one estimator" in note for note in summarise(store, id, ("psnr",)).notes)


@pytest.mark.parametrize("spec", ["tiny", "fft"])
def test_the_router_and_the_row_share_one_estimate(request_, methods, monkeypatch, spec: str) -> None:
    """MoR asks the process's estimator, and so does the engine: each image is computed once."""
    estimator, seen = get_estimator(spec), []
    monkeypatch.setattr(estimator, "_known", OrderedDict())  # other tests of this process use the same images
    network = estimator.load()
    estimate = network.estimate
    monkeypatch.setattr(network, "estimate", lambda image: seen.append(image.shape) or estimate(image))
    options = {} if spec == "tiny" else {"estimator": spec}  # the adapter that ships was trained with tiny
    request = replace(request_, method="mor", options=options, estimator=spec, metrics=("psnr",), limit=2)
    id, store, outcome = run(request, None)
    assert outcome.failed == 0 and len(seen) == 2
    assert all(row.severity is not None and row.active_experts for row in store.images(id))


def test_the_rows_estimator_does_not_reach_the_router(request_) -> None:
    """An adapter goes by the estimator that it was trained with: --estimator gives the rows' severities alone."""
    request = replace(request_, method="mor", metrics=("psnr",), limit=2)
    id, store, _ = run(replace(request, estimator="tiny"), None)
    before = {row.image: row for row in store.images(id)}
    again, store, outcome = run(replace(request, estimator="fft"), None)
    record = store.manifest(id).estimator
    assert again == id and outcome.computed and record is not None and record.spec == "fft"
    for row in store.images(id):
        assert row.output_hash == before[row.image].output_hash, "the same run: nothing is restored again"
        assert row.active_experts == before[row.image].active_experts
        assert row.severity != before[row.image].severity and row.estimator == get_estimator("fft").version
    other, store, _ = run(replace(request, estimator="fft", options={"estimator": "fft"}), None)
    assert other != id
    assert {row.image: row.output_hash for row in store.images(other)} != {
        image: row.output_hash for image, row in before.items()
    }


def test_a_limited_or_stopped_run_does_not_stand_for_a_whole_one(request_, methods, monkeypatch) -> None:
    whole, store, _ = run(request_, methods)
    limited, _, _ = run(replace(request_, limit=1), methods)
    assert store.newest_runs() == [whole] and store.find_run("latest") == limited
    with monkeypatch.context() as patch:
        stopped(patch)
        with pytest.raises(KeyboardInterrupt):
            run(replace(request_, resume=Resume.NEVER), methods)
    assert store.newest_runs() == [whole]
    assert [s.state for s in store.states()] == ["complete", "complete, 1 of 4", "partial 0 of 4"]
    run(request_, methods)
    assert store.find_run("latest") == whole, "asked for last, although nothing was left to compute"
    assert store.run_ids()[-1] == whole


def test_a_run_folder_means_its_own_store(request_, methods, tmp_path: Path) -> None:
    first, store, _ = run(request_, methods)
    second, other, _ = run(replace(request_, runs_dir=tmp_path / "other"), methods)
    assert first == second and store.find_run(str(store.folder / first)) == first
    with pytest.raises(UserError, match="lies in"):
        store.find_run(str(other.folder / second))


def test_a_new_image_makes_values_of_the_set_void(request_, methods, monkeypatch) -> None:
    monkeypatch.setattr(Scorer, "score_set", lambda self, m, *a: Score(m, 1.0, ScoreStatus.OK))
    request = replace(request_, metrics=("psnr", "fid"))
    id, store, _ = run(request, methods)
    (store.folder / id / "images" / "a.png").unlink()
    monkeypatch.setattr(Scorer, "score_set", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(request, methods)
    assert [row for row in Store(request.runs_dir).scores(id) if row.metric == "fid"] == []


def test_grey_levels_are_refused_with_their_range_and_rounding_is_not(request_, methods) -> None:
    id, store, outcome = run(replace(request_, options={"fault": "grey levels"}), methods)
    ((image, failure),) = summarise(store, id, ("psnr",)).errors
    assert outcome.failed == 1 and image == "b" and "[0, 1]" in failure.brief and "divide by 255" in failure.brief
    assert run(replace(request_, options={"fault": "overshoot"}), methods)[2].failed == 0


def test_a_method_without_the_first_image_fails_on_it_alone(request_, methods, pairs_folder, tmp_path) -> None:
    from PIL import Image

    made = tmp_path / "made"
    made.mkdir()
    for image in "bcd":
        Image.open(pairs_folder / "HR" / f"{image}.png").save(made / f"{image}.png")
    methods.register("folder", "isrbench.methods.folder.plugin:PLUGIN")
    id, store, outcome = run(replace(request_, method="folder", options={"images": str(made)}), methods)
    assert outcome.failed == 1 and summarise(store, id, ("psnr",)).restored == 3
    assert len(store.manifest(id).inputs_hash) == 64
    assert "a.png" in summarise(store, id, ("psnr",)).errors[0][1].message


def test_complexity_that_cannot_be_counted_is_a_note(request_, methods, monkeypatch) -> None:
    monkeypatch.setattr(Nearest, "cost", lambda *a: (_ for _ in ()).throw(RuntimeError("out of memory")))
    request = replace(request_, complexity=True)
    for _ in range(2):
        _, _, outcome = run(request, methods)
        assert outcome.failed == 0 and "out of memory" in outcome.notes[0]


def test_a_severity_that_fails_is_told_and_everything_else_kept(request_, methods, monkeypatch) -> None:
    request = replace(request_, estimator="tiny", metrics=("psnr",))
    monkeypatch.setattr(get_estimator("tiny"), "estimate", lambda *a: (_ for _ in ()).throw(RuntimeError("no")))
    id, store, outcome = run(request, methods)
    assert outcome.failed == 4 and "severity missing" in outcome.notes[0]
    assert {r["status"] for r in store.rows("scores", [id])} == {"ok"}
    monkeypatch.undo()
    assert run(request, methods)[2].failed == 0


def test_a_locked_store_is_not_a_full_disk(request_, methods, monkeypatch) -> None:
    _, store, _ = run(request_, methods)
    monkeypatch.setattr(opening, "PATIENCE", 0.1)
    other = sqlite3.connect(store.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match="another process") as caught:
        run(replace(request_, seed=1), methods)
    assert "wait" in (caught.value.fix or "") and "room" not in (caught.value.fix or "")
    other.execute("ROLLBACK")


def test_a_read_only_runs_folder_can_be_read(request_, methods) -> None:
    id, store, _ = run(request_, methods)
    store.close()
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom isrbench.harness.store.store import Store\n"
        "if os.getuid() == 0:\n    os.setuid(65534)\n"
        f"store = Store(Path({str(store.folder)!r}), create=False)\n"
        "assert len(store.rows('images', store.run_ids())) == 4\nprint(store.find_run('latest'))\n"
    )
    for folder in (store.folder, *store.folder.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)
    for path in store.folder.iterdir():
        path.chmod(0o555 if path.is_dir() else 0o444)
    store.folder.chmod(0o555)
    try:
        root = ROOT
        done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60)
    finally:
        store.folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == id


def test_reading_writes_nothing_and_a_store_of_an_older_version_is_refused(request_, methods) -> None:
    _, store, _ = run(request_, methods)
    store.close()
    before = {p.name for p in store.folder.iterdir()}
    reader = Store(request_.runs_dir, create=False)
    with pytest.raises(UserError, match="cannot be used: attempt to write a readonly database"):
        reader.set_cost("x", RunCost())
    reader.close()
    assert {p.name for p in store.folder.iterdir()} <= before
    with sqlite3.connect(store.file) as db:
        db.execute("PRAGMA user_version=1")
    with pytest.raises(UserError, match="schema version 1") as caught:
        Store(request_.runs_dir, create=False)
    assert "another --runs-dir" in (caught.value.fix or "")


def test_only_cache_says_what_was_never_computed(request_, methods) -> None:
    run(request_, methods)
    request = replace(request_, metrics=("psnr", "ssim"), resume=Resume.ONLY_CACHE)
    id, store, _ = run(request, methods)
    psnr, ssim = summarise(store, id, ("psnr", "ssim")).metrics
    assert psnr.note == "" and ssim.note == "not computed" and ssim.mean is None


def test_absent_weights_come_with_the_line_that_fetches_them(request_, methods, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    request = replace(request_, metrics=("lpips",))
    for _ in range(2):
        id, store, _ = run(request, methods)
        (lpips,) = summarise(store, id, ("lpips",)).metrics
        assert lpips.note == "unavailable" and "isrbench fetch weights --metric lpips" in lpips.fix


def test_on_an_accelerator_one_computes_at_a_time(monkeypatch) -> None:
    """Restoring holds the lock that every metric takes, whichever metric it is; on the CPU nobody waits."""
    busy, seen = threading.Event(), []

    def compute() -> None:
        with devices.exclusive("cuda:0"):
            seen.append(busy.is_set())

    with devices.exclusive("cuda"):
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join(0.2)
        assert seen == []
        busy.set()
    thread.join()
    assert seen == [True]
    assert devices.exclusive("cpu") is not devices.exclusive("cpu")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    devices.make_deterministic("cuda")
    assert torch.backends.cudnn.enabled and torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark


def test_device_errors_are_short(monkeypatch) -> None:
    monkeypatch.setattr(torch, "ones", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("word " * 300)))
    with pytest.raises(UserError) as caught:
        devices.resolve_device("cpu")
    assert len(caught.value.message) < 220
