"""Metrics that pyiqa computes, made safe for threads and silent; nothing is downloaded here."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from PIL import Image

from isrbench.harness.api.metric import ImageMetric, SetMetric
from isrbench.harness.determinism import exclusive, on_cpu, one_thread
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb, to_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_BUILDING = threading.Lock()

NIQE_PARAMETERS = Path(__file__).with_name("niqe_parameters.mat")
"""Mean and covariance of 36 features of pristine photographs; see :func:`niqe`."""


def image_metric(device: str, *, name: str, one_at_a_time: bool = False, **options: Any) -> ImageMetric:
    """Build pyiqa's metric ``name`` as a function of two 8-bit images.

    On the CPU every value is computed with one intra-op thread, so it does not depend on how many threads score.

    Args:
        device: Torch device string.
        name: pyiqa's name.
        one_at_a_time: The network keeps state between its layers and must not run twice at once.
        **options: Handed to ``pyiqa.create_metric``.
    """
    net = _create(name, device, options)
    lock = threading.Lock() if one_at_a_time else nullcontext()

    def value(
        restored: NDArray[np.uint8], reference: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None = None
    ) -> float:
        import torch

        images = [image for image in (restored, reference) if image is not None]
        with exclusive(device), lock, torch.no_grad(), _split_the_same(device):
            return float(net(*(to_tensor(image)[None].to(device) for image in images)))

    return value


def niqe(device: str, *, sha256: str) -> ImageMetric:
    """Build NIQE with the parameters that ship, :data:`NIQE_PARAMETERS`.

    They are the authors' (niqe_release.zip of LIVE, Texas), as BasicSR hands them on under Apache-2.0 in
    ``basicsr/metrics/niqe_pris_params.npz``, sha256 2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296;
    the numbers are unchanged.

    Args:
        device: Torch device string.
        sha256: Of the file that ships.

    Raises:
        UserError: If that file is another one.
    """
    parameters = NIQE_PARAMETERS
    if not parameters.is_file() or hashlib.sha256(parameters.read_bytes()).hexdigest() != sha256:
        raise UserError(f"{parameters} is absent or not the file that ships", "install isrbench again")
    return image_metric(device, name="niqe", pretrained_model_path=str(parameters))


def fid(device: str) -> SetMetric:
    """Build FID (clean-fid): pyiqa's Inception features of two lists of images, compared as two Gaussians."""
    net = _create("fid", device, {})
    options = {"num_workers": 0, "batch_size": 8, "test_img_size": net.test_img_size, "mode": "clean", "verbose": False}

    def value(restored: Sequence[Path], reference: Sequence[Path]) -> float:
        import torch
        from pyiqa.archs.fid_arch import get_folder_features

        if min(len(restored), len(reference)) < 2:
            raise UserError("FID needs at least two images on each side", "raise --limit or leave fid out")
        # pyiqa walks folders; links keep whatever else lies beside the images out of the sets.
        folder = tempfile.TemporaryDirectory(prefix="isrbench-fid-")
        with folder as root, exclusive(device), torch.no_grad(), _split_the_same(device):
            sides = [_linked(Path(root) / side, files) for side, files in (("sr", restored), ("hr", reference))]
            one, two = (
                get_folder_features(str(side), net.model, device=torch.device(device), **options) for side in sides
            )
            return frechet_distance(one, two)

    return value


def frechet_distance(one: NDArray[np.floating], two: NDArray[np.floating]) -> float:
    """Return the squared Frechet distance of Gaussians fitted to two sets of features (Heusel et al. 2017, eq. 6).

    With centred, scaled features A and B the covariances are A'A and B'B, and Tr (A'A B'B)^(1/2) is the sum of the
    singular values of AB'. That is exact where sets are smaller than the features are wide and the usual matrix root
    of a singular product is not, and it is a hundred times faster for 100 images.

    Args:
        one: Features (n, d), n >= 2.
        two: Features (m, d), m >= 2.
    """
    import torch

    # torch rather than NumPy, whose BLAS splits its sums over as many threads as it likes.
    with one_thread():
        x, y = (torch.from_numpy(side).double() for side in (one, two))
        a, b = ((side - side.mean(0)) / (len(side) - 1) ** 0.5 for side in (x, y))
        shift = x.mean(0) - y.mean(0)
        root = torch.linalg.svdvals(a @ b.T).sum()
        return float(shift @ shift + (a * a).sum() + (b * b).sum() - 2 * root)


