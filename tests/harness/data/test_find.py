"""Where a set lies, and what is refused where that is unclear."""

from __future__ import annotations

from pathlib import Path

import pytest

import isrbench
from isrbench.harness.data.catalogue import find_card, load_card
from isrbench.harness.data.find import catalogue_folder, find_root
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from tests.support.cards import refusal, write_card
from tests.support.images import write_pairs


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
