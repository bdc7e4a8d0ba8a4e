"""Fixtures of the engine's tests."""

from tests.support.nearest import methods, request_  # noqa: F401
