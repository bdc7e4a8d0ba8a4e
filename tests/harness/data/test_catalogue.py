"""Which card a name stands for, under which id its set is scored, and which cards are refused."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from isrbench.harness.data.catalogue import catalogue, find_card, id_of_folder, load_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from tests.support.cards import refusal, write_card
from tests.support.cli import isrbench
from tests.support.images import write_pairs
from tests.support.packages import install
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("name", "id"),
    [("RealSR", "RealSR-folder"), ("sample", "sample-folder"), ("realsr", "realsr-folder"), ("my set", "my-set"),
     ("фото", "folder-5cea446a"), ("RealSR2", "RealSR2")],
)  # fmt: skip
def test_a_plain_folder_never_takes_the_id_of_a_set_that_ships(name: str, id: str, tmp_path: Path) -> None:
    assert find_card(str(write_pairs(tmp_path / name, ["a"]))).id == id


def test_folders_in_other_scripts_have_ids_of_their_own() -> None:
    names = ("фото", "снимки", "写真", "фото1", "снимки1", "café", "cafè")
    assert len({id_of_folder(Path(name)) for name in names}) == len(names)
    assert id_of_folder(Path("caf\u00e9")) == id_of_folder(Path("cafe\u0301")), "two spellings of one letter"


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / os.fsdecode(b"caf\xe9"), ["a"])
    with pytest.raises(UserError, match="is not UTF-8") as caught:
        find_card(str(folder))
    assert caught.value.message.encode() and "rename" in (caught.value.fix or "")


def test_the_folder_of_the_sample_set_by_path_is_a_set_apart() -> None:
    card = find_card(str(find_card("sample").root))
    assert card.id == "sample-folder" and len(load_pairs(card)) == 24


def test_a_users_card_cannot_take_the_id_of_a_set_that_ships(tmp_path: Path) -> None:
    path = write_card(tmp_path / "x.toml", id="RealSR")
    with pytest.raises(UserError, match="takes the id of a set that ships"):
        find_card(str(path))
    assert find_card(str(catalogue()["RealSR"])).id == "RealSR"


def test_the_advice_to_score_a_wrong_count_as_a_set_apart_is_true(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "it's RealSR" / "RealSR", ["a", "b"], lr=128)
    error = refusal("RealSR", tmp_path / "it's RealSR")
    assert "RealSR has 100 images" in error.message and "holds 2" in error.message
    assert error.fix is not None and "then called RealSR-folder" in error.fix
    advised = shlex.split(error.fix.partition("--dataset ")[2])
    card = find_card(*advised)
    assert card.id == "RealSR-folder" and card.root == folder and len(load_pairs(card)) == 2


@pytest.mark.parametrize("name", ["no/such/folder", "absent.toml", f"no/{'x' * 300}"])
def test_a_path_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="this card or folder does not exist"):
        find_card(name)


def test_an_unknown_id_names_close_ones() -> None:
    with pytest.raises(UserError, match="did you mean 'RealSR'"):
        find_card("realsr")


def test_the_scale_of_a_folder_is_that_of_its_first_pair(tmp_path: Path) -> None:
    assert find_card(str(write_pairs(tmp_path / "double", ["a"], scale=2))).scale == 2
    odd = write_pairs(tmp_path / "odd", ["a"])
    (odd / "LR" / "a.png").write_bytes((write_pairs(tmp_path / "small", ["a"], lr=15) / "LR" / "a.png").read_bytes())
    with pytest.raises(UserError, match="HR must be a whole multiple of LR"):
        find_card(str(odd))


def test_a_folder_is_held_to_the_largest_scale_of_a_card(tmp_path: Path) -> None:
    assert find_card(str(write_pairs(tmp_path / "most", ["a"], lr=2, scale=16))).scale == 16
    with pytest.raises(UserError, match="20 times as large as its LR, but a set's scale is 16 at most"):
        find_card(str(write_pairs(tmp_path / "more", ["a"], lr=2, scale=20)))


def test_every_shipped_card_is_valid_and_named_after_its_file() -> None:
    assert {"RealSR", "DRealSR", "DIV2K-val", "LSDIR-val", "Set14-SE", "sample"} <= set(catalogue())
    for name, path in catalogue().items():
        card = load_card(path)
        assert card.id == name and card.has_hr is not None and card.count and card.summary and card.notes, name
        assert card.license and card.citation.strip().startswith("@"), name
        assert card.root is not None or card.source.startswith("https://"), name
        assert len(card.summary) <= 110, name
        assert not (card.has_hr is False and card.hr_size), name


def test_the_sets_without_hr_are_those_that_the_field_reports_no_reference_metrics_on() -> None:
    without = {name: card for name, path in catalogue().items() if (card := load_card(path)).has_hr is False}
    counts = {"RealLR200": 200, "RealLQ250": 250, "RealPhoto60": 60, "RealSet65": 65, "RealSet80": 80, "RealDeg": 238,
              "DPED": 113}  # fmt: skip
    assert {name: card.count for name, card in without.items()} == counts
    assert {name for name, card in without.items() if card.scale == 2} == {"RealPhoto60", "RealDeg"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("scael = 4", "scael"),
        ("lr_size = [16, 16]\nhr_size = [64, 60]", "hr_size [64, 60] is not scale 4 times lr_size [16, 16]"),
        ('count = "many"', "count"),
        ("nonsense", "not valid TOML"),
    ],
)
def test_a_card_that_cannot_be_right_is_refused_with_its_path(line: str, words: str, tmp_path: Path) -> None:
    path = write_card(tmp_path / "x.toml", line)
    with pytest.raises(UserError) as caught:
        load_card(path)
    assert words in caught.value.message and str(path) in caught.value.message


@pytest.mark.parametrize("key", ["notes", "protocol"])
@pytest.mark.parametrize("license", ["license", "licence"])
def test_older_names_of_keys_still_work(key: str, license: str, tmp_path: Path) -> None:
    text = f'id = "m"\ntitle = "m"\nscale = 4\n{license} = "x"\nsource = "y"\n{key} = "crops"\n'
    (tmp_path / "m.toml").write_text(text)
    card = load_card(tmp_path / "m.toml")
    assert (card.notes, card.license) == ("crops", "x")


def test_the_folder_of_cards_does_not_shadow_hugging_face_datasets() -> None:
    import datasets

    assert hasattr(datasets, "load_dataset")
    cards = ROOT / "datasets"
    assert not list(cards.rglob("*.py"))


# ---------------------------------------------------------------- cards of other packages

CARDS = """
from pathlib import Path
HERE = Path(__file__).parent
NIGHT, TAKEN, OTHER, ODD, GONE = (HERE / f"{name}.toml" for name in ("night", "taken", "other", "odd", "gone"))
TEXT = "night.toml"
"""
BROKEN = {
    "REALSR": ("TAKEN", "takes the id of a set that ships, RealSR"),
    "another": ("OTHER", "calls itself 'night'"),
    "odd": ("ODD", "is not a valid dataset card"),
    "gone": ("GONE", "gone.toml does not exist"),
    "text": ("TEXT", "is a str, not a Path"),
    "absent": ("ABSENT", "has no attribute 'ABSENT'"),
}


@pytest.fixture
def night(site: Path) -> Path:
    """A package that carries the set ``night`` with its card, and cards of every bad kind."""
    write_pairs(site / "night", ["a", "b"])
    write_card(site / "night.toml", 'root = "night"', "count = 2", id="night")
    write_card(site / "taken.toml", id="REALSR")
    write_card(site / "other.toml", id="night")
    write_card(site / "odd.toml", "count = 0", id="odd")
    points = {"night": "acme_cards:NIGHT", **{name: f"acme_cards:{own}" for name, (own, _) in BROKEN.items()}}
    install(site, "cards", {"isrbench.datasets": points}, acme_cards=CARDS)
    return site


def test_a_package_may_carry_a_card_with_its_images(night: Path, tmp_path: Path, capsys) -> None:
    card = find_card("night")
    assert card.root == night / "night" and [pair.id for pair in load_pairs(card)] == ["a", "b"]
    listed = {row["id"]: row for row in json.loads(isrbench(capsys, "list", "datasets", "--json")[1])}
    assert listed["night"]["images"] == 2 and listed["night"]["what it is"] == "m"
    args = ("--dataset", "night", "--metrics", "psnr", "--runs-dir", tmp_path, "--no-report", "--no-complexity")
    assert isrbench(capsys, "eval", "--method", "bicubic", *args, "--estimator", "none")[0] == 0
    with pytest.raises(UserError, match="takes the id of a set that ships, night"):
        find_card(str(write_card(tmp_path / "mine.toml", id="night")))


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_card_that_does_not_work_disables_itself_alone(name: str, night: Path, capsys) -> None:
    with pytest.raises(UserError) as caught:
        find_card(name)
    assert BROKEN[name][1] in caught.value.message and caught.value.fix
    assert "night" in catalogue() and find_card("RealSR").count == 100
    listed = {row["id"]: row for row in json.loads(isrbench(capsys, "list", "datasets", "--json")[1])}
    assert listed[name]["images"] == "(broken)" and BROKEN[name][1] in listed[name]["what it is"]


def test_of_two_packages_with_one_card_neither_gets_the_name(night: Path) -> None:
    install(night, "rival", {"isrbench.datasets": {"night": "acme_cards:OTHER"}})
    with pytest.raises(UserError, match="two datasets are registered as 'night'"):
        find_card("night")
