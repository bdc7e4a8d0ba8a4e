"""Data sets from an archive or a Hugging Face table, without any network: real files, made here."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from harness.cards import Archive, Card, HubTable
from harness.errors import UserError
from harness.fetch import extract, fetch_dataset
from harness.pairs import content_hash, load_pairs
from tests.conftest import write_pairs


def test_one_set_is_taken_out_of_the_archive(pairs_folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "sets.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in pairs_folder.rglob("*.png"):
            sub = {"LR": "lq", "HR": "gt"}[path.parent.name]
            file.write(path, f"sets/small/{sub}/{path.name}")
            file.write(path, f"sets/other/{sub}/{path.name}")
    extract(archive, "sets/small", tmp_path / "data" / "small")
    card = Card(id="small", title="s", scale=4, licence="x", source="y", count=4)
    assert len(load_pairs(card, tmp_path / "data")) == 4
    with pytest.raises(UserError, match="it holds sets/other, sets/small"):
        extract(archive, "sets/absent", tmp_path / "z")


def test_an_archive_that_leads_outside_or_is_damaged_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/../../evil.txt", "x")
    with pytest.raises(UserError, match="leads outside"):
        extract(archive, "a", tmp_path / "data")
    archive.write_bytes(b"PK rubbish")
    with pytest.raises(UserError, match="damaged"):
        extract(archive, "a", tmp_path / "data")


def test_a_hugging_face_table_becomes_a_folder_of_pairs(pairs_folder: Path, tmp_path: Path) -> None:
    import datasets

    names = ["a", "b", "c", "d"]
    table = datasets.Dataset.from_dict(
        {"name": names, **{c: [str(pairs_folder / c.upper() / f"{n}.png") for n in names] for c in ("lr", "hr")}}
    )
    table = table.cast_column("lr", datasets.Image()).cast_column("hr", datasets.Image())
    (tmp_path / "parquet").mkdir()
    table.to_parquet(tmp_path / "parquet" / "test.parquet")
    card = Card(
        id="small",
        title="s",
        scale=4,
        licence="x",
        source="y",
        table=HubTable(path=str(tmp_path / "parquet"), id="name"),
    )
    folder = fetch_dataset(card, tmp_path / "data", accept_licence=False)
    assert folder == tmp_path / "data" / "small"
    before = content_hash(load_pairs(Card(id="small", title="s", scale=4, licence="x", source="y"), pairs_folder))
    assert content_hash(load_pairs(card, tmp_path / "data")) == before
    with pytest.raises(UserError, match="exists already"):
        fetch_dataset(card, tmp_path / "data", accept_licence=False)
    wrong = card.model_copy(update={"id": "wrong", "table": HubTable(path=str(tmp_path / "parquet"), hr="target")})
    with pytest.raises(UserError, match="no column target"):
        fetch_dataset(wrong, tmp_path / "data", accept_licence=False)
    assert not (tmp_path / "data" / "wrong").exists()


def test_a_card_without_a_download_says_so(tmp_path: Path) -> None:
    card = Card(id="x", title="s", scale=4, licence="x", source="y")
    with pytest.raises(UserError, match="names no download"):
        fetch_dataset(card, tmp_path, accept_licence=False)
    far = card.model_copy(update={"archive": Archive(repo="o/n", file="f.zip", folder="f", gigabytes=1)})
    with pytest.raises(UserError, match="could not be fetched"):
        fetch_dataset(far, tmp_path, accept_licence=False)


def test_pairs_written_twice_are_the_same(tmp_path: Path) -> None:
    one, two = (
        load_pairs(Card(id="x", title="s", scale=4, licence="x", source="y"), write_pairs(tmp_path / n, ["a"]))
        for n in "pq"
    )
    assert content_hash(one) == content_hash(two)
