"""The one exception that the user can act on, and what turns others into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST = 300
"""Characters of a reader's own words in a message."""


class UserError(Exception):
    """A mistake that the user can fix; the CLI prints it as one clean message and exits with code 2.

    Args:
        message: What is wrong and where, in one sentence (names the file, option or id).
        fix: How to fix it, preferably a command to paste.
    """

    def __init__(self, message: str, fix: str | None = None) -> None:
        self.message = message
        self.fix = fix
        super().__init__(f"{message}\n  fix: {fix}" if fix else message)


@contextmanager
def foreign(message: str, fix: str) -> Iterator[None]:
    """Turn whatever reading a file of somebody else's raises into a UserError: the boundary of every reader.

    Bytes that are not what they should be make readers raise nearly anything, RecursionError and MemoryError among it,
    so that no list of exceptions would be whole. Only what reads the file belongs into the block.

    Args:
        message: What cannot be read or is damaged; the reader's own words come behind it.
        fix: How to get on.

    Raises:
        UserError: For any exception but a UserError, which passes as it is.
    """
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        # The panics of libraries in Rust (safetensors, tokenizers) are no Exceptions, though they are nothing else.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(f"{message}: {reason(error)}", fix) from error


def reason(error: BaseException) -> str:
    """Return what an exception says, in one line that fits a message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text (byte {error.object[error.start]:#04x} at position {error.start})"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    kind, said = type(error).__name__, shortened(error)
    # A KeyError, an IndexError and the like say hardly more than a name.
    return said if " " in said else f"{kind}: {said}" if said else kind


def shortened(error: BaseException) -> str:
    """Return an exception's own words, on one line and no longer than a message may be."""
    said = " ".join(str(error).split())
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."
