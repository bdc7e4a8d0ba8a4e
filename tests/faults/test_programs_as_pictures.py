"""A picture that is a program is never run, whatever it is called and wherever it is read."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from isrbench.harness.api.dataset import Card, HubTable
from isrbench.harness.api.method import Runtime
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.fetch import write_table
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.data.synthetic import make_set
from isrbench.harness.engine.restore_files import restore
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.convert import convert
from isrbench.harness.imaging.images import read_rgb, to_tensor
from isrbench.harness.metrics import pyiqa_bridge
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.severity.training_data import read_images
from isrbench.methods.command.options import CommandOptions
from isrbench.methods.command.plugin import PLUGIN as COMMAND
from isrbench.methods.folder.options import FolderOptions
from isrbench.methods.folder.plugin import PLUGIN as FOLDER
from isrbench.methods.onestep.train.config import Data
from isrbench.methods.onestep.train.data import check_photos, open_loader
from isrbench.reports.aligned import align
from isrbench.reports.html.images import copy_images
from tests.support.images import noise_image, write_pairs
from tests.support.odd_images import EPS
from tests.support.paths import ROOT
from tests.support.report_frames import frames


@pytest.fixture
def proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a stand-in for Ghostscript writes as soon as anyone starts it."""
    from PIL import EpsImagePlugin

    path, programs = tmp_path / "proof", tmp_path / "bin"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\necho ran > '{path}'\nexit 0\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one such picture."""
    made = tmp_path / "in"
    made.mkdir()
    (made / "a.png").write_bytes(EPS)
    return made


def test_pillow_alone_would_run_it(proof: Path, folder: Path) -> None:
    with pytest.raises(OSError), Image.open(folder / "a.png") as image:  # the proof that this file can prove anything
        image.load()
    assert proof.is_file()


def _as_lr(folder: Path) -> None:
    made = write_pairs(folder / "set", ["a"])
    (made / "LR" / "a.png").write_bytes(EPS)
    load_pairs(find_card(str(made)))


def _as_hr(folder: Path) -> None:
    made = write_pairs(folder / "set", ["a"])
    (made / "HR" / "a.png").write_bytes(EPS)
    load_pairs(find_card(str(made)).model_copy(update={"scale": 4}))


def _as_result_of_a_folder(folder: Path) -> None:
    method = FOLDER.make(FolderOptions(folder, ""), Runtime(scale=4, images=("a",)))
    method.restore(to_tensor(noise_image(4, 4)), image="a", seed=0)


def _as_result_of_a_command(folder: Path) -> None:
    (folder.parent / "write.py").write_text(f"import shutil, sys; shutil.copy({str(folder / 'a.png')!r}, sys.argv[1])")
    method = COMMAND.make(
        CommandOptions(f"{sys.executable} {folder.parent / 'write.py'} {{output}} {{input}}"), Runtime(scale=4)
    )
    method.restore(to_tensor(noise_image(4, 4)), image="a", seed=0)


def _as_score(folder: Path) -> None:
    (score,) = Scorer(["piqe"]).score(folder / "a.png", None)
    assert score.failure is not None
    raise UserError(score.failure.message, score.failure.fix)


def _in_a_table(folder: Path) -> None:
    import datasets

    table = datasets.Dataset.from_dict({"lr": [str(folder / "a.png")]}).cast_column("lr", datasets.Image())
    card = Card(id="x", title="x", scale=4, license="x", source="x", has_hr=False, table=HubTable(path="o/n"))
    write_table(card, table, folder.parent / "written")


def _in_hub_training(folder: Path, streaming: bool) -> None:
    from datasets import Dataset
    from datasets import Image as Column

    made = Dataset.from_dict({"image": [{"bytes": EPS, "path": "a.png"}]}).cast_column("image", Column())
    made.to_parquet(folder / "train.parquet")
    (folder / "a.png").unlink()  # beside a table it would be the dataset
    next(open_loader(Data(hub=str(folder), crop=16, workers=0, streaming=streaming), 0, 1, [0]))


DOORS: dict[str, Callable[[Path], object]] = {
    "LR": _as_lr,
    "HR": _as_hr,
    "folder": _as_result_of_a_folder,
    "command": _as_result_of_a_command,
    "restore": lambda folder: restore(folder / "a.png", "bicubic", to=folder.parent / "out"),
    "restore in memory": lambda folder: restore(folder / "a.png", "bicubic"),
    "convert": lambda folder: convert(folder / "a.png"),
    "make-set": lambda folder: make_set([folder / "a.png"], folder.parent / "made", 16, [0.5]),
    "severity": lambda folder: read_images([folder]),
    "train": lambda folder: check_photos(Data(folders=(str(folder),))),
    "train, photo by photo": lambda folder: next(
        open_loader(Data(folders=(str(folder),), crop=16, workers=0), 0, 1, [0])
    ),
    "train on a hub dataset": lambda folder: _in_hub_training(folder, False),
    "train on a stream": lambda folder: _in_hub_training(folder, True),
    "score": _as_score,
    "fetch datasets": _in_a_table,
}


@pytest.mark.parametrize("door", DOORS)
def test_it_is_refused_as_what_it_is_at(door: str, proof: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"PostScript \(EPS\), a program and not an image") as caught:
        DOORS[door](folder)
    assert caught.value.fix and not proof.exists()


def test_a_report_links_neither_it_nor_a_thumbnail_of_it(proof: Path, folder: Path) -> None:
    made = frames(folder / "images", count=2, failed=False)
    Path(made.images["hr_path"].iloc[0]).write_bytes(EPS)
    copied = copy_images(align(replace(made))[0], folder / "out", "sample")
    assert copied[0].hr.file is None and copied[0].unreadable and copied[1].hr.file and not proof.exists()


def test_the_reader_of_fid_is_ours(proof: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyiqa.archs import fid_arch

    monkeypatch.setattr("pyiqa.create_metric", lambda *args, **kwargs: type("Net", (), {"net": None})())
    monkeypatch.setattr(fid_arch, "Image", fid_arch.Image)  # put back what building a metric replaces
    pyiqa_bridge.image_metric("cpu", name="fid")
    with pytest.raises(UserError, match="PostScript"):
        fid_arch.ResizeDataset([folder / "a.png"], "clean")[0]
    Image.fromarray(noise_image(8, 8)).save(folder / "b.png")
    assert fid_arch.ResizeDataset([folder / "b.png"], "clean", (8, 8))[0].shape == (3, 8, 8)
    assert not proof.exists()


def test_no_other_module_opens_images() -> None:
    home = ROOT / "harness/imaging/opening.py"
    found = []
    for path in [p for top in ("harness", "methods", "reports", "isrbench") for p in (ROOT / top).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            other = called.endswith(("Image.open", "imread", "imageio.open", "read_image", "decode_example"))
            imported = isinstance(node, ast.ImportFrom) and node.module == "PIL.Image"
            if (other or imported) and path.resolve() != home.resolve():
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found and "Image.open(file, formats=FORMATS)" in home.read_text(encoding="utf-8")


def test_a_picture_of_a_format_that_is_not_listed_is_not_opened(tmp_path: Path) -> None:
    for kind in ("PCX", "SGI", "TGA", "ICO", "IM", "MSP", "XBM"):
        image = Image.fromarray(noise_image(16, 16)).convert({"MSP": "1", "XBM": "1"}.get(kind, "RGB"))
        image.save(tmp_path / "a.png", format=kind)
        with pytest.raises(UserError, match="is not an image that can be read"):
            read_rgb(tmp_path / "a.png")
