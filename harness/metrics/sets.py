"""Named sets of metrics, for ``--metrics @osediff,gmsd`` and the like. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable

from isrbench.harness.api.registry import metrics, unknown_name
from isrbench.harness.errors import UserError

METRIC_SETS: dict[str, tuple[str, ...]] = {
    "@osediff": ("psnr", "ssim", "lpips", "dists", "niqe", "musiq", "maniqa-pipal", "clipiqa", "fid"),
    "@mor": ("psnr", "lpips", "clipiqa", "musiq", "maniqa", "topiq_nr", "tres"),
    "@ntire": ("lpips", "dists", "niqe", "musiq", "maniqa", "clipiqa"),
    "@nr": ("niqe", "musiq", "maniqa", "clipiqa+", "topiq_nr", "liqe"),
    "@free": (
        "psnr",
        "ssim",
        "ms_ssim",
        "gmsd",
        "vsi",
        "niqe",
        "piqe",
        "lr_consistency",
        "shift",
        "hallucination",
        "omission",
        "improvement",
    ),
}
"""Metric ids by the name of the set: ``@osediff`` and ``@mor`` are the columns of these papers' tables, ``@ntire`` what
the score of NTIRE's challenge on image super-resolution (2025, x4, perceptual track) is made of, ``@nr`` metrics that
look at the restored image alone, ``@free`` all that need no download."""

ALL = ("all", "@all")
"""Names of the set of all that is installed."""

DEFAULT_METRICS = (*METRIC_SETS["@osediff"], "gmsd", "vsi", "piqe")
"""What ``isrbench eval`` scores unless told otherwise: OSEDiff's columns and the other quality metrics that need no
download, but for ``ms_ssim``, a second SSIM."""


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Replace names of sets by their metrics, in the order given; ``all`` is every metric. One of two sets counts once.

    Raises:
        UserError: If one name is given twice, or a set is unknown.
    """
    given = list(names)
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        raise UserError(f"metric '{twice[0]}' is given twice", "name each metric once")
    for name in given:
        if name.startswith("@") and name not in (*METRIC_SETS, *ALL):
            raise UserError(
                unknown_name("metric set", name, list(METRIC_SETS)), f"one of {', '.join(METRIC_SETS)}, @all"
            )
    sets = METRIC_SETS | dict.fromkeys(ALL, tuple(metrics()) if set(ALL) & set(given) else ())
    return tuple(dict.fromkeys(id for name in given for id in sets.get(name, (name,))))
