"""Where a plugin's code lies: hashed into the keys that decide whether a stored result still holds."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HARNESS = Path(__file__).resolve().parent
_FAMILIES = ("isrbench", "methods")
"""A package whose sub-packages are plugins of their own; each says what else it uses (``MethodInfo.code``)."""


def package_of(build: Callable[..., Any]) -> str:
    """The importable name whose source decides what ``build`` makes: its top-level package or module.

    Args:
        build: A function, class, ``functools.partial`` or callable object, from wherever the plugin keeps it.

    Returns:
        Such as ``acme`` for ``acme.plugins.sr:build``; ``__main__`` for a script without a module name.
    """
    while isinstance(build, functools.partial):
        build = build.func
    module = str(getattr(build, "__module__", None) or type(build).__module__)
    if module == "__main__":
        # `python -m acme.plugin` knows its name; a plain script does not.
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        module = spec.name if spec is not None else module
    parts = module.split(".")
    return ".".join(parts[: 3 if tuple(parts[:2]) == _FAMILIES else 1])


def source_files(package: str) -> list[Path]:
    """The Python files of a package or module, sorted; empty where it has none. Imports nothing, never raises."""
    try:
        spec = None if package == "__main__" else find_spec(package)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        file = getattr(sys.modules.get(package), "__file__", None)
        return [path for path in (Path(file),) if path.is_file()] if file else []
    if spec.submodule_search_locations is not None:
        return sorted(path for root in spec.submodule_search_locations for path in Path(root).rglob("*.py"))
    return [path for path in (Path(spec.origin),) if path.is_file()] if spec.origin else []


@functools.cache
def release(distribution: str) -> str | None:
    """The installed version of a distribution; None where there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def hash_sources(packages: Iterable[str], harness_files: Iterable[str], releases: Iterable[str]) -> str:
    """sha256 over source and releases.

    Args:
        packages: Importable names (:func:`source_files`).
        harness_files: Files of this package, by name.
        releases: Names of installed distributions; one that is absent counts as such.
    """
    digest = hashlib.sha256()
    files = [path for path in (HARNESS / name for name in harness_files) if path.is_file()]
    for package in sorted(set(packages)):
        digest.update(f"{package}\n".encode())
        files += source_files(package)
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for name in releases:
        digest.update(f"{name}={release(name)}\n".encode())
    return digest.hexdigest()
