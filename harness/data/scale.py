"""How much larger HR images are than their LR images: by a whole number, after a cut where the set asks for one.

The field makes LR images of photos of any size: it cuts each photo at the right and at the bottom to a multiple of the
scale ("modcrop"). Many copies of Set14, BSD100, Urban100 and Manga109 hold the uncut photos.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from isrbench.harness.api.dataset import MAX_SCALE, Card
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_size

Size = tuple[int, int]
"""(height, width) in pixels."""
_CUT = 'cut the rest off, as the field does: --hr-crop modulo, or hr_crop = "modulo" in a card'
_APART = "check that these two files belong together, or leave both out"


def cut_size(card: Card, lr: Size, hr: Size, lr_file: Path, hr_file: Path) -> Size | None:
    """Return the size that an HR image is cut to; None where it fits as it is.

    Args:
        card: Its ``scale`` and ``hr_crop`` count.
        lr: Size of the LR image.
        hr: Size of the HR image.
        lr_file: For messages, as ``hr_file``.
        hr_file: The HR image's file.

    Raises:
        UserError: If the sizes do not fit each other.
    """
    wanted = (lr[0] * card.scale, lr[1] * card.scale)
    if hr == wanted:
        return None
    fits = is_uncut(lr, hr, card.scale)
    if fits and card.hr_crop == "modulo":
        return wanted
    raise UserError(
        f"{hr_file} is {hw(hr)}, but its LR {lr_file.name} is {hw(lr)}: at scale {card.scale} it must be {hw(wanted)}",
        _CUT if fits else _APART,
    )


def is_uncut(lr: Size, hr: Size, scale: int) -> bool:
    """Return whether HR is scale times LR, but for a rest that is smaller than the scale on either side."""
    return all(0 <= large - scale * small < scale for small, large in zip(lr, hr, strict=True))


def scale_of(lr_file: Path, hr_file: Path, *, scale: int | None = None, hr_crop: str | None = None) -> int:
    """Return how many times larger HR is than LR.

    Args:
        lr_file: The LR image.
        hr_file: The HR image.
        scale: What it has to be; None = found out.
        hr_crop: ``modulo`` = a rest at the right and at the bottom is allowed.

    Raises:
        UserError: If that is no whole number up to the largest scale, or not the one given, or a file cannot be read.
    """
    lr, hr = read_size(lr_file), read_size(hr_file)
    exact = hr[0] // lr[0]
    found = exact if exact and hr == (lr[0] * exact, lr[1] * exact) else None
    if found is not None and found > MAX_SCALE:
        raise UserError(
            f"{hr_file} is {found} times as large as its LR, but a set's scale is {MAX_SCALE} at most",
            "check that these two files belong together",
        )
    if found is not None and scale in (None, found):
        return found
    near = [one for one in range(1, MAX_SCALE + 1) if is_uncut(lr, hr, one)]
    uncut = [one for one in near if scale in (None, one)]
    if hr_crop == "modulo" and len(uncut) == 1:
        return uncut[0]
    sizes = f"{hr_file} is {hw(hr)} and its LR {hw(lr)}"
    if near and not uncut:
        raise UserError(f"{sizes}, {near[0]} times smaller, but --scale is {scale}", "leave --scale out")
    if hr_crop == "modulo" and uncut:
        raise UserError(f"{sizes}: the scale may be {' or '.join(map(str, uncut))}", f"say which: --scale {uncut[-1]}")
    whole = "HR must be a whole multiple of LR" if scale is None else f"HR must be {scale} times LR"
    raise UserError(f"{sizes}: {whole}", _CUT if uncut else _other_fix(lr, hr, lr_file))


def _other_fix(lr: Size, hr: Size, lr_file: Path) -> str:
    """Say how to get on with sizes that no cut of HR makes fit."""
    ratio = hr[0] / lr[0]
    if ratio < 1:
        return "HR is the smaller one: check that the two folders, or lr_name and hr_name in a card, are not swapped"
    whole = range(2, MAX_SCALE + 1)
    above = [one for one in whole if all(0 <= one * small - large < one for small, large in zip(lr, hr, strict=True))]
    if above:
        return f"LR was rounded up: make the LR images again from HR images that are cut to a multiple of {above[0]}"
    if abs(ratio - hr[1] / lr[1]) < 2 / min(lr):
        alone = shlex.join(["--dataset", str(lr_file.parent), "--scale", str(max(2, round(ratio)))])
        return f"make LR images at a whole scale, which {ratio:.3g} is not, or score the LR images alone: {alone}"
    return _APART


def hw(size: tuple[int, ...]) -> str:
    """Return (height, width) as people write it: ``WIDTHxHEIGHT``."""
    return f"{size[1]}x{size[0]}"
