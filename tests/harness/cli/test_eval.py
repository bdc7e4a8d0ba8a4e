"""``isrbench eval``: what it prints, how it fails, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from isrbench.harness import network
from isrbench.harness.metrics import weights
from tests.support.cli import finished, isrbench
from tests.support.images import write_pairs

PLAIN = ("--no-complexity", "--no-report", "--estimator", "none")


def test_weights_that_are_not_the_published_ones_give_no_number(pairs_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "pyiqa" / "LPIPS_v0.1_alex-df73285e.pth"
    path.parent.mkdir(parents=True)
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'d' * 64}\nsize 6009\n")
    common = ("eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr,lpips", *PLAIN)
    code, out, _ = isrbench(capsys, *common, "--runs-dir", tmp_path / "runs")
    said = f"lpips: {path} is not the published file: it is a Git LFS pointer, not the file of 6.01 kB that it stands"
    assert code == 0 and f"note {said} for; isrbench fetch weights --metric lpips" in out
    assert [line.split()[2] for line in out.splitlines() if line.startswith("LPIPS")] == ["–"]
    code, _, err = isrbench(capsys, *common, "--require-metrics", "--runs-dir", tmp_path / "runs")
    assert code == 2 and said in " ".join(err.split())


def test_the_table_and_where_everything_lies(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    code, out, _ = isrbench(
        capsys, "eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr,gmsd",
        "--runs-dir", tmp_path / "runs", "--no-report", "--estimator", "none",
    )  # fmt: skip
    assert code == 0
    assert "4 of 4 images restored" in out
    assert "PSNR ↑" in out and "GMSD ↓" in out and "MACs (" in out
    places = [line for line in out.splitlines() if line.startswith(("rows", "images", "manifest"))]
    assert len(places) == 3 and all(Path(line.split(maxsplit=1)[1]).exists() for line in places)


def test_json_is_one_document_and_nothing_else(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    args = ("--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", tmp_path / "r", *PLAIN)
    code, out, _ = isrbench(capsys, "eval", "--method", "bicubic", *args, "--json")
    summary = json.loads(out)
    assert code == 0 and summary["metrics"][0]["n"] == 4 and summary["restored"] == 4


@pytest.mark.process
def test_json_holds_reasons_and_places_and_nothing_is_left_on_stderr(
    pairs_folder: Path, tmp_path: Path, capfd, monkeypatch
) -> None:
    """In a process of its own, where libraries might speak as they are imported; again, from what it has stored."""
    args = ("--dataset", pairs_folder, "--metrics", "psnr,lpips", "--runs-dir", tmp_path / "r", *PLAIN)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    command = ("eval", "--method", "bicubic", *args)
    for code, out, err in (finished(*command, "--json"), isrbench(capfd, *command, "--json")):
        summary = json.loads(out)
        assert code == 0 and err == "", err
        assert "isrbench fetch weights --metric lpips" in summary["metrics"][1]["fix"]
        assert all(Path(place).exists() for place in summary["places"].values()) and len(summary["places"]) == 3
    code, out, err = isrbench(capfd, *command, "-q")
    assert code == 0 and err == "" and "isrbench fetch weights --metric lpips" in out


def test_metrics_without_weights_that_nobody_named_share_one_line(tmp_path: Path, capsys, monkeypatch) -> None:
    """By default nothing is downloaded, whether the network answers or not; the rows say what is absent."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for switch in network.OFFLINE_SWITCHES:
        monkeypatch.delenv(switch, raising=False)
    monkeypatch.setattr(weights, "network", lambda: pytest.fail("the network is asked"))
    large = write_pairs(tmp_path / "large", ["a", "b"], lr=64)
    plain = ("--dataset", large, "--runs-dir", tmp_path / "r", *PLAIN)
    code, out, err = isrbench(capsys, "eval", "-q", "--method", "bicubic", *plain)
    assert code == 0 and err == "" and "PSNR ↑" in out and "PIQE ↓" in out
    absent = "lpips, dists, musiq, maniqa-pipal, clipiqa, fid"
    line = f"no weights {absent}: not computed without their weights; isrbench fetch weights --metric "
    assert line + absent.replace(" ", "") in out
    assert "LPIPS" not in out and out.count("fetch weights") == 1
    code, out, _ = isrbench(capsys, "eval", "--method", "bicubic", *plain, "--json")
    rows = {row["metric"]: row for row in json.loads(out)["metrics"]}
    assert rows["lpips"]["note"] == "unavailable" and rows["lpips"]["fix"] and not rows["lpips"]["named"]
    monkeypatch.setenv("ISRBENCH_OFFLINE", "1")
    code, out, _ = isrbench(capsys, "eval", "--method", "bicubic", *plain, "--metrics", "lpips,@osediff")
    assert code == 0 and "LPIPS ↓" in out and "unavailable lpips: isrbench fetch weights --metric lpips" in out
    assert "no weights dists, musiq, maniqa-pipal, clipiqa, fid: " in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--method", "bicubic", "--dataset", "sample", "--metrics", "@oseddif"], "did you mean '@osediff'"),
        (["--method", "bicubik", "--dataset", "sample"], "did you mean 'bicubic'"),
        (["--method", "bicubic", "--dataset", "RealSRR"], "did you mean 'RealSR'"),
        (["--method", "bicubic", "--dataset", "sample", "--metrics", "psrn"], "did you mean 'psnr'"),
        (["--method", "bicubic", "--dataset", "sample", "--resume", "allways"], "resume mode"),
        (["--method", "bicubic", "--dataset", "no/such/folder"], "no/such/folder"),
        (["--method", "bicubic", "--dataset", "sample", "-o", "size=3"], "size"),
        (["--method", "folder", "--dataset", "sample"], "images"),
        (["--method", "folder", "--dataset", "sample", "-o", "images"], "key=value"),
        (["--method", "spandrel", "--dataset", "sample", "-o", "weights=x.pth", "-o", "tile=big"], "tile"),
        (["--method", "bicubic", "--dataset", "sample", "--device", "warp"], "--device warp"),
        (["--method", "bicubic", "--dataset", "sample", "--limit", "0"], "--limit"),
        (["--method", "bicubic", "--dataset", "sample", "--sample", "0"], "--sample"),
        (["--method", "bicubic", "--dataset", "sample", "--sample", "2", "--limit", "2"], "--limit and --sample"),
        (["--method", "bicubic", "--dataset", "sample", "--workers", "0"], "--workers 0"),
        (["--method", "bicubic", "--dataset", "sample", "--metrics", ""], "--metrics names no metric"),
        (["--method", "bicubic", "--dataset", "sample", "--device", "meta"], "--device meta computes nothing"),
        (["--method", "bicubic", "--dataset", "sample", "--name", "lanczos"], "id of another method"),
        (["--method", "bicubic", "--dataset", "sample", "--name", "a/b"], "--name"),
    ],
)
def test_mistakes_are_one_clean_message_with_a_fix_and_exit_code_2(
    args: list[str], words: str, tmp_path: Path, capsys
) -> None:
    code, _, err = isrbench(capsys, "eval", "-q", *args, "--runs-dir", tmp_path / "runs", "--estimator", "none")
    assert code == 2 and "Traceback" not in err
    error, fix = err.splitlines()
    assert error.startswith("error ") and words in error and fix.startswith("fix ")
    assert not (tmp_path / "runs").exists(), "something was written before the mistake was found"


