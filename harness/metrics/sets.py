"""Named sets of metrics, for ``--metrics default,fid`` and the like. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable

from isrbench.harness.errors import UserError

DEFAULT_METRICS = ("psnr", "ssim", "lpips", "musiq", "clipiqa")
"""What ``isrbench eval`` scores unless told otherwise."""

METRIC_SETS: dict[str, tuple[str, ...]] = {
    "default": DEFAULT_METRICS,
    "paper": ("psnr", "ssim", "lpips", "dists", "fid", "niqe", "musiq", "maniqa-pipal", "clipiqa"),
    "no-weights": (
        "psnr",
        "ssim",
        "ms_ssim",
        "gmsd",
        "vsi",
        "piqe",
        "lr_consistency",
        "shift",
        "hallucination",
        "omission",
        "improvement",
    ),
}
"""Metric ids by the name of the set. ``paper`` holds the nine columns of OSEDiff's and MoR-SR's tables, ``no-weights``
all that need no download."""


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Replace the names of sets by their metrics, in the order given; a metric of two sets counts once.

    Raises:
        UserError: If one name is given twice.
    """
    given = list(names)
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise UserError(f"metric '{twice[0]}' is given twice", "name each metric once")
    return tuple(dict.fromkeys(id for name in given for id in METRIC_SETS.get(name, (name,))))
