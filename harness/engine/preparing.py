"""What surrounds a plugin's code: it sees all images before the first, and the current folder stays the user's."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from isrbench.harness.api.containment import contained
from isrbench.harness.api.method import Method, PreparedInPart, Prepares
from isrbench.harness.api.records import Failure
from isrbench.harness.errors import UserError

log = logging.getLogger(__name__)


@contextmanager
def folder_kept() -> Iterator[None]:
    """Set the current folder back at the end, which the user's relative paths mean: a plugin's code may change it.

    On the main thread alone: several threads would see one another's.
    """
    try:
        before = Path.cwd() if threading.current_thread() is threading.main_thread() else None
    except OSError:  # somebody removed it
        before = None
    try:
        yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.chdir(before)


def prepare(method: Method, name: str, images: Sequence[tuple[str, Path]]) -> None:
    """Let a method that wants it see all images before the first is restored.

    Args:
        method: Ready to run.
        name: What messages call it.
        images: (image id, LR file) of those that will be restored.

    Raises:
        UserError: If it raises anything, which says whose fault it is.
    """
    try:
        with folder_kept(), contained(passing=(PreparedInPart,)):
            if isinstance(method, Prepares):
                method.prepare(images)
    except UserError as error:
        raise UserError(f"the method {name} cannot prepare its images: {error.message}", error.fix) from error
    except Exception as error:
        log.info("%s cannot prepare its images", name, exc_info=True)
        raise UserError(
            f"the method {name} cannot prepare its images: {Failure.of(error).brief}",
            f"isrbench --verbose eval --method {name} ... shows where; report it to whoever provides the method",
        ) from error
