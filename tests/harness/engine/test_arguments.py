"""What ``--device auto`` is."""

from __future__ import annotations

import torch

from isrbench.harness.engine import arguments


def test_auto_takes_cuda_then_mps_then_the_cpu(monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(arguments, "resolve_device", lambda name: asked.append(name) or name)
    for cuda, mps, name, expected in (
        (False, True, "auto", "mps"), (True, True, "auto", "auto"), (False, False, "auto", "auto"),
        (False, True, "cpu", "cpu"),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert arguments.device_of(name) == expected
    assert asked == ["mps", "auto", "auto", "cpu"]
