"""Where a set lies, and what is refused where that is unclear."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import isrbench
from isrbench.harness.data.catalogue import catalogue, find_card, load_card
from isrbench.harness.data.find import catalogue_folder, find_root
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from tests.support.cards import refusal, write_card
from tests.support.images import make_image, write_pairs


def test_the_cards_lie_in_the_package() -> None:
    assert catalogue_folder() == (Path(isrbench.__file__).parent / "datasets").resolve()
    assert (catalogue_folder() / "sample").is_dir()


def test_the_sample_set_lies_where_it_ships_whatever_the_data_root(tmp_path: Path) -> None:
    card = find_card("sample")
    assert find_root(card, tmp_path) == card.root
    assert len(load_pairs(card, tmp_path)) == 24


@pytest.mark.parametrize("kind", ["folder", "card"])
def test_a_path_and_a_data_root_together_are_refused(kind: str, pairs_folder: Path, tmp_path: Path) -> None:
    """The other folder has everything that it takes to be scored by mistake."""
    other = write_pairs(tmp_path / "other", ["a", "b"])
    dataset = pairs_folder if kind == "folder" else write_card(tmp_path / "mine.toml", 'root = "small"')
    error = refusal(dataset, other)
    assert str(pairs_folder) in error.message and str(other) in error.message and "--data-root" in (error.fix or "")
    assert len(load_pairs(find_card(str(dataset)))) == 4


def test_data_roots(pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = load_card(write_card(tmp_path / "small.toml", "count = 4", id="small"))
    for root in (pairs_folder, pairs_folder.parent):
        assert len(load_pairs(card, root)) == 4
    monkeypatch.setenv("ISRBENCH_DATA", str(pairs_folder.parent))
    assert len(load_pairs(card)) == 4
    monkeypatch.delenv("ISRBENCH_DATA")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="was not found below data"):
        load_pairs(card)


@pytest.mark.parametrize("layout", [("test_LR", "test_HR"), ("lq", "gt"), ("LR", "HR")])
def test_known_layouts(layout: tuple[str, str], pairs_folder: Path) -> None:
    (pairs_folder / "LR").rename(pairs_folder / "_l")
    (pairs_folder / "HR").rename(pairs_folder / "_h")
    (pairs_folder / "_l").rename(pairs_folder / layout[0])
    (pairs_folder / "_h").rename(pairs_folder / layout[1])
    assert len(load_pairs(find_card(str(pairs_folder)))) == 4


@pytest.mark.parametrize("id", sorted(set(catalogue()) - {"sample"}))
def test_a_set_that_is_not_here_says_where_to_get_it_and_where_to_put_it(id: str, tmp_path: Path) -> None:
    card = find_card(id)
    error = refusal(id, tmp_path)
    assert error.message.startswith(f"the dataset {id} was not found below {tmp_path}") and "\n" not in error.message
    if card.archive is not None:
        assert f"isrbench fetch datasets --dataset {id} --accept-license" in (error.fix or "")
    else:
        assert f"get it from {card.source} and put it into {tmp_path / id}" in (error.fix or "")


def _images_in(folder: Path, *stems: str, size: int = 16) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for place, stem in enumerate(stems):
        Image.fromarray(make_image(place, size, size)).save(folder / f"{stem}.png")
    return folder


def test_images_that_lie_in_the_sets_folder_are_found_there_and_not_one_folder_up(tmp_path: Path) -> None:
    path = write_card(tmp_path / "flat.toml", "has_hr = false", 'layouts = [[".", "."]]', "count = 2", id="flat")
    root = tmp_path / "data"
    _images_in(root, "a", "b", "c")  # of something else
    assert "was not found" in refusal(path, root).message
    own = _images_in(root / "flat", "x", "y")
    assert [pair.id for pair in load_pairs(load_card(path), root)] == ["x", "y"]
    assert [pair.id for pair in load_pairs(load_card(path), own)] == ["x", "y"], "the set's own folder"
    (own / "y.png").unlink()
    assert "has 2 images, but" in refusal(path, root).message


def test_cases_share_an_hr_and_are_the_levels_of_their_images(tmp_path: Path) -> None:
    path = write_card(tmp_path / "se.toml", "cases = true", "has_hr = true", 'layouts = [["LQ", "GT"]]', id="se")
    root = tmp_path / "se"
    _images_in(root / "GT", "a", "b", size=64)
    for case in ("deg_0", "deg_1"):
        _images_in(root / "LQ" / case, "a", "b")
    pairs = load_pairs(load_card(path), tmp_path)
    assert [(p.id, p.level) for p in pairs] == [
        ("deg_0/a", "deg_0"), ("deg_0/b", "deg_0"), ("deg_1/a", "deg_1"), ("deg_1/b", "deg_1"),
    ]  # fmt: skip
    assert pairs[0].hr == pairs[2].hr == root / "GT" / "a.png"
    (root / "GT" / "b.png").unlink()
    assert "1 in LQ have no partner in GT (b)" in refusal(path, tmp_path).message


def test_cases_may_also_come_in_one_folder(tmp_path: Path) -> None:
    path = write_card(
        tmp_path / "k.toml", "cases = true", "has_hr = false", 'layouts = [[".", "."]]', "count = 2", id="k"
    )
    _images_in(tmp_path / "one" / "k", "a", "b")
    assert [(p.id, p.level) for p in load_pairs(load_card(path), tmp_path / "one")] == [("a", None), ("b", None)]
    _images_in(tmp_path / "two" / "k" / "old", "a")
    _images_in(tmp_path / "two" / "k" / "film", "a")
    assert [(p.id, p.level) for p in load_pairs(load_card(path), tmp_path / "two")] == [
        ("film/a", "film"), ("old/a", "old"),
    ]  # fmt: skip


def test_lr_names_may_end_in_the_scale(tmp_path: Path) -> None:
    path = write_card(
        tmp_path / "x.toml", 'lr_name = "{}x4"', "has_hr = true", 'layouts = [["X4/val", "HR/val"]]', id="x"
    )
    _images_in(tmp_path / "x" / "HR" / "val", "1", "2", size=64)
    lr = _images_in(tmp_path / "x" / "X4" / "val", "1x4", "2x4")
    assert [(p.id, p.lr.name) for p in load_pairs(load_card(path), tmp_path)] == [("1", "1x4.png"), ("2", "2x4.png")]
    (lr / "2x4.png").rename(lr / "2.png")
    assert 'does not fit lr_name = "{}x4"' in refusal(path, tmp_path).message
