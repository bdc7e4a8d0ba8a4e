"""The network that scores an LR's blur and noise, which is all that routes S3Diff.

Source: Mou et al., "Metric Learning based Interactive Modulation for Real-World Super-Resolution" (MM-RealSR, 2022),
whose network and weights S3Diff takes over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.methods.onestep.authors import load_pickle

SCORED = tuple(DIMENSIONS.index(name) for name in ("blur", "noise"))
"""Which of the dimensions S3Diff reads, in the order of its scores."""
_FIX = "pass assets/mm-realsr/de_net.pth of github.com/ArcticHare105/S3Diff"


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x).relu())


def _body() -> nn.Sequential:
    fine = [_Residual(64) for _ in range(6)]
    return nn.Sequential(*fine, nn.Conv2d(64, 128, 3, stride=2, padding=1), _Residual(128), _Residual(128))


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(128, 512), nn.ReLU(), nn.Linear(512, 1), nn.Sigmoid())


class DegradationNet(nn.Module):
    """A residual network without normalisation for each score, averaged over the image; names as its authors'."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_first = nn.ModuleList(nn.Conv2d(3, 64, 3, padding=1) for _ in SCORED)
        self.body = nn.ModuleList(_body() for _ in SCORED)
        self.fc_degree = nn.ModuleList(_head() for _ in SCORED)

    def forward(self, lr: Tensor) -> Tensor:
        """Score LRs (B, 3, H, W) in [0, 1]: (B, 2) in [0, 1], blur and noise, higher = worse."""
        scores = [
            head(body(first(lr)).mean((2, 3)))
            for first, body, head in zip(self.conv_first, self.body, self.fc_degree, strict=True)
        ]
        return torch.cat(scores, dim=1)


@dataclass
class DegradationScores:
    """The network as a severity estimator; see :class:`isrbench.methods.onestep.infer.trained.SeverityEstimator`."""

    network: nn.Module
    id: str
    """sha256 of its file."""

    @classmethod
    def load(cls, path: Path, device: str) -> DegradationScores:
        """Read the authors' ``de_net.pth``: tensors by name, all of them used.

        Raises:
            UserError: If it is missing, damaged, holds code, or is of another network; names the first that differs.
        """
        if not path.is_file():
            raise UserError(f"the degradation network {path} does not exist", _FIX)
        state, network = load_pickle(path, _FIX), DegradationNet()
        expected = network.state_dict()
        for name in sorted(expected.keys() ^ state.keys(), key=str):
            raise UserError(f"{path} {'lacks' if name in expected else 'has an unknown entry'} {name!r}", _FIX)
        for name, tensor in expected.items():
            found = state[name]
            if not isinstance(found, Tensor) or found.shape != tensor.shape or not found.is_floating_point():
                shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise UserError(f"{path} has as {name!r} {shape}, not numbers {tuple(tensor.shape)}", _FIX)
        network.load_state_dict(state)
        return cls(network.float().eval().requires_grad_(False).to(device), file_hash(path))

    @torch.no_grad()
    def estimate(self, lr: Tensor) -> Tensor:
        """Score LRs.

        Args:
            lr: float (B, 3, H, W) in [0, 1].

        Returns:
            float32 (B, 7) on the CPU, in the order of DIMENSIONS: blur and noise; 0 in the five that it does not score.
        """
        device = next(self.network.parameters()).device
        severity = torch.zeros(len(lr), len(DIMENSIONS))
        severity[:, list(SCORED)] = self.network(lr.to(device).float()).cpu()
        return severity
