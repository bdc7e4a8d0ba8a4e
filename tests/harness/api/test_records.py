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
