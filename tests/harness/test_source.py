"""A file's code as a hash: what of it counts, and that it is the same for every release of Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from isrbench.harness.source import find, imports, source_hash


@pytest.fixture
def hashed(tmp_path: Path):
    files = iter(range(1000))

    def hashed(code: str | bytes) -> str:
        file = tmp_path / f"{next(files)}.py"
        file.write_bytes(code if isinstance(code, bytes) else code.encode())
        return source_hash(file)

    return hashed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('def f(): "doc"; return 4', 'def f(): "doc"; return 5'),
        ('class A(B): "doc"', 'class A(C): "doc"'),
        ('class A(B): "doc"; x = 1', 'class A(B): "doc"; x = 2'),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 0.0", "x = -0.0"),
        ("x = 'a'", "x = b'a'"),
        ("x = f'{a:.1f}'", "x = f'{a:.2f}'"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("x = a[1:]", "x = a[:1]"),
        ("x = {**a, 1: 2}", "x = {1: 2, **a}"),
        ("def f(): return None", "def f(): return"),
        ("def f(a, b): ...", "def f(a, /, b): ..."),
        ("def f(a=0): ...", "def f(*, a=0): ..."),
        ("async def f(): ...", "def f(): ..."),
        ("from . import a", "from .. import a"),
        ("x: int", "x: float"),
        ("(x): int = 1", "x: int = 1"),
        ("f('doc')", "f('dog')"),
        ("if a:\n  b()\n  c()", "if a:\n  b()\nc()"),
        ("try:\n  a\nexcept E:\n  b", "try:\n  a\nfinally:\n  b"),
        ("match a:\n  case None: b", "match a:\n  case _: b"),
        ("x = [i for i in a]", "x = [i async for i in a]"),
        ("class {{ name }}: # 1", "class {{ name }}: # 2"),
    ],
)
def test_code_counts(hashed, one: str, other: str) -> None:
    assert hashed(one) == hashed(one) != hashed(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f():\n  return 4", 'def f(): "doc"; return 4  # why'),
        ("class A:\n  x = 1", 'class A:\n  """About."""\n\n  x = 1\n  """About x."""\n'),
        ("x = f(1, 2)", "x = f(\n  1,  # one\n  2,\n)"),
        ("x = 'a'", 'x = u"a"'),
        ("x = 'ä'", b"# coding: latin-1\nx = '\xe4'"),
        ("x = 1", b"\xef\xbb\xbfx = 1"),
        ("x = 1\ny = 2", "x = 1; y = 2\r\n"),
    ],
)
def test_layout_comments_and_docstrings_do_not(hashed, one, other) -> None:
    assert hashed(one) == hashed(other)


def test_the_hash_is_that_of_other_releases_of_python(hashed) -> None:
    """As computed by Python 3.10 to 3.13, whose syntax trees differ in fields at their defaults and in f-strings."""
    code = """
import a.b as c
@d(1, *e, k=None, **f)
def g(h, /, i: int = 0, *j, l=b"\\x00", **m) -> str: 'doc'; return f"{h!r:>{i}}{i:.2f} \\U0001fae8" + u"x"
class N(O, metaclass=P):
    q: list[int] = [*(), 1j, ...]
    async def r(self):
        async with s as t, u: yield {**v, 1: lambda: 2}
try: w[1:, ::2] = x = y if z else not z
except A: global B; del C
"""
    assert hashed(code) == "0875f90bf383675869ad7645e11b793a5cb113280b166037803734c6ee8de527"


def test_long_sums_are_read(hashed, tmp_path: Path) -> None:
    long = "x = " + " + ".join(["1"] * 2500)
    assert hashed(long) != hashed(long + " + 1")
    (tmp_path / "long.py").write_text(long + "\nimport a.b\n")
    assert imports("long", tmp_path / "long.py") == ("a", "a.b")


def test_what_has_no_source_file_is_not_found() -> None:
    assert find("isrbench.harness.source") and find("isrbench")
    assert not any(map(find, ("no_such", "sys", "isrbench.harness.source.find", "isrbench.datasets", "__main__.x")))