def test_a_bad_data_root_names_the_places_and_the_download(tmp_path: Path, capsys) -> None:
    code, _, err = isrbench(capsys, "eval", "--method", "bicubic", "--dataset", "DRealSR", "--data-root", tmp_path)
    assert code == 2 and str(tmp_path) in err and "isrbench fetch datasets --dataset DRealSR --accept-license" in err


@pytest.mark.parametrize("spelling", ["--accept-license", "--accept-licence"])
def test_a_license_has_to_be_accepted(spelling: str, tmp_path: Path, capsys) -> None:
    fetch = ("fetch", "datasets", "--dataset", "DIV2K-val", "--data-root", tmp_path)
    code, _, err = isrbench(capsys, *fetch)
    assert code == 2 and "accept" in err
    evaluate = ("eval", "--method", "bicubic", "--dataset", "DIV2K-val", "--data-root", tmp_path)
    for command in (fetch, evaluate):
        code, _, err = isrbench(capsys, *command, spelling)
        assert code == 2 and "could not be fetched" in err and list(tmp_path.iterdir()) == []


def test_a_license_is_not_asked_for_a_method_that_is_not_there(tmp_path: Path, capsys) -> None:
    args = ("--dataset", "DIV2K-val", "--data-root", tmp_path, "--accept-license")
    code, _, err = isrbench(capsys, "eval", "--method", "bicubik", *args)
    assert code == 2 and "did you mean 'bicubic'" in err and "fetched" not in err


