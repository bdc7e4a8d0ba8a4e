"""A report's folder: what its list proves, what stands in the way, and what a stop or a neighbour leaves."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

from isrbench.harness.errors import UserError
from isrbench.harness.listed import LIST, fresh_folder, is_whole, take_place

FIRST = {"index.html": "links one.csv", "tables/one.csv": "1"}
SECOND = {"index.html": "links two.png", "plots/a/two.png": "2"}


def _put(folder: Path, texts: Mapping[str, str], **options: bool) -> None:
    with fresh_folder(folder) as made:
        for name, text in texts.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_text(text)
        take_place(made, folder, [PurePosixPath(name) for name in texts], **options)


def _texts(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != LIST)
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def _plant(folder: Path, *names: str) -> None:
    """A list that is right about every file that it names."""
    whole = {name: (folder / name).read_bytes() for name in names}
    rows = [[name, len(data), hashlib.sha256(data).hexdigest()] for name, data in whole.items()]
    (folder / LIST).write_text(json.dumps(rows))


def test_one_report_follows_another_and_leaves_nothing(tmp_path):
    out = tmp_path / "out"
    for texts in (FIRST, SECOND, SECOND, FIRST):
        _put(out, texts)
        assert _texts(out) == texts and is_whole(out)
    assert {path.name for path in out.iterdir()} == {"index.html", "tables", LIST}, "nothing is left"


def test_a_damaged_report_is_not_whole_and_is_repaired(tmp_path):
    assert not is_whole(tmp_path / "absent")
    for damage in (lambda file: file.write_text(""), lambda file: file.write_text("li"), lambda file: file.unlink()):
        _put(tmp_path, FIRST)
        damage(tmp_path / "index.html")
        assert not is_whole(tmp_path)
        _put(tmp_path, FIRST)
        assert is_whole(tmp_path) and _texts(tmp_path) == FIRST
    (tmp_path / LIST).unlink()
    assert not is_whole(tmp_path)
    _put(tmp_path, FIRST)  # the same once more: nothing is lost by it


def test_a_file_that_was_changed_since_stays_unless_told(tmp_path):
    _put(tmp_path, FIRST)
    for name in FIRST:
        (tmp_path / name).write_text("edited by hand")
    with pytest.raises(UserError, match=r"index\.html is there already") as caught:
        _put(tmp_path, SECOND)
    assert "--overwrite" in (caught.value.fix or "")
    _put(tmp_path, SECOND, overwrite=True)
    assert _texts(tmp_path) == SECOND | {"tables/one.csv": "edited by hand"}


def test_a_planted_list_removes_nothing_that_no_report_wrote(tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside"
    (out / "images").mkdir(parents=True)
    outside.mkdir()
    for file in (out / "thesis.docx", outside / "photo.png"):
        file.write_text("dear to somebody")
    (out / "tables").mkdir()
    (out / "images" / "link").symlink_to(outside)
    (out / "tables" / "link.csv").symlink_to(outside / "photo.png")
    _plant(
        out, "thesis.docx", "images/link/photo.png", "tables/link.csv", "images/../thesis.docx", "../outside/photo.png"
    )
    _put(out, FIRST)
    assert (out / "thesis.docx").exists() and (outside / "photo.png").exists()
    assert (out / "images" / "link").is_symlink() and (out / "tables" / "link.csv").is_symlink()


@pytest.mark.parametrize(
    "text",
    [
        '["index.html"]',
        '[["index.html", 1, "ab"]]',
        '[[["x"], "y", 1]]',
        "{}",
        "1",
        "[" * 100_000,
        "no JSON",
        '[["index.html", 1e999, "ab"]]',
        '[["index.html", Infinity, "ab"]]',
    ],
)
def test_a_list_that_proves_nothing_lets_nothing_be_replaced(tmp_path, text):
    (tmp_path / "index.html").write_text("mine")
    (tmp_path / LIST).write_text(text)
    with pytest.raises(UserError, match=r"index\.html is there already"):
        _put(tmp_path, FIRST)
    assert _texts(tmp_path) == {"index.html": "mine"}


def test_a_list_of_impossible_names_or_that_is_no_file_stops_nothing(tmp_path):
    rows = [[f"images/{name}", 1, "ab"] for name in ("a\0b", "x" * 300, "\ud800", ".")]
    tmp_path.joinpath(LIST).write_text(json.dumps(rows))
    assert not is_whole(tmp_path)
    _put(tmp_path, FIRST)
    (tmp_path / LIST).unlink()
    os.mkfifo(tmp_path / LIST)
    assert not is_whole(tmp_path)
    _put(tmp_path, FIRST)
    assert _texts(tmp_path) == FIRST and is_whole(tmp_path)


def test_nothing_is_written_through_a_link(tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (outside / "one.csv").write_text("not here")
    (out / "tables").symlink_to(outside)
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"tables is a link, but the report needs a folder there"):
            _put(out, FIRST, overwrite=overwrite)
    (out / "tables").unlink()
    (out / "index.html").symlink_to(outside / "one.csv")
    with pytest.raises(UserError, match="is there already"):
        _put(out, FIRST)
    _put(out, FIRST, overwrite=True)
    assert (outside / "one.csv").read_text() == "not here" and _texts(out) == FIRST
    (out / "plots").write_text("a file")
    with pytest.raises(UserError, match="plots is not a folder"):
        _put(out, SECOND, overwrite=True)


def test_a_link_may_stand_for_the_whole_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    _put(tmp_path / "out", FIRST)
    assert _texts(tmp_path / "real") == FIRST


@pytest.mark.parametrize("at", range(7))
def test_a_stop_at_any_file_leaves_no_page_with_dead_links(tmp_path, monkeypatch, at):
    _put(tmp_path, FIRST)
    move, moves = Path.replace, [at]

    def stop(self: Path, target: Path) -> Path:
        if ".report-" in str(self.parent):
            if not moves[0]:
                raise KeyboardInterrupt
            moves[0] -= 1
        return move(self, target)

    more = SECOND | {"plots/a/three.png": "3"}
    pages = {texts["index.html"]: texts for texts in (FIRST, more)}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", stop)
        _put(tmp_path, more)
    left = _texts(tmp_path)
    assert ("index.html" in left) == (at not in (2, 3, 4)), "files are moved between the list's two versions"
    assert "index.html" not in left or pages[left["index.html"]].items() <= left.items()
    assert is_whole(tmp_path) == (at < 2)
    _put(tmp_path, more)
    assert _texts(tmp_path) == more and is_whole(tmp_path) and not list(tmp_path.glob(".*"))


def test_what_a_killed_process_left_is_removed_and_nothing_like_it(tmp_path):
    (tmp_path / ".report-ab12cd_4").mkdir()
    (tmp_path / ".report-ab12cd_4" / "half.png").write_text("half")
    (tmp_path / "mine").mkdir()
    (tmp_path / ".report-my notes").mkdir()
    (tmp_path / ".report-linklink").symlink_to(tmp_path / "mine")
    _put(tmp_path, FIRST)
    assert {p.name for p in tmp_path.iterdir()} - {"index.html", "tables", LIST} == {
        "mine", ".report-my notes", ".report-linklink",
    }  # fmt: skip


def test_several_at_once_leave_one_whole_report(tmp_path):
    def put(number: int) -> None:
        for turn in range(10):
            _put(tmp_path, {"index.html": f"{number}", f"images/{number}.png": f"{number} {turn}"})

    threads = [threading.Thread(target=put, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    number = (tmp_path / "index.html").read_text()
    assert _texts(tmp_path) == {"index.html": number, f"images/{number}.png": f"{number} 9"} and is_whole(tmp_path)
