"""Where results are sent: fsspec's own memory and local file systems stand for object storage."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pandas as pd
import pytest

from isrbench.harness.errors import UserError
from isrbench.harness.store import places
from isrbench.harness.store.export import export
from isrbench.harness.store.places import is_url

FRAME = pd.DataFrame({"image": ["a", "b"], "value": [1 / 3, 2.0]})


@pytest.fixture
def memory():
    """Everything below memory:// is gone afterwards."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_what_is_a_url():
    assert is_url("s3://bucket/x.csv") and is_url("memory://x") and is_url("file:///tmp/x")
    assert not any(map(is_url, ("x.csv", "/tmp/x", "C:\\x.csv", "a:b/c", Path("s3://bucket"))))


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_table_has_the_same_bytes_anywhere(ending: str, memory, tmp_path: Path) -> None:
    export(FRAME, tmp_path / f"x.{ending}")
    expected = (tmp_path / f"x.{ending}").read_bytes()
    export(FRAME, f"memory://bucket/deep/x.{ending}")
    assert memory.cat(f"/bucket/deep/x.{ending}") == expected
    export(FRAME, f"file://{tmp_path}/other folder/x.{ending}")
    assert (tmp_path / "other folder" / f"x.{ending}").read_bytes() == expected


def test_what_is_there_is_replaced_only_when_asked(memory) -> None:
    memory.pipe("/bucket/x.csv", b"theirs")
    with pytest.raises(UserError, match="there already") as caught:
        export(FRAME, "memory://bucket/x.csv")
    assert "--overwrite" in caught.value.fix and memory.cat("/bucket/x.csv") == b"theirs"
    export(FRAME, "memory://bucket/x.csv", overwrite=True)
    assert memory.cat("/bucket/x.csv").startswith(b"image,value")


def test_a_file_that_cannot_be_sent_leaves_what_was_there(memory, monkeypatch) -> None:
    memory.pipe("/bucket/x.csv", b"theirs")

    def broken(source, out):
        out.write(b"half")
        raise OSError("the connection was reset")

    monkeypatch.setattr(places.shutil, "copyfileobj", broken)
    with pytest.raises(UserError, match=r"memory://bucket/x\.csv cannot be written: the connection was reset"):
        export(FRAME, "memory://bucket/x.csv", overwrite=True)
    assert memory.cat("/bucket/x.csv") == b"theirs"


@pytest.mark.parametrize(
    ("url", "words"),
    [("nonsense://x.csv", "Protocol not known: nonsense"), ("memory://x.txt", "the ending must be one of .csv")],
)
def test_addresses_that_are_none(url: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        export(FRAME, url)


def test_a_package_that_is_missing_is_named(monkeypatch) -> None:
    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(UserError, match="Install s3fs to access S3"):
        export(FRAME, "s3://bucket/x.csv")
