"""The figure of crops as LaTeX: pictures are the methods' pixels, and a paper of two columns takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isrbench.reports.figures.crops import Box, Panel, Subject, arrange
from isrbench.reports.figures.crops_tex import write_tex
from tests.support.images import noise_image
from tests.support.tex import compile_latex

LABELS = ("LR", "50% a_b", "M & N", "HR")


def _written(folder: Path, boxes: tuple[Box, ...]) -> tuple[str, Subject]:
    panels = tuple(Panel(label, "25.1 / 0.5", noise_image(48, 64, seed=i)) for i, label in enumerate(LABELS))
    subject = Subject("a_1", panels, boxes)
    (folder / "crops").mkdir()
    placed, height = arrange([subject], 6.0)
    write_tex(placed, 6.0, height, folder / "crops.tex", folder / "crops")
    return (folder / "crops.tex").read_text(encoding="utf-8"), subject


def test_pictures_are_the_pixels_and_every_version_has_its_label(tmp_path: Path) -> None:
    box = Box(8, 4, 16)
    text, subject = _written(tmp_path, (box,))
    assert text.count(r"\includegraphics") == 5 and text.count(r"\framebox") == 1
    assert r"50\% a\_b" in text and text.count("25.1 / 0.5") == 4
    for number, panel in enumerate(subject.panels, 1):
        with Image.open(tmp_path / "crops" / f"{number:03d}.png") as opened:
            shown = np.asarray(opened)
        fold = shown.shape[0] // 16
        assert shown.shape[0] >= 300
        assert np.array_equal(shown[fold // 2 :: fold, fold // 2 :: fold], box.of(panel.pixels))


def test_several_boxes_frame_their_crops_in_their_colours(tmp_path: Path) -> None:
    text, _ = _written(tmp_path, (Box(0, 0, 16), Box(30, 20, 16)))
    assert text.count(r"\includegraphics") == 9, "the whole image stands once"
    assert text.count(r"\color[HTML]{FFD60A}") == text.count(r"\color[HTML]{00D5FF}") == 5


@pytest.mark.process
def test_a_paper_takes_the_figure(tmp_path: Path) -> None:
    _written(tmp_path, (Box(8, 4, 16),))
    packages = r"\usepackage[T1]{fontenc}\usepackage{graphicx}\usepackage{xcolor}"
    wide = r"\begin{figure*}[t]\input{crops}\caption{c}\end{figure*}"
    body = wide + wide.replace("*", "")
    document = rf"\documentclass[twocolumn]{{article}}{packages}\begin{{document}}{body}\end{{document}}"
    log = compile_latex(tmp_path, document)
    assert "crops/004.png" in log and "Overfull" not in log and "Missing character" not in log
