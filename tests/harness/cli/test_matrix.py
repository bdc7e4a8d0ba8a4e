"""``isrbench eval MATRIX.toml``."""

from __future__ import annotations

import json

import pytest

from isrbench.harness.cli.matrix import names_matrix
from tests.support.cli import isrbench
from tests.support.images import write_pairs


@pytest.mark.parametrize(
    ("words", "matrix"),
    [
        (["m.toml"], True),
        (["--dry-run", "m.toml"], True),
        (["m.toml", "--no-report"], True),
        (["--method", "mine.toml", "--dataset", "set.toml"], False),
        (["--method=mine.toml", "--dataset", "sample"], False),
        (["--dataset", "sample", "-o", "card=x.toml"], False),
        ([], False),
    ],
)
def test_a_matrix_is_told_from_a_card(words, matrix):
    assert names_matrix(words) is matrix


def test_runs_are_made_like_any_other_and_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "set", ["a", "b"])
    (tmp_path / "m.toml").write_text(
        'methods = ["bicubic", "lanczos", { id = "folder", options = { images = "nowhere" } }]\n'
        'datasets = ["set"]\nmetrics = ["psnr"]\nestimator = "none"\ncomplexity = false\n',
        encoding="utf-8",
    )
    code, out, err = isrbench(capsys, "eval", "m.toml", "--dry-run")
    assert code == 0 and out.count("isrbench eval --method") == 3 and err == "" and not (tmp_path / "runs").exists()
    code, out, err = isrbench(capsys, "eval", "m.toml")
    assert code == 2 and "2 of 3 runs are complete, 1 not made" in out and "report    runs/report/index.html" in out
    assert "[3/3] isrbench eval --method folder" in err and "error " in err.split("[3/3]")[1]
    assert (tmp_path / "runs/report/index.html").is_file()
    before = json.loads(isrbench(capsys, "runs", "list", "--json")[1])
    assert [row["state"] for row in before] == ["complete", "complete"]
    one = isrbench(capsys, "eval", "--method", "bicubic", "--dataset", "set", "--metrics", "psnr", "--estimator",
                   "none", "--no-complexity", "--no-report", "--resume", "only-cache")  # fmt: skip
    assert one[0] == 0, "the run of the matrix is the run of the command that it stands for"
    assert isrbench(capsys, "eval", "m.toml", "--no-report")[0] == 2
    assert len(json.loads(isrbench(capsys, "runs", "list", "--json")[1])) == 2


def test_a_mistake_is_one_line(tmp_path, capsys):
    (tmp_path / "m.toml").write_text("methods = [", encoding="utf-8")
    code, _, err = isrbench(capsys, "eval", tmp_path / "m.toml")
    assert code == 2 and len(err.splitlines()) == 2 and "is not valid TOML" in err
    code, _, err = isrbench(capsys, "eval", "--method", "bicubic")
    assert code == 2 and "--dataset" in err, "the other verb is as it was"
    for word in ("--limit", "--runs-dir=x", "-o"):
        code, _, err = isrbench(capsys, "eval", tmp_path / "m.toml", word, "2")
        assert code == 2 and f"{word.partition('=')[0]} is an option of a single run" in err
    assert isrbench(capsys, "eval", tmp_path / "m.toml", "--help")[0] == 0
