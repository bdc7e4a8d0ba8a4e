"""Cards, folders and where a set lies: which set is scored, under which name, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from isrbench.harness.data.catalogue import catalogue, find_card, load_card
from isrbench.harness.data.pairs import check_pairs, content_hash, find_root, load_pairs, open_dataset
from isrbench.harness.engine.listing import description
from isrbench.harness.errors import UserError
from tests.conftest import picture, write_pairs
from tests.support.paths import ROOT

CARD = 'id = "{id}"\ntitle = "m"\nscale = 4\nlicense = "x"\nsource = "y"\n'


def write_card(path: Path, *lines: str, id: str = "mine") -> Path:
    """A card with the needed keys and ``lines``."""
    path.write_text(CARD.format(id=id) + "\n".join(lines) + "\n")
    return path


def refusal(card: Path | str, data_root: Path | None = None) -> UserError:
    """What loading the set is refused with."""
    with pytest.raises(UserError) as caught:
        load_pairs(find_card(str(card)), data_root)
    return caught.value


# ---------------------------------------------------------------- where a set lies


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


# ---------------------------------------------------------------- under which name


@pytest.mark.parametrize(
    ("name", "id"),
    [("RealSR", "RealSR-folder"), ("sample", "sample-folder"), ("realsr", "realsr-folder"), ("my set", "my-set"),
     ("фото", "folder"), ("RealSR2", "RealSR2")],
)  # fmt: skip
def test_a_plain_folder_never_takes_the_id_of_a_set_that_ships(name: str, id: str, tmp_path: Path) -> None:
    assert find_card(str(write_pairs(tmp_path / name, ["a"]))).id == id


def test_the_folder_of_the_sample_set_by_path_is_a_set_of_its_own() -> None:
    card = find_card(str(find_card("sample").root))
    assert card.id == "sample-folder" and len(load_pairs(card)) == 24


def test_a_card_of_ones_own_cannot_take_the_id_of_a_set_that_ships(tmp_path: Path) -> None:
    path = write_card(tmp_path / "x.toml", id="RealSR")
    with pytest.raises(UserError, match="takes the id of a set that ships"):
        find_card(str(path))
    assert find_card(str(catalogue()["RealSR"])).id == "RealSR"


def test_the_advice_to_score_a_wrong_count_as_a_set_of_its_own_is_true(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "it's RealSR" / "RealSR", ["a", "b"], lr=128)
    error = refusal("RealSR", tmp_path / "it's RealSR")
    assert "RealSR has 100 images" in error.message and "holds 2" in error.message
    assert error.fix is not None and "then called RealSR-folder" in error.fix
    import shlex

    advised = shlex.split(error.fix.partition("--dataset ")[2])
    card = find_card(*advised)
    assert card.id == "RealSR-folder" and card.root == folder and len(load_pairs(card)) == 2


def test_other_pixels_under_the_names_of_a_shipped_set(tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    shutil.copytree(find_card("sample").root or "", folder)
    Image.fromarray(picture(9, 256, 256)).save(folder / "HR" / "cat_mild.png")
    card = find_card("sample").model_copy(update={"root": folder})
    with pytest.raises(UserError, match="not its pixels") as caught:
        load_pairs(card)
    assert f"sample-folder: --dataset {folder}" in (caught.value.fix or "")


# ---------------------------------------------------------------- cards


def test_every_shipped_card_is_valid_and_named_after_its_file() -> None:
    assert {"RealSR", "DRealSR", "DIV2K-val", "sample"} <= set(catalogue())
    for name, path in catalogue().items():
        card = load_card(path)
        assert card.id == name and card.has_hr and card.lr_size and card.hr_size


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


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lr_size = [16, 20]", "a.png is 16x16; mine has LR images of 20x16"),
        ("hr_size = [64, 60]", "a.png is 64x64; mine has HR images of 60x64"),
        ("count = 5", "mine has 5 images"),
        ('levels = "levels.csv"', "levels.csv, the `levels` of mine, cannot be read: No such file"),
        ('levels = "columns.csv"', "columns.csv has the columns name, severity; it needs image and level"),
        ('levels = "short.csv"', "short.csv has no level for c"),
        ('levels = "empty.csv"', "empty.csv has the columns none"),
        ('levels = "latin.csv"', "latin.csv, the `levels` of mine, cannot be read"),
        ('layouts = [["x", "y"]]', "has no sub-folders x/y"),
    ],
)
def test_data_that_is_not_what_its_card_says(line: str, words: str, pairs_folder: Path, tmp_path: Path) -> None:
    (pairs_folder / "columns.csv").write_text("name,severity\na,0.1\n")
    (pairs_folder / "short.csv").write_text("image,level\na,0.1\nb,0.2\nc\n")
    (pairs_folder / "empty.csv").write_text("")
    (pairs_folder / "latin.csv").write_bytes("image,level\né,0.1\n".encode("latin-1"))
    error = refusal(write_card(tmp_path / "mine.toml", 'root = "small"', line))
    assert words in error.message and error.fix and "--dataset" not in error.fix


def test_a_card_whose_root_is_not_there(tmp_path: Path) -> None:
    error = refusal(write_card(tmp_path / "mine.toml", 'root = "gone"'))
    assert str(tmp_path / "gone") in error.message and "root" in (error.fix or "")


def test_levels_are_read_with_or_without_a_byte_order_mark(pairs_folder: Path, tmp_path: Path) -> None:
    card = write_card(tmp_path / "mine.toml", 'root = "small"', 'levels = "levels.csv"')
    for encoding in ("utf-8", "utf-8-sig"):
        (pairs_folder / "levels.csv").write_text("image,level\na,0.1\nb,0.2\nc,0.3\nd,0.4\n", encoding=encoding)
        assert [p.level for p in load_pairs(load_card(card))] == ["0.1", "0.2", "0.3", "0.4"]


# ---------------------------------------------------------------- sets without HR


@pytest.mark.parametrize("line", ["", "count = 4", "has_hr = false", "count = 4\nhas_hr = false"])
def test_a_card_of_lr_images_alone_works(line: str, pairs_folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(pairs_folder / "HR")
    pairs = load_pairs(load_card(write_card(tmp_path / "mine.toml", 'root = "small"', line)))
    assert len(pairs) == 4 and all(p.hr is None and p.hr_hash is None for p in pairs)


def test_a_card_that_says_that_it_has_hr_is_held_to_it(pairs_folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(pairs_folder / "HR")
    error = refusal(write_card(tmp_path / "mine.toml", 'root = "small"', "has_hr = true"))
    assert "has no sub-folders test_LR/test_HR" in error.message


def test_a_folder_without_hr(pairs_folder: Path) -> None:
    shutil.rmtree(pairs_folder / "HR")
    for folder in (pairs_folder, pairs_folder / "LR"):
        pairs = load_pairs(find_card(str(folder)))
        assert len(pairs) == 4 and all(p.hr is None for p in pairs)


# ---------------------------------------------------------------- content


def test_right_names_but_other_pixels_are_not_the_set(pairs_folder: Path, tmp_path: Path) -> None:
    card = write_card(tmp_path / "mine.toml", 'root = "small"')
    good = content_hash(load_pairs(load_card(card)))
    write_card(card, 'root = "small"', f'content_hash = "{good}"')
    assert len(load_pairs(load_card(card))) == 4
    Image.fromarray(picture(9, 64, 64)).save(pairs_folder / "HR" / "a.png")
    error = refusal(card)
    assert "not its pixels" in error.message and "fix `content_hash` in its card" in (error.fix or "")


def test_lossless_reencoding_keeps_the_content_hash(pairs_folder: Path) -> None:
    before = content_hash(load_pairs(find_card(str(pairs_folder))))
    for path in [*pairs_folder.glob("*/*.png")]:
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    assert content_hash(load_pairs(find_card(str(pairs_folder)))) == before


def test_describing_a_set_gives_the_content_hash_of_what_lies_here(pairs_folder: Path, tmp_path: Path) -> None:
    def facts(id: object) -> dict:
        return description("dataset", str(id), lambda: pytest.fail("no method is needed"))[0]

    folder = facts(pairs_folder)
    assert folder["here"] == str(pairs_folder) and folder["images_here"] == 4
    assert folder["content_hash_here"] == content_hash(load_pairs(find_card(str(pairs_folder))))
    # A card whose hash is another one is described all the same: that is how one learns the right one.
    card = facts(write_card(tmp_path / "mine.toml", 'root = "small"', 'content_hash = "0"'))
    assert card["content_hash"] == "0" and card["content_hash_here"] == folder["content_hash_here"]
    (pairs_folder / "HR" / "b.png").unlink()
    assert "no partner" in facts(tmp_path / "mine.toml")["fault"]
    assert facts(write_card(tmp_path / "far.toml", id="far"))["here"] == "not found"


def test_decoding_many_images_is_announced(pairs_folder: Path, caplog, monkeypatch) -> None:
    caplog.set_level("INFO", logger="harness")
    card = find_card(str(pairs_folder))
    check_pairs(card, open_dataset(card, pairs_folder))
    assert "decoding" not in caplog.text
    monkeypatch.setattr("isrbench.harness.data.pairs._MANY", 3)
    check_pairs(card, open_dataset(card, pairs_folder))
    assert "decoding and checking the 4 images of small" in caplog.text


def test_the_folder_of_cards_does_not_shadow_hugging_face_datasets() -> None:
    import datasets

    assert hasattr(datasets, "load_dataset")
    cards = ROOT / "datasets"
    assert not list(cards.rglob("*.py"))


def test_realsr_is_the_published_set(realsr: Path) -> None:
    pairs = load_pairs(find_card("RealSR"), realsr)
    assert len(pairs) == 100 and content_hash(pairs) == find_card("RealSR").content_hash
