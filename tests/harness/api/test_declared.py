"""What a plugin declares is checked where it declares it: a list of all plugins meets no field of another type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.harness.metrics.builtin import PSNR

INFO = MethodInfo("mine", "Mine", "Does.", "MIT")


@dataclass(frozen=True)
class Options:
    """None."""


PLUGIN = MethodPlugin(INFO, Options, "mine:build")


@pytest.mark.parametrize(
    "field",
    [
        {"title": None}, {"license": 3}, {"needs": "a GPU"}, {"training_data": (1,)}, {"routes": 1},
        {"title": "\udcff"},
        {"id": "../mine"}, {"id": ""}, {"id": "my net"}, {"id": "@mine"},
    ],
)  # fmt: skip
def test_facts_of_a_method(field: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=f"MethodInfo.{next(iter(field))} is "):
        replace(INFO, **field)


@pytest.mark.parametrize("field", [{"info": "mine"}, {"options": dict}, {"build": None}, {"train": "nowhere"}])
def test_a_methods_plugin(field: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"MethodPlugin.{next(iter(field))} is "):
        replace(PLUGIN, **field)


@pytest.mark.parametrize(
    "field",
    [
        {"id": "a,b"}, {"direction": "higher"}, {"reference": None}, {"decimals": "2"}, {"decimals": True},
        {"min_side": 0}, {"weights": ("a.pth",)}, {"build": "nowhere"}, {"title": 1},
    ],
)  # fmt: skip
def test_a_metric(field: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=f"Metric.{next(iter(field))} is "):
        replace(PSNR, **field)
    with pytest.raises(TypeError, match="not JSON serializable"):
        replace(PSNR, settings={"where": object()})


def test_lists_are_taken_for_tuples() -> None:
    assert replace(INFO, needs=["a GPU"]).needs == ("a GPU",) and replace(PSNR, weights=[]).weights == ()
