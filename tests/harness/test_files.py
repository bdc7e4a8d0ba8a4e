"""Files are whole or not there; folders are listed the same way everywhere."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, is_there, refuse_to_replace, replacing


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("before")
    with replacing(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after" and [p.name for p in tmp_path.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_replacement_leaves_what_was_there_and_no_partial_file(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("before")
    with pytest.raises(type(error)), replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_files_in_the_way_are_named_in_one_message(tmp_path: Path) -> None:
    refuse_to_replace([tmp_path / "new", tmp_path / "far/new"], "--force")
    for name in "abcdefg":
        (tmp_path / name).write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for file, named in (("a", "a"), ("b/c", "b"), ("dangling", "dangling")):
        with pytest.raises(UserError, match="is there already and would be overwritten") as caught:
            refuse_to_replace([tmp_path / file], "--force")
        assert caught.value.message.startswith(f"{tmp_path / named} is") and caught.value.fix == "--force"
    with pytest.raises(UserError, match=r"d and 3 more are there already"):
        refuse_to_replace([tmp_path / name for name in "abcdefgh"], "--force")


def test_a_name_as_long_as_a_folder_allows_can_be_replaced(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".png", "\N{GRINNING FACE}" * 62 + ".png"):
        with replacing(tmp_path / name) as partial:
            partial.write_text("new")
        assert (tmp_path / name).read_text() == "new"


def test_two_files_are_replaced_at_a_time(tmp_path: Path) -> None:
    same = "x" * 100
    with replacing(tmp_path / f"{same}a") as first, replacing(tmp_path / f"{same}b") as second:
        assert first != second
        first.write_text("a")
        second.write_text("b")
    assert (tmp_path / f"{same}a").read_text() == "a"


def test_a_text_too_long_for_a_path_is_not_there(tmp_path: Path) -> None:
    assert is_there(tmp_path) and not is_there(tmp_path / "x") and not is_there(Path("x" * 300))


@given(st.binary(max_size=200))
def test_a_files_hash_is_that_of_its_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(content)
        assert file_hash(path) == hashlib.sha256(content).hexdigest()
