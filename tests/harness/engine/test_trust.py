"""What is stored is what would be computed now: protocols, estimators, shadowed runs, damaged or read-only stores."""

from __future__ import annotations

import functools
import json
import sqlite3
import subprocess
import sys
import threading
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from isrbench.harness import determinism as devices
from isrbench.harness import identity as sources
from isrbench.harness.api.method import MethodPlugin
from isrbench.harness.api.registry import Registry
from isrbench.harness.engine.execution import Outcome, execute
from isrbench.harness.engine.plan import Plan, Request, Resume, make_plan
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.builtin import METRICS
from isrbench.harness.store.frames import load_frames
from isrbench.harness.store.store import Store
from isrbench.harness.store.summary import reason_of, summarise
from tests.harness.engine.test_execution import CALLS, Nearest, methods, request_  # noqa: F401 - fixtures
from tests.support.paths import ROOT


def run(request: Request, methods: Registry[MethodPlugin]) -> tuple[Plan, Store, Outcome]:  # noqa: F811
    CALLS.clear()
    plan = make_plan(request, methods)
    store = Store(request.runs_dir)
    return plan, store, execute(plan, store)


def with_protocol(monkeypatch: pytest.MonkeyPatch, id: str, protocol: str) -> None:
    monkeypatch.setitem(METRICS._loaded, id, replace(METRICS.get(id), protocol=protocol))


def test_a_value_of_another_protocol_is_computed_again_and_no_other(request_, methods, monkeypatch) -> None:  # noqa: F811
    plan, store, _ = run(request_, methods)
    before = {(r["image"], r["metric"]): r["protocol"] for r in store.rows("scores", [plan.run])}
    assert all(before.values())
    with_protocol(monkeypatch, "psnr", "border 4")
    plan, store, outcome = run(request_, methods)
    after = {(r["image"], r["metric"]): r["protocol"] for r in store.rows("scores", [plan.run])}
    assert outcome.computed and CALLS == []
    assert all((after[key] != before[key]) == (key[1] == "psnr") for key in before)
    manifest = json.loads(store.rows("runs", [plan.run])[0]["manifest"])["metrics"]
    assert manifest["psnr"]["protocol"] == "border 4" and manifest["psnr"]["key"] == after["a", "psnr"]
    assert not run(request_, methods)[2].computed


