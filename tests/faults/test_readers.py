"""Files that are no files, texts that are absurd, disks that fail: each reader answers in one line and never waits."""

from __future__ import annotations

import builtins
import errno
import json
import os
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from isrbench.harness.data.catalogue import find_card, load_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.documents import read_csv, read_json, read_text, read_toml, toml_value
from isrbench.harness.engine.lock import only_one
from isrbench.harness.engine.matrix import read_matrix
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import check_file
from isrbench.harness.severity.spec import read_curves, read_prompts
from isrbench.methods.zoo.card import read_card
from isrbench.reports.figures.training import training_curves
from isrbench.reports.reported import reported_rows
from isrbench.reports.votes.files import read_votes
from tests.support.cards import write_card
from tests.support.cli import isrbench
from tests.support.images import write_pairs

_KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a pipe, not a file"),
    "device without an end": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
    "device without a word": (lambda path: path.symlink_to("/dev/tty"), ""),
    "folder": (Path.mkdir, "it is a folder, not a file"),
    "loop": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "link to nothing": (lambda path: path.symlink_to("gone"), "does not exist"),
    "memory of the process": (lambda path: path.symlink_to("/proc/self/mem"), "cannot be read: Input/output error"),
}  # fmt: skip
_READERS: dict[str, Callable[[Path], Any]] = {
    "text": lambda path: read_text(path, "fix"),
    "toml": lambda path: read_toml(path, "fix"),
    "json": lambda path: read_json(path, "fix"),
    "csv": lambda path: read_csv(path, "fix"),
    "dataset card": load_card,
    "matrix": read_matrix,
    "dataset": lambda path: load_card(path) if path.is_dir() else find_card(str(path)),
    "model card": read_card,
    "prompts of the estimator": read_prompts,
    "constants of the estimator": read_curves,
    "reported rows": reported_rows,
    "votes": lambda path: read_votes([path]),
    "training curves": lambda path: training_curves([path], path.parent / "out"),
}


_OTHERWISE = {
    ("training curves", "memory of the process"), ("dataset", "link to nothing"), ("dataset", "loop"),
    ("votes", "folder"),
}  # fmt: skip
"""What is found out elsewhere, in other words."""


def _ending(reader: str) -> str:
    return {"reported rows": ".csv", "dataset": ".toml"}.get(reader, ".x")


@pytest.mark.parametrize(("reader", "kind"), [case for case in product(_READERS, _KINDS) if case not in _OTHERWISE])
def test_what_is_no_file_is_never_read(reader: str, kind: str, tmp_path: Path) -> None:
    make, words = _KINDS[kind]
    path = tmp_path / f"a{_ending(reader)}"
    make(path)
    with pytest.raises(UserError) as caught:
        _READERS[reader](path)
    assert words in caught.value.message and caught.value.fix and "\n" not in caught.value.message


@pytest.mark.parametrize("levels", ["/dev/zero", "/dev/random", "/dev/null", "pipe", ".", "", "\0", "x" * 300])
def test_levels_of_a_card_are_a_file(levels: str, pairs_folder: Path, tmp_path: Path) -> None:
    os.mkfifo(pairs_folder / "pipe")
    card = write_card(tmp_path / "mine.toml", 'root = "small"', f"levels = {json.dumps(levels)}")
    with pytest.raises(UserError, match=r"the levels file of mine .*cannot be read: "):
        load_pairs(load_card(card))


def test_an_image_of_a_set_that_is_a_pipe(pairs_folder: Path) -> None:
    (pairs_folder / "LR/a.png").unlink()
    os.mkfifo(pairs_folder / "LR/a.png")
    with pytest.raises(UserError, match=r"LR/a\.png"):
        load_pairs(find_card(str(pairs_folder)))


def test_what_is_written_is_no_pipe_either(tmp_path: Path) -> None:
    """A lock would wait for somebody to read it."""
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run/.lock")
    with pytest.raises(OSError, match="No such device"), only_one(tmp_path / "run"):
        pass


