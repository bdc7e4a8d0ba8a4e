"""Failures are text that every store and terminal can hold."""

from __future__ import annotations

import pytest

from isrbench.harness.api.records import Failure
from isrbench.harness.errors import UserError


@pytest.mark.parametrize("error", [RuntimeError("caf\udce9"), UserError("caf\udce9", "rename caf\udce9")])
def test_a_message_that_is_not_utf_8_is_kept_with_escapes(error: Exception) -> None:
    failure = Failure.of(error)
    assert "caf\\udce9" in failure.message
    assert all(text.encode() is not None for text in (failure.message, failure.fix, failure.traceback))


def test_a_message_is_no_longer_than_a_screen_and_moves_no_cursor() -> None:
    failure = Failure.of(ValueError("\x1b[2Jfirst\x07\n" + "x" * 5000 + "\nmore" * 100))
    lines = failure.message.splitlines()
    assert lines[0] == "ValueError: [2Jfirst" and len(lines[1]) == 1003 and lines[-1] == "... (82 lines more)"
    assert len(lines) == 21
