"""Source files of modules: where they lie, what they import, and a hash of their code. Nothing is imported or run.

What is read of a file is remembered for as long as its size and time stay as they are, so that a module that is edited
and reloaded, as in a notebook, is read again.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

Stamp = tuple[str, int, int]
"""Path, time of the last change in nanoseconds, and size: what a reading holds for."""
_REMEMBERED = 8192
_UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What ``ast.parse`` raises for a file that is no Python of this release, such as a template."""


def find(module: str) -> Path | None:
    """Return the source file of a module, or None where there is none: an attribute, a binary, a namespace package."""
    top, *parts = module.split(".")
    spec = _spec(top)
    if spec is None:
        file = getattr(sys.modules.get(module), "__file__", None)
        return Path(file) if file and Path(file).is_file() else None
    if not parts:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for root in spec.submodule_search_locations or ():
        place = Path(root, *parts)
        for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if file.is_file():
                return file
    return None


def package_files(package: str) -> dict[str, Path]:
    """Return a module, or every ``.py`` file of a package, by name; empty where there is neither.

    A file that no import reaches, such as a template with a dash in its name, is called ``package:path/in/it.py``.
    """
    file = find(package)
    if file is not None and file.name != "__init__.py":
        return {package: file}
    top, *parts = package.split(".")
    spec = _spec(top)
    roots = () if spec is None else spec.submodule_search_locations or ()
    folders = [file.parent] if file is not None else [Path(root, *parts) for root in roots]
    found: dict[str, Path] = {}
    for folder in folders:
        for path in folder.rglob("*.py"):
            names = path.relative_to(folder).with_suffix("").parts
            inner = names[:-1] if names[-1] == "__init__" else names
            importable = all(map(str.isidentifier, names))
            name = ".".join((package, *inner)) if importable else f"{package}:{path.relative_to(folder).as_posix()}"
            found.setdefault(name, path)
    return found


def stamp(path: Path) -> Stamp | None:
    """Return what a reading of a file, or of a folder's names, holds for; None where there is nothing."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return str(path), stat.st_mtime_ns, stat.st_size


def imports(module: str, file: Path) -> tuple[str, ...]:
    """Return what ``module`` imports and the packages that lie above it; attributes of modules may be among the names.

    Imports for type checkers alone are left out.

    Raises:
        OSError: If the file cannot be read.
    """
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return _imports(package, _stamped(file))


def source_hash(file: Path) -> str:
    """Return the sha256 of what a file's code does, in hex: not of comments, docstrings, blank lines and layout.

    The same for every release of Python. What does not parse cannot be imported, but something may read it: its bytes
    count.

    Raises:
        OSError: If the file cannot be read.
    """
    return _source_hash(_stamped(file))


def _spec(top: str) -> ModuleSpec | None:
    try:
        return None if top == "__main__" else find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None


def _stamped(file: Path) -> Stamp:
    stat = file.stat()
    return str(file), stat.st_mtime_ns, stat.st_size


@lru_cache(_REMEMBERED)
def _imports(package: str, file: Stamp) -> tuple[str, ...]:
    try:
        tree = ast.parse(Path(file[0]).read_bytes())
    except _UNPARSABLE:
        return ()
    names: list[str] = []
    for node in _run_nodes(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    parents = {".".join(name.split(".")[:k]) for name in names for k in range(1, name.count(".") + 2)}
    return tuple(sorted(parents))


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree but what stands under ``if TYPE_CHECKING:``."""
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            left += node.orelse
        else:
            left += ast.iter_child_nodes(node)


@lru_cache(_REMEMBERED)
def _source_hash(file: Stamp) -> str:
    code = Path(file[0]).read_bytes()
    try:
        code = _canonical(ast.parse(code)).encode()
    except _UNPARSABLE:
        code = b"unparsable\0" + code
    return hashlib.sha256(code).hexdigest()


def _canonical(tree: ast.AST) -> str:
    """A tree as text.

    ``ast.dump`` without docstrings, but for what differs between releases of Python: fields at their empty default,
    of which each release has more, are left out, and so is the ``u`` of a text. A stack in place of recursion: long
    sums nest deeply.
    """
    text: list[str] = []
    left: list[object] = [tree]
    while left:
        item = left.pop()
        if isinstance(item, _Text):
            text.append(item)
        elif isinstance(item, ast.Constant):
            # Not repr: which characters it escapes depends on the release.
            text.append(f"Constant({item.value!a})")
        elif isinstance(item, ast.AST):
            text.append(f"{type(item).__name__}(")
            left.append(_CLOSE)
            for name, label in _fields(type(item)):
                value = getattr(item, name, None)
                if isinstance(value, list):
                    value = [one for one in value if not _is_idle(one, item)]
                if value not in (None, 0, []):
                    left += (_COMMA, value, label)
        elif isinstance(item, list):
            text.append("[")
            left.append(_CLOSE_LIST)
            for one in reversed(item):
                left += (_COMMA, one)
        else:
            text.append(ascii(item))
    return "".join(text)


class _Text(str):
    """A piece of the text itself, told from a name or a value in the tree."""


_COMMA, _CLOSE, _CLOSE_LIST = map(_Text, ",)]")


@cache
def _fields(kind: type[ast.AST]) -> tuple[tuple[str, _Text], ...]:
    """The names of a node's fields, from the last to the first, and how they are written."""
    return tuple((name, _Text(f"{name}=")) for name in sorted(kind._fields, reverse=True))


def _is_idle(node: object, parent: ast.AST) -> bool:
    """Whether a node is a docstring, wherever it stands, or an empty piece of an f-string, which Python 3.12 adds."""
    if isinstance(parent, ast.JoinedStr):
        return isinstance(node, ast.Constant) and node.value == ""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def stamps_of(files: Iterable[Path]) -> tuple[Stamp | None, ...]:
    """Return the stamps of files and of the folders they lie in: whether one was edited, or one came or went."""
    places = {place for file in files for place in (file, file.parent)}
    return tuple(map(stamp, sorted(places)))
