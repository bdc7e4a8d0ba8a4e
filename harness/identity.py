"""What decides a result: code by module, tensors, releases and seeds, each as a hash or number that anyone recomputes.

Code counts by module: the named modules and all that they import of their own top-level package and of isrbench,
wherever the import stands. A comment, a docstring or the layout of a line changes nothing; a module that is missing is
an error, never left out.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.source import Stamp, find, imports, package_files, source_hash, stamps_of

if TYPE_CHECKING:
    from torch import Tensor

_OURS = "isrbench"
_closures: dict[tuple[str, Path], tuple[tuple[Path, ...], tuple[Stamp | None, ...], tuple[str, ...]]] = {}
"""By module and its file: the files of its closure, their stamps when they were read, and the closure."""


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
            ``functools.partial`` or callable object: the whole top-level package that defines it. A namespace package,
            without ``__init__.py``, may be spread over many projects: of it, the package in it that defines ``build``,
            and what that module imports.

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
    if top == _OURS:  # holds every method: of one, only what it imports counts
        return import_closure(module)
    regular = next((name for name in _with_parents(module) if find(name)), module)
    own = package_modules(regular)
    return own if regular == top else tuple(sorted({*own, *import_closure(module)}))


def package_modules(package: str) -> tuple[str, ...]:
    """Return a module, or a package with every module in it, sorted.

    A file in it that cannot be imported, but may be read, is called ``package:path/in/it.py``.

    Raises:
        ModuleNotFoundError: If it has no source file.
    """
    files = package_files(package)
    if not files:
        _file(package)
    return tuple(sorted(files))


def import_closure(module: str) -> tuple[str, ...]:
    """Return ``module`` and every module of its own top-level package, or of isrbench, that it imports, sorted.

    Read off the source: imports inside functions count, those for type checkers alone do not, and nothing is run.

    Raises:
        ModuleNotFoundError: If one of them has no source file.
    """
    own = _file(module)
    files, stamps, closure = _closures.get((module, own), ((), (), ()))
    if files and stamps_of(files) == stamps:
        return closure
    tops = {module.partition(".")[0], _OURS}
    found: dict[str, Path] = {}
    # The root package only names what it re-exports: a new public name is in nobody's identity.
    seen = {_OURS}
    left = _with_parents(module)  # importing a module runs the packages above it
    while left:
        name = left.pop()
        if name in seen or name.partition(".")[0] not in tops:
            continue
        seen.add(name)
        file = own if name == module else find(name)
        if file is not None:
            found[name] = file
            left += imports(name, file)
    files, closure = tuple(found.values()), tuple(sorted(found))
    _closures[module, own] = files, stamps_of(files), closure
    return closure


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
        digest.update(f"{name}\0{source_hash(_file(name))}\0".encode())
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
    package, inner, _ = module.partition(":")
    file = package_files(package).get(module) if inner else find(module)
    if file is None:
        raise ModuleNotFoundError(f"the source of module {module} is not there, so its results cannot be identified")
    return file


def _with_parents(module: str) -> list[str]:
    """The packages above a module, outermost first, and the module."""
    return [".".join(module.split(".")[: k + 1]) for k in range(module.count(".") + 1)]
