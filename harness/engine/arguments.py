"""Arguments that :func:`evaluate` and :func:`restore` share: a method's options, and how progress is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.options import option_text
from isrbench.harness.determinism import resolve_device

if TYPE_CHECKING:
    from tqdm import tqdm

Progress = Callable[[str, int, int], None]
"""``(stage, done, total)``; stage is one of STAGES."""
ProgressOption = Progress | bool | None
"""A callback; True for bars of ``tqdm.auto``; False or None for silence."""
STAGES = {
    "restore": "restoring", "tile": "tiles", "score": "scoring", "complexity": "counting", "hr-severity": "HR severity",
}  # fmt: skip
"""What a bar calls each stage."""


def device_of(name: str) -> str:
    """Return the torch device string for a device: ``auto`` is the first of CUDA, Apple's MPS and the CPU that is here.

    Raises:
        UserError: As :func:`isrbench.harness.determinism.resolve_device`.
    """
    import torch

    on_mps = name == "auto" and not torch.cuda.is_available() and torch.backends.mps.is_available()
    return resolve_device("mps" if on_mps else name)


def option_texts(options: Mapping[str, Any] | None) -> dict[str, str]:
    """Return options as they would be typed behind ``-o``: True is ``true``, None is ``none``."""
    return {key: option_text(value) for key, value in (options or {}).items()}


@contextmanager
def reporting(progress: ProgressOption) -> Iterator[Progress]:
    """Yield the callback that ``progress`` stands for; bars are closed when the block ends."""
    if callable(progress):
        yield progress
    elif progress:
        with _bars() as update:
            yield update
    else:
        yield lambda stage, done, total: None


@contextmanager
def _bars() -> Iterator[Progress]:
    from tqdm.auto import tqdm

    bars: dict[str, tqdm] = {}

    def update(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            bars[stage] = tqdm(total=total, desc=STAGES.get(stage, stage), unit="tile" if stage == "tile" else "image")
        if done < bars[stage].n or total != bars[stage].total:  # the tiles of the next picture
            bars[stage].reset(total)
        bars[stage].update(done - bars[stage].n)

    try:
        yield update
    finally:
        for bar in bars.values():
            bar.close()
