"""What decides a result: code by module, tensors, releases and seeds, each as a hash or number that anyone recomputes.

Code counts by module: the named modules and all that they import of their own top-level package and of isrbench,
wherever the import stands. A comment, a docstring or a blank line changes nothing; a module that is missing is an
error, never left out.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import sys
import tokenize
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_OURS = "isrbench"


def image_seed(seed: int, image: str) -> int:
    """Return the image's own seed in [0, 2^63): it depends on the run's seed and the image's id, not on its place."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{image}".encode()).digest()[:8], "big") >> 1


@functools.cache
def release(distribution: str) -> str | None:
    """Return the installed version of a distribution; None where there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def code_modules(build: Callable[..., Any] | str) -> tuple[str, ...]:
    """Return the modules whose code decides what ``build`` makes.

    Args:
        build: ``"module:function"``: the module and its imports (:func:`import_closure`). Or a function, class,
            ``functools.partial`` or callable object: the whole top-level package that defines it.

    Returns:
        Sorted module names.

    Raises:
        ModuleNotFoundError: If a module has no source file.
    """
    if isinstance(build, str):
        return import_closure(build.partition(":")[0])
    while isinstance(build, functools.partial):
        build = build.func
    module = str(getattr(build, "__module__", None) or type(build).__module__)
    if module == "__main__":
        # `python -m acme.plugin` knows its name; a plain script does not.
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        module = spec.name if spec is not None else module
    top = module.partition(".")[0]
    # Our own package holds every method: of one, only what it imports counts.
    return import_closure(module) if top == _OURS else package_modules(top)


def package_modules(package: str) -> tuple[str, ...]:
    """Return a module, or a package with every module in it, sorted.

    Raises:
        ModuleNotFoundError: If it has no source file.
    """
    file = _file(package)
    if file.name != "__init__.py":
        return (package,)
    names = (path.relative_to(file.parent).with_suffix("").parts for path in file.parent.rglob("*.py"))
    return tuple(sorted(".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts))) for parts in names))


@functools.cache
def import_closure(module: str) -> tuple[str, ...]:
    """Return ``module`` and every module of its own top-level package, or of isrbench, that it imports, sorted.

    Read off the source: imports inside functions count, those for type checkers alone do not, and nothing is run.

    Raises:
        ModuleNotFoundError: If one of them has no source file.
    """
    tops = {module.partition(".")[0], _OURS}
    found: set[str] = set()
    # Importing a module runs the packages above it.
    left = [".".join(module.split(".")[: k + 1]) for k in range(module.count(".") + 1)]
    while left:
        name = left.pop()
        # The root package only names what it re-exports: a new public name is in nobody's identity.
        if name not in found and name != _OURS and (name == module or _find(name)):
            found.add(name)
            left += [other for other in _imports(name) if other.partition(".")[0] in tops and _find(other)]
    return tuple(sorted(found))


def code_hash(modules: Iterable[str], releases: Iterable[str] = ()) -> str:
    """Return the sha256 of modules' code and of libraries' releases, in hex.

    Args:
        modules: Module names; the order does not matter.
        releases: Names of distributions; one that is not installed counts as such.

    Raises:
        ModuleNotFoundError: If a module has no source file.
    """
    digest = hashlib.sha256()
    for name in sorted(set(modules)):
        digest.update(f"{name}\0".encode() + _bare(_file(name)).encode() + b"\0")
    for name in sorted(set(releases)):
        digest.update(f"{name}={release(name)}\n".encode())
    return digest.hexdigest()


def tensors_hash(tensors: Mapping[str, Tensor], *, half: bool = False) -> str:
    """Return the sha256 of all tensors' names, shapes and values, in hex.

    Args:
        tensors: By name, on any device.
        half: Hash floating-point values as float16, so that the float32 and the float16 file of one model are the same.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().to("cpu").contiguous()
        if half and values.is_floating_point():
            values = values.to(torch.float16)
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\0".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _file(module: str) -> Path:
    file = _find(module)
    if file is None:
        raise ModuleNotFoundError(f"the source of module {module} is not there, so its results cannot be identified")
    return file


@functools.cache
def _find(module: str) -> Path | None:
    """The source file of a module, or None where there is none: an attribute, a binary. Imports nothing."""
    top, *parts = module.split(".")
    try:
        spec = None if module == "__main__" else find_spec(top)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        file = getattr(sys.modules.get(module), "__file__", None)
        return Path(file) if file and Path(file).is_file() else None
    if not parts:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for root in spec.submodule_search_locations or ():
        place = Path(root, *parts)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                return file
    return None


@functools.cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    """What ``module`` imports and the packages that lie above it; attributes of modules may be among the names."""
    file = _file(module)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    names: list[str] = []
    for node in _run_nodes(_tree(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    parents = {".".join(name.split(".")[:k]) for name in names for k in range(1, name.count(".") + 2)}
    return tuple(sorted(parents))


def _run_nodes(node: ast.AST) -> Iterable[ast.AST]:
    """All nodes below ``node`` but what stands under ``if TYPE_CHECKING:``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for other in child.orelse:
                yield from (other, *_run_nodes(other))
        else:
            yield child
            yield from _run_nodes(child)


@functools.cache
def _bare(file: Path) -> str:
    """A file's code without comments, docstrings, blank lines and trailing space, which change no result."""
    source = file.read_text(encoding="utf-8")
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(_tree(file)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
                continue
            if isinstance(statement.value.value, str):
                for row in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
                    lines[row] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())
