"""Rows in and out as types, the table of a run's state, and files of other versions."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from isrbench.harness.api.method import RoutingTrace
from isrbench.harness.api.records import DatasetRecord, Failure, ImageRow, Manifest, MetricRecord, RunCost, ScoreRow
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import COST_COLUMNS, load_frames
from isrbench.harness.store.schema import SCHEMA_VERSION
from isrbench.harness.store.store import Store
from isrbench.harness.store.summary import summarise
from tests.support.paths import ROOT

OLD = ROOT / "tests/support/data/store-v3.sqlite"
"""Made by the isrbench that wrote version 3: a folder with a failed image, mor under --limit 2, bicubic without HR."""
VECTOR = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
PSNR = MetricRecord(
    direction="higher", reference="full", colour="Y", definition="border 0", code="c", weights_version="none"
)


def manifest(run: str = "r", identity: str = "1" * 64, images: int = 2, whole: int = 2) -> Manifest:
    dataset = DatasetRecord(id="set", title="Set", images=images, whole=whole, scale=4, content_hash="0")
    return Manifest(
        run=run, created="2026-01-01T00:00:00", identity=identity, name="m", method="m", title="M", routes=True,
        options={}, dataset=dataset, seed=0, device="cpu", metrics={"psnr": PSNR},
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "runs")
    made.add_run(manifest())
    return made


def test_only_plain_numbers_are_kept(store: Store) -> None:
    """SQLite would keep numpy's as bytes and NaN as nothing; a later report would meet them."""
    row = ImageRow(run="r", image="a", status="ok", lr="/lr")
    careless = RoutingTrace(("x",), (1,), (1,))
    for wrong in (np.int64(3), 2**63, float("nan"), b"3", True):
        object.__setattr__(careless, "active", (wrong,))
        with pytest.raises((TypeError, ValueError), match="the store"):
            store.add_image(row, careless)
        assert store.images("r") == [], "all of an image or nothing"
        with pytest.raises((TypeError, ValueError), match="the store"):
            store.add_hr_severity("h", "e", wrong)
    with pytest.raises(ValueError, match="the store cannot hold nan"):
        store.add_scores([ScoreRow(run="r", image="a", metric="psnr", status="ok", value=float("nan"))])


def test_rows_come_back_as_they_went_in(store: Store) -> None:
    good = ImageRow(
        run="r", image="a", status="ok", lr="/lr", hr="/hr", level="mild", seconds=0.5, output="r/images/a.png",
        output_hash="f", active_experts=9.5, adapter_macs=3, adapter_params=4, estimator="e", severity=VECTOR,
    )  # fmt: skip
    failure = Failure(message="no\nmemory", fix="buy some", traceback="Traceback ...")
    bad = ImageRow(run="r", image="b", status="failed", lr="/lr", failure=failure)
    store.add_image(good, RoutingTrace(("x", "y"), (9, 10), (1, 0)))
    store.add_image(bad, None)
    assert store.images("r") == [good, bad]
    scores = [
        ScoreRow(run="r", image="a", metric="psnr", status="ok", value=float("inf"), code="c", weights="none"),
        ScoreRow(run="r", image="a", metric="x", status="failed", failure=failure, code="c", weights="w"),
    ]
    store.add_scores(scores)
    assert store.scores("r") == scores
    cost = RunCost(macs=1, latency_ms=2.5, complexity_size="1x1")
    store.set_cost("r", cost)
    assert store.cost("r") == cost and store.manifest("r") == manifest()
    frames = load_frames(store, ["r"])
    assert frames.images.loc[1, ["message", "fix", "traceback"]].tolist() == ["no\nmemory", "buy some", "Traceback ..."]
    assert frames.images["severity"][0] == pytest.approx(0.4) and frames.runs["manifest"][0] == manifest()
    assert set(COST_COLUMNS) < set(frames.runs) and frames.routing["active"].tolist() == [9, 10]


def test_a_new_attempt_replaces_the_image_its_scores_and_those_of_the_set(store: Store) -> None:
    row = ImageRow(run="r", image="a", status="ok", lr="/lr")
    store.add_image(row, RoutingTrace(("x",), (9,), (1,)))
    store.add_scores([ScoreRow(run="r", image=i, metric="psnr", status="ok", value=1.0) for i in ("a", "")])
    store.add_image(row, None)
    assert store.scores("r") == [] and store.rows("routing", ["r"]) == []


