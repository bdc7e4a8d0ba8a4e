"""What a GPU computes on beside the restoring of images."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from isrbench.harness.determinism import on_cpu

_STREAMS: dict[str, Any] = {}
"""By device."""
_STREAMS_MADE = threading.Lock()


def stream_beside(device: str) -> AbstractContextManager[object]:
    """Have a GPU score beside what it restores, which is on the default stream: neither waits for the other.

    One stream for all threads that score: what one of them loads, the others use after it.
    """
    import torch

    if on_cpu(device) or torch.device(device).type != "cuda":
        return nullcontext()
    with _STREAMS_MADE:
        if device not in _STREAMS:
            _STREAMS[device] = torch.cuda.Stream(torch.device(device))
    return torch.cuda.stream(_STREAMS[device])
