"""Data sets from an archive or a Hugging Face table, without any network: real files, made here."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import huggingface_hub
import pytest

from isrbench.harness import network
from isrbench.harness.api.dataset import Archive, Card, HubTable
from isrbench.harness.data import fetch
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.fetch import fetch_dataset, write_table
from isrbench.harness.data.pairs import content_hash, load_pairs
from isrbench.harness.data.unpack import extract
from isrbench.harness.errors import UserError
from isrbench.harness.metrics import weights as metric_weights
from isrbench.harness.metrics.sets import DEFAULT_METRICS
from isrbench.harness.network import OFFLINE_SWITCHES

if TYPE_CHECKING:
    import datasets


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness may ask the hub, which has a switch of its own."""
    monkeypatch.delenv("ISRBENCH_OFFLINE")


def test_one_set_is_taken_out_of_the_archive(pairs_folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "sets.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in pairs_folder.rglob("*.png"):
            sub = {"LR": "lq", "HR": "gt"}[path.parent.name]
            file.write(path, f"sets/small/{sub}/{path.name}")
            file.write(path, f"sets/other/{sub}/{path.name}")
    extract(archive, "sets/small", tmp_path / "data" / "small")
    card = Card(id="small", title="s", scale=4, license="x", source="y", count=4)
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
        license="x",
        source="y",
        table=HubTable(path=str(tmp_path / "parquet"), id="name"),
    )
    folder = fetch_dataset(card, tmp_path / "data", accept_license=False)
    assert folder == tmp_path / "data" / "small"
    before = content_hash(load_pairs(Card(id="small", title="s", scale=4, license="x", source="y"), pairs_folder))
    assert content_hash(load_pairs(card, tmp_path / "data")) == before
    with pytest.raises(UserError, match="exists already"):
        fetch_dataset(card, tmp_path / "data", accept_license=False)
    wrong = card.model_copy(update={"id": "wrong", "table": HubTable(path=str(tmp_path / "parquet"), hr="target")})
    with pytest.raises(UserError, match="no column target"):
        fetch_dataset(wrong, tmp_path / "data", accept_license=False)
    assert not (tmp_path / "data" / "wrong").exists()


@pytest.mark.parametrize("switch", OFFLINE_SWITCHES)
def test_a_folder_needs_no_network(switch, pairs_folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(switch, "1")
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("asked the network"))
    (tmp_path / "cards" / "parquet").mkdir(parents=True)
    _table(pairs_folder, ["0801.png", "0802.PNG", "v1.5"]).to_parquet(tmp_path / "cards" / "parquet" / "test.parquet")
    (tmp_path / "cards" / "card.toml").write_text(
        'id = "t"\ntitle = "t"\nscale = 4\nlicense = "own"\nsource = "own"\n[table]\npath = "parquet"\nid = "name"\n'
    )
    folder = fetch_dataset(find_card(str(tmp_path / "cards" / "card.toml")), tmp_path / "data", accept_license=False)
    for part in ("LR", "HR"):
        assert sorted(path.name for path in (folder / part).iterdir()) == ["0801.png", "0802.png", "v1.5.png"]


@pytest.mark.parametrize("path", ["/absent/table", "./absent", "~/absent-table", "card.toml"])
def test_a_folder_that_is_none_is_no_download_that_failed(path: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "card.toml").touch()
    with pytest.raises(UserError, match=r"the table of small, .* is (not there|a file)") as caught:
        fetch_dataset(_card(path=path), tmp_path, accept_license=False)
    assert "[table]" in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("data", "message"), [(b"PAR1 rubbish", "cannot be loaded: Parquet magic"), (None, "cannot be read as a table: .+")]
)
def test_a_damaged_table_is_no_download_that_failed(data: bytes | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "parquet").mkdir()
    if data is not None:
        (tmp_path / "parquet" / "test.parquet").write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        fetch_dataset(_card(path=str(tmp_path / "parquet")), tmp_path / "data", accept_license=False)
    assert "by hand" not in (caught.value.fix or "")


