"""One process works on a run at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from isrbench.harness.engine.lock import only_one
from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing

pytest.importorskip("fcntl")


def test_a_folder_is_held_by_one_and_let_go(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    with only_one(folder):
        with pytest.raises(UserError, match="another process is working on the run") as caught, only_one(folder):
            pytest.fail("two at a time")
        assert str(folder) in caught.value.message and "same command" in (caught.value.fix or "")
        with only_one(tmp_path / "runs" / "b"):
            (folder / "row").touch()
    with only_one(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["row"] and not (tmp_path / "runs" / "b").exists()


def test_what_fails_inside_lets_go_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), only_one(tmp_path / "a"):
        raise KeyboardInterrupt
    assert not (tmp_path / "a").exists()


def test_what_a_killed_process_left_half_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "images").mkdir(parents=True)
    with replacing(folder / "images" / "a.png") as partial:
        left = [partial, folder / ".manifest.json.0123abcd.77.part"]
        partial.touch()
    others = [folder / "images" / name for name in ("a.png", ".hidden.part", "b.part", ".b.0123abcd.part")]
    for path in (*left, *others):
        path.touch()
    with only_one(folder):
        assert not [path for path in left if path.exists()]
        assert all(path.exists() for path in others)