def test_what_cannot_be_is_refused_by_the_file_itself(store: Store) -> None:
    store.add_image(ImageRow(run="r", image="a", status="ok", lr="/lr"), None)
    with pytest.raises(sqlite3.IntegrityError):
        store.add_scores([ScoreRow(run="r", image="a", metric="psnr", status="ok", value=None)])
    with pytest.raises(sqlite3.IntegrityError):
        store.add_scores([ScoreRow(run="r", image="a", metric="psnr", status="failed", value=0.0)])
    with pytest.raises(sqlite3.IntegrityError):
        store.add_image(ImageRow(run="r", image="b", status="failed", lr="/lr"), None)
    assert store.scores("r") == [] and len(store.images("r")) == 1


def test_a_part_of_a_set_never_stands_for_the_whole(store: Store) -> None:
    store.add_run(manifest("part", "2" * 64, images=1, whole=2))
    store.touch("part")
    assert store.newest_runs() == ["r"] and store.find_run("latest") == "part"
    assert [s.state for s in store.states()] == ["partial 0 of 2", "partial 0 of 1, 1 of 2"]


def test_a_run_is_found_by_its_whole_identity(store: Store) -> None:
    store.add_run(manifest("other", "1" * 63 + "2"))
    assert store.runs_of("1" * 64) == ["r"] and store.runs_of("1" * 63 + "2") == ["other"] and store.runs_of("1") == []


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy(OLD, folder / "isrbench.sqlite")
    return folder


@pytest.mark.parametrize("create", [True, False])
def test_a_store_of_version_3_is_brought_up_to_date(old: Path, create: bool) -> None:
    before = (old / "isrbench.sqlite").read_bytes()
    store = Store(old, create=create)
    ours, mor, bicubic = (next(r for r in store.run_ids() if r.startswith(n)) for n in ("ours", "mor", "bicubic"))
    a, b, c = store.images(ours)
    assert (a.level, c.level, a.failure) == ("mild", "severe", None) and a.severity is not None
    assert b.failure == Failure(message="/data/made holds no b.png", fix="make b.png")
    lpips = [row for row in store.scores(ours) if row.metric == "lpips"]
    assert {row.status.value for row in lpips} == {"unavailable"}
    assert {row.failure.fix for row in lpips} == {"isrbench fetch weights --metric lpips"}
    assert lpips[0].failure.message.startswith("lpips needs") and lpips[0].weights == "absent"
    assert store.manifest(ours).dataset.label == "small" and store.manifest(ours).dataset.license == "CC0-1.0"
    assert store.manifest(ours).dataset.notes == "for tests"
    limited = store.manifest(mor)
    assert limited.dataset.label == "small, the first 2 images" and limited.estimator.spec == "tiny"
    assert len(store.rows("routing", [mor])) > 100 and store.cost(mor).macs > 0
    assert {row.status.value for row in store.scores(bicubic)} == {"no-reference"}
    assert summarise(store, ours, ("psnr", "lpips")).errors[0][0] == "b"
    frames = load_frames(store, store.run_ids())
    assert len(frames.images) == 8 and frames.runs["manifest"].map(lambda m: m.version).eq(2).all()
    store.close()
    assert (old / "isrbench-v3-backup.sqlite").is_file()
    with sqlite3.connect(old / "isrbench-v3-backup.sqlite") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
        assert db.execute("SELECT COUNT(*) FROM images").fetchone() == (8,)
    again = Store(old)
    assert len(again.run_ids()) == 3 and before


def test_a_store_of_version_4_keeps_its_rows(store: Store) -> None:
    row = ImageRow(run="r", image="a", status="ok", lr="/lr", hr="/hr", estimator="e", severity=VECTOR)
    store.add_image(row, None)
    store.close()
    with closing(sqlite3.connect(store.file, isolation_level=None)) as db:
        db.execute("DROP TABLE hr_severities")
        db.execute("ALTER TABLE images DROP COLUMN hr_hash")
        db.execute("PRAGMA user_version=4")
    again = Store(store.folder, create=False)
    assert again.images("r") == [row] and again.hr_severities() == {}
    again.close()
    assert (store.folder / "isrbench-v4-backup.sqlite").is_file()
    with Store(store.folder) as made:
        made.set_hr_hashes("r", {"a": "h"})
        made.add_hr_severity("h", "e", 0.25)
        made.add_hr_severity("h", "other", 0.75)
        assert load_frames(made, ["r"]).images["hr_severity"].tolist() == [0.25], "by the estimator of the LR"


