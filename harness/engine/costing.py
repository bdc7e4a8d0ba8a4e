"""What restoring one image costs with a method, as a run keeps it."""

from __future__ import annotations

import logging
from functools import partial

from isrbench.harness.api.containment import contained
from isrbench.harness.api.method import Cost, Method, Untimed
from isrbench.harness.api.records import RunCost
from isrbench.harness.api.speed import Compiles
from isrbench.harness.api.steps import steps
from isrbench.harness.engine.timing import LIMIT_SECONDS, time_restore
from isrbench.harness.errors import UserError

log = logging.getLogger(__name__)


def run_cost(method: Method, height: int, width: int, device: str) -> RunCost:
    """Count and time ``method`` at one LR size.

    Time and memory are None for a method that asks not to be timed (``Untimed``: ``folder``, ``command``) or that
    cannot restore a made-up image; MACs and parameters for one whose work the counter does not see.

    Raises:
        UserError: If nothing can be said.
        TypeError: If ``cost`` returns something else than a ``Cost``.
        PluginExit: If the method's code tries to end the process; else whatever it raises.
    """
    with contained():
        return _run_cost(method, height, width, device)


def _run_cost(method: Method, height: int, width: int, device: str) -> RunCost:
    # Memory first: counting may itself leave memory with the process.
    measured = None
    if isinstance(method, Untimed):
        log.info("not timed: %s", method.untimed)
    else:
        try:
            cold = isinstance(method, Compiles) and method.compiles
            if cold:
                steps.info("compiling for LR images of %dx%d...", height, width)
            steps.info("timing one LR image of %dx%d: at most %g s, or one call", height, width, LIMIT_SECONDS)
            call = partial(method.restore, image="complexity", seed=0)
            measured = time_restore(call, height, width, device, cold=cold)
        except UserError as error:
            log.info("not timed, because the method cannot restore a made-up image: %s", error.message)
    steps.info("counting its multiply-accumulates...")
    try:
        counted = method.cost(height, width)
        if not isinstance(counted, Cost):
            raise TypeError(f"cost must return a Cost, not {type(counted).__name__}")
        # Made anew: a subclass need not have made its numbers plain.
        counted = Cost(counted.macs, counted.params_total, counted.params_trainable, counted.params_active)
    except UserError as error:
        if measured is None:
            raise
        log.warning("not counted: %s", error.message)
        counted = Cost(macs=None, params_total=None)
    return RunCost(
        macs=counted.macs,
        flops=counted.flops,
        params_total=counted.params_total,
        params_trainable=counted.params_trainable,
        params_active=counted.params_active,
        latency_ms=measured.latency_ms if measured else None,
        latency_runs=measured.runs if measured else None,
        latency_spread=measured.spread if measured else None,
        load=measured.load if measured else None,
        peak_mib=measured.peak_mib if measured else None,
        complexity_size=f"{height}x{width}",
    )
