"""What forbids the network, and where the hub is."""

from __future__ import annotations

import pytest

from isrbench.harness.network import HUB, OFFLINE_SWITCHES, endpoint, offline


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*OFFLINE_SWITCHES, "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("switch", OFFLINE_SWITCHES)
@pytest.mark.parametrize(("value", "forbids"), [("1", True), (" Yes ", True), ("on", True), ("0", False), ("", False)])
def test_a_switch_forbids_the_network_when_it_is_on(
    switch: str, value: str, forbids: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offline() is None
    monkeypatch.setenv(switch, value)
    assert offline() == (switch if forbids else None)


def test_a_mirror_takes_the_hubs_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint() == HUB
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert endpoint() == "https://mirror.example"
