"""A run's means and scores for TensorBoard or Weights & Biases, as a training's are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.records import ScoreStatus
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


def track(store: Store, run: str, names: Sequence[str]) -> None:
    """Hand a stored run on: the mean of each metric as ``mean/METRIC``, each image's as ``image/METRIC``.

    A mean is over the images that have a finite value, of which there are ``n/METRIC``; images are numbered in the
    order of their ids.

    Args:
        store: Where it is.
        run: Its id.
        names: Of TRACKERS. TensorBoard's files go to ``tensorboard/RUN`` in the runs folder.
    """
    if not names:
        return
    manifest, series = store.manifest(run), _series(store, run)
    for name in names:
        if name == "tensorboard":
            _to_tensorboard(store.folder / "tensorboard" / run, manifest, series)
        else:
            _to_wandb(store.folder, manifest, series)


def _series(store: Store, run: str) -> dict[str, list[float]]:
    """The values of each metric, image by image; a metric of the whole set has one, under ``mean/``."""
    series: dict[str, list[float]] = {}
    for row in sorted(store.scores(run), key=lambda row: (row.metric, row.image)):
        if row.status is ScoreStatus.OK and row.value is not None and abs(row.value) != float("inf"):
            series.setdefault(f"{'image' if row.image else 'mean'}/{row.metric}", []).append(row.value)
    for name, values in list(series.items()):
        if name.startswith("image/"):
            metric = name.removeprefix("image/")
            series[f"mean/{metric}"], series[f"n/{metric}"] = [sum(values) / len(values)], [float(len(values))]
    return series


def _config(manifest: Manifest) -> dict[str, Any]:
    return {
        "method": manifest.title, "dataset": manifest.dataset.label, "seed": manifest.seed, "device": manifest.device,
        "identity": manifest.identity, **{f"option/{key}": value for key, value in manifest.options.items()},
    }  # fmt: skip


def _to_tensorboard(folder: Path, manifest: Manifest, series: dict[str, list[float]]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):  # of this run, asked for again
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("run", "  \n".join(f"{key}: {value}" for key, value in _config(manifest).items()))
        for name, values in series.items():
            for step, value in enumerate(values):
                writer.add_scalar(name, value, step)


def _to_wandb(folder: Path, manifest: Manifest, series: dict[str, list[float]]) -> None:
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
    for step in range(max(map(len, images.values()), default=0)):
        run.log({name: values[step] for name, values in images.items() if step < len(values)}, step=step)
    run.summary.update({name: values[0] for name, values in series.items() if name not in images})
    run.finish()