def _split_the_same(device: str) -> AbstractContextManager[None]:
    """Use one thread on the CPU; an accelerator splits its sums in a fixed way."""
    return one_thread() if on_cpu(device) else nullcontext()


def _open(path: str) -> Image.Image:
    return Image.fromarray(read_rgb(Path(path)))


def _linked(folder: Path, files: Sequence[Path]) -> Path:
    folder.mkdir()
    for index, file in enumerate(files):
        # pyiqa lists by endings; what a file is, its content says.
        (folder / f"{index:06d}.png").symlink_to(file.resolve())
    return folder


def _create(name: str, device: str, options: dict[str, Any]) -> Any:
    """Build pyiqa's network without its wrapper, which is not safe for threads (it switches global flags).

    Raises:
        UserError: If the installed pyiqa has no such metric.
    """
    import torch

    with _BUILDING:
        from pyiqa import create_metric
        from pyiqa.archs import arch_util, fid_arch
        from pyiqa.default_model_configs import DEFAULT_CONFIGS
        from pyiqa.utils import download_util

        if name not in DEFAULT_CONFIGS:
            found = f"pyiqa {version('pyiqa')} has no metric '{name}'"
            raise UserError(found, f"pip install --upgrade pyiqa, or leave {name} out")
        for module in (arch_util, fid_arch, download_util):
            # pyiqa prints; standard output is ours (``--json``).
            vars(module)["print"] = log.debug
        # FID's own reader would open files of any format, and of Pillow's sizes only.
        bicubic = Image.Resampling.BICUBIC
        fid_arch.Image = SimpleNamespace(open=_open, fromarray=Image.fromarray, BICUBIC=bicubic)
        # One thread: LIQE computes its text features while it is built.
        with _without_pretraining(DEFAULT_CONFIGS[name]["metric_opts"]["type"]), _split_the_same(device):
            return create_metric(name, device=torch.device(device), **options).net


@contextmanager
def _without_pretraining(architecture: str) -> Iterator[None]:
    """Keep a network from downloading what its own checkpoint, loaded strictly, replaces at once.

    MANIQA would fetch 330 MB of a ViT, TReS 98 MB of a ResNet-50, LIQE and A-FINE 338 MB of CLIP ViT-B/32. LIQE
    computes its text features, instead of taking those that an earlier call left in pyiqa's folder, of other weights.
    """
    if architecture == "MANIQA":
        with _replaced("maniqa_arch", timm=SimpleNamespace(create_model=_untrained_vit)):
            yield
    elif architecture == "TReS":
        with _replaced("tres_arch", models=SimpleNamespace(resnet50=_untrained_resnet)):
            yield
    elif architecture == "LIQE":
        with (
            tempfile.TemporaryDirectory(prefix="isrbench-liqe-") as folder,
            _replaced("liqe_arch", load=_untrained_clip, DEFAULT_CACHE_DIR=folder, print=log.debug),
        ):
            yield
    elif architecture == "AFINE":
        with _replaced("afine_arch", load=_untrained_afine_clip):
            yield
    else:
        yield


@contextmanager
def _replaced(module: str, **stand_ins: Any) -> Iterator[None]:
    """Put stand-ins in the place of names in one of pyiqa's modules, while a network is built."""
    names = vars(import_module(f"pyiqa.archs.{module}"))
    kept = {name: names[name] for name in stand_ins if name in names}
    names.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del names[name]
        names.update(kept)


def _untrained_vit(name: str, pretrained: bool = False, **options: Any) -> Any:
    import timm

    return timm.create_model(name, pretrained=False, **options)


def _untrained_resnet(weights: str) -> Any:
    from torchvision.models import resnet50

    return resnet50(weights=None)


VIT_B_32 = (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)
"""CLIP ViT-B/32: width of the embedding, image side, layers, width, patch; length, vocabulary, width, heads, layers of
the text encoder (Radford et al. 2021, table 20)."""


def _untrained_clip(name: str, device: str) -> Any:
    from pyiqa.archs.clip_model import CLIP

    return CLIP(*VIT_B_32).eval()


def _untrained_afine_clip(name: str, device: str, jit: bool) -> Any:
    from pyiqa.archs.afineclip_model import AFINECLIP

    return AFINECLIP(*VIT_B_32).eval(), None
