"""The report's folder: what an earlier report left there and this one no longer writes goes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

_LIST = "report-files.json"
"""Names what the last report wrote: only that may be removed, never a file that somebody put beside it."""


def forget_stale(out: Path, written: Iterable[Path]) -> None:
    """Remove files of the last report in ``out`` that are not among ``written``, and note what is there now."""
    now = {path.relative_to(out).as_posix() for path in written}
    for name in sorted(_listed(out) - now):
        stale = out / name
        stale.unlink(missing_ok=True)
        for parent in list(stale.relative_to(out).parents)[:-1]:
            if (out / parent).is_dir() and not any((out / parent).iterdir()):
                (out / parent).rmdir()
    (out / _LIST).write_text(json.dumps(sorted(now), indent=0) + "\n", encoding="utf-8")


def _listed(out: Path) -> set[str]:
    """Names in the list that lie below ``out``; nothing where there is no list, or something else of that name."""
    try:
        names = json.loads((out / _LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(names, list):
        return set()
    paths = [PurePosixPath(name) for name in names if isinstance(name, str)]
    return {path.as_posix() for path in paths if not path.is_absolute() and ".." not in path.parts}