@pytest.mark.parametrize("switch", OFFLINE_SWITCHES)
def test_an_archive_in_the_hubs_cache_needs_no_network(switch, pairs_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(switch, "1")
    with zipfile.ZipFile(tmp_path / "sets.zip", "w") as file:
        for path in pairs_folder.rglob("*.png"):
            file.write(path, f"sets/{path.parent.name}/{path.name}")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **options: str(tmp_path / "sets.zip"))
    archive = Archive(repo="o/n", file="sets.zip", folder="sets", gigabytes=1)
    card = Card(id="x", title="s", scale=4, license="x", source="y", count=4, archive=archive)
    fetch_dataset(card, tmp_path / "data", accept_license=False)
    assert len(load_pairs(card, tmp_path / "data")) == 4


def _table(pairs_folder: Path, ids: list[str]) -> datasets.Dataset:
    import datasets

    files = {c: [str(p) for p in sorted((pairs_folder / c.upper()).iterdir())][: len(ids)] for c in ("lr", "hr")}
    table = datasets.Dataset.from_dict({"name": ids, **files})
    return table.cast_column("lr", datasets.Image()).cast_column("hr", datasets.Image())


def _card(**table: str) -> Card:
    return Card(id="small", title="s", scale=4, license="x", source="y", table=HubTable(**{"path": "o/n", **table}))


@pytest.mark.parametrize(
    "name", ["../../../../evil", "/evil", "sub/evil", "..", ".hidden", "", " ", "a\\b", "c:evil", "nul\0"]
)
def test_ids_of_a_table_that_cannot_be_file_names_are_refused(name: str, pairs_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "c" / "small"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="cannot be a file name") as caught:
        write_table(_card(id="name"), _table(pairs_folder, [name]), target)
    assert caught.value.fix and sorted(tmp_path.rglob("*")) == before


def test_rows_without_ids_are_numbered_and_odd_tables_are_refused(pairs_folder: Path, tmp_path: Path) -> None:
    table = _table(pairs_folder, ["a", "b", "a"])
    write_table(_card(), table, tmp_path / "numbered")
    assert sorted(p.name for p in (tmp_path / "numbered" / "HR").iterdir()) == ["0.png", "1.png", "2.png"]
    with pytest.raises(UserError, match="two rows with id a"):
        write_table(_card(id="name"), table, tmp_path / "twice")
    with pytest.raises(UserError, match="two rows with id a"):
        write_table(_card(id="name"), _table(pairs_folder, ["a.png", "a.jpg"]), tmp_path / "endings")
    with pytest.raises(UserError, match=r"the id '\.png'"):
        write_table(_card(id="name"), _table(pairs_folder, [".png"]), tmp_path / "nameless")
    with pytest.raises(UserError, match="no image in column name, row 0, but a str"):
        write_table(_card(lr="name"), table, tmp_path / "words")


def test_an_unknown_split_is_a_clean_message(pairs_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "parquet").mkdir()
    _table(pairs_folder, ["a"]).to_parquet(tmp_path / "parquet" / "test.parquet")
    with pytest.raises(UserError, match=r'Unknown split "tset"') as caught:
        fetch_dataset(_card(path=str(tmp_path / "parquet"), split="tset"), tmp_path / "data", accept_license=False)
    assert "[table]" in (caught.value.fix or "") and not list((tmp_path / "data").iterdir())


def test_whatever_a_download_raises_is_a_clean_message(tmp_path: Path, monkeypatch) -> None:
    class TransportError(Exception):
        """What some HTTP library raises; no OSError."""

    def broken(*args: object, **kwargs: object) -> None:
        raise TransportError("connection reset")

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", broken)
    archive = Archive(repo="o/n", file="f.zip", folder="f", gigabytes=1)
    card = Card(id="x", title="s", scale=4, license="x", source="https://example.org", archive=archive)
    with pytest.raises(UserError, match="x could not be fetched: TransportError: connection reset") as caught:
        fetch_dataset(card, tmp_path, accept_license=False)
    assert "https://example.org by hand" in (caught.value.fix or "") and not list(tmp_path.iterdir())


