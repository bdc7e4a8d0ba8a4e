"""The Python API: what ``import isrbench`` gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import isrbench
from isrbench.harness.api.records import Manifest
from isrbench.harness.imaging.images import read_rgb
from tests.support.images import make_image, write_pairs
from tests.support.packages import install

QUICK = {"estimator": "none", "complexity": False, "metrics": ["psnr"]}


def test_every_public_name_is_there() -> None:
    assert all(getattr(isrbench, name) is not None for name in isrbench.__all__)
    assert set(isrbench.__all__) <= set(dir(isrbench))
    with pytest.raises(AttributeError, match="evaluat'"):
        isrbench.evaluat  # noqa: B018


@pytest.mark.process
def test_importing_it_costs_nothing() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nimport isrbench\nisrbench.__version__\n"
        "new = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "assert not new & {'torch', 'numpy', 'pandas', 'pydantic', 'typer', 'rich'}, new\n"
        "isrbench.evaluate\nassert not {'typer', 'rich'} & set(sys.modules), 'only the command line prints'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_evaluate_gives_the_run_and_its_rows_and_prints_nothing(pairs_folder: Path, tmp_path: Path, capfd) -> None:
    told = []
    run = isrbench.evaluate(
        "lanczos", pairs_folder, metrics=["psnr", "ssim"], runs_dir=tmp_path / "runs",
        progress=lambda stage, done, total: told.append((stage, done, total)),
    )  # fmt: skip
    assert (run.failed, run.computed) == (0, True)
    assert isinstance(run.manifest, Manifest) and run.manifest.method == "lanczos" and run.manifest.run == run.run
    assert run.folder == (tmp_path / "runs" / run.run).resolve()
    assert all(path.exists() for path in run.paths.values()) and set(run.paths) == {"rows", "images", "manifest"}
    scores, images = run.scores(), run.images()
    assert len(scores) == 8 and list(scores["status"].unique()) == ["ok"] and len(images) == 4
    means = {mean.metric: mean.mean for mean in run.summary.metrics}
    assert means["psnr"] == pytest.approx(scores[scores["metric"] == "psnr"]["value"].mean(), rel=1e-12)
    assert images["severity"].between(0, 1).all() and run.routing().empty
    assert list(run.frames().runs["run"]) == [run.run]
    assert ("restore", 4, 4) in told and ("score", 4, 4) in told
    again = isrbench.evaluate("lanczos", str(pairs_folder), metrics=["psnr", "ssim"], runs_dir=tmp_path / "runs")
    assert again.run == run.run and not again.computed
    assert run.run in repr(run) and "4 of 4" in repr(run)
    assert capfd.readouterr() == ("", "")


def test_progress_bars_are_drawn_only_when_asked_for(pairs_folder: Path, tmp_path: Path, capfd) -> None:
    isrbench.evaluate("bicubic", pairs_folder, runs_dir=tmp_path, progress=True, **QUICK)
    out, err = capfd.readouterr()
    assert out == "" and "restoring" in err and "4/4" in err
    isrbench.evaluate("lanczos", pairs_folder, runs_dir=tmp_path, progress=False, **QUICK)
    assert capfd.readouterr() == ("", "")


def test_options_are_values_or_texts(pairs_folder: Path, tmp_path: Path) -> None:
    made = pairs_folder / "HR"
    by_value = isrbench.evaluate("folder", pairs_folder, options={"images": made}, runs_dir=tmp_path, **QUICK)
    by_text = isrbench.evaluate("folder", pairs_folder, options={"images": str(made)}, runs_dir=tmp_path, **QUICK)
    assert by_value.run == by_text.run and by_value.summary.metrics[0].mean == 80


def test_a_failed_image_is_counted_and_explained(pairs_folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    Image.open(pairs_folder / "HR" / "a.png").save(made / "a.png")
    run = isrbench.evaluate("folder", pairs_folder, options={"images": made}, runs_dir=tmp_path / "runs", **QUICK)
    assert run.failed == 3 and [image for image, _ in run.summary.errors] == ["b", "c", "d"]
    failed = run.images().set_index("image").loc["b"]
    assert failed["status"] == "failed" and "b.png" in failed["message"]


def test_mistakes_raise_and_write_nothing(pairs_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(isrbench.UserError, match="did you mean 'bicubic'") as caught:
        isrbench.evaluate("bicubik", pairs_folder, runs_dir=tmp_path / "runs")
    assert caught.value.fix
    with pytest.raises(isrbench.UserError, match="resume mode"):
        isrbench.evaluate("bicubic", pairs_folder, resume="sometimes", runs_dir=tmp_path / "runs")
    with pytest.raises(isrbench.UserError, match="--limit and --sample"):
        isrbench.evaluate("bicubic", pairs_folder, limit=1, sample=1, runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(isrbench.UserError, match="no runs"):
        isrbench.load_runs(tmp_path / "runs")


def test_load_runs_gives_the_newest_or_every_run(pairs_folder: Path, tmp_path: Path) -> None:
    made = [
        isrbench.evaluate(method, pairs_folder, runs_dir=tmp_path, limit=limit, **QUICK)
        for method, limit in (("bicubic", 1), ("lanczos", None), ("bicubic", None))
    ]
    newest, every = isrbench.load_runs(tmp_path), isrbench.load_runs(tmp_path, every=True)
    assert [run.run for run in newest] == [made[1].run, made[2].run]
    assert [run.run for run in every] == [run.run for run in made]
    for fresh, stored in zip(made, every, strict=True):
        assert stored.summary == fresh.summary and stored.manifest == fresh.manifest and not stored.computed
        pd.testing.assert_frame_equal(stored.scores(), fresh.scores())


def test_compare_takes_what_evaluate_and_load_runs_give(pairs_folder: Path, tmp_path: Path) -> None:
    runs = [isrbench.evaluate(m, pairs_folder, runs_dir=tmp_path, **QUICK) for m in ("bicubic", "lanczos")]
    table = isrbench.compare(runs, baseline="bicubic").to_markdown()
    assert "Bicubic" in table and "Lanczos" in table
    assert isrbench.compare(isrbench.load_runs(tmp_path), baseline="bicubic").to_markdown() == table


def test_lists_are_frames() -> None:
    assert {"bicubic", "mor"} <= set(isrbench.list_methods()["id"])
    assert {"sample", "RealSR"} <= set(isrbench.list_datasets()["id"])
    metrics = isrbench.list_metrics().set_index("id")
    assert metrics.loc["psnr", "better"] == "higher" and "psnr" in metrics.index
    assert "summary" in isrbench.list_methods() and "summary" in isrbench.list_datasets()


def test_lists_show_what_does_not_load(site: Path) -> None:
    install(site, "broken", {"isrbench.methods": {"crash": "crash:PLUGIN"}}, crash="1 / 0\n")
    row = isrbench.list_methods().set_index("id").loc["crash"]
    assert row["title"] == "(broken)" and "ZeroDivisionError" in row["summary"]


class TestRestore:
    """One image in, one image out; files where ``to`` says so."""

    def test_arrays_images_and_files_give_the_same_pixels(self, tmp_path: Path, capfd) -> None:
        pixels = make_image(0, 12, 9)
        image = Image.fromarray(pixels)
        image.save(tmp_path / "a.png")
        expected = np.asarray(image.resize((36, 48), Image.Resampling.BICUBIC))
        for one in (pixels, image, tmp_path / "a.png", str(tmp_path / "a.png")):
            assert np.array_equal(isrbench.restore(one, "bicubic"), expected)
        many = isrbench.restore([pixels, image, tmp_path / "a.png"], "bicubic")
        assert len(many) == 3 and all(np.array_equal(one, expected) for one in many)
        written = isrbench.restore(tmp_path / "a.png", "bicubic", to=tmp_path / "b.png").written
        assert written == (tmp_path / "b.png",) and np.array_equal(read_rgb(written[0]), expected)
        assert capfd.readouterr() == ("", "")

    def test_grey_images_become_rgb(self) -> None:
        grey = Image.fromarray(make_image(0, 8, 8)).convert("L")
        restored = isrbench.restore(grey, "bicubic", scale=2)
        assert restored.shape == (16, 16, 3) and restored.dtype == np.uint8

    def test_a_folder_and_several_files_are_written(self, tmp_path: Path) -> None:
        folder = write_pairs(tmp_path / "set", ["a", "b"]) / "LR"
        done = []
        by_folder = isrbench.restore(folder, "bicubic", to=tmp_path / "x", progress=lambda *step: done.append(step))
        by_files = isrbench.restore([folder / "a.png", folder / "b.png"], "bicubic", to=tmp_path / "y")
        assert [p.name for p in by_folder.written] == ["a.png", "b.png"] == [p.name for p in by_files.written]
        assert done == [("restore", 1, 2), ("restore", 2, 2)]
        assert np.array_equal(isrbench.restore(folder / "a.png", "bicubic"), read_rgb(by_folder.written[0]))

    def test_a_bad_file_among_others_is_listed(self, tmp_path: Path) -> None:
        folder = write_pairs(tmp_path / "set", ["a", "c"]) / "LR"
        (folder / "b.png").write_bytes(b"rubbish")
        restored = isrbench.restore(folder, "bicubic", to=tmp_path / "x")
        assert [p.name for p in restored.written] == ["a.png", "c.png"]
        assert [p.name for p in restored.failed] == ["b.png"] and restored.failed[folder / "b.png"].fix
        with pytest.raises(isrbench.UserError, match=r"b\.png"):
            isrbench.restore(folder / "b.png", "bicubic")

    @pytest.mark.parametrize(
        ("image", "words"),
        [
            (np.zeros((4, 4, 3), np.float32), "float32"),
            (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
            (Image.new("RGBA", (4, 4)), "transparent"),
            (7, "int"),
        ],
    )
    def test_what_is_not_an_image(self, image, words: str) -> None:
        with pytest.raises(isrbench.UserError, match=words) as caught:
            isrbench.restore(image, "bicubic")
        assert caught.value.fix

    def test_targets_that_do_not_fit(self, tmp_path: Path) -> None:
        folder = write_pairs(tmp_path / "set", ["a", "b"]) / "LR"
        with pytest.raises(isrbench.UserError, match="is a folder"):
            isrbench.restore(folder, "bicubic")
        with pytest.raises(isrbench.UserError, match="ndarray"):
            isrbench.restore(np.zeros((4, 4, 3), np.uint8), "bicubic", to=tmp_path / "x.png")  # type: ignore[call-overload]
        with pytest.raises(isrbench.UserError, match="two of the images are called a"):
            isrbench.restore([folder / "a.png", folder.parent / "HR" / "a.png"], "bicubic", to=tmp_path / "x")
        with pytest.raises(isrbench.UserError, match="as PNG, JPEG, WebP or TIFF"):
            isrbench.restore(folder / "a.png", "bicubic", to=tmp_path / "x.gif")
        with pytest.raises(isrbench.UserError, match="no images"):
            isrbench.restore([], "bicubic", to=tmp_path / "x")
        assert not (tmp_path / "x").exists()