def test_a_store_of_version_5_keeps_its_rows_and_takes_the_new_status(store: Store) -> None:
    rows = [
        ImageRow(run="r", image="a", status="ok", lr="/lr", hr="/hr", hr_hash="h", estimator="e", severity=VECTOR),
        ImageRow(run="r", image="b", status="failed", lr="/lr", failure=Failure(message="gone")),
    ]
    for row in rows:
        store.add_image(row, None)
    store.close()
    with closing(sqlite3.connect(store.file, isolation_level=None)) as db:
        (made,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'images'").fetchone()
        columns = ", ".join(row[1] for row in db.execute("PRAGMA table_info(images)") if row[1] != "tiles")
        db.execute("ALTER TABLE images RENAME TO newer")
        fifth = made.replace(", tiles INTEGER", "").replace("'failed', 'oom'", "'failed'")
        db.execute(fifth.replace("(status = 'ok') = (message IS NULL)", "(status = 'failed') = (message IS NOT NULL)"))
        db.execute(f"INSERT INTO images SELECT {columns} FROM newer")
        db.execute("DROP TABLE newer")
        db.execute("PRAGMA user_version=5")
    again = Store(store.folder)
    assert again.images("r") == rows
    short = ImageRow(run="r", image="b", status="oom", lr="/lr", failure=Failure(message="out of memory"))
    again.add_image(short, None)
    again.add_image(ImageRow(run="r", image="c", status="ok", lr="/lr", tiles=4), None)
    assert again.images("r")[1:] == [short, ImageRow(run="r", image="c", status="ok", lr="/lr", tiles=4)]
    assert again.states()[0].failed == 1
    with pytest.raises(sqlite3.IntegrityError):
        again.add_image(ImageRow(run="r", image="d", status="oom", lr="/lr"), None)


def test_a_failed_change_of_version_leaves_the_old_file(old: Path, monkeypatch) -> None:
    from isrbench.harness.store import version3

    monkeypatch.setattr(version3, "score_of_3", lambda row: (_ for _ in ()).throw(RuntimeError("power cut")))
    with pytest.raises(RuntimeError):
        Store(old)
    monkeypatch.undo()
    assert not list(old.glob("*backup*")), "nothing was changed"
    with sqlite3.connect(old / "isrbench.sqlite") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
    assert len(Store(old).run_ids()) == 3


@pytest.mark.parametrize("version", [1, 2, SCHEMA_VERSION + 1, 99])
@pytest.mark.parametrize("create", [True, False])
def test_files_of_other_versions_are_refused(store: Store, version: int, create: bool) -> None:
    store.close()
    with sqlite3.connect(store.file) as db:
        db.execute(f"PRAGMA user_version={version}")
    with pytest.raises(UserError, match=f"schema version {version}") as caught:
        Store(store.folder, create=create)
    assert "another --runs-dir" in (caught.value.fix or "")


def test_every_older_file_has_a_copy_of_its_own(old: Path) -> None:
    """Also a second one, brought into a folder later, and where an earlier attempt left an empty file."""
    (old / "isrbench-v3-backup.sqlite").write_bytes(b"")
    for _ in range(2):
        Store(old).close()
        for name in ("isrbench.sqlite", "isrbench.sqlite-wal", "isrbench.sqlite-shm"):
            (old / name).unlink(missing_ok=True)
        shutil.copy(OLD, old / "isrbench.sqlite")
    kept = sorted(path.name for path in old.iterdir())
    assert kept == [f"isrbench{end}.sqlite" for end in ("-v3-backup-2", "-v3-backup-3", "-v3-backup", "")]
    for name in kept[:2]:
        with closing(sqlite3.connect(old / name)) as db:
            assert db.execute("SELECT COUNT(*) FROM images").fetchone() == (8,)


def test_a_severity_outlives_another_attempt_without_an_estimator(store: Store) -> None:
    row = ImageRow(run="r", image="a", status="ok", lr="/lr", estimator="e", severity=VECTOR)
    store.add_image(row, None)
    store.add_image(row.model_copy(update={"severity": None, "estimator": None}), None)
    assert store.images("r") == [row]
    other = row.model_copy(update={"severity": tuple(reversed(VECTOR)), "estimator": "f"})
    store.add_image(other, None)
    assert store.images("r") == [other]


def test_a_name_too_long_for_a_path_is_no_run(store: Store) -> None:
    with pytest.raises(UserError, match="x" * 300):
        store.find_run("x" * 300)
