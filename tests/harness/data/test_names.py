"""How public sets name their files: pairs are found, or refused with the pattern to give; never half a set."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.names import Names, image_id, names_in_one_folder, names_of_two_folders
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import write_png
from tests.support.cards import refusal, write_card
from tests.support.images import noise_image


def _write(folder: Path, **images: int) -> Path:
    """Write images of these sides, by path below ``folder``."""
    for name, side in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, noise_image(side, side, seed=len(name)))
    return folder


LAYOUTS = {
    "DIV2K": ("LR/0801x4.png", "HR/0801.png", "LR/0802x4.png", "HR/0802.png", ["0801", "0802"]),
    "digits alike": ("LR/01x4.png", "HR/01.png", "LR/11x4.png", "HR/11.png", ["01", "11"]),
    "DIV2K mild": ("LR/0801x4m.png", "HR/0801.png", "LR/0901x4m.png", "HR/0901.png", ["0801", "0901"]),
    "RealSR": ("LR/Canon_001_LR4.png", "HR/Canon_001_HR.png", "LR/Nikon_1_LR4.png", "HR/Nikon_1_HR.png",
               ["Canon_001", "Nikon_1"]),
    "words in front": ("LR/LR_a.png", "HR/HR_a.png", "LR/LR_b.png", "HR/HR_b.png", ["a", "b"]),
    "side by side": ("i_1_SRF_4_LR.png", "i_1_SRF_4_HR.png", "i_2_SRF_4_LR.png", "i_2_SRF_4_HR.png",
                     ["i_1_SRF_4", "i_2_SRF_4"]),
    "sub-folders": ("LR/001/0.png", "HR/001/0.png", "LR/002/0.png", "HR/002/0.png", ["001/0", "002/0"]),
    "sub-folders, x4": ("LR/001/0x4.png", "HR/001/0.png", "LR/002/0x4.png", "HR/002/0.png", ["001/0", "002/0"]),
    "capitals": ("LQ/a.png", "GT/a.png", "LQ/b.png", "GT/b.png", ["a", "b"]),
    "small letters": ("lr/a.PNG", "hr/a.png", "lr/b.png", "hr/b.Png", ["a", "b"]),
    "X4 below LR": ("LR/X4/ax4.png", "HR/a.png", "LR/X4/bx4.png", "HR/b.png", ["a", "b"]),
    "X4": ("LR_bicubic/X4/ax4.png", "HR/a.png", "LR_bicubic/X4/bx4.png", "HR/b.png", ["a", "b"]),
    "capitals of SR": ("LQ/a.png", "HQ/a.png", "LQ/b.png", "HQ/b.png", ["a", "b"]),
    "BasicSR": ("LRbicx4/a.png", "GTmod12/a.png", "LRbicx4/b.png", "GTmod12/b.png", ["a", "b"]),
    "LR and GT": ("LR/a.png", "GT/a.png", "LR/b.png", "GT/b.png", ["a", "b"]),
    "scale in both": ("LR_x4/a.png", "HR_x4/a.png", "LR_x4/b.png", "HR_x4/b.png", ["a", "b"]),
    "DIV2K unpacked": ("DIV2K_valid_LR_bicubic/X4/1x4.png", "DIV2K_valid_HR/1.png", "DIV2K_valid_LR_bicubic/X4/2x4.png",
                       "DIV2K_valid_HR/2.png", ["1", "2"]),
    "degradation in names": ("LR/a_LRBI_x4.png", "HR/a_HR.png", "LR/b_LRBI_x4.png", "HR/b_HR.png", ["a", "b"]),
    "Unicode forms": (f"LR/{unicodedata.normalize('NFD', 'é')}.png", "HR/é.png", "LR/b.png", "HR/b.png", ["b", "é"]),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_set_named_as_public_ones_are_is_found_whole(name: str, tmp_path: Path) -> None:
    *files, ids = LAYOUTS[name]
    folder = _write(tmp_path / "set", **{file: 4 if number % 2 == 0 else 16 for number, file in enumerate(files)})
    pairs = load_pairs(find_card(str(folder)))
    assert [pair.id for pair in pairs] == ids
    assert [(str(p.lr.relative_to(folder)), str(p.hr.relative_to(folder))) for p in pairs if p.hr] == sorted(
        zip(files[::2], files[1::2], strict=True), key=lambda pair: unicodedata.normalize("NFC", pair[0])
    )
    assert all(pair.size == (4, 4) for pair in pairs)


@pytest.mark.parametrize(
    ("files", "words", "fix"),
    [
        ({"LR/ax4.png": 4, "LR/bx4.png": 4, "HR/a.png": 16}, "have no partner", 'lr_name = "{}x4"'),
        ({"LR/a_one.png": 4, "HR/a_two.png": 16}, "LR and HR differ", 'lr_name = "{}_one", hr_name = "{}_two"'),
        ({"LR/a_LR2.png": 8, "LR/a_LR4.png": 4, "HR/a_HR.png": 16}, "have no partner", "lr_name"),
        ({"a_LR.png": 4, "a_HR.png": 16, "b_LR.png": 4}, "and others: b_LR", "add the file that a pair lacks"),
        ({"a_LR2.png": 8, "a_LR4.png": 4, "a_HR.png": 16}, "a_LR2 and a_HR, and others: a_LR4", "move"),
        ({"LR/a.png": 4, "HR_1/a.png": 16, "HR_2/a.png": 16}, "those in HR_1, HR_2", 'layouts = [["LR", "HR_1"]]'),
        ({"in/a.png": 4, "sharp/a.png": 16}, "are in, sharp", 'layouts = [["low", "high"]]'),
        ({"LR/d0/a.png": 4, "LR/d1/a.png": 4, "HR/a.png": 16}, "have no partner", "cases = true"),
        ({"a.png": 4, "a_x4.png": 16}, "both a and a_x4", "move one kind to LR/"),
        ({"0801.png": 16, "0801x4.png": 4}, "both 0801 and 0801x4", "move one kind to LR/"),
        ({"sets/one/a.png": 4}, "its folders with images are sets", "give one of them"),
        ({"LR/X2/a.png": 4, "LR/X3/a.png": 4, "HR/a.png": 16}, "have no partner", "a degradation"),
        ({"LR/a/0.png": 4, "HR/a/0.png": 4, "HR/a/0.bmp": 4}, "same stem", "keep one"),
    ],
)  # fmt: skip
def test_a_set_that_names_do_not_tell_apart_is_refused(
    files: dict[str, int], words: str, fix: str, tmp_path: Path
) -> None:
    error = refusal(_write(tmp_path / "set", **files))
    assert words in error.message and fix in (error.fix or "")


def test_a_card_says_how_files_are_named(tmp_path: Path) -> None:
    _write(tmp_path / "set", **{"LR/p-a-in.png": 4, "HR/a_out.png": 16, "LR/p-b-in.png": 4, "HR/b_out.png": 16})
    keys = ('root = "set"', 'lr_name = "p-{}-in"', 'hr_name = "{}_out"')
    assert [p.id for p in load_pairs(find_card(str(write_card(tmp_path / "mine.toml", *keys))))] == ["a", "b"]
    _write(tmp_path / "set", **{"LR/c.png": 4})
    error = refusal(write_card(tmp_path / "mine.toml", *keys))
    assert 'c.png does not fit lr_name = "p-{}-in"' in error.message
    for wrong in ("x4", "{}{}", "{id}"):
        with pytest.raises(UserError, match="lr_name"):
            find_card(str(write_card(tmp_path / "mine.toml", 'root = "set"', f'lr_name = "{wrong}"')))


def test_a_card_tells_files_of_one_folder_apart(tmp_path: Path) -> None:
    _write(tmp_path / "set", **{"a.png": 16, "ax4.png": 4, "b.png": 16, "bx4.png": 4})
    keys = ('root = "set"', 'layouts = [[".", "."]]', 'lr_name = "{}x4"')
    pairs = load_pairs(find_card(str(write_card(tmp_path / "mine.toml", *keys))))
    assert [(p.id, p.lr.name, p.hr and p.hr.name) for p in pairs] == [
        ("a", "ax4.png", "a.png"),
        ("b", "bx4.png", "b.png"),
    ]
    error = refusal(write_card(tmp_path / "mine.toml", *keys[:2], 'lr_name = "{}_l"', 'hr_name = "{}_h"'))
    assert "fits neither {}_l nor {}_h" in error.message


def test_links_to_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    _write(tmp_path / "far", **{"0.png": 4})
    folder = _write(tmp_path / "set", **{"LR/b/0.png": 4})
    (folder / "LR" / "a").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(folder / "LR")
    assert [pair.id for pair in load_pairs(find_card(str(folder)))] == ["a/0", "b/0"]


WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N"), include_characters="_-."), min_size=1, max_size=6)


@given(st.sets(WORDS, min_size=1, max_size=6), st.sampled_from(["x4", "_x4", "_LR", "-lq", "_LR4"]),
       st.sampled_from(["", "_HR", "-gt"]))  # fmt: skip
def test_two_folders_pair_up_without_a_file_left_over_or_not_at_all(ids: set[str], lr: str, hr: str) -> None:
    lrs, hrs = {id + lr for id in ids}, {id + hr for id in ids}
    names, _ = names_of_two_folders(lrs, hrs)
    if names is not None:
        found = {image_id(stem, names.lr) for stem in lrs}
        assert None not in found and found == {image_id(stem, names.hr) for stem in hrs} and len(found) == len(ids)


def test_one_folder_of_lr_images_alone_holds_no_pairs() -> None:
    assert names_in_one_folder(["a", "b_LR", "c_x4"]) is None
    assert names_in_one_folder(["a_LR", "a_HR"]) == Names("{}_LR", "{}_HR")


@pytest.mark.parametrize("inside", ["x4", "input"])
def test_a_folder_of_lr_images_is_not_taken_for_the_results_in_it(inside: str, tmp_path: Path, caplog) -> None:
    folder = _write(tmp_path / "set", **{"a.png": 4, "b.png": 4, f"{inside}/a_out.png": 16})
    assert [pair.id for pair in load_pairs(find_card(str(folder)))] == ["a", "b"]
    assert f"images in its sub-folders are not part of the set: {inside}" in caplog.text


def test_of_lr_images_beside_other_folders_nothing_is_left_out_unsaid(tmp_path: Path, caplog) -> None:
    folder = _write(tmp_path / "set", **{"LQ/a.png": 4, "results/a.png": 16})
    assert [pair.hr for pair in load_pairs(find_card(str(folder)))] == [None]
    assert "images in its sub-folders are not part of the set: results" in caplog.text