# ---------------------------------------------------------------- what the disk says


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOSPC, errno.ENXIO])
@pytest.mark.parametrize("reader", [r for r in _READERS if r not in {"training curves", "dataset"}])
@pytest.mark.parametrize("when", ["stat", "open"])
def test_a_disk_that_fails_is_quoted(when: str, reader: str, code: int, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / f"a{_ending(reader)}"
    path.write_text("")
    said = os.strerror(code)

    def fails(*arguments: object, **more: object) -> None:
        raise OSError(code, said, str(path))

    if when == "stat":
        monkeypatch.setattr(Path, "stat", fails)
    else:
        monkeypatch.setattr(builtins, "open", fails)
    with pytest.raises(UserError) as caught:
        _READERS[reader](path)
    monkeypatch.undo()
    assert f"cannot be read: {said}" in caught.value.message and str(path) in caught.value.message


def test_a_folder_that_may_not_be_read_is_one_line(pairs_folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """As root, permissions hold nobody back."""
    listed = Path.iterdir

    def iterdir(folder: Path) -> Any:
        if folder.name == "LR":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    args = ("eval", "-q", "--method", "bicubic", "--dataset", pairs_folder, "--runs-dir", tmp_path / "runs")
    code, _, err = isrbench(capsys, *args)
    said = f"error {pairs_folder / 'LR'}: Permission denied\nfix   change its permissions, or choose another place\n"
    assert code == 2 and err == said


# ---------------------------------------------------------------- what stands in a text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff\xfeh\0", "cannot be read: it is not UTF-8 text (byte 0xff at position 0)"),
        (b"a = '\xe9'", "cannot be read: it is not UTF-8 text (byte 0xe9 at position 5)"),
        (b"a = " + b"[" * 9000 + b"]" * 9000, "is not valid TOML: it is nested too deeply"),
        (b"a = " + b"{a=" * 9000 + b"1" + b"}" * 9000, "is not valid TOML: it is nested too deeply"),
        (b"a = " + b"9" * 5000, "is not valid TOML: Exceeds the limit"),
        (b"a = 1979-13-45", "is not valid TOML: "),
        (b"\0", "is not valid TOML: "),
    ],
)
def test_absurd_toml(text: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text)
    for read in (load_card, read_card, lambda path: read_toml(path, "fix")):
        with pytest.raises(UserError) as caught:
            read(path)
        assert f"{path} {words}" in caught.value.message and len(caught.value.message) < 700


@pytest.mark.parametrize(
    "line",
    [
        "count = 1e400", "count = nan", "count = 0", "scale = 1000000000000", "lr_size = [nan, 1]", "layouts = [[]]",
        'layouts = [["\\u0000", "x"]]', 'root = "\\u0000"', f'root = "{"x" * 300}"', f'root = "{"x/" * 5000}"',
        "cases = 1979-05-27T07:32:00Z", "a" + ".a" * 3000 + " = 1", 'folders = "small"', "title = []",
    ],
)  # fmt: skip
def test_absurd_values_in_a_dataset_card(line: str, pairs_folder: Path, tmp_path: Path, capsys) -> None:
    key = line.partition(" =")[0]
    table = {"id": '"mine"', "title": '"M"', "scale": "4", "license": '"l"', "source": '"s"', "root": '"small"'}
    table.pop(key, None)
    card = tmp_path / "mine.toml"
    card.write_text("".join(f"{name} = {value}\n" for name, value in table.items()) + line + "\n")
    code, out, err = isrbench(
        capsys, "eval", "-q", "--method", "bicubic", "--dataset", card, "--runs-dir", tmp_path / "runs"
    )
    assert code == 2 and out == "" and err.startswith("error ") and "Traceback" not in err
    assert str(tmp_path) in err


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -Infinity}', "[" * 90_000, "1" + "0" * 5000, '"\ud800', ""])
def test_absurd_json(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match=r"a\.json (is not valid JSON|cannot be read): "):
        read_json(path, "fix")


