"""What the fuzz feeds to readers, and how it counts. The number of cases is ``$ISRBENCH_FUZZ``, 2,000 without it."""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from isrbench.harness.errors import UserError

ALL = int(os.environ.get("ISRBENCH_FUZZ", "2000"))
"""Cases of all doors together."""
PROPERTY = "fuzz-cases"
_DEFAULT = "ISRBENCH_FUZZ" not in os.environ


def share(part: float) -> settings:
    """Settings of a door that gets this part of all cases; the default run draws the same ones every time."""
    return settings(
        max_examples=math.ceil(ALL * part), derandomize=_DEFAULT, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


class Counter:
    """How many cases a door answered."""

    def __init__(self) -> None:
        self.cases = self.refused = 0

    def answer(self, read: Callable[[], object]) -> None:
        """Count a case; a UserError is an answer in one line, and nothing else may be raised."""
        self.cases += 1
        try:
            read()
        except UserError as error:
            self.refused += 1
            assert error.message.strip() and "\n" not in error.message.strip(), error.message

    def check(self, part: float) -> None:
        """Fail if fewer cases were tried than the door's part, or none of them was refused: then nothing was tried."""
        assert self.cases >= ALL * part and self.refused


def mutated(*seeds: bytes) -> st.SearchStrategy[bytes]:
    """One of the seeds with bytes changed, cut off, put in or doubled."""

    def change(seed: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
        data = bytearray(seed)
        for kind, place, new in edits:
            at = place % (len(data) + 1)
            if kind == "set":
                data[at : at + len(new)] = new
            elif kind == "insert":
                data[at:at] = new
            elif kind == "cut":
                del data[at : at + 1 + len(new) * 8]
            elif kind == "double":
                data[at:at] = data[at : at + 64]
            else:
                del data[at:]
        return bytes(data)

    kinds = st.sampled_from(["set", "set", "set", "insert", "cut", "double", "end"])
    edits = st.lists(st.tuples(kinds, st.integers(0, 1 << 20), st.binary(min_size=1, max_size=8)), max_size=6)
    return st.builds(change, st.sampled_from(seeds), edits)


HUGE = st.sampled_from([10**12, 2**63, -(2**63), 10**400, int("9" * 4000), -1, 0])
ODD_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["\0", "x" * 300, "x/" * 2000, "/dev/zero", "..", "~nobody-of-this-name/x", "{}", "{}{}", "\ud800",
                     "é" * 128, "\x1b[31m", "a\nb", ""]),
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), HUGE, st.floats(), ODD_TEXTS,
    st.sampled_from([float("nan"), float("inf"), -0.0, 1e308]),
)  # fmt: skip
ABSURD = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=8,
)
"""Values that no reader of a card or config hopes for."""


def nested(opening: str, closing: str = "", inside: str = "1") -> st.SearchStrategy[str]:
    """Text that is nested up to some thousand times."""
    return st.integers(50, 6000).map(lambda depth: opening * depth + inside + closing * depth)


def changed(table: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A table with some values replaced, some keys gone, and some that nobody knows."""

    def change(replaced: dict[str, Any], gone: set[str], more: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in (table | replaced | more).items() if key not in gone}

    keys = st.sampled_from(sorted(table))
    return st.builds(
        change,
        st.dictionaries(keys, ABSURD, max_size=2),
        st.sets(keys, max_size=1),
        st.one_of(st.just({}), st.just({}), st.dictionaries(st.text(max_size=6), ABSURD, max_size=1)),
    )


def toml(value: Any) -> str:
    """A value as TOML writes it, in one line; a table on the first level in lines."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"{'-' if value < 0 else ''}inf" if math.isinf(value) else repr(value)
    if isinstance(value, int):
        return f"{value:#x}" if value >= 10**300 else str(value)
    return json.dumps("" if value is None else value)


def toml_lines(table: dict[str, Any]) -> bytes:
    """A table as a TOML file."""
    lines = "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in table.items())
    return lines.encode("utf-8", "surrogatepass")


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, each with the checksum that belongs to it."""
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body
