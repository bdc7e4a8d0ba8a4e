"""What a training needs that does not ship, by its config. Torch-free to import."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.harness.api.download import Download, TrainingNeeds
from isrbench.harness.api.registry import metrics
from isrbench.harness.data.catalogue import catalogue
from isrbench.harness.metrics.learned import LPIPS_VGG
from isrbench.harness.metrics.sets import expand
from isrbench.harness.metrics.weights import as_download as weight_files
from isrbench.harness.metrics.weights import fetch_command
from isrbench.harness.severity.weights import as_download as estimator_weights
from isrbench.harness.severity.weights import ships
from isrbench.methods.onestep.base.hub import as_download as base_files
from isrbench.methods.onestep.options import SHIPPED
from isrbench.methods.onestep.train.config import TrainConfig, parse_config

LPIPS_FILES = LPIPS_VGG.weights
"""What the loss LPIPS with VGG needs."""
PHOTOS = (
    "--data: the paper trains on LSDIR, 84,991 photos, from https://ofsoundof.github.io/lsdir-data/ "
    "(for academic research only; the photos belong to their owners)",
    "--data: and on 10,000 photos of FFHQ at 1024 px, from https://github.com/NVlabs/ffhq-dataset "
    "(CC BY-NC-SA 4.0; the photos under their own Creative Commons or public-domain licenses)",
)
"""What the paper's run is trained on; neither may be handed on freely, so neither is fetched."""
_ANY_PHOTOS = "--data: any folder of photos; the base that ships was trained on BSDS500"


def training_needs(method: str, argv: Sequence[str], *, routes: bool) -> TrainingNeeds:
    """Return what a training with a command line needs: base, severity estimator, weights of losses and of metrics.

    Args:
        method: The method's id.
        argv: See :func:`isrbench.methods.onestep.train.config.parse_config`; data need not be named.
        routes: Whether the method asks for severities.

    Raises:
        UserError: If the options do not fit, or the base or the estimator is none.
    """
    config, _ = parse_config(method, argv, data=False)
    downloads: list[Download] = []
    if config.base not in SHIPPED:
        downloads.append(base_files(config.base))
    if routes and not ships(config.estimator):
        downloads.append(estimator_weights(config.estimator))
    if config.losses.perceptual > 0 and config.losses.perceptual_kind == "lpips":
        downloads.append(weight_files("loss LPIPS (VGG)", LPIPS_FILES, "isrbench fetch training --preset sd21"))
    return TrainingNeeds((*downloads, *_metrics(config)), (*_data(config), *_pairs(config)))


def _metrics(config: TrainConfig) -> list[Download]:
    """Return the weights of the validation's metrics."""
    wanted = [metrics().get(id) for id in expand(config.validation.metrics)]
    return [
        weight_files(f"validation metric {metric.id}", metric.weights, fetch_command([metric.id]))
        for metric in wanted
        if metric.weights
    ]


def _pairs(config: TrainConfig) -> tuple[str, ...]:
    name = config.validation.dataset
    return (f"validation.dataset: isrbench fetch datasets --dataset {name}",) if name in catalogue() else ()


def _data(config: TrainConfig) -> tuple[str, ...]:
    if config.data.folders or config.data.hub:
        return ()
    return (_ANY_PHOTOS,) if config.base in SHIPPED else PHOTOS