def test_the_manifest_never_describes_a_value_that_it_did_not_give(request_, methods, monkeypatch) -> None:  # noqa: F811
    """Stopped while changing over, old values are gone before the manifest speaks of the new protocol."""
    plan, store, _ = run(request_, methods)
    with_protocol(monkeypatch, "psnr", "border 4")
    monkeypatch.setattr(
        "isrbench.harness.engine.execution._restore_and_measure", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        run(request_, methods)
    store = Store(request_.runs_dir)
    assert {r["metric"] for r in store.rows("scores", [plan.run])} == {"gmsd"}
    assert json.loads(store.rows("runs", [plan.run])[0]["manifest"])["metrics"]["psnr"]["protocol"] == "border 4"
    assert store.states()[0].state == "partial 0 of 4"


def test_severities_of_two_estimators_never_mix(request_, methods, monkeypatch) -> None:  # noqa: F811
    request = replace(request_, estimator="tiny", metrics=("psnr",))
    plan, store, _ = run(request, methods)
    first = {r["estimator"] for r in store.rows("images", [plan.run])}
    assert len(first) == 1 and None not in first
    monkeypatch.setattr("isrbench.harness.severity.estimator._RELEASES", ())
    with monkeypatch.context() as stopped:
        stopped.setattr(
            "isrbench.harness.engine.execution._restore_and_measure",
            lambda *a: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            run(request, methods)
    assert {r["severity"] for r in Store(request.runs_dir).rows("images", [plan.run])} == {None}
    plan, store, _ = run(request, methods)
    second = {r["estimator"] for r in store.rows("images", [plan.run])}
    assert len(second) == 1 and first != second
    store.set_severity(plan.run, "a", "another", [0.5] * 7)
    frames = load_frames(store, [plan.run])
    assert "MIXED" in frames.runs["estimator"][0] and set(frames.images["estimator"]) == {*second, "another"}
    assert any("more than one estimator" in note for note in summarise(store, plan.run, ("psnr",)).notes)


def test_a_limited_or_stopped_run_does_not_stand_for_a_whole_one(request_, methods, monkeypatch) -> None:  # noqa: F811
    whole, store, _ = run(request_, methods)
    limited, _, _ = run(replace(request_, limit=1), methods)
    assert store.newest_runs() == [whole.run] and store.find_run("latest") == limited.run
    monkeypatch.setattr("isrbench.harness.engine.execution._score_set", lambda *a: None)
    with monkeypatch.context() as stopped:
        stopped.setattr("isrbench.harness.engine.jobs.write_png", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(replace(request_, seed=1), methods)
    assert store.newest_runs() == [whole.run]
    assert [s.state for s in store.states()] == ["complete", "complete, --limit 1", "partial 0 of 4"]
    run(request_, methods)
    assert store.find_run("latest") == whole.run, "asked for last, although nothing was left to compute"
    assert store.run_ids()[-1] == whole.run


def test_a_run_folder_means_its_own_store(request_, methods, tmp_path: Path) -> None:  # noqa: F811
    first, store, _ = run(request_, methods)
    second, other, _ = run(replace(request_, runs_dir=tmp_path / "other"), methods)
    assert first.run == second.run and store.find_run(str(store.folder / first.run)) == first.run
    with pytest.raises(UserError, match="lies in"):
        store.find_run(str(other.folder / second.run))


def test_a_new_image_makes_values_of_the_set_void(request_, methods, monkeypatch) -> None:  # noqa: F811
    from isrbench.harness.metrics.scorer import Score

    monkeypatch.setattr("isrbench.harness.metrics.scorer.Scorer.score_set", lambda self, m, *a: Score(m, 1.0, "ok"))
    request = replace(request_, metrics=("psnr", "fid"))
    plan, store, _ = run(request, methods)
    (store.folder / plan.run / "images" / "a.png").unlink()
    monkeypatch.setattr(
        "isrbench.harness.engine.execution._score_set", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        run(request, methods)
    assert [r for r in Store(request.runs_dir).rows("scores", [plan.run]) if r["metric"] == "fid"] == []


def test_grey_levels_are_refused_with_their_range_and_rounding_is_not(request_, methods) -> None:  # noqa: F811
    plan, store, outcome = run(replace(request_, options={"fault": "grey levels"}), methods)
    ((image, reason),) = summarise(store, plan.run, ("psnr",)).errors
    assert outcome.exit_code == 1 and image == "b" and "[0, 1]" in reason and "divide by 255" in reason
    assert run(replace(request_, options={"fault": "overshoot"}), methods)[2].exit_code == 0


def test_what_a_traceback_says() -> None:
    def raised(error: Exception) -> str:
        import traceback

        try:
            raise error
        except Exception:
            return traceback.format_exc()

    assert reason_of(raised(UserError("a.png is missing", "copy it"))) == "a.png is missing"
    assert reason_of(raised(RuntimeError("out of memory\nTried to allocate"))) == "RuntimeError: out of memory"
    assert reason_of("x is small\n  fix: enlarge it") == "x is small" and reason_of("") == ""


@pytest.mark.parametrize("name", ["function", "partial", "main", "nested", "object"])
def test_the_source_behind_a_plugin(name: str, tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "acme"
    for folder in (package, package / "plugins", package / "plugins" / "sr"):
        folder.mkdir()
        (folder / "__init__.py").write_text("")
    (package / "core.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    build = types.FunctionType((lambda: None).__code__, {})
    build.__module__ = {"main": "__main__", "function": "acme"}.get(name, "acme.plugins.sr.plugin")
    made = functools.partial(build, 1) if name == "partial" else build
    if name == "object":
        kind = type("Builder", (), {"__module__": "acme.plugins.sr.plugin", "__call__": lambda self: None})
        made = kind()
    found = sources.package_of(made)
    before = sources.hash_sources((found,), (), ())
    (package / "core.py").write_text("x = 2\n")
    if name != "main":
        assert found == "acme" and sources.hash_sources((found,), (), ()) != before
    assert sources.source_files("no_such_package") == []


def test_our_own_plugins_are_a_package_each() -> None:
    from isrbench.methods.classical.plugin import BICUBIC

    assert sources.package_of(BICUBIC.build) == "isrbench.methods.classical"


def test_a_method_without_the_first_image_fails_on_it_alone(request_, methods, pairs_folder, tmp_path) -> None:  # noqa: F811
    from PIL import Image

    made = tmp_path / "made"
    made.mkdir()
    for image in "bcd":
        Image.open(pairs_folder / "HR" / f"{image}.png").save(made / f"{image}.png")
    methods.register("folder", "isrbench.methods.folder.plugin:PLUGIN")
    plan, store, outcome = run(replace(request_, method="folder", options={"images": str(made)}), methods)
    assert outcome.failed == 1 and summarise(store, plan.run, ("psnr",)).restored == 3
    manifest = json.loads(store.rows("runs", [plan.run])[0]["manifest"])
    assert "holds no a.png" in manifest["weights"] and len(manifest["fingerprints"]) == 64
    assert "holds no a.png" in summarise(store, plan.run, ("psnr",)).errors[0][1]


def test_complexity_that_cannot_be_counted_is_a_note(request_, methods, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setattr(Nearest, "complexity", lambda *a: (_ for _ in ()).throw(RuntimeError("out of memory")))
    request = replace(request_, complexity=True)
    for _ in range(2):
        _, _, outcome = run(request, methods)
        assert outcome.exit_code == 0 and "out of memory" in outcome.notes[0]


def test_a_severity_that_fails_is_told_and_everything_else_kept(request_, methods, monkeypatch) -> None:  # noqa: F811
    request = replace(request_, estimator="tiny", metrics=("psnr",))
    monkeypatch.setattr(
        "isrbench.harness.severity.clip.SeverityEstimator.estimate",
        lambda *a: (_ for _ in ()).throw(RuntimeError("no")),
    )
    plan, store, outcome = run(request, methods)
    assert outcome.exit_code == 1 and outcome.failed == 4 and "severity missing" in outcome.notes[0]
    assert {r["status"] for r in store.rows("scores", [plan.run])} == {"ok"}
    monkeypatch.undo()
    assert run(request, methods)[2].exit_code == 0


def test_a_locked_store_is_not_a_full_disk(request_, methods, monkeypatch) -> None:  # noqa: F811
    _, store, _ = run(request_, methods)
    monkeypatch.setattr("isrbench.harness.store.schema._PATIENCE", 0.1)
    other = sqlite3.connect(store.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UserError, match="another process") as caught:
        run(replace(request_, seed=1), methods)
    assert "wait" in (caught.value.fix or "") and "room" not in (caught.value.fix or "")
    other.execute("ROLLBACK")


def test_a_read_only_runs_folder_can_be_read(request_, methods) -> None:  # noqa: F811
    plan, store, _ = run(request_, methods)
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
    assert done.stdout.strip() == plan.run


def test_reading_writes_nothing_and_a_store_of_an_older_version_is_refused(request_, methods) -> None:  # noqa: F811
    _, store, _ = run(request_, methods)
    store.close()
    before = {p.name for p in store.folder.iterdir()}
    reader = Store(request_.runs_dir, create=False)
    with pytest.raises(sqlite3.OperationalError):
        reader.set_complexity("x", {})
    reader.close()
    assert {p.name for p in store.folder.iterdir()} <= before
    with sqlite3.connect(store.file) as db:
        db.execute("PRAGMA user_version=1")
    with pytest.raises(UserError, match="schema version 1") as caught:
        Store(request_.runs_dir, create=False)
    assert "another --runs-dir" in (caught.value.fix or "")


def test_only_cache_says_what_was_never_computed(request_, methods) -> None:  # noqa: F811
    run(request_, methods)
    request = replace(request_, metrics=("psnr", "ssim"), resume=Resume.ONLY_CACHE)
    plan, store, _ = run(request, methods)
    psnr, ssim = summarise(store, plan.run, ("psnr", "ssim")).metrics
    assert psnr.note == "" and ssim.note == "not computed" and ssim.mean is None


def test_absent_weights_come_with_the_line_that_fetches_them(request_, methods, monkeypatch, tmp_path) -> None:  # noqa: F811
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    request = replace(request_, metrics=("lpips",))
    for _ in range(2):
        plan, store, _ = run(request, methods)
        (lpips,) = summarise(store, plan.run, ("lpips",)).metrics
        assert lpips.note == "unavailable" and "isrbench fetch weights --metric lpips" in lpips.fix


def test_on_an_accelerator_one_computes_at_a_time(monkeypatch) -> None:
    """Restoring holds the lock that every metric takes, whichever metric it is; on the CPU nobody waits."""
    busy, seen = threading.Event(), []

    def compute() -> None:
        with devices.alone("cuda:0"):
            seen.append(busy.is_set())

    with devices.alone("cuda"):
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join(0.2)
        assert seen == []
        busy.set()
    thread.join()
    assert seen == [True]
    assert devices.alone("cpu") is not devices.alone("cpu")
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    devices.make_deterministic("cuda")
    assert torch.backends.cudnn.enabled and torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark


def test_device_errors_are_short(monkeypatch) -> None:
    monkeypatch.setattr(torch, "ones", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("word " * 300)))
    with pytest.raises(UserError) as caught:
        devices.resolve_device("cpu")
    assert len(caught.value.message) < 220
