"""The severity estimator: named by a spec, identified without loading it, loaded once a process. Torch-free to import.

:mod:`isrbench.harness.severity.clip` holds the networks, which take torch and open_clip;
:mod:`isrbench.harness.severity.fft` what needs no weights.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.determinism import exclusive, one_thread
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.identity import code_hash, import_closure
from isrbench.harness.severity.spec import FFT, MAX_CROPS, folder_of, read_curves, read_prompts

if TYPE_CHECKING:
    from torch import Tensor

    from isrbench.harness.severity.clip import ClipSeverity
    from isrbench.harness.severity.fft import FftSeverity

_CLIP_CODE, _CLIP_RELEASES = "isrbench.harness.severity.clip", ("torch", "open_clip_torch")
_FFT_CODE, _FFT_RELEASES = "isrbench.harness.severity.fft", ("torch",)
_FEATURES_CODE = "isrbench.harness.severity.spectrum"
_REMEMBERED = 64
"""Images whose severity is kept: a router asks for it first, the image's row shortly after."""


class Estimator:
    """A severity estimator; safe to call from threads. Get it by :func:`get_estimator`.

    Args:
        spec: ``tiny`` (a CLIP that ships), ``fft`` (no weights), a folder in open_clip's local-dir layout,
            ``MODEL/PRETRAINED`` with a tag that open_clip knows (``ViT-L-14/openai``), or ``MODEL/FILE`` with a weight
            file.
        device: Torch device string; ``fft`` computes on the CPU always.
        logit_scale: Temperature of a CLIP's softmax; None = the model's own, 1 = the paper's literal formula.

    Raises:
        UserError: If ``fft`` is given a logit_scale.
    """

    def __init__(self, spec: str, device: str = "cpu", logit_scale: float | None = None) -> None:
        if spec == FFT and logit_scale is not None:
            raise UserError(
                f"logit_scale is {logit_scale}, but the severity estimator 'fft' has no softmax",
                "leave logit_scale out, or use a CLIP, such as tiny",
            )
        self.spec, self.device, self.logit_scale = spec, "cpu" if spec == FFT else device, logit_scale
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Tensor] = OrderedDict()

    def check(self) -> None:
        """Check that the spec means something; loads nothing for ``tiny``, ``fft`` and folders.

        Raises:
            UserError: If there is no such model or tag.
        """
        if self.spec != FFT and not folder_of(self.spec).is_dir():
            from isrbench.harness.severity.weights import check_spec

            check_spec(self.spec)

    @cached_property
    def id(self) -> str:
        """Return the sha256 of the weight files (for open_clip's own, the tag), prompts and settings.

        Of ``fft``, that of its constants and the code of its features, which take the place of weights.
        """
        if self.spec == FFT:
            parts = [asdict(read_curves()), code_hash([_FFT_CODE, _FEATURES_CODE])]
            return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        folder = folder_of(self.spec)
        named = "" if folder.is_dir() else self.spec
        files = sorted(p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
        name, _, weights = self.spec.partition("/")
        if not files and Path(weights).is_file():
            named, files = name, [Path(weights)]
        digest = hashlib.sha256(json.dumps([named, read_prompts(), self.logit_scale, MAX_CROPS]).encode())
        for path in files:
            # What tells how the weights were trained decides nothing.
            if path.name != "training.json":
                digest.update(f"{path.name}\n{file_hash(path)}\n".encode())
        return digest.hexdigest()

    @cached_property
    def version(self) -> str:
        """Return a hash of the id, the code and the libraries that compute a severity: what a stored one depends on."""
        module, releases = (_FFT_CODE, _FFT_RELEASES) if self.spec == FFT else (_CLIP_CODE, _CLIP_RELEASES)
        code = code_hash(import_closure(module), releases)
        return hashlib.sha256(f"{self.id} {code}".encode()).hexdigest()

    def load(self) -> ClipSeverity | FftSeverity:
        """Return the network, loaded once.

        Raises:
            UserError: If it does not load or cannot be fetched.
        """
        with self._lock:
            return self._network

    @cached_property
    def _network(self) -> ClipSeverity | FftSeverity:
        if self.spec == FFT:
            from isrbench.harness.severity.fft import FftSeverity

            return FftSeverity(read_curves())
        from isrbench.harness.severity.clip import load_severity

        return load_severity(self.spec, self.device, self.logit_scale)

    def estimate(self, lr: Tensor) -> Tensor:
        """Estimate the severity vector of each image; the mean over the seven is its scalar severity.

        Recent images are remembered: who asks second gets the same numbers without another computation.

        Args:
            lr: float (B, 3, H, W) in [0, 1], RGB, at the LR's own size.

        Returns:
            float32 (B, 7) in [0, 1] on ``lr``'s device, in the order of ``DIMENSIONS``. Bit-identical whatever else is
            in the batch and however many threads there are.

        Raises:
            ValueError: If ``lr`` is of another shape.
            UserError: If the network does not load.
        """
        import torch

        if lr.ndim != 4 or lr.shape[1] != 3 or 0 in lr.shape:
            raise ValueError(f"expected images (B, 3, H, W), not {tuple(lr.shape)}")
        return torch.stack([self._of_one(image) for image in lr.detach().float()]).to(lr.device)

    def _of_one(self, image: Tensor) -> Tensor:
        pixels = image.cpu().contiguous()
        key = hashlib.sha256(f"{tuple(pixels.shape)}".encode() + pixels.numpy().tobytes()).digest()
        with self._lock:
            found = self._known.get(key)
            if found is None:
                network = self._network
        if found is None:
            with exclusive(self.device), one_thread():
                found = network.estimate(pixels).cpu()
            with self._lock:
                self._known[key] = found
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return found


@cache
def _instance(spec: str, device: str, logit_scale: float | None) -> Estimator:
    return Estimator(spec, device, logit_scale)


def get_estimator(spec: str = "tiny", device: str = "cpu", logit_scale: float | None = None) -> Estimator:
    """Return the process's estimator for ``spec``: the router and the harness share one.

    Args:
        spec: See :class:`Estimator`.
        device: Torch device string.
        logit_scale: See :class:`Estimator`.

    Raises:
        UserError: See :class:`Estimator`.
    """
    folder = folder_of(spec)
    place = str(folder.resolve()) if folder.is_dir() and spec not in ("tiny", FFT) else spec
    return _instance(place, device, None if logit_scale is None else float(logit_scale))
