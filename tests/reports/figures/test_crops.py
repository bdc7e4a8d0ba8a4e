"""The figure of a paper: boxes where methods differ, pixels as they are, nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.reports.aligned import align
from isrbench.reports.figures.crops import Box, Panel, Subject, choose_boxes, crops_figure, read_subject
from tests.support.cli import isrbench
from tests.support.images import noise_image
from tests.support.report_frames import frames


def test_a_box_is_where_the_versions_differ_most() -> None:
    one = noise_image(64, 80)
    two = one.copy()
    two[40:56, 24:40] ^= 64
    two[0:8, 72:80] ^= 16
    assert choose_boxes([one, two], 16, 1) == (Box(24, 40, 16),)
    first, second = choose_boxes([one, two], 16, 2)
    assert first == Box(24, 40, 16) and second == Box(64, 0, 16)


@given(st.integers(8, 40), st.integers(8, 40), st.integers(4, 8), st.integers(1, 5))
def test_boxes_lie_inside_and_do_not_touch(height: int, width: int, side: int, count: int) -> None:
    boxes = choose_boxes([noise_image(height, width), noise_image(height, width, seed=1)], side, count)
    assert 1 <= len(boxes) <= count
    for place, box in enumerate(boxes):
        assert box.left >= 0 and box.top >= 0 and box.left + side <= width and box.top + side <= height
        assert all(abs(box.left - o.left) >= side or abs(box.top - o.top) >= side for o in boxes[:place])


@pytest.mark.parametrize("count", [2, 3, 4, 7])
@pytest.mark.parametrize("shape", [(32, 32), (24, 60), (60, 24)])
def test_panels_fill_the_page_and_do_not_overlap(count: int, shape: tuple[int, int]) -> None:
    panels = tuple(Panel(f"m{i}", "1 / 2", noise_image(*shape, seed=i)) for i in range(count))
    with crops_figure([Subject("a", panels, (Box(0, 0, 16), Box(2, 4, 16)))]) as drawn:
        assert len(drawn.axes) == 2 * count + 1, "the whole image stands once, with both boxes"
        places = [axes.get_position() for axes in drawn.axes]
    assert max(p.x1 for p in places) == pytest.approx(1.0, abs=0.01)
    for i, a in enumerate(places):
        assert a.x0 >= -1e-9 and a.y0 >= 0 and a.x1 <= 1 + 1e-9 and a.y1 <= 1 + 1e-9
        for b in places[:i]:
            assert a.x1 <= b.x0 + 1e-9 or b.x1 <= a.x0 + 1e-9 or a.y1 <= b.y0 + 1e-9 or b.y1 <= a.y0 + 1e-9


def test_a_crop_is_the_methods_own_pixels(tmp_path: Path) -> None:
    (aligned,) = align(frames(tmp_path, count=4, failed=False))
    image, label = str(aligned.images.index[1]), aligned.labels[0]
    subject = read_subject(aligned, image, [label], aligned.metrics[:1], [Box(1, 2, 8)], 8)
    with Image.open(str(aligned.outputs.loc[image, label])) as opened:
        own = np.asarray(opened.convert("RGB"))
    panel = next(panel for panel in subject.panels if panel.label == label)
    assert np.array_equal(Box(1, 2, 8).of(panel.pixels), own[2:10, 1:9])
    assert [panel.label for panel in subject.panels] == ["LR", label, "HR"] and panel.scores
    with pytest.raises(UserError, match="does not lie in"):
        read_subject(aligned, image, [label], aligned.metrics[:1], [Box(own.shape[1] - 4, 0, 8)], 8)
    with pytest.raises(UserError, match="has no image nowhere"):
        read_subject(aligned, "nowhere", [label], aligned.metrics[:1], 1, 8)


def test_the_verb_draws_what_was_run_and_overwrites_nothing(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    runs, out = tmp_path / "runs", tmp_path / "made" / "figure.png"
    for method in ("bicubic", "lanczos"):
        code, *_ = isrbench(
            capsys, "eval", "--method", method, "--dataset", pairs_folder, "--metrics", "psnr,ssim", "--runs-dir", runs,
            "--no-complexity", "--no-report", "--estimator", "none",
        )  # fmt: skip
        assert code == 0
    draw = ("figure", "--dataset", "small", "--runs-dir", runs, "--out", out, "--side", "16")
    code, said, _ = isrbench(capsys, *draw)
    assert code == 0 and said.count("--box ") == 2 and out.is_file()
    code, _, err = isrbench(capsys, *draw)
    assert code == 2 and "already" in err and "--overwrite" in err
    tex = ("figure", "--dataset", "small", "--runs-dir", runs, "--out", out.with_suffix(".tex"), "--crops", "2")
    code, said, _ = isrbench(capsys, *tex, "--side", "16", "--count", "1")
    assert code == 0 and said.count("--box ") == 2 and len(list(out.with_suffix("").iterdir())) == 1 + 2 * 4
    code, _, err = isrbench(capsys, *tex)
    assert code == 2 and "figure.tex" in err
    again = tmp_path / "again.png"
    picked = ("--images", "a,b", "--methods", "LanCzos,bicubic", "--metrics", "ssim", "--box", "0,0,16")
    code, said, _ = isrbench(capsys, "figure", "--dataset", "small", "--runs-dir", runs, "--out", again, *picked)
    assert code == 0 and "a: --box 0,0,16" in said
    for wrong, words in (
        (("--images", "zz"), "no image zz"), (("--methods", "bicubik"), "did you mean"),
        (("--box", "1,2"), "--box 1,2"), (("--metrics", "psrn"), "did you mean"),
        (("--metrics", "lpips"), "no image of small has a score of lpips. Metrics with scores: psnr, ssim"),
        (("--metrics", "lpips"), "fetch weights --metric lpips, then"), (("--metrics", "fid"), "unknown metric 'fid'"),
        (("--dataset", "smal"), "did you mean"), (("--out", "x.gif"), "x.gif"),
    ):  # fmt: skip
        code, _, err = isrbench(capsys, *draw, "--overwrite", *wrong)
        assert code == 2 and words in err, (wrong, err)
