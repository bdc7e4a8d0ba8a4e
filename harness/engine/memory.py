"""An image that a device has no memory for: told apart from other errors, and restored in tiles where wanted."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from isrbench.harness.determinism import on_cpu
from isrbench.harness.engine.restoring import restore_one
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_pixels, to_tensor
from isrbench.harness.imaging.tiling import TileOptions, count_tiles, run_in_tiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from isrbench.harness.engine.plan import Plan

ON_OOM = ("skip", "tile")
"""What ``--on-oom`` takes: the image gets a row that says so, or is restored in tiles."""
_OVERLAP = 16
_SMALLEST = 64
"""Side of the smallest tiles that are tried, in LR pixels."""
_CPU_WORDS = ("can't allocate memory", "not enough memory")
"""How torch says it on a CPU, as a RuntimeError like any other."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or what it came from, says that memory ran out."""
    import torch

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(seen, RuntimeError) and any(words in str(seen) for words in _CPU_WORDS):
            return True
        seen = seen.__cause__
    return False


def release(device: str) -> None:
    """Free the memory of a failed attempt; call it outside the ``except`` block, whose traceback holds tensors."""
    gc.collect()
    if not on_cpu(device):
        import torch

        if torch.device(device).type == "cuda":
            torch.cuda.empty_cache()


class NoRoomError(UserError):
    """An image did not fit into memory."""


def no_room(plan: Plan, lr: NDArray[np.uint8], said: str) -> NoRoomError:
    """Return what is said of an image that did not fit."""
    size = f"{lr.shape[1]}x{lr.shape[0]}"
    fixes = ["a smaller --batch"] if plan.request.batch > 1 else []
    fixes += ["--on-oom tile, which restores such images in tiles"] if plan.request.on_oom != "tile" else []
    fix = ", or ".join([*fixes, "a device with more memory"])
    return NoRoomError(f"out of memory on {plan.device} for an LR of {size}: {said}", fix)


def restore_in_tiles(plan: Plan, lr: NDArray[np.uint8], image: str) -> tuple[NDArray[np.uint8], int]:
    """Restore an image in tiles of half its longer side, of a quarter and so on, until they fit.

    Each tile goes through the method as an image of its own, with the image's id and seed; overlaps of 16 LR pixels
    are blended over linear ramps. Colours that a method fixes are fixed by tile.

    Args:
        plan: What is run.
        lr: uint8 (H, W, 3).
        image: The image's id.

    Returns:
        uint8 (scale*H, scale*W, 3), and the number of tiles.

    Raises:
        NoRoomError: If tiles of 64 pixels do not fit either, or the image is too small for them.
    """
    scale, said = plan.card.scale, "tiles of 64 pixels do not fit either"
    if max(lr.shape[:2]) // 2 < _SMALLEST:
        said = "it is too small to be cut into tiles of 64 pixels"

    def process(tile: Tensor) -> Tensor:
        return restore_one(plan.method, tile[0], image, plan.request.seed, scale).image[None].cpu()

    side = max(lr.shape[:2]) // 2
    while side >= _SMALLEST:
        options = TileOptions(side, _OVERLAP)
        try:
            restored = run_in_tiles(process, to_tensor(lr)[None], options, scale)
            return to_pixels(restored[0].clamp(0, 1)), count_tiles(lr.shape[0], lr.shape[1], options)[0]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        release(plan.device)
        side //= 2
    raise no_room(plan, lr, said)
