"""One picture of any size through a method, to any scale: large ones in tiles, and what is left by a plain resize."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from isrbench.harness.api.dataset import MAX_SCALE
from isrbench.harness.api.method import Method, MethodPlugin, Runtime
from isrbench.harness.api.registry import methods
from isrbench.harness.api.steps import steps
from isrbench.harness.determinism import make_deterministic
from isrbench.harness.engine.arguments import device_of, option_texts
from isrbench.harness.engine.preparing import folder_kept
from isrbench.harness.engine.remote import method_options
from isrbench.harness.engine.restoring import restore_one, restore_pixels
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_pixels, to_tensor
from isrbench.harness.imaging.tiling import Size, TileOptions, blend_tiles, ramp_weights, tile_starts
from isrbench.harness.imaging.writing import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

log = logging.getLogger(__name__)

WHOLE = 512 * 512
"""Pixels of a picture that goes through a network at once, unless its options say otherwise."""
TILE, OVERLAP = 256, 32
"""The longest side of a tile of a larger one, and what neighbours share at least, in pixels."""
_FACTORS = (4, 2, 8, 3, 1)
"""What networks enlarge by, the commonest first."""

Tell = Callable[[int, int], None]
"""``(tiles done, tiles)``."""


@dataclass(frozen=True)
class Enlarger:
    """A method that is ready to restore pictures, and how; made by :func:`make_enlarger`."""

    method: Method
    id: str
    factor: int
    """How many times larger the method makes a picture; a resize makes the rest."""
    scale: float
    """How many times larger it is to become."""
    seed: int
    device: str
    tiles: TileOptions | None = None
    """How a network is handed a picture: ``tile=0`` = by its size. None for a method that sees it whole."""


def make_enlarger(
    method: str,
    options: Mapping[str, Any] | None = None,
    *,
    scale: float = 4,
    seed: int = 0,
    device: str = "auto",
    images: Sequence[str] = (),
) -> Enlarger:
    """Build a method for pictures. One that enlarges by another factor than ``scale`` is taken by its own.

    Args:
        method: A method's id, or a model card (.toml).
        options: The method's options by name, as values or as texts.
        scale: How many times larger pictures become, above 0.
        seed: A picture's own seed comes from this and its name.
        device: ``auto``, or a torch device.
        images: Names of all pictures, where they are known.

    Raises:
        UserError: If the scale is none, or the method is unknown or cannot be built.
    """
    if not isinstance(scale, int | float) or not math.isfinite(scale) or not 0 < scale <= MAX_SCALE:
        shown = f"{scale:g}" if isinstance(scale, int | float) else repr(scale)
        raise UserError(f"the scale is {shown}, but has to be above 0 and at most {MAX_SCALE}", "--scale 4")
    plugin, texts = methods().get(method), option_texts(options)
    parsed = method_options(plugin, texts)
    tiles = None
    if isinstance(parsed, TileOptions) and (parsed.tile or "tile" not in texts):
        tiles, parsed = TileOptions(parsed.tile, parsed.overlap), replace(parsed, tile=0)
    steps.info("loading %s%s...", plugin.info.id, "" if device == "auto" else f" on {device}")
    device = device_of(device)
    with folder_kept():
        built, factor = _built(plugin, parsed, scale, Runtime(device=device, images=tuple(images)))
    make_deterministic(device)
    if factor != scale:
        steps.info("%s enlarges x%d; its results are resized to x%g", plugin.info.id, factor, scale)
    return Enlarger(built, plugin.info.id, factor, scale, seed, device, tiles)


def size_of(enlarger: Enlarger, height: int, width: int) -> Size:
    """Return the (height, width) that a picture is going to have."""
    rows, columns = (max(1, math.floor(side * enlarger.scale + 0.5)) for side in (height, width))
    return rows, columns


def count_picture_tiles(enlarger: Enlarger, height: int, width: int) -> int:
    """Return in how many tiles a picture goes through the method."""
    tile, overlap = _tile(enlarger.tiles, height, width)
    return len(tile_starts(height, tile[0], overlap)) * len(tile_starts(width, tile[1], overlap))


def enlarge(
    enlarger: Enlarger, pixels: NDArray[np.uint8], name: str, tell: Tell = lambda done, tiles: None
) -> NDArray[np.uint8]:
    """Restore one picture.

    Args:
        enlarger: The method, and how.
        pixels: uint8 (H, W, 3).
        name: What its seed comes from, and what a method that knows files calls it.
        tell: Told after every tile.

    Returns:
        uint8 of :func:`size_of`, 3 channels.

    Raises:
        UserError: If it would have more pixels than are read here.
        TypeError: As :func:`isrbench.harness.engine.restoring.restore_one`.
        ValueError: Likewise.
        PluginExit: Likewise; else whatever the method raises.
    """
    height, width = pixels.shape[:2]
    check_pixels(name, height * enlarger.factor, width * enlarger.factor)
    tile, overlap = _tile(enlarger.tiles, height, width)
    with folder_kept():
        if tile == (height, width):
            restored = restore_pixels(enlarger.method, pixels, name, enlarger.seed, enlarger.factor)[0]
            tell(1, 1)
        else:
            process = partial(_tile_of, enlarger, name, _counting(tell, count_picture_tiles(enlarger, height, width)))
            weights = ramp_weights(tile, overlap, enlarger.factor)
            whole = blend_tiles(process, to_tensor(pixels)[None], tile, overlap, weights, enlarger.factor)
            restored = to_pixels(whole[0])
    return _resized(restored, size_of(enlarger, height, width))


def enlarge_alpha(alpha: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Enlarge a mask by a plain resize, within what lies around each pixel: networks are made for photographs.

    Args:
        alpha: uint8 (H, W).
        size: The (height, width) that it gets.

    Returns:
        uint8 of that size; where a mask is even in 3x3 pixels, it stays so.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    def resized(values: NDArray[Any], how: Image.Resampling) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(values).resize((size[1], size[0]), how))

    low, high = (resized(edge(alpha, size=3), Image.Resampling.NEAREST) for edge in (minimum_filter, maximum_filter))
    return np.clip(resized(alpha, Image.Resampling.BICUBIC), low, high)


def _built(plugin: MethodPlugin, options: Any, scale: float, runtime: Runtime) -> tuple[Method, int]:
    """Build the method for the scale, or for the first factor that it takes; return both.

    Raises:
        UserError: What it says of the scale that was asked for.
    """
    refusals: list[UserError] = []
    for factor in dict.fromkeys((math.ceil(scale), *_FACTORS)):
        try:
            return plugin.make(options, replace(runtime, scale=factor)), factor
        except UserError as error:
            refusals.append(error)
            if len(refusals) > 1 and refusals[-2].message == error.message:  # it is not about the factor
                break
    raise refusals[0]


def _tile(tiles: TileOptions | None, height: int, width: int) -> tuple[Size, int]:
    """Return (size of a tile, what neighbours share); one tile of the whole picture where it is not cut."""
    if tiles is None or (not tiles.tile and height * width <= WHOLE):
        return (height, width), 0
    if tiles.tile:
        return (min(tiles.tile, height), min(tiles.tile, width)), tiles.overlap
    return (_even(height), _even(width)), OVERLAP


def _even(length: int) -> int:
    """Return the side of the fewest tiles of at most TILE that cover a length, all of one size."""
    if length <= TILE:
        return length
    count = math.ceil((length - OVERLAP) / (TILE - OVERLAP))
    return math.ceil((length + (count - 1) * OVERLAP) / count)


def _counting(tell: Tell, tiles: int) -> Callable[[], None]:
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        tell(done, tiles)

    return one_more


def _tile_of(enlarger: Enlarger, name: str, done: Callable[[], None], tile: Tensor) -> Tensor:
    restored = restore_one(enlarger.method, tile[0].contiguous(), name, enlarger.seed, enlarger.factor)
    done()
    return restored.image[None].float().cpu()


def _resized(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    if pixels.shape[:2] == size:
        return pixels
    return np.array(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.LANCZOS))
