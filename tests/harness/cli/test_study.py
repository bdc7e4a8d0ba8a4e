"""``isrbench study routing``: a micro MoR-SR on crops of the sample set, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.support.cli import isrbench
from tests.support.one_step import one_step
from tests.support.onestep_base import one_thread  # noqa: F401
from tests.support.paths import ROOT

ARMS = ["own", "other", "constant", "opposite", "off", *(f"k={k}" for k in (8, 10, 12, 14, 16))]


@pytest.fixture(scope="module")
def studied(tmp_path_factory) -> tuple[list[object], Path]:
    """Arguments of a study of crops of the sample set, and its runs folder."""
    folder = tmp_path_factory.mktemp("study")
    for kind, side in (("LR", 24), ("HR", 96)):
        (folder / "crops" / kind).mkdir(parents=True)
        for path in sorted((ROOT / "datasets" / "sample" / kind).glob("*.png"))[::6]:
            with Image.open(path) as image:
                image.crop((0, 0, side, side)).save(folder / "crops" / kind / path.name)
    options = [part for key, value in one_step("mor")(folder).items() for part in ("-o", f"{key}={value}")]
    return [
        "study", "routing", "--method", "mor", "--dataset", folder / "crops", "--limit", "3", "--metrics",
        "psnr,gmsd", "--runs-dir", folder / "runs", "--strata", "quantile:2", "--workers", "1", *options,
    ], folder / "runs"  # fmt: skip


def test_from_the_command_line_to_the_files(studied, capsys) -> None:
    args, runs = studied
    code, out, err = isrbench(capsys, *args)
    assert code == 0, err
    assert "MoR-SR on crops, 3 of 4 images, 10 arms" in out and "PSNR: routing " in out and "GMSD: routing " in out
    place = Path(out.splitlines()[-1].split(maxsplit=1)[1])
    assert place == (runs / "study-routing-mor-crops-3-of-4" / "study.md").resolve() and place.is_file()
    code, out, err = isrbench(capsys, *args, "--json")
    assert code == 0 and err == ""
    rows = json.loads(out)
    assert [set(row) for row in rows] == [
        {"arm", "stratum", "metric", "mean", "difference", "low", "high", "n"}
    ] * len(rows)  # fmt: skip
    assert [row["arm"] for row in rows if (row["stratum"], row["metric"]) == ("all", "psnr")] == ARMS
    assert {row["stratum"] for row in rows} == {"all", "severity low", "severity high"}
    code, out, _ = isrbench(capsys, "list", "runs", "--runs-dir", runs)
    assert code == 0 and out.count("mor-") >= 10 and "mor-constant-severity" in out and "mor-active-12" in out


@pytest.mark.parametrize(
    ("args", "words", "fix"),
    [
        (["--method", "bicubic"], "bicubic does not route", "lora_moe, mor"),
        (["--method", "mor", "-o", "active=12"], "option active is given", "leave out -o active="),
        (["--method", "mor", "-o", "colour"], "not of the form key=value", "-o key=value"),
    ],
)
def test_mistakes_end_in_one_message_and_exit_code_2(args, words, fix, tmp_path: Path, capsys) -> None:
    code, _, err = isrbench(capsys, "study", "routing", "--dataset", "sample", "--runs-dir", tmp_path, *args)
    assert code == 2 and words in err and fix in err and len(err.splitlines()) == 2


def test_help_names_the_study(capsys) -> None:
    code, out, _ = isrbench(capsys, "study", "--help")
    assert "routing" in out
    code, out, _ = isrbench(capsys, "study", "routing", "--help")
    assert code == 0 and "--strata" in out and "isrbench study routing --method mor" in out
