"""Which device computes, with how many threads, and how threads share it without changing each other's digits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from textwrap import shorten

from isrbench.harness.errors import UserError

_EXCLUSIVE = threading.RLock()
"""Held by whatever computes on an accelerator: its algorithms and workspaces belong to the process, not to a thread."""


def resolve_device(name: str) -> str:
    """Return the torch device string for ``--device``: ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        UserError: If the device does not exist, or holds no values (``meta``).
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    fix = "use --device auto, cpu or cuda"
    try:
        float(torch.ones(1, device=name).sum())
    except Exception as error:  # each backend fails in its own way where it is not there
        if name.partition(":")[0] == "meta":
            raise UserError("--device meta computes nothing, so there would be no image", fix) from error
        said = shorten((str(error).splitlines() or [type(error).__name__])[0], 160, placeholder=" ...")
        raise UserError(f"--device {name} cannot be used: {said}", fix) from error
    return name


def make_deterministic(device: str) -> None:
    """Have a GPU compute the same digits every time, in the dtype it was told, for the whole process.

    Call it once, before anything computes.
    """
    import torch

    # A thread takes its number of threads from the last call anywhere unless it has asked before.
    torch.get_num_threads()
    if not on_cpu(device):
        torch.backends.cudnn.enabled = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        # float32 means float32: torch's default lets convolutions round their inputs to TF32's ten bits.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def exclusive(device: str) -> AbstractContextManager[object]:
    """Keep every other computation off an accelerator meanwhile; does nothing for the CPU."""
    return nullcontext() if on_cpu(device) else _EXCLUSIVE


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on the calling thread alone: sums of floats depend on how they are split up."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def on_cpu(device: str) -> bool:
    """Return whether ``device`` is the CPU (``cpu``, ``cpu:0``)."""
    return device.partition(":")[0] == "cpu"