def test_absent_metrics_that_are_required_stop_the_run(pairs_folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    code, _, err = isrbench(
        capsys, "eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr,lpips",
        "--require-metrics", "--runs-dir", tmp_path / "r", "--estimator", "none",
    )  # fmt: skip
    assert code == 2 and "isrbench fetch weights --metric lpips" in err and not (tmp_path / "r").exists()


def test_a_failed_image_gives_exit_code_1_and_is_named(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    made = tmp_path / "made"
    made.mkdir()
    for name in "abc":
        Image.open(pairs_folder / "HR" / f"{name}.png").save(made / f"{name}.png")
    args = (
        "eval", "--method", "folder", "-o", f"images={made}", "--dataset", pairs_folder, "--metrics", "psnr",
        "--runs-dir", tmp_path / "r", "--no-report", "--estimator", "none", "--name", "perfect",
    )  # fmt: skip
    code, out, _ = isrbench(capsys, *args)
    assert code == 1 and "perfect on small" in out and "failed d:" in out and "80.00 dB" not in out
    assert "1 of 4 failed" in out, "a mean over a part would not be comparable"
    assert "fix: save the result of d there as d.png" in out and f"in full: isrbench export {tmp_path / 'r'}" in out
    Image.open(pairs_folder / "HR" / "d.png").save(made / "d.png")
    code, out, _ = isrbench(capsys, *args)
    assert code == 0 and "4 of 4" in out and "80.00 dB" in out


def test_what_a_program_said_last_is_shown_once(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    code, out, _ = isrbench(
        capsys, "eval", "--method", "command", "-o", f"command='{sys.executable}' no-such.py {{input}} {{output}}",
        "--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", tmp_path / "r", *PLAIN,
    )  # fmt: skip
    assert code == 1 and out.count("failed ") >= 4
    assert out.count("can't open file") == 1 and out.count("fix: run it by hand") == 1


def test_a_failed_metric_names_the_image_and_the_reason(tmp_path: Path, capsys) -> None:
    folder = write_pairs(tmp_path / "set", ["a"], lr=2)
    args = ("--dataset", folder, "--metrics", "ssim", "--runs-dir", tmp_path / "r", *PLAIN)
    code, out, err = isrbench(capsys, "eval", "--method", "bicubic", *args)
    assert code == 1 and "failed ssim of a: SSIM needs sides of at least 11 pixels, not 8x8" in out
    assert "Traceback" not in out + err


@pytest.mark.parametrize("part", ["--limit", "--sample"])
def test_a_part_of_a_set_is_called_so(part: str, pairs_folder: Path, tmp_path: Path, capsys) -> None:
    args = ("--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", tmp_path / "r", *PLAIN)
    code, out, _ = isrbench(capsys, "eval", "--method", "bicubic", *args, part, 3)
    assert code == 0 and "small, 3 of 4 images: 3 of 3 images restored" in out


def test_a_sample_is_drawn_by_the_seed(tmp_path: Path, capsys) -> None:
    folder = write_pairs(tmp_path / "set", [f"{i:02d}" for i in range(20)], lr=4)
    drawn = []
    for seed in (0, 0, 1):
        runs = tmp_path / f"runs{len(drawn)}"
        args = ("--dataset", folder, "--metrics", "psnr", "--runs-dir", runs, *PLAIN, "--sample", 4, "--seed", seed)
        assert isrbench(capsys, "eval", "--method", "bicubic", *args)[0] == 0
        drawn.append({path.stem for path in runs.glob("*/images/*.png")})
    assert len(drawn[0]) == 4 and drawn[0] == drawn[1] != drawn[2]


def test_nothing_a_user_names_is_taken_for_markup(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    odd = tmp_path / "[red]odd"
    pairs_folder.rename(odd)
    args = ("--dataset", odd, "--metrics", "psnr", "--runs-dir", tmp_path / "[b]r", *PLAIN)
    code, out, _ = isrbench(capsys, "eval", "--method", "bicubic", *args)
    assert code == 0 and "[b]r" in out


def test_a_report_that_cannot_be_written_does_not_hide_the_run(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    runs = tmp_path / "my runs"
    runs.mkdir()
    (runs / "report").write_text("in the way")
    args = (
        "--dataset",
        pairs_folder,
        "--metrics",
        "psnr",
        "--runs-dir",
        runs,
        "--no-complexity",
        "--estimator",
        "none",
    )
    code, out, err = isrbench(capsys, "eval", "--method", "bicubic", *args)
    assert code == 0 and "4 of 4 images restored" in out and "index.html" not in out
    assert "warning: the run is stored, but its report is not written" in err
    assert f"isrbench report --runs-dir '{runs}'" in err and "Traceback" not in err
    code, out, err = isrbench(capsys, "eval", "--method", "bicubic", *args, "--json")
    assert code == 0 and json.loads(out)["restored"] == 4 and "warning" in err


def test_several_seeds_of_a_deterministic_method_are_one_line_and_no_third_run(
    pairs_folder: Path, tmp_path: Path, capsys
) -> None:
    args = ("--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", tmp_path / "r", *PLAIN)
    code, out, err = isrbench(capsys, "eval", "--method", "bicubic", *args, "--seeds", "3")
    assert code == 0 and out.count("4 of 4 images restored") == 1
    assert "Bicubic gives the same images under seeds 0 and 1: it is deterministic" in err
    assert len([run for run in (tmp_path / "r").iterdir() if run.is_dir()]) == 2
    code, _, err = isrbench(capsys, "eval", "--method", "bicubic", *args, "--seeds", "2", "--sample", "2")
    assert code == 2 and "each seed would draw other images" in err
