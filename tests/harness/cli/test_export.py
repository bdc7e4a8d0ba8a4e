"""``isrbench export`` and ``isrbench report``: the verbs that read what is stored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from isrbench.harness.errors import UserError
from isrbench.harness.store.places import send_images
from isrbench.harness.store.store import Store
from tests.support.cli import isrbench
from tests.support.images import write_pairs


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("table", ["scores", "images", "routing"])
def test_export(evaluated: Path, tmp_path: Path, ending: str, table: str, capsys) -> None:
    target = tmp_path / f"x.{ending}"
    code, _, _ = isrbench(capsys, "export", "latest", "--table", table, "--to", target, "--runs-dir", evaluated)
    assert code == 0
    if table == "routing" and ending == "jsonl":
        assert target.read_text().strip() == ""
        return
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda p: pd.read_json(p, lines=True)}
    frame = read[ending](target)
    assert len(frame) == {"scores": 8, "images": 4, "routing": 0}[table]
    expected = {
        "scores": ["run", "method", "dataset", "image", "metric", "value", "status", "message", "fix", "traceback"],
        "images": [
            "run",
            "method",
            "dataset",
            "image",
            "status",
            "seconds",
            "severity",
            "active_experts",
            "adapter_macs",
            "adapter_params",
            "level",
        ],
        "routing": ["run", "method", "dataset", "image", "position", "layer", "active", "zero"],
    }[table]
    assert list(frame.columns)[: len(expected)] == expected
    if table == "images":  # bicubic does not route
        assert frame[["active_experts", "adapter_macs", "adapter_params"]].isna().all(axis=None)


def test_export_of_a_model_card(evaluated: Path, tmp_path: Path, capsys) -> None:
    target = tmp_path / "card"
    code, out, _ = isrbench(capsys, "export", "latest", "--hub-card", "--to", target, "--runs-dir", evaluated)
    written = [Path(line) for line in out.split()]
    assert code == 0 and written and all(path.is_file() for path in written)
    assert any("model-index" in path.read_text() for path in written)


def test_export_by_run_folder_and_its_mistakes(evaluated: Path, tmp_path: Path, capsys) -> None:
    folder = next(p for p in evaluated.iterdir() if p.is_dir())
    assert isrbench(capsys, "export", folder, "--to", tmp_path / "a.csv", "--runs-dir", evaluated)[0] == 0
    for bad in (["nope", "--to", "a.csv"], ["latest", "--to", "a.xlsx"], ["latest", "--to", "a.csv", "--table", "t"]):
        code, _, err = isrbench(capsys, "export", *bad, "--runs-dir", evaluated)
        assert code == 2 and "fix" in err
    assert isrbench(capsys, "export", "latest", "--to", "a.csv", "--runs-dir", tmp_path / "none")[0] == 2


def test_a_run_folder_is_read_from_its_own_store(evaluated: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    folder = next(p for p in evaluated.iterdir() if p.is_dir())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for more in ([], ["--runs-dir", tmp_path / "wrong"]):
        assert isrbench(capsys, "export", folder, "--overwrite", "--to", "a.csv", *more)[0] == 0
        assert isrbench(capsys, "report", folder, "--out", "report", *more)[0] == 0
    assert len(pd.read_csv("a.csv")) == 8


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--to", "nodir/x.csv"], "nodir"),
        (["--to", "file", "--hub-card"], "is a file"),
        (["--to", "file/card", "--hub-card"], "cannot be written"),
    ],
)
def test_places_that_cannot_be_exported_to(more, words, evaluated, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    code, _, err = isrbench(capsys, "export", "latest", *more, "--runs-dir", evaluated)
    assert code == 2 and words in err and "None" not in err and "Traceback" not in err


@pytest.mark.parametrize("more", [["--to", "out/x.csv"], ["--to", "out", "--hub-card"]])
def test_files_that_are_there_are_overwritten_only_when_asked(more, evaluated, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = Path("out/references.bib" if "--hub-card" in more else "out/x.csv")
    mine.parent.mkdir()
    mine.write_text("mine")
    code, _, err = isrbench(capsys, "export", "latest", *more, "--runs-dir", evaluated)
    assert code == 2 and mine.name in err and "--overwrite" in err and mine.read_text() == "mine"
    assert [path.name for path in mine.parent.iterdir()] == [mine.name]
    assert isrbench(capsys, "export", "latest", *more, "--overwrite", "--runs-dir", evaluated)[0] == 0
    assert mine.read_text() != "mine" and not list(mine.parent.glob(".*"))


def test_json_lines_keep_every_digit(evaluated: Path, tmp_path: Path, capsys) -> None:
    isrbench(capsys, "export", "latest", "--to", tmp_path / "x.jsonl", "--runs-dir", evaluated)
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    with Store(evaluated, create=False) as store:
        stored = [row["value"] for row in store.rows("scores", store.run_ids())]
    assert [row["value"] for row in rows] == stored
    assert rows[0]["message"] is None


def test_runs_over_different_parts_are_compared_on_what_they_share(
    evaluated: Path, pairs_folder: Path, tmp_path: Path, capsys
) -> None:
    args = ("--dataset", pairs_folder, "--metrics", "psnr,ssim", "--runs-dir", evaluated, "--limit", "2", "--no-report")
    assert isrbench(capsys, "eval", "--method", "lanczos", *args, "--estimator", "none", "--no-complexity")[0] == 0
    out = tmp_path / "report"
    code, said, err = isrbench(capsys, "report", "--common", "--out", out, "--runs-dir", evaluated)
    assert code == 0, err
    table = said.split(str(out))[0]
    assert "Bicubic" in table and "Lanczos" in table and "on the 2 of 4 images that all runs share" in table


def test_image_names_that_a_spreadsheet_would_compute(tmp_path: Path, capsys, monkeypatch) -> None:
    """In exports and in the tables of a report; --raw writes them as they are."""
    monkeypatch.chdir(tmp_path)
    pairs = write_pairs(tmp_path / "pairs", ["=1+1", "-2", "@a"])
    args = ("--dataset", pairs, "--metrics", "psnr", "--estimator", "none", "--no-complexity")
    assert isrbench(capsys, "eval", "--method", "bicubic", *args)[0] == 0
    images = {}
    for name, more in (("inert", ()), ("raw", ("--raw",))):
        code, _, err = isrbench(capsys, "export", "latest", "--to", f"{name}.csv", *more)
        assert code == 0, err
        images[name] = list(pd.read_csv(f"{name}.csv", dtype=str)["image"])
    assert images == {"inert": ["-2", "'=1+1", "'@a"], "raw": ["-2", "=1+1", "@a"]}
    for table in Path("runs/report/tables").glob("*.csv"):
        cells = [cell for row in csv.reader(table.open(encoding="utf-8")) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@"))]


def test_export_to_a_url_and_of_images(evaluated: Path, tmp_path: Path, capsys) -> None:
    given = ("--runs-dir", evaluated)
    code, out, _ = isrbench(capsys, "export", "latest", "--to", f"file://{tmp_path}/far/x.csv", *given)
    assert code == 0 and f"8 rows of scores in file://{tmp_path}/far/x.csv" in out.replace("\n", "")
    assert len(pd.read_csv(tmp_path / "far" / "x.csv")) == 8
    code, out, _ = isrbench(capsys, "export", "latest", "--images", "--to", tmp_path / "copies", *given)
    assert code == 0 and "4 images of 1 runs in" in out
    assert len(list((tmp_path / "copies").glob("*/images/*.png"))) == 4
    for more, words in (
        (["--images", "--hub-card", "--to", tmp_path / "x"], "--hub-card and --images are two exports"),
        (["--hub-card", "--to", "memory://x"], "--hub-card writes to a folder"),
        (["--to", "nonsense://x.csv"], "Protocol not known"),
    ):
        code, _, err = isrbench(capsys, "export", "latest", *more, *given)
        assert code == 2 and words in " ".join(err.split())


@pytest.fixture
def memory():
    """Everything below memory:// is gone afterwards."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_images_and_manifests_of_a_run_anywhere(evaluated: Path, memory, tmp_path: Path) -> None:
    store = Store(evaluated)
    (id,) = store.run_ids()
    local = tmp_path / "a folder # of mine"
    for place in ("memory://bucket/results", str(local)):
        assert send_images(store, [id], place) == 4
    for name in ("images/a.png", "images/d.png", "manifest.json"):
        expected = (store.folder / id / name).read_bytes()
        assert memory.cat(f"/bucket/results/{id}/{name}") == expected == (local / id / name).read_bytes()
    with pytest.raises(UserError, match="there already"):
        send_images(store, [id], "memory://bucket/results")
    (store.folder / id / "images" / "b.png").unlink()
    with pytest.raises(UserError, match=r"b\.png is gone"):
        send_images(store, [id], "memory://bucket/new")
    assert not memory.exists("/bucket/new")
