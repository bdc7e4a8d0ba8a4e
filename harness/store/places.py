"""Places outside the runs folder that results are sent to: a folder of this machine, or a URL that fsspec can write.

``s3://``, ``gs://``, ``hf://`` and the like each need a package of their own, which the message of fsspec names.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from isrbench.harness.api.records import ImageStatus
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full, some
from isrbench.harness.store.store import Store

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(place: str | Path) -> bool:
    """Return whether a place is a URL such as ``s3://bucket/scores.csv``, and no path of this machine."""
    return isinstance(place, str) and _URL.match(place) is not None


@contextmanager
def sent_to(url: str, *, overwrite: bool = False, option: str = "--to") -> Iterator[Path]:
    """Yield a file to write to, which is sent to ``url`` when the block ends without an error.

    Raises:
        UserError: If fsspec cannot write there, or something is there already.
    """
    with tempfile.TemporaryDirectory(prefix="isrbench-export-") as folder:
        file = Path(folder) / (PurePosixPath(url).name or "file")
        system, root = _opened(url, option)
        _refuse_to_replace(system, [root], url, overwrite, option)
        yield file
        _send(system, [(file, root)], url, option)


def send_images(store: Store, runs: Sequence[str], to: str, *, overwrite: bool = False, option: str = "--to") -> int:
    """Copy runs' restored PNGs and manifests: ``TO/RUN/images/ID.png`` and ``TO/RUN/manifest.json``.

    Args:
        store: Where the runs are kept.
        runs: Their ids.
        to: A folder, made where it is absent, or a URL.
        overwrite: Whether files that are there are replaced.
        option: What named ``to``, for messages.

    Returns:
        How many images were copied.

    Raises:
        UserError: If an image is gone, something is there already, or the place cannot be written.
    """
    system, root = _opened(to, option)
    images = [
        (store.folder / row.output, f"{root}/{row.output}")
        for run in runs
        for row in store.images(run)
        if row.status is ImageStatus.OK and row.output is not None
    ]
    gone = next((source for source, _ in images if not source.is_file()), None)
    if gone is not None:
        raise UserError(f"{gone} is gone", "the isrbench eval command that made it restores it again")
    files = [*images, *((store.folder / run / "manifest.json", f"{root}/{run}/manifest.json") for run in runs)]
    _refuse_to_replace(system, [target for _, target in files], to, overwrite, option)
    _send(system, files, to, option)
    return len(images)


def _opened(url: str, option: str) -> tuple[Any, str]:
    """The file system of a URL or of this machine, and the path in it."""
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    if not is_url(url):
        return LocalFileSystem(), str(Path(url).absolute())
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise UserError(f"{option} {url} needs a package that is not installed: {error}", "install it") from error
    except Exception as error:  # each file system says in its own way that an address is none
        raise UserError(f"{option} {url} cannot be used: {error}", f"{option} s3://bucket/..., or a path") from error
    return system, path.rstrip("/")


def _refuse_to_replace(system: Any, paths: Sequence[str], url: str, overwrite: bool, option: str) -> None:
    try:
        there = [] if overwrite else [path for path in paths if system.exists(path)]
    except Exception as error:
        raise _unwritable(url, option, error) from error
    if there:
        raise UserError(
            f"{some(there)}: there already, and would be overwritten", f"pass --overwrite, or another {option}"
        )


def _send(system: Any, files: Sequence[tuple[Path, str]], url: str, option: str) -> None:
    try:
        for folder in dict.fromkeys(target.rpartition("/")[0] for _, target in files):
            system.makedirs(folder, exist_ok=True)
        for source, target in files:
            # In a transaction a target is the whole file or what was there before, where the file system knows such.
            with system.transaction, source.open("rb") as content, system.open(target, "wb") as out:
                shutil.copyfileobj(content, out)
    except Exception as error:
        raise _unwritable(url, option, error) from error


def _unwritable(url: str, option: str, error: Exception) -> UserError:
    full = isinstance(error, OSError) and is_full(error)
    return UserError(
        f"{option} {url} cannot be written: {error or type(error).__name__}",
        "make room, then the same command again" if full else "choose a place that can be written",
    )
