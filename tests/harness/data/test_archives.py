"""Archives of a stranger: nothing is unpacked that no set of pictures holds, and nothing far larger than it says."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from isrbench.harness.api.dataset import Archive, Card
from isrbench.harness.data import fetch
from isrbench.harness.data.fetch import fetch_dataset
from isrbench.harness.data.unpack import extract
from isrbench.harness.errors import UserError


def written(path: Path, fill: Callable[[zipfile.ZipFile], object]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        fill(file)
    return path


def encrypted(file: zipfile.ZipFile) -> None:
    file.writestr("set/LR/a.png", b"x" * 100)
    file.filelist[0].flag_bits |= 1


def kind(mode: int, name: str = "set/LR/a.png") -> Callable[[zipfile.ZipFile], None]:
    def fill(file: zipfile.ZipFile) -> None:
        member = zipfile.ZipInfo(name)
        member.external_attr = (mode | 0o644) << 16
        file.writestr(member, "/etc/passwd")

    return fill


def twice(one: str, other: str) -> Callable[[zipfile.ZipFile], None]:
    def fill(file: zipfile.ZipFile) -> None:
        file.writestr(one, b"1")
        file.writestr(other, b"2")

    return fill


HOSTILE = {
    "encrypted": (encrypted, "is encrypted: set/LR/a.png needs a password"),
    "a link": (kind(stat.S_IFLNK), r"holds a link, not a file: set/LR/a\.png"),
    "a pipe": (kind(stat.S_IFIFO), "holds a device, a pipe or a socket, not a file"),
    "one name twice": (twice("set/a.png", "set/a.png"), "holds set/a.png twice"),
    "one name twice, spelt otherwise": (twice("set/a.png", "set//a.png"), "holds set/a.png twice"),
    "a file that is a folder": (twice("set/a", "set/a/b.png"), "holds set/a as a file and as a folder"),
    "a long name": (lambda file: file.writestr(f"set/{'x' * 256}.png", b""), "a name of more than 255 bytes"),
    "a bomb": (
        lambda file: [file.writestr(f"set/{n}.png", bytes(10**6)) for n in range(5)],
        r"has 5\.\d+ kB and would unpack to 5 MB, more than 20 times as much: it was not unpacked",
    ),
    "a way out": (twice("set/a.png", "set/../../b.png"), "leads outside: set/"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_set_holds_is_refused_before_anything_is_written(name, tmp_path):
    fill, said = HOSTILE[name]
    with pytest.raises(UserError, match=said) as caught:
        extract(written(tmp_path / "set.zip", fill), "set", tmp_path / "out")
    assert caught.value.fix and [path.name for path in tmp_path.iterdir()] == ["set.zip"]


def test_the_size_in_the_card_bounds_what_is_unpacked(tmp_path, monkeypatch):
    content = os.urandom(2 * 10**6)
    archive = written(tmp_path / "set.zip", lambda file: file.writestr("set/LR/a.png", content))
    with pytest.raises(UserError, match=r"would unpack to 2 MB, and 1 MB is the most that its card allows"):
        extract(archive, "set", tmp_path / "out", largest=10**6)
    asked = []
    monkeypatch.setattr(fetch, "_download", lambda card: archive)
    monkeypatch.setattr(fetch, "extract", lambda *args: asked.append(args[3]) or args[2].mkdir())
    monkeypatch.delenv("ISRBENCH_OFFLINE")
    card = Card(id="x", title="s", scale=4, license="x", source="y",
                archive=Archive(repo="o/n", file="f", folder="set", gigabytes=2))  # fmt: skip
    fetch_dataset(card, tmp_path / "data", accept_license=False)
    assert asked == [6 * 10**9]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_streams_are_one_message(method, tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("set/a.png", os.urandom(3000))
    whole = path.read_bytes()
    for at in (45, 60, 1500, 2900):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) * 8 + whole[at + 8 :])
        with pytest.raises(UserError, match=r"set\.zip is damaged at set/a\.png: \S"):
            extract(path, "set", tmp_path / "out")
    path.write_bytes(whole[:2000])
    with pytest.raises(UserError, match="is damaged or no zip archive: "):
        extract(path, "set", tmp_path / "out")


def test_a_way_of_compression_that_is_not_known_is_one_message(tmp_path):
    path = written(tmp_path / "set.zip", lambda file: file.writestr("set/a.png", b"x" * 50))
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[8:10] = content[directory + 10 : directory + 12] = struct.pack("<H", 99)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged at set/a\.png: .*compression"):
        extract(path, "set", tmp_path / "out")
