"""How many cases the fuzz tried, at the end of the tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import fuzz


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Any:
    """Counts what a fuzz tries; the sum is printed at the end, those of other processes of pytest-xdist too."""
    counter = fuzz.Counter()
    yield counter
    request.node.user_properties.append((fuzz.PROPERTY, counter.cases))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    found: dict[str, int] = {}
    for report in terminalreporter.stats.get("", []):  # what set up and tore down well
        for name, value in report.user_properties:
            if name == fuzz.PROPERTY:
                found[report.nodeid.rpartition("::")[2]] = value
    if found:
        parts = ", ".join(f"{name.removeprefix('test_').removesuffix('_answer')} {n}" for name, n in found.items())
        terminalreporter.write_line(f"fuzz: {sum(found.values())} cases ({parts})")
