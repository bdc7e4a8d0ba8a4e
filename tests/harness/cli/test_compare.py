"""``isrbench compare``: two methods or runs in the terminal, by the report's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import isrbench as api
from tests.support.cli import isrbench
from tests.support.images import write_pairs

PLAIN = {"metrics": ["psnr", "ssim"], "estimator": "none", "complexity": False}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Bicubic on two sets in ``one``, lanczos on the first and on a part of it in ``two``."""
    folder = tmp_path_factory.mktemp("compare")
    first, second = (write_pairs(folder / name, [*"abcdef"]) for name in ("first", "second"))
    for method, pairs, place, limit in (
        ("bicubic", first, "one", None), ("bicubic", second, "one", None), ("lanczos", first, "two", None),
    ):  # fmt: skip
        api.evaluate(method, pairs, runs_dir=folder / place, limit=limit, **PLAIN)
    api.evaluate("lanczos", second, runs_dir=folder / "part", limit=3, **PLAIN)
    return folder


def folders(home: Path, *names: str) -> list[object]:
    return [word for name in names for word in ("--runs-dir", home / name)]


def test_methods_are_compared_on_every_set_that_both_have_by_the_numbers_of_the_report(home, capsys):
    code, out, err = isrbench(capsys, "compare", "bicubic", "Lanczos", *folders(home, "one", "two"), "--json")
    assert code == 0 and err == ""
    rows = {row["metric"]: row for row in json.loads(out)}
    assert {row["dataset"] for row in rows.values()} == {"first"} and set(rows) == {"psnr", "ssim"}
    runs = [*api.load_runs(home / "one"), *api.load_runs(home / "two")]
    table = api.compare(runs, baseline="bicubic").table
    wanted = table[(table.dataset == "first") & (table.group == "all") & (table.method == "Lanczos")]
    for _, row in wanted.iterrows():
        own = rows[row["metric"]]
        assert [own[k] for k in ("mean_b", "difference", "low", "high", "p", "p_holm")] == [
            row["mean"], row["difference"], row["difference_low"], row["difference_high"], row["p"], row["p_holm"]
        ]  # fmt: skip
    code, out, _ = isrbench(capsys, "compare", "bicubic", "lanczos", *folders(home, "one", "two"))
    assert code == 0 and "first (n = 6): A = Bicubic, B = Lanczos" in out and "second" not in out.split("left out")[0]
    assert "left out: bicubic-second-" in out and all(len(line) <= 80 for line in out.split("left out")[0].splitlines())
    difference = f"{rows['psnr']['difference']:+.2f}".replace("-", "−")
    assert isrbench(capsys, "compare", "BICUBIC", "LancZos", *folders(home, "one", "two"))[1] == out
    assert difference in next(line for line in out.splitlines() if line.startswith("PSNR"))


def test_strata_on_request_and_the_other_way_round(home, capsys):
    args = ("compare", "lanczos", "bicubic", *folders(home, "one", "two"), "--strata", "level", "--json")
    code, out, _ = isrbench(capsys, *args)
    rows = json.loads(out)
    assert code == 0 and {row["group"] for row in rows} == {"all"}, "these images have no levels"
    assert {(row["a"], row["b"]) for row in rows} == {("Lanczos", "Bicubic")}
    code, _, err = isrbench(capsys, *args[:-2], "thirds")
    assert code == 2 and "strata 'thirds' is not a way to group images" in err


def test_a_part_is_compared_on_shared_images_alone(home, capsys):
    run = next(path for path in (home / "one").iterdir() if path.name.startswith("bicubic-second"))
    other = next(path for path in (home / "part").iterdir() if path.is_dir())
    code, _, err = isrbench(capsys, "compare", run, other)
    assert code == 2 and "no images in common" in err and "3 of 6 images" in err and "--common" in err
    code, out, _ = isrbench(capsys, "compare", run, other, "--common", "--json")
    assert code == 0 and {row["n"] for row in json.loads(out)} == {3}


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ("bicubic", "bicubic", "are one run"),
        ("bicubic", "mor", "unknown run 'mor'"),
        ("folder", "bicubic", "folder stands for 2 runs on first"),
    ],
)
def test_what_cannot_be_compared_is_said(home, tmp_path, capsys, a, b, said):
    if a == "folder":
        for method in ("bicubic", "lanczos"):
            made = next((home / ("one" if method == "bicubic" else "two")).glob(f"{method}-first-*/images"))
            images = {"images": str(made)}
            api.evaluate("folder", home / "first", options=images, runs_dir=tmp_path / "runs", **PLAIN)
    more = ("--runs-dir", tmp_path / "runs") if a == "folder" else ()
    code, _, err = isrbench(capsys, "compare", a, b, *folders(home, "one"), *more)
    assert code == 2 and said in err and len(err.splitlines()) == 2


def test_one_report_over_several_runs_folders(home, capsys, tmp_path):
    code, out, err = isrbench(capsys, "report", *folders(home, "one", "two", "part"), "--out", tmp_path / "report")
    assert code == 0, err
    assert out.count("Lanczos") == 2 and "second, 3 of 6 images" in out and (tmp_path / "report/index.html").is_file()
