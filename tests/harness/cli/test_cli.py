"""The command line as a user meets it, in its own process where that matters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from isrbench.harness.cli.main import main
from tests.conftest import picture


def isrbench(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Run the command in this process; (exit code, standard output, standard error)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["isrbench", *map(str, args)])
        try:
            main()
            code: object = 0
        except SystemExit as stop:
            code = stop.code or 0
    said = capsys.readouterr()
    assert isinstance(code, int)
    return code, said.out, said.err


@pytest.fixture
def evaluated(pairs_folder: Path, tmp_path: Path, capsys) -> Path:
    """A runs folder with one finished run of bicubic."""
    runs = tmp_path / "runs"
    code, _, _ = isrbench(
        capsys, "eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr,ssim", "--runs-dir", runs,
        "--no-complexity", "--no-report", "--estimator", "none",
    )  # fmt: skip
    assert code == 0
    return runs


@pytest.mark.parametrize(
    "args",
    [["--help"], ["list", "methods"], ["list", "datasets"], ["list", "metrics"], ["describe", "method", "folder"]],
)
def test_looking_around_never_imports_torch(args: list[str]) -> None:
    script = (
        "import sys\nfrom isrbench.harness.cli.main import main\n"
        f"sys.argv = ['isrbench', *{args!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'pyiqa', 'diffusers', 'pandas', 'scipy', 'matplotlib', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_eval_prints_the_table_and_says_where_everything_lies(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    runs = tmp_path / "runs"
    code, out, _ = isrbench(
        capsys, "eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr,gmsd", "--runs-dir", runs,
        "--no-report", "--estimator", "none",
    )  # fmt: skip
    assert code == 0
    assert "4 of 4 images restored" in out
    assert "PSNR ↑" in out and "GMSD ↓" in out and "MACs (" in out
    for line in out.splitlines():
        if line.startswith(("rows", "images", "manifest")):
            assert Path(line.split(maxsplit=1)[1]).exists(), line


def test_json_is_one_document_and_nothing_else(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    code, out, _ = isrbench(
        capsys, "eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr",
        "--runs-dir", tmp_path / "r",
        "--no-report", "--json", "--no-complexity", "--estimator", "none",
    )  # fmt: skip
    summary = json.loads(out)
    assert code == 0 and summary["metrics"][0]["n"] == 4 and summary["restored"] == 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--method", "bicubik", "--dataset", "sample"], "did you mean 'bicubic'"),
        (["--method", "bicubic", "--dataset", "realsr"], "did you mean 'RealSR'"),
        (["--method", "bicubic", "--dataset", "sample", "--metrics", "psrn"], "did you mean 'psnr'"),
        (["--method", "bicubic", "--dataset", "sample", "--resume", "allways"], "resume mode"),
        (["--method", "bicubic", "--dataset", "no/such/folder"], "no such card or folder"),
        (["--method", "bicubic", "--dataset", "sample", "-o", "size=3"], "size"),
        (["--method", "folder", "--dataset", "sample"], "images"),
        (["--method", "folder", "--dataset", "sample", "-o", "images"], "key=value"),
        (["--method", "spandrel", "--dataset", "sample", "-o", "weights=x.pth", "-o", "tile=big"], "tile"),
        (["--method", "bicubic", "--dataset", "sample", "--device", "warp"], "--device warp"),
        (["--method", "bicubic", "--dataset", "sample", "--limit", "0"], "at least one"),
        (["--method", "bicubic", "--dataset", "sample", "--workers", "0"], "--workers 0: at least one"),
        (["--method", "bicubic", "--dataset", "sample", "--metrics", ""], "--metrics names no metric"),
        (["--method", "bicubic", "--dataset", "sample", "--device", "meta"], "--device meta computes nothing"),
        (["--method", "bicubic", "--dataset", "sample", "--name", "lanczos"], "id of another method"),
        (["--method", "bicubic", "--dataset", "sample", "--name", "a/b"], "--name"),
    ],
)
def test_mistakes_are_one_clean_message_and_exit_code_2(args: list[str], words: str, tmp_path: Path, capsys) -> None:
    code, _, err = isrbench(capsys, "eval", *args, "--runs-dir", tmp_path / "runs", "--estimator", "none")
    assert code == 2 and words in err and "Traceback" not in err
    assert not (tmp_path / "runs").exists(), "something was written before the mistake was found"


def test_a_bad_data_root_names_the_places_and_the_download(tmp_path: Path, capsys) -> None:
    code, _, err = isrbench(capsys, "eval", "--method", "bicubic", "--dataset", "DRealSR", "--data-root", tmp_path)
    assert code == 2 and str(tmp_path) in err and "isrbench fetch datasets --dataset DRealSR --accept-license" in err


def test_a_license_has_to_be_accepted(tmp_path: Path, capsys) -> None:
    code, _, err = isrbench(capsys, "fetch", "datasets", "--dataset", "DIV2K-val", "--data-root", tmp_path)
    assert code == 2 and "accept" in err
    code, _, err = isrbench(
        capsys, "fetch", "datasets", "--dataset", "DIV2K-val", "--data-root", tmp_path, "--accept-license"
    )
    assert code == 2 and "could not be fetched" in err and list(tmp_path.iterdir()) == []


def test_absent_metrics_that_are_required_stop_the_run(pairs_folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    code, _, err = isrbench(
        capsys, "eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr,lpips",
        "--require-metrics", "--runs-dir", tmp_path / "r", "--estimator", "none",
    )  # fmt: skip
    assert code == 2 and "isrbench fetch weights --metric lpips" in err


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
    assert code == 1 and "perfect on small" in out and "failed d:" in out and "80.00 dB" in out
    Image.open(pairs_folder / "HR" / "d.png").save(made / "d.png")
    code, out, _ = isrbench(capsys, *args)
    assert code == 0 and "4 of 4" in out


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
        "scores": ["run", "method", "dataset", "image", "metric", "value", "status", "error"],
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


def test_restore_a_picture_and_a_folder(tmp_path: Path, capsys) -> None:
    Image.fromarray(picture(0, 12, 9)).save(tmp_path / "photo.jpg")
    target = tmp_path / "large.png"
    assert isrbench(capsys, "restore", tmp_path / "photo.jpg", target, "--method", "bicubic")[0] == 0
    assert Image.open(target).size == (36, 48)
    code, _, err = isrbench(capsys, "restore", tmp_path / "photo.jpg", target, "--method", "bicubic")
    assert code == 2 and "exists already" in err
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(picture(1, 8, 8)).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"rubbish")
    code, out, _ = isrbench(capsys, "restore", folder, tmp_path / "out", "--method", "lanczos", "--scale", "2")
    assert code == 1 and Image.open(tmp_path / "out" / "a.png").size == (16, 16) and "b.png" not in out


def test_doctor_and_describe_say_what_fix(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    code, out, _ = isrbench(capsys, "doctor", "--json", "--data-root", tmp_path)
    findings = {f["what"]: f for f in json.loads(out)}
    assert code == 0 and findings["torch"]["ok"] and findings["metric psnr"]["ok"]
    assert findings["metric musiq"]["fix"] == "isrbench fetch weights --metric musiq"
    assert "--data-root" in findings["dataset RealSR"]["fix"]
    code, out, _ = isrbench(capsys, "describe", "dataset", "RealSR", "--json")
    assert code == 0 and json.loads(out)["count"] == 100


def test_training_a_method_that_cannot_be_trained(capsys) -> None:
    code, _, err = isrbench(capsys, "train", "--method", "bicubic")
    assert code == 2 and "cannot be trained" in err


def test_nothing_a_user_names_is_taken_for_markup(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    odd = tmp_path / "[red]odd"
    pairs_folder.rename(odd)
    code, out, _ = isrbench(
        capsys, "eval", "--method", "bicubic", "--dataset", odd, "--metrics", "psnr", "--runs-dir", tmp_path / "[b]r",
        "--no-report", "--no-complexity", "--estimator", "none",
    )  # fmt: skip
    assert code == 0 and "[b]r" in out