def test_a_hub_that_drips_is_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **options: time.sleep(2))
    monkeypatch.setattr(network, "STALL_SECONDS", 0.2)
    archive = Archive(repo="o/n", file="f.zip", folder="f", gigabytes=1)
    card = Card(id="x", title="s", scale=4, license="x", source="https://example.org", archive=archive)
    with pytest.raises(UserError, match=r"x could not be fetched: TransferError: too slow: 0 bytes"):
        fetch_dataset(card, tmp_path, accept_license=False)


def test_a_table_of_the_hub_that_drips_is_left(tmp_path: Path, monkeypatch) -> None:
    import datasets

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delenv("ISRBENCH_OFFLINE", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: time.sleep(2))
    monkeypatch.setattr(fetch, "TOTAL_SECONDS", 0.2)
    card = Card(id="x", title="s", scale=4, license="x", source="https://example.org", table=HubTable(path="o/n"))
    with pytest.raises(UserError, match=r"TransferError: it did not arrive within 0\.2 s"):
        fetch_dataset(card, tmp_path, accept_license=False)


def test_a_fetched_weight_that_is_gone_again_is_said(capsys, monkeypatch) -> None:
    from isrbench.harness.cli.fetch import weights

    monkeypatch.setattr(metric_weights, "fetch_files", lambda files, command, progress: progress("n.pth", 5, 10) or [])
    monkeypatch.setattr(metric_weights, "wanted", list)
    with pytest.raises(UserError, match=r"musiq_koniq.* is gone or not as published"):
        weights(["musiq"])
    assert "nothing to fetch" not in capsys.readouterr().out


def test_weights_of_sets_and_lists_are_fetched_each_once(capsys, monkeypatch) -> None:
    from isrbench.harness.cli.fetch import weights

    monkeypatch.setattr(metric_weights, "fetch_files", lambda files, command, progress: [])
    monkeypatch.setattr(metric_weights, "wanted", lambda files: [])

    def asked(*named: str) -> list[str]:
        weights(list(named), [])
        return [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]

    assert asked("lpips,musiq", "@ntire") == ["lpips", "musiq", "dists", "niqe", "maniqa", "clipiqa"]
    assert asked() == list(DEFAULT_METRICS)


def test_a_card_without_a_download_says_so(tmp_path: Path) -> None:
    card = Card(id="x", title="s", scale=4, license="x", source="y")
    with pytest.raises(UserError, match="names no download"):
        fetch_dataset(card, tmp_path, accept_license=False)
    far = card.model_copy(update={"archive": Archive(repo="o/n", file="f.zip", folder="f", gigabytes=1)})
    with pytest.raises(UserError, match="could not be fetched"):
        fetch_dataset(far, tmp_path, accept_license=False)


def test_nothing_is_asked_where_the_network_is_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISRBENCH_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **options: pytest.fail("asked the network"))
    archive = Archive(repo="o/n", file="f.zip", folder="f", gigabytes=1)
    card = Card(id="x", title="s", scale=4, license="x", source="https://example.org", archive=archive)
    with pytest.raises(UserError, match="ISRBENCH_OFFLINE is set"):
        fetch_dataset(card, tmp_path, accept_license=True)
    with pytest.raises(UserError, match="ISRBENCH_OFFLINE is set") as caught:
        fetch_dataset(_card(path="owner/name"), tmp_path, accept_license=True)
    assert (caught.value.fix or "").startswith("unset it, or ")


@pytest.mark.parametrize("inside", [False, True])
def test_a_data_root_that_is_a_file_is_refused(inside: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    root = tmp_path / "file" / "deeper" if inside else tmp_path / "file"
    with pytest.raises(UserError, match="cannot be written" if inside else "is a file") as caught:
        fetch_dataset(find_card("RealSR"), root, accept_license=True)
    assert str(root) in caught.value.message and "--data-root DIR" in (caught.value.fix or "")
