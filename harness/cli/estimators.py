"""Compare severity estimators: how far they agree on the same LRs, and what they answer to known degradations.

    isrbench tools compare-estimators --dataset sample --estimators tiny,fft
    isrbench tools compare-estimators --photos BSDS500/test --estimators tiny,fft

With --dataset, the LRs of a test set. With --photos, centre crops of photos that are degraded here: at a random level,
in four ways at once, and in each of the four alone. All correlations are Spearman's.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.cli.terminal import show_json, show_rows
from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS

if TYPE_CHECKING:
    from torch import Tensor

    from isrbench.harness.severity.estimator import Estimator

STRENGTH = 0.7
"""How strong a degradation alone is."""
_ALL = ("severity", *DIMENSIONS)


def compare_on_set(estimators: Mapping[str, Estimator], lrs: Sequence[Tensor], levels: Sequence[float | None]) -> Any:
    """Compare estimators on the LRs of a test set.

    Args:
        estimators: By spec.
        lrs: float (3, H, W) in [0, 1].
        levels: The severity level of each, where the set knows it.

    Returns:
        What ``--json`` prints: ``images``, ``agreement`` (a row for each two estimators) and, where all levels are
        known, ``level`` (a row for each estimator: rho of each dimension with the level).
    """
    import numpy as np

    from isrbench.harness.severity.known import estimates

    vectors = {spec: estimates(estimator, lrs) for spec, estimator in estimators.items()}
    found: dict[str, Any] = {"images": len(lrs), "agreement": _agreements(vectors)}
    known = [level for level in levels if level is not None]
    if len(known) == len(lrs):
        found["level"] = [{"estimator": spec, **_with(v, np.array(known))} for spec, v in vectors.items()]
    return found


def compare_on_photos(estimators: Mapping[str, Estimator], photos: Sequence[Tensor], seed: int) -> Any:
    """Compare estimators on photos, float (3, H, W) in [0, 1], that are degraded in known ways.

    Returns:
        As :func:`compare_on_set`, and ``mixed`` (rho of each dimension with the strength of each degradation, drawn
        independently) and ``alone`` (the mean change of each dimension under one degradation alone, and
        ``rises``, the share of photos on which the dimension of its name rises).
    """
    from isrbench.harness.severity.known import alone, at_levels, estimates, mixed
    from isrbench.harness.severity.training_data import WORST

    lrs, levels = at_levels(photos, seed)
    found = compare_on_set(estimators, lrs, levels.tolist())
    apart, strengths = mixed(photos, seed)
    clean = alone(photos, "blur", 0.0, seed)
    worse = {kind: alone(photos, kind, STRENGTH, seed) for kind in WORST}
    found |= {"mixed": [], "alone": []}
    for spec, estimator in estimators.items():
        vectors, before = estimates(estimator, apart), estimates(estimator, clean)
        for kind, strength in strengths.items():
            found["mixed"].append({"estimator": spec, "applied": kind, **_with(vectors, strength)})
        for kind, images in worse.items():
            change = estimates(estimator, images) - before
            means = [change.mean(), *change.mean(0)]
            rises = float((change[:, DIMENSIONS.index(kind)] > 0).mean())
            row = {name: float(value) for name, value in zip(_ALL, means, strict=True)}
            found["alone"].append({"estimator": spec, "applied": kind, "rises": rises, **row})
    return found


def _agreements(vectors: Mapping[str, Any]) -> list[dict[str, Any]]:
    from isrbench.harness.severity.known import agreement

    return [{"estimator": f"{a}, {b}", **agreement(vectors[a], vectors[b])} for a, b in combinations(vectors, 2)]


def _with(vectors: Any, truth: Any) -> dict[str, float]:
    """Rho of each dimension, and of their mean, with what is true."""
    from isrbench.harness.severity.known import agreement

    return agreement(vectors, truth[:, None].repeat(len(DIMENSIONS), axis=1))


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print.

    Raises:
        UserError: If the set, the photos or an estimator cannot be had.
    """
    parser = argparse.ArgumentParser(prog="isrbench tools compare-estimators", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", help="a dataset's id, a card (.toml), or a folder with LR/")
    source.add_argument("--photos", type=Path, help="a folder of photos, each at least 280 px")
    parser.add_argument("--data-root", type=Path, help="the set's own folder, or one above it")
    parser.add_argument("--limit", type=int, help="only so many images, evenly over the set or the photos")
    parser.add_argument("--estimators", default="tiny,fft", help="specs, with commas; as --estimator of eval")
    parser.add_argument("--seed", type=int, default=0, help="for --photos: another seed draws other degradations")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args = parser.parse_args(argv)
    estimators = _estimators(args.estimators)
    if args.photos:
        photos = _photos(args.photos, args.limit)
        found = compare_on_photos(estimators, photos, args.seed)
    else:
        found = compare_on_set(estimators, *_lrs(args.dataset, args.data_root, args.limit))
    found = {"of": str(args.photos or args.dataset), **found}
    if args.json:
        show_json(found)
    else:
        _show(found)
    return 0


def _estimators(text: str) -> dict[str, Estimator]:
    from isrbench.harness.severity.estimator import get_estimator

    specs = [spec.strip() for spec in text.split(",")]
    if len(set(specs)) < len(specs) or "" in specs:
        raise UserError(f"--estimators is '{text}'", "name different ones with commas between, such as tiny,fft")
    found = {spec: get_estimator(spec) for spec in specs}
    for estimator in found.values():
        estimator.load()
    return found


def _lrs(dataset: str, data_root: Path | None, limit: int | None) -> tuple[list[Tensor], list[float | None]]:
    from isrbench.harness.data.catalogue import find_card
    from isrbench.harness.data.pairs import load_pairs
    from isrbench.harness.imaging.images import read_lr, to_tensor

    pairs = load_pairs(find_card(dataset), data_root, limit=limit)
    return [to_tensor(read_lr(pair.lr, pair.lr_hash)) for pair in pairs], [_number(pair.level) for pair in pairs]


def _number(level: str | None) -> float | None:
    """A set's card may give levels as words, which have no order."""
    try:
        return None if level is None else float(level)
    except ValueError:
        return None


def _photos(folder: Path, limit: int | None) -> list[Tensor]:
    from isrbench.harness.severity.training_data import read_images

    if limit is not None and limit < 1:
        raise UserError(f"--limit is {limit}", "choose 1 or more")
    photos = read_images([folder])
    step = max(1, len(photos) // limit) if limit else 1
    return photos[::step][:limit]


def _show(found: Mapping[str, Any]) -> None:
    _show_columns(f"Agreement on {found['images']} images of {found['of']}: rho", found["agreement"], "estimator")
    _show_columns("With the severity level of these images: rho", found.get("level", []), "estimator")
    for spec in dict.fromkeys(row["estimator"] for row in found.get("mixed", [])):
        mixed, alone = ([row for row in found[key] if row["estimator"] == spec] for key in ("mixed", "alone"))
        _show_columns(f"{spec}: four degradations drawn independently (quality: all together), rho", mixed, "applied")
        title = f"{spec}: one degradation alone, at {STRENGTH} of its worst, mean change (rises: on how many photos)"
        _show_columns(title, alone, "applied")


def _show_columns(title: str, rows: Sequence[Mapping[str, Any]], head: str) -> None:
    """Print a table with a column for each row of the numbers, which is narrower."""
    if rows:
        names = [name for name, value in rows[0].items() if not isinstance(value, str)]
        lines = [[name, *(f"{row[name]:.2f}" for row in rows)] for name in names]
        show_rows(title, ["dimension", *(row[head] for row in rows)], lines)
