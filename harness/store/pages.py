"""Rows read off the pages of a SQLite file one by one, whatever has become of the pages between them. No SQLite.

Source: "Database File Format", sqlite.org/fileformat2.html, sections 1.3 (header), 1.5 (freelist), 1.6 (b-tree pages),
2.1 (record format) and 4 (write-ahead log). Only tables WITHOUT ROWID are read, whose rows lie in index b-trees.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isrbench.harness.errors import foreign
from isrbench.harness.files import check_file

Row = tuple[Any, ...]
_HEADER = 100
"""Bytes before the first page's own content."""
_LOG_HEADER, _FRAME_HEADER = 32, 24
_INTERIOR, _LEAF = 0x02, 0x0A
"""Kinds of pages that hold rows: both do."""
_USUAL_PAGE = 4096
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Bytes of a whole number, by its type in a record."""


class Pages:
    """The pages of a SQLite file, with those in its write-ahead log that were committed.

    Args:
        file: The file; nothing is written.

    Raises:
        UserError: If it is not there or cannot be read at all.
    """

    def __init__(self, file: Path) -> None:
        fix = "give the runs folder whose store is damaged"
        check_file(file, fix)
        with foreign(f"{file} cannot be read", fix):
            data = file.read_bytes()
            size = int.from_bytes(data[16:18], "big")
            size = 1 << 16 if size == 1 else size
            # A header that was overwritten says nothing: stores are made with pages of the usual size.
            self.size = size if 512 <= size <= 1 << 16 and size & (size - 1) == 0 else _USUAL_PAGE
            self._usable = self.size - (data[20] if data.startswith(b"SQLite format 3\0") else 0)
            self._pages = {n + 1: data[n * self.size : (n + 1) * self.size] for n in range(-(-len(data) // self.size))}
            self._pages |= _committed(file.with_name(f"{file.name}-wal"), self.size)
        self.damaged: set[int] = set()
        """Numbers of pages in which a row could not be read."""

    def rows(self) -> Iterator[Row]:
        """Yield every row that can be read, in no order; pages that were given back are passed over."""
        free = self._free()
        for number in sorted(self._pages.keys() - free):
            page = self._pages[number]
            start = _HEADER if number == 1 else 0
            if len(page) <= start or page[start] not in (_INTERIOR, _LEAF):
                continue
            interior = page[start] == _INTERIOR
            first = start + (12 if interior else 8)
            for place in range(first, first + 2 * int.from_bytes(page[start + 3 : start + 5], "big"), 2):
                try:
                    at = int.from_bytes(page[place : place + 2], "big") + (4 if interior else 0)
                    yield tuple(_record(self._payload(page, at)))
                except (ValueError, IndexError, struct.error):
                    self.damaged.add(number)

    def _free(self) -> set[int]:
        """The pages of the freelist, as far as it can be followed."""
        found: set[int] = set()
        trunk = int.from_bytes(self._pages.get(1, b"")[32:36], "big")
        while trunk in self._pages and trunk not in found and trunk != 1:
            found.add(trunk)
            page = self._pages[trunk]
            count = min(int.from_bytes(page[4:8], "big"), len(page) // 4 - 2)
            found |= {int.from_bytes(page[8 + 4 * i : 12 + 4 * i], "big") for i in range(count)}
            trunk = int.from_bytes(page[:4], "big")
        return found - {1}

    def _payload(self, page: bytes, at: int) -> bytes:
        """The bytes of a row, which go on in other pages where they are many.

        Raises:
            ValueError: If a page of them is missing, or their number is impossible.
        """
        length, at = _varint(page, at)
        if not 0 < length <= len(self._pages) * self.size:
            raise ValueError("an impossible length")
        most = (self._usable - 12) * 64 // 255 - 23
        least = (self._usable - 12) * 32 // 255 - 23
        inside = least + (length - least) % (self._usable - 4)
        local = length if length <= most else inside if inside <= most else least
        found = page[at : at + local]
        following = int.from_bytes(page[at + local : at + local + 4], "big") if local < length else 0
        while len(found) < length:
            rest = self._pages.get(following, b"")
            if len(rest) < self.size or not any(rest):  # zeros are what a disk leaves of what it lost
                raise ValueError("the rest is missing")
            found += rest[4 : 4 + min(self._usable - 4, length - len(found))]
            following = int.from_bytes(rest[:4], "big")
        return found


def _committed(log: Path, size: int) -> dict[int, bytes]:
    """The newest pages in a write-ahead log, up to its last commit."""
    data = log.read_bytes() if log.is_file() else b""
    salts, found, pending = data[16:24], {}, {}
    for at in range(_LOG_HEADER, len(data) - _FRAME_HEADER - size + 1, _FRAME_HEADER + size):
        number, committed = struct.unpack_from(">II", data, at)
        if data[at + 8 : at + 16] != salts:
            break
        pending[number] = data[at + _FRAME_HEADER : at + _FRAME_HEADER + size]
        if committed:
            found |= pending
            pending = {}
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and where it ends."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9


def _record(payload: bytes) -> Iterator[Any]:
    """The values of a row.

    Raises:
        ValueError: If it is none.
    """
    end, at = _varint(payload, 0)
    body = end
    while at < end:
        kind, at = _varint(payload, at)
        if kind in (0, 8, 9):
            yield {0: None, 8: 0, 9: 1}[kind]
            continue
        length = _INTEGERS.get(kind, 8 if kind == 7 else (kind - 12) // 2)
        if kind in (10, 11) or body + length > len(payload):
            raise ValueError("no row")
        data = payload[body : body + length]
        body += length
        if kind in _INTEGERS:
            yield int.from_bytes(data, "big", signed=True)
        elif kind == 7:
            yield struct.unpack(">d", data)[0]
        else:
            yield data.decode() if kind % 2 else data
    if body != len(payload):
        raise ValueError("no row")
