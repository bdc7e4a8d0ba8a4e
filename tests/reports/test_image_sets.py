"""Which runs are compared together, and what their images are called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isrbench.reports.image_sets import image_sets
from tests.support.report_frames import begun, frames, of_images, on_dataset, part_of, together, with_manifests

LATER, LONG_AGO = "2999-01-01T00:00:00+00:00", "2000-01-01T00:00:00+00:00"
TWO = ["scene_000", "scene_001"]


def _sets(made, **options):
    return image_sets(made.runs, made.images, **options)


def _with_hashes(made, hashes: dict[str, str]):
    def change(manifest):
        record = manifest.dataset.model_copy(update={"content_hash": hashes[manifest.name]})
        return manifest.model_copy(update={"dataset": record})

    return with_manifests(made, change)


def test_other_images_of_equal_names_are_never_compared(tmp_path):
    made = frames(tmp_path, count=4, failed=False)
    made = _with_hashes(made, {"bicubic": "a" * 64, "folder": "b" * 64, "mor": "a" * 64})
    one, other = _sets(made)
    assert (one.title, one.partial) == ("sample (images aaaaaa)", False)
    assert [run.split("-")[0] for run in one.runs] == ["bicubic", "mor"]
    assert other.title == "sample (images bbbbbb)" and len(other.runs) == 1
    assert "2 different sets of images" in one.notes[0] and "--common" not in one.notes[0]


def test_sets_come_by_dataset_whole_before_part(tmp_path):
    made = frames(tmp_path, count=4, failed=False)
    parts = part_of(made, "folder", TWO, whole=4)
    other = with_manifests(on_dataset(made, "early"), lambda m: m.model_copy(update={"run": f"{m.run}-e"}))
    titles = [own.title for own in _sets(together(parts, other))]
    assert titles == ["early", "sample", "sample, 2 of 4 images"]


def test_a_run_over_a_part_has_a_set_of_its_own(tmp_path):
    whole, part = _sets(part_of(frames(tmp_path, count=6, failed=False), "folder", TWO, whole=6))
    assert (whole.title, whole.partial, len(whole.runs)) == ("sample", False, 2)
    assert (part.title, part.partial) == ("sample, 2 of 6 images", True)
    assert "--common" in whole.notes[0] and "--common" in part.notes[0]


def test_parts_of_equal_images_are_compared(tmp_path):
    made = frames(tmp_path, count=6, failed=False)
    made = part_of(part_of(made, "folder", TWO, whole=6), "mor", TWO, whole=6)
    assert [(own.title, len(own.runs)) for own in _sets(made)] == [("sample", 1), ("sample, 2 of 6 images", 2)]


def test_a_part_of_an_unknown_whole_is_a_part(tmp_path):
    (own,) = _sets(on_dataset(frames(tmp_path, count=4), "RealSR", whole=None, limit=4))
    assert (own.title, own.partial) == ("RealSR, the first 4 images", True)


def test_runs_that_were_all_stopped_are_about_a_part(tmp_path):
    made = frames(tmp_path, count=6, failed=False)
    for method in ("bicubic", "folder", "mor"):
        made = of_images(made, method, ["scene_000", "scene_001", "scene_002"])
    (own,) = _sets(made)
    assert (own.title, own.partial) == ("sample, 3 of 6 images", True)
    one_whole = of_images(frames(tmp_path, count=6, failed=False), "folder", TWO)
    (own,) = _sets(one_whole)
    assert (own.title, own.partial) == ("sample", False), "the others tell what is missing"


@pytest.mark.parametrize("how", ["same files", "changed since", "elsewhere"])
def test_common_compares_on_shared_images_only_while_the_files_are_the_same(tmp_path, how):
    made = part_of(frames(tmp_path, count=6, failed=False), "folder", TWO, whole=6)
    made = begun(made, LONG_AGO if how == "changed since" else LATER)
    if how == "elsewhere":
        images = made.images.copy()
        images.loc[images["method"] == "folder", "lr_path"] = str(tmp_path / "m1-0.png")
        made = replace(made, images=images)
    found = _sets(made, common=True)
    if how == "same files":
        (own,) = found
        assert own.title == "sample, on the 2 of 6 images that all runs share"
        assert own.partial and len(own.runs) == 3 and own.shared == frozenset(TWO)
    else:
        assert [own.title for own in found] == ["sample", "sample, 2 of 6 images"]
        assert "stayed the same since the earliest run" in found[0].notes[0]


def test_common_of_one_image_and_of_overlapping_parts(tmp_path):
    made = frames(tmp_path, count=6, failed=False)
    made = part_of(made, "folder", TWO, whole=6)
    made = begun(part_of(made, "mor", ["scene_001", "scene_002"], whole=6, content_hash="c" * 64), LATER)
    (own,) = _sets(made, common=True)
    assert own.title == "sample, on the 1 of 6 images that all runs share" and own.shared == frozenset(["scene_001"])


def test_common_keeps_what_is_whole_and_cuts_what_was_stopped(tmp_path):
    made = frames(tmp_path, count=6)
    assert _sets(made, common=True) == _sets(made), "a failed image is not one that a run lacks"
    (own,) = _sets(of_images(made, "folder", TWO), common=True)
    assert own.title == "sample, on the 2 of 6 images that all runs share" and own.partial


def test_runs_without_an_image_in_common_are_separate(tmp_path):
    made = frames(tmp_path, count=6, failed=False)
    for method, hash in (("bicubic", "c"), ("mor", "c")):
        made = part_of(made, method, ["scene_004"], whole=6, content_hash=hash * 64)
    made = begun(part_of(made, "folder", TWO, whole=6), LATER)
    assert [own.title for own in _sets(made, common=True)] == ["sample, 2 of 6 images", "sample, 1 of 6 images"]
