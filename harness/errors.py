"""The one exception that the user can act on."""

from __future__ import annotations


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
