"""The one exception that means "the user can mend this"."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can mend; the CLI prints it as one clean message and exits with code 2.

    Args:
        what: What is wrong and where, in one sentence (names the file, option or id).
        mend: How to mend it, preferably a command to paste.
    """

    def __init__(self, what: str, mend: str | None = None) -> None:
        self.what = what
        self.mend = mend
        super().__init__(f"{what}\n  mend: {mend}" if mend else what)
