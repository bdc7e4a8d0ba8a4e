"""`--estimator fft` from end to end, and `tools compare-estimators`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from isrbench.harness.cli.estimators import compare_on_set, main
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb, to_pixels, to_tensor, write_png
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import get_estimator
from isrbench.harness.store.frames import load_frames
from isrbench.harness.store.store import Store
from tests.support.cli import isrbench
from tests.support.paths import ROOT
from tests.support.scenes import scenes


def test_eval_with_the_estimator_without_weights(tmp_path: Path, capsys) -> None:
    args = (
        "eval",
        "--method",
        "bicubic",
        "--dataset",
        "sample",
        "--limit",
        "4",
        "--metrics",
        "psnr",
        "--no-complexity",
    )
    code, out, err = isrbench(capsys, *args, "--estimator", "fft", "--runs-dir", tmp_path / "runs")
    assert code == 0 and "severity (LR)" in out and "Traceback" not in err
    with Store(tmp_path / "runs", create=False) as store:
        frames = load_frames(store, store.newest_runs())
    assert frames.runs["estimator"].tolist() == [f"fft ({get_estimator('fft').version[:8]})"]
    assert frames.images[list(DIMENSIONS)].notna().to_numpy().all() and len(frames.images) == 4
    assert "fft (" in (tmp_path / "runs/report/index.html").read_text(encoding="utf-8")


def test_agreement_on_a_set(capsys) -> None:
    assert main(["--dataset", "sample", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 24
    (row,) = found["agreement"]
    assert row["estimator"] == "tiny, fft" and set(row) == {"estimator", "severity", *DIMENSIONS}
    assert row["severity"] > 0.6 and all(-1 <= row[name] <= 1 for name in DIMENSIONS)
    assert [level["estimator"] for level in found["level"]] == ["tiny", "fft"]
    assert all(level["severity"] > 0.6 for level in found["level"])
    assert main(["--dataset", "sample", "--limit", "6"]) == 0
    out = capsys.readouterr().out
    assert "Agreement on 6 images of sample" in out and "compression" in out


def test_an_estimator_agrees_with_itself_and_two_images_say_nothing() -> None:
    lrs = [to_tensor(read_rgb(path)) for path in sorted((ROOT / "datasets/sample/LR").glob("*_medium.png"))]
    fft = get_estimator("fft")
    (row,) = compare_on_set({"one": fft, "two": fft}, lrs, [None] * len(lrs))["agreement"]
    assert all(row[name] == pytest.approx(1) for name in ("severity", *DIMENSIONS))
    (row,) = compare_on_set({"one": fft, "two": fft}, lrs[:2], [None] * 2)["agreement"]
    assert all(math.isnan(row[name]) for name in ("severity", *DIMENSIONS))


def test_known_degradations_of_photos(capsys, tmp_path: Path) -> None:
    for index, scene in enumerate(scenes(6, 288)):
        write_png(tmp_path / f"{index}.png", to_pixels(scene))
    assert main(["--photos", str(tmp_path), "--estimators", "fft", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agreement"] == [] and len(found["level"]) == 1
    assert [row["applied"] for row in found["mixed"]] == ["blur", "noise", "resolution", "compression", "quality"]
    noise = next(row for row in found["alone"] if row["applied"] == "noise")
    assert noise["rises"] == 1.0 and noise["noise"] > 0.1


@pytest.mark.parametrize("text", ["", "tiny,tiny", "tiny,,fft"])
def test_estimators_that_are_no_two(text: str) -> None:
    with pytest.raises(UserError, match="--estimators is"):
        main(["--dataset", "sample", "--estimators", text])


def test_one_set_or_photos(capsys, tmp_path: Path) -> None:
    for args in ([], ["--dataset", "sample", "--photos", str(tmp_path)]):
        with pytest.raises(SystemExit) as stop:
            main(args)
        assert stop.value.code == 2
    with pytest.raises(UserError, match="no images in"):
        main(["--photos", str(tmp_path), "--estimators", "fft"])
    with pytest.raises(UserError, match="--limit is 0"):
        main(["--photos", str(tmp_path), "--limit", "0", "--estimators", "fft"])
