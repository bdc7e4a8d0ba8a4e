"""A run's means and scores for TensorBoard or Weights & Biases, as a training's are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.records import Failure, ScoreStatus
from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.api.records import Manifest
    from isrbench.harness.store.store import Store

TRACKERS = ("tensorboard", "wandb")


def check_trackers(names: Sequence[str]) -> None:
    """Check that trackers are known and installed, before anything is computed.

    Raises:
        UserError: If one is not.
    """
    for name in names:
        if name not in TRACKERS:
            raise UserError(unknown_name("tracker", name, list(TRACKERS)), "--tracker tensorboard")
        if find_spec(name) is None:
            raise UserError(
                f"the tracker {name} is not installed",
                'pip install -c constraints.txt ".[trackers]", or leave --tracker out',
            )


def track(store: Store, run: str, names: Sequence[str]) -> tuple[str, ...]:
    """Hand a stored run on: the mean of each metric as ``mean/METRIC``, each image's as ``image/METRIC``.

    A mean is over the images that have a finite value, of which there are ``n/METRIC``; images are numbered in the
    order of their ids.

    Args:
        store: Where it is.
        run: Its id.
        names: Of TRACKERS. TensorBoard's files go to ``tensorboard/RUN`` in the runs folder.

    Returns:
        A note for each tracker that did not take it: the run itself is stored, and its result stands.
    """
    notes = []
    for name in names:
        try:
            manifest, series = store.manifest(run), _series(store, run)
            if name == "tensorboard":
                _to_tensorboard(store.folder / "tensorboard" / run, manifest, series)
            else:
                _to_wandb(store.folder, manifest, series)
        except Exception as error:  # without a key or a network each has its own
            notes.append(f"--tracker {name}: nothing was handed on: {Failure.of(error).brief}")
    return tuple(notes)


def _series(store: Store, run: str) -> dict[str, dict[int, float]]:
    """The values of each metric by the image's number; a metric of the whole set has one, under ``mean/``."""
    rows = [row for row in store.scores(run) if row.status is ScoreStatus.OK and row.value is not None]
    numbers = {image: number for number, image in enumerate(sorted({row.image for row in store.images(run)}))}
    series: dict[str, dict[int, float]] = {}
    for row in sorted(rows, key=lambda row: (row.metric, row.image)):
        if row.value is not None and math.isfinite(row.value):
            name = f"{'image' if row.image else 'mean'}/{row.metric}"
            series.setdefault(name, {})[numbers.get(row.image, 0)] = row.value
    for name, values in list(series.items()):
        if name.startswith("image/"):
            metric = name.removeprefix("image/")
            series[f"mean/{metric}"] = {0: sum(values.values()) / len(values)}
            series[f"n/{metric}"] = {0: float(len(values))}
    return series


def _config(manifest: Manifest) -> dict[str, Any]:
    return {
        "method": manifest.title, "dataset": manifest.dataset.label, "seed": manifest.seed, "device": manifest.device,
        "identity": manifest.identity, **{f"option/{key}": value for key, value in manifest.options.items()},
    }  # fmt: skip


def _to_tensorboard(folder: Path, manifest: Manifest, series: dict[str, dict[int, float]]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):  # of this run, asked for again
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("run", "  \n".join(f"{key}: {value}" for key, value in _config(manifest).items()))
        for name, values in series.items():
            for step, value in values.items():
                writer.add_scalar(name, value, step)


def _to_wandb(folder: Path, manifest: Manifest, series: dict[str, dict[int, float]]) -> None:
    import wandb  # pyright: ignore[reportMissingImports]

    run = wandb.init(
        project="isrbench",
        name=manifest.run,
        id=manifest.run,
        resume="allow",
        config=_config(manifest),
        dir=str(folder),
    )
    images = {name: values for name, values in series.items() if name.startswith("image/")}
    # By a step of their own: W&B drops what a run that is asked for again says of steps that it has passed.
    run.define_metric("image/*", step_metric="image")
    for step in sorted({step for values in images.values() for step in values}):
        run.log({"image": step, **{name: values[step] for name, values in images.items() if step in values}})
    run.summary.update({name: values[0] for name, values in series.items() if name not in images})
    run.finish()
