"""A method that does what a test tells it to, and runs of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, Restored, RoutingTrace, Runtime
from isrbench.harness.api.registry import Registry
from isrbench.harness.engine.execution import Outcome, execute
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.store.store import Store


@dataclass(frozen=True)
class Options:
    """How the method under test misbehaves."""

    fault: str = "none"
    on: str = "b"


CALLS: list[str] = []


class Nearest:
    """Repeats pixels, adds seeded noise, and fails where it is told to."""

    weights_hash = ""

    def __init__(self, options: Options, runtime: Runtime) -> None:
        self.options, self.scale = options, runtime.scale

    def restore(self, lr: torch.Tensor, *, image: str, seed: int) -> Restored:
        CALLS.append(image)
        noise = torch.rand(lr.shape, generator=torch.Generator().manual_seed(seed)) * 0.1
        large = (lr + noise).repeat_interleave(self.scale, 1).repeat_interleave(self.scale, 2)
        if image == self.options.on:
            if self.options.fault == "raise":
                raise RuntimeError("the method broke")
            if self.options.fault == "nan":
                large[0, 0, 0] = float("nan")
            if self.options.fault == "shape":
                large = large[:, 1:]
            if self.options.fault == "grey levels":
                large = large * 255
            if self.options.fault == "trace":
                return Restored(large.clamp(0, 1), RoutingTrace((), (), ()))
            if self.options.fault == "overshoot":
                return Restored(large.clamp(0, 1) * 1.0009)
            if self.options.fault == "type":
                return large  # type: ignore[return-value]
        if self.options.fault == "grey levels" and image == self.options.on:
            return Restored(large)
        return Restored(large.clamp(0, 1), RoutingTrace(("l0", "l1"), (8, 10), (4, 2), macs=12, params=7))

    def cost(self, height: int, width: int) -> Cost:
        return Cost(macs=0, params_total=0)

    def input_hash(self, image: str) -> str:
        return ""


PLUGIN = MethodPlugin(
    info=MethodInfo(id="nearest", title="Nearest", summary="For tests.", license="Apache-2.0", routes=True),
    options=Options,
    build="tests.support.nearest:Nearest",  # named, so that its identity is this module and not all of tests
)


@pytest.fixture
def methods() -> Registry[MethodPlugin]:
    registry = Registry("method", MethodPlugin)
    registry.register("nearest", "tests.support.nearest:PLUGIN")
    return registry


@pytest.fixture
def request_(pairs_folder: Path, tmp_path: Path) -> Request:
    return Request(
        method="nearest", dataset=str(pairs_folder), metrics=("psnr", "gmsd"), runs_dir=tmp_path / "runs",
        estimator="none", complexity=False, device="cpu",
    )  # fmt: skip


def run(request: Request, methods: Registry[MethodPlugin]) -> tuple[str, Store, Outcome]:
    """Carry out ``request``: (run id, store, outcome); ``CALLS`` then lists the images that were restored."""
    CALLS.clear()
    store = Store(request.runs_dir)
    outcome = execute(make_plan(request, methods), store)
    return outcome.run, store, outcome


def table(store: Store, run_id: str) -> tuple[list, list, list]:
    images = [{k: v for k, v in r.items() if k != "seconds"} for r in store.rows("images", [run_id])]
    return images, store.rows("scores", [run_id]), store.rows("routing", [run_id])