def test_a_text_has_a_largest_size(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("isrbench.harness.documents.LARGEST", 1 << 20)
    path = tmp_path / "a.csv"
    line = b"a" * 1023 + b"\n"
    path.write_bytes(line * 1024)
    assert len(read_csv(path, "fix")[1]) == 1023
    path.write_bytes(line * 1024 + b"\n")
    with pytest.raises(UserError, match="has more than 1 MiB, too many for a text"):
        read_csv(path, "fix")


def test_the_same_text_under_other_conventions(tmp_path: Path) -> None:
    for text in (b"\xef\xbb\xbfa = 1\r\nb = 2\r\n", b"a = 1\nb = 2"):
        (tmp_path / "a.toml").write_bytes(text)
        assert read_toml(tmp_path / "a.toml", "fix") == {"a": 1, "b": 2}
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfimage,level\r\n"a\r\nb",1\r\nc\r\n')
    columns, rows = read_csv(tmp_path / "a.csv", "fix")
    assert columns == ["image", "level"]
    assert rows == [(3, {"image": "a\r\nb", "level": "1"}), (4, {"image": "c", "level": None})]
    assert [toml_value(text) for text in ("4", "four", "[[[", "9" * 5000)] == [4, "four", "[[[", "9" * 5000]


# ---------------------------------------------------------------- the boundary itself


class PanicException(BaseException):
    """What pyo3 raises where Rust panics."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("a"), "KeyError: 'a'"),
        (MemoryError("Unable to allocate 7 PiB"), "it asks for more memory than there is"),
        (RecursionError(), "it is nested too deeply"),
        (ValueError("first line\n  second line"), "first line second line"),
        (ValueError("x " * 1000), ("x " * 150) + "..."),
        (NotImplementedError(), "NotImplementedError"),
        (OSError(errno.EIO, "Input/output error", "a"), "Input/output error"),
        (PanicException("index out of bounds"), "index out of bounds"),
    ],
)  # fmt: skip
def test_a_boundary_says_what_a_reader_raised(error: BaseException, said: str) -> None:
    with pytest.raises(UserError) as caught, foreign("a.x is damaged", "fetch it again"):
        raise error
    assert caught.value.message.startswith(f"a.x is damaged: {said}")
    assert caught.value.__cause__ is error and caught.value.fix == "fetch it again"


def test_a_boundary_lets_users_and_their_errors_through() -> None:
    for error in (UserError("mine"), KeyboardInterrupt(), SystemExit(1), GeneratorExit()):
        with pytest.raises(type(error)) as caught, foreign("a.x is damaged", "fetch it again"):
            raise error
        assert caught.value is error


def test_a_file_that_is_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "b").symlink_to("a")
    assert check_file(tmp_path / "a", "fix") is check_file(tmp_path / "b", "fix") is None


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("stem", ["n" * 251, "é" * 125 + "n", "名" * 83], ids=["latin", "accents", "han"])
def test_names_of_255_bytes_are_evaluated_and_reported(stem: str, tmp_path: Path, capsys) -> None:
    folder = write_pairs(tmp_path / "small", ["a"])
    for side in ("LR", "HR"):
        shutil.move(folder / side / "a.png", folder / side / f"{stem}.png")
    args = ("--method", "bicubic", "--dataset", folder, "--metrics", "psnr", "--estimator", "none", "--no-complexity")
    code, _, err = isrbench(capsys, "eval", *args, "--runs-dir", tmp_path / "runs")
    assert code == 0 and (tmp_path / "runs/report/index.html").is_file(), err


def test_names_that_are_not_utf8_are_refused(pairs_folder: Path) -> None:
    (pairs_folder / "LR/a.png").rename(pairs_folder / "LR" / os.fsdecode(b"a\xff.png"))
    with pytest.raises(UserError, match=r"a\\udcff\.png is not UTF-8"):
        load_pairs(find_card(str(pairs_folder)))
