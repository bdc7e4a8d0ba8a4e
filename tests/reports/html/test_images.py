"""Copies of images in the report's folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from isrbench.harness.imaging.images import read_rgb, write_png
from isrbench.reports.aligned import align
from isrbench.reports.html.images import copied_files, copy_images
from tests.support.report_frames import frames


def test_images_are_copies_and_never_written_through_a_link(tmp_path):
    made, out = frames(tmp_path / "images", count=3, failed=False), tmp_path / "out"
    source = Path(made.images["hr_path"].iloc[0])
    before = source.read_bytes()
    (aligned,) = align(made)
    copied = copy_images(aligned, out, "sample")
    assert len(copied_files(copied, out)) == 3 * 5 and all(file.is_file() for file in copied_files(copied, out))
    target = out / str(copied[0].hr.file)
    assert target.read_bytes() == before and not source.samefile(target)
    target.unlink()
    target.hardlink_to(source)  # as reports once did
    (other,) = align(replace(made, images=made.images.assign(hr_path=made.images["lr_path"])))
    copy_images(other, out, "sample")
    assert source.read_bytes() == before


def test_a_corrupt_image_costs_itself_alone(tmp_path):
    made = frames(tmp_path / "images", count=4)
    for column, name in (("hr_path", "bad.png"), ("lr_path", "half.png")):
        bad = tmp_path / name
        bad.write_bytes(Path(made.images[column].iloc[0]).read_bytes()[:60] if name == "half.png" else b"no image")
        made.images.loc[made.images["image"] == "scene_001", column] = str(bad)
    copied = copy_images(align(made)[0], tmp_path / "out", "sample")
    assert [Path(file).name for file in copied[1].unreadable] == ["half.png", "bad.png"]
    assert copied[1].lr.file is None and copied[1].outputs[0].file is not None
    assert all(not other.unreadable and other.lr.file for place, other in enumerate(copied) if place != 1)


def test_an_hr_image_that_a_set_cuts_is_shown_as_it_was_scored(tmp_path):
    made = frames(tmp_path / "images", count=1, failed=False)
    hr = Path(made.images["hr_path"].iloc[0])
    whole = read_rgb(hr)
    larger = np.pad(whole, ((0, 3), (0, 1), (0, 0)))
    write_png(hr, larger)
    (copied,) = copy_images(align(made)[0], tmp_path / "out", "sample")
    assert np.array_equal(read_rgb(tmp_path / "out" / str(copied.hr.file)), whole)
    assert np.array_equal(read_rgb(hr), larger)


def test_large_images_are_previews_unless_originals_are_asked_for(tmp_path):
    made = frames(tmp_path / "images", count=1, failed=False)
    noisy = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    smooth = np.asarray(
        Image.fromarray(noisy).resize((300, 300), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(2))
    )
    hr, restored = Path(made.images["hr_path"].iloc[0]), Path(made.images["output_path"].iloc[0])
    write_png(hr, smooth)
    write_png(restored, smooth)
    assert hr.stat().st_size > 64 << 10
    (aligned,) = align(made)
    (preview,) = copy_images(aligned, tmp_path / "a", "sample")
    assert preview.hr.preview and str(preview.hr.file).endswith(".webp")
    assert not preview.lr.preview and str(preview.lr.file).endswith(".png"), "small ones are shown themselves"
    shown = tmp_path / "a" / str(preview.hr.file)
    difference = read_rgb(shown).astype(float) - smooth
    assert shown.stat().st_size < hr.stat().st_size / 2 and np.sqrt((difference**2).mean()) < 3
    (original,) = copy_images(aligned, tmp_path / "b", "sample", originals=True)
    assert not original.hr.preview and (tmp_path / "b" / str(original.hr.file)).read_bytes() == hr.read_bytes()
    assert (tmp_path / "b" / str(original.hr.thumbnail)).is_file()
