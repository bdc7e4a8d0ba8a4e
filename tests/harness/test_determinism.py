"""Devices are refused before anything computes; threads are given back as they were."""

from __future__ import annotations

import pytest
import torch

from isrbench.harness.determinism import exclusive, on_cpu, one_thread, resolve_device
from isrbench.harness.errors import UserError


def test_auto_is_a_device_that_computes_here() -> None:
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["meta", "cuda:99", "nonsense"])
def test_a_device_that_cannot_compute_is_refused_with_a_fix(name: str) -> None:
    with pytest.raises(UserError, match=f"--device {name}") as caught:
        resolve_device(name)
    assert caught.value.fix == "use --device auto, cpu or cuda"
    assert len(caught.value.message.splitlines()) == 1


@pytest.mark.parametrize(("name", "cpu"), [("cpu", True), ("cpu:0", True), ("cuda", False), ("cuda:0", False)])
def test_which_devices_are_the_cpu(name: str, cpu: bool) -> None:
    assert on_cpu(name) is cpu


def test_one_thread_gives_back_the_number_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="burst"), one_thread():
            assert torch.get_num_threads() == 1
            raise RuntimeError("burst")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_accelerator_computes_for_one_thread_at_a_time_and_may_be_asked_twice() -> None:
    with exclusive("cuda"), exclusive("cuda:0"):
        pass
    assert exclusive("cuda") is exclusive("cuda:1"), "one lock for the process"
    assert exclusive("cpu") is not exclusive("cuda")
