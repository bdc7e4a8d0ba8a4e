"""HR images that are no multiple of the scale, sets of any scale, and what is said of sizes that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from isrbench.harness.api.dataset import Card
from isrbench.harness.data.catalogue import find_card, load_card
from isrbench.harness.data.pairs import content_hash, load_pairs
from isrbench.harness.engine.evaluate import evaluate
from isrbench.harness.engine.restore_files import restore
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_hr
from tests.support.cards import write_card
from tests.support.cli import isrbench
from tests.support.images import make_image, write_pairs

Size = tuple[int, int]
PLAIN = ("--no-complexity", "--no-report", "--estimator", "none")


def _pair(folder: Path, lr: Size, hr: Size, name: str = "a") -> Path:
    """Write one pair of (height, width) sizes; of one seed, so that a smaller HR image is the start of a larger one."""
    whole = make_image(0, 200, 200)
    for kind, (height, width) in (("LR", lr), ("HR", hr)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(whole[:height, :width]).save(folder / kind / f"{name}.png")
    return folder


@pytest.mark.parametrize("hr", [(81, 62), (80, 62), (83, 63)])
def test_a_set_that_is_cut_is_the_set_that_was_cut_before(hr: Size, tmp_path: Path) -> None:
    uncut, before = _pair(tmp_path / "uncut", (20, 15), hr), _pair(tmp_path / "before", (20, 15), (80, 60))
    with pytest.raises(UserError, match="HR must be a whole multiple of LR") as caught:
        find_card(str(uncut))
    assert "--hr-crop modulo" in (caught.value.fix or "") and 'hr_crop = "modulo" in a card' in (caught.value.fix or "")
    card = find_card(str(uncut), hr_crop="modulo")
    (pair,) = load_pairs(card)
    assert card.scale == 4 and pair.hr is not None and pair.hr_size == (80, 60)
    assert content_hash([pair]) == content_hash(load_pairs(find_card(str(before))))
    assert read_hr(pair.hr, pair.hr_hash, pair.hr_size).shape == (80, 60, 3)
    with pytest.raises(UserError, match="has changed"):
        read_hr(pair.hr, pair.hr_hash)
    (exact,) = load_pairs(find_card(str(before), hr_crop="modulo"))
    assert exact.hr_size is None


def test_a_card_asks_for_the_cut_and_may_state_the_uncut_size(tmp_path: Path) -> None:
    _pair(tmp_path / "set", (20, 15), (81, 62))
    lines = ('root = "set"', "lr_size = [20, 15]", "hr_size = [81, 62]")
    with pytest.raises(UserError, match=r'not scale 4 times lr_size .*, and hr_crop = "modulo" would cut the rest off'):
        load_card(write_card(tmp_path / "refused.toml", *lines))
    card = load_card(write_card(tmp_path / "mine.toml", *lines, 'hr_crop = "modulo"'))
    assert load_pairs(card)[0].hr_size == (80, 60)
    with pytest.raises(UserError, match="hr_crop"):
        load_card(write_card(tmp_path / "odd.toml", *lines, 'hr_crop = "centre"'))
    without = load_card(write_card(tmp_path / "plain.toml", 'root = "set"'))
    with pytest.raises(
        UserError, match=r"a.png is 62x81, but its LR a.png is 15x20: at scale 4 it must be 60x80"
    ) as caught:
        load_pairs(without)
    assert "--hr-crop modulo" in (caught.value.fix or "")
    with pytest.raises(ValueError, match="not scale 4 times"):  # larger than a rest can be
        Card(id="x", title="x", scale=4, license="x", source="x", lr_size=(20, 15), hr_size=(84, 60), hr_crop="modulo")


def test_a_run_on_a_cut_set_scores_what_a_run_on_the_set_cut_before_scores(tmp_path: Path, capsys) -> None:
    uncut, before = _pair(tmp_path / "uncut", (20, 15), (81, 62)), _pair(tmp_path / "before", (20, 15), (80, 60))
    tables = []
    for folder, more in ((uncut, ("--hr-crop", "modulo")), (before, ())):
        args = (
            "--dataset",
            folder,
            "--metrics",
            "psnr,ssim,hallucination",
            "--runs-dir",
            tmp_path / "r",
            *more,
            *PLAIN,
        )
        code, out, _ = isrbench(capsys, "eval", "--method", "bicubic", *args)
        assert code == 0
        tables.append([line for line in out.splitlines() if line.startswith(("PSNR", "SSIM", "Halluc"))])
    assert tables[0] == tables[1] and len(tables[0]) == 3


@pytest.mark.parametrize(
    ("lr", "hr", "options", "words", "fix"),
    [
        ((50, 50), (75, 75), {}, "is 75x75 and its LR 50x50", "1.5 is not, or score the LR images alone"),
        ((40, 40), (10, 10), {}, "is 10x10 and its LR 40x40", "are not swapped"),
        ((21, 16), (81, 62), {}, "is 62x81 and its LR 16x21", "LR was rounded up"),
        ((20, 20), (80, 44), {}, "is 44x80 and its LR 20x20", "belong together"),
        ((2, 2), (11, 11), {"hr_crop": "modulo"}, "the scale may be 4 or 5", "--scale 5"),
        ((20, 20), (40, 40), {"scale": 4}, "2 times smaller, but --scale is 4", "leave --scale out"),
        ((20, 15), (81, 62), {"scale": 3}, "4 times smaller, but --scale is 3", "leave --scale out"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_what_would_help(
    lr: Size, hr: Size, options: dict[str, object], words: str, fix: str, tmp_path: Path
) -> None:
    folder = _pair(tmp_path / "set", lr, hr)
    with pytest.raises(UserError) as caught:
        find_card(str(folder), **options)  # type: ignore[arg-type]
    assert words in caught.value.message and fix in (caught.value.fix or "")


@pytest.mark.parametrize("scale", [1, 2, 3, 8, 16])
def test_any_whole_scale_is_found(scale: int, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "set", ["a"], lr=1, scale=scale)
    assert find_card(str(folder)).scale == scale == find_card(str(folder), scale=scale).scale
    assert load_pairs(find_card(str(folder)))[0].size == (1, 1)


def test_what_is_ambiguous_is_settled_by_the_scale(tmp_path: Path) -> None:
    folder = _pair(tmp_path / "set", (2, 2), (11, 11))
    assert find_card(str(folder), hr_crop="modulo", scale=5).scale == 5


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_a_set_without_hr_has_any_scale_and_is_another_set_then(scale: int, tmp_path: Path, capsys) -> None:
    folder = write_pairs(tmp_path / "set", ["a"], lr=8) / "LR"
    assert (find_card(str(folder)).id, find_card(str(folder), scale=4).id) == ("LR", "LR")
    args = (
        "eval",
        "--method",
        "bicubic",
        "--dataset",
        folder,
        "--metrics",
        "piqe",
        "--runs-dir",
        tmp_path / "r",
        *PLAIN,
    )
    assert isrbench(capsys, *args)[0] == 0
    code, out, _ = isrbench(capsys, *args, "--scale", scale)
    assert code == 0 and f"Bicubic on LR-x{scale}" in out
    (image,) = (tmp_path / "r").glob(f"bicubic-LR-x{scale}-*/images/a.png")
    assert Image.open(image).size == (8 * scale, 8 * scale)


def test_a_known_set_without_hr_is_found_at_another_scale(tmp_path: Path) -> None:
    write_pairs(tmp_path / "DPED", ["a"])
    card = find_card("DPED", scale=2, data_root=tmp_path)
    assert (card.id, card.scale, card.title.endswith(" x2")) == ("DPED-x2", 2, True)
    with pytest.raises(UserError, match="DPED-x2 has 113 images"):  # it is found, and still held to its card
        load_pairs(card, tmp_path)
    with pytest.raises(UserError, match="the dataset DPED was not found"):
        find_card("DPED", scale=2, data_root=tmp_path / "nowhere")
    with pytest.raises(UserError, match="its HR images fit no other"):
        find_card("RealSR", scale=2)


@pytest.mark.parametrize(("option", "value"), [("--scale", "0"), ("--scale", "17"), ("--hr-crop", "centre")])
def test_options_that_cannot_be(option: str, value: str, tmp_path: Path, capsys) -> None:
    args = ("--dataset", "sample", "--metrics", "psnr", "--runs-dir", tmp_path / "r", option, value)
    code, _, err = isrbench(capsys, "eval", "--method", "bicubic", *args)
    assert code == 2 and f"{option} is {value}" in err and not (tmp_path / "r").exists()


@pytest.mark.parametrize("scale", [1.5, 0, 17])
def test_a_scale_from_python_is_checked_too(scale: float, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "set", ["a"]) / "LR"
    with pytest.raises(UserError, match=f"--scale is {scale}") as caught:
        evaluate("bicubic", folder, scale=scale, runs_dir=tmp_path / "r")  # type: ignore[arg-type]
    assert caught.value.fix == "choose a whole number from 1 to 16"
    if scale != 1.5:  # which a photo may be restored at
        with pytest.raises(UserError, match=f"the scale is {scale}, but has to be above 0 and at most 16"):
            restore(folder / "a.png", "bicubic", scale=scale)
