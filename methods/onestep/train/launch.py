"""Start a training on all GPUs of this machine: one process for each, which accelerate then makes a group.

Not by ``accelerate launch``: it answers a mistake of the user with a traceback of its own and exit code 1. Inside a
group that it (or torchrun, or MPI) started, nothing is started again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from isrbench.harness.api.registry import metrics, unknown_name
from isrbench.harness.api.steps import steps
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.sets import expand
from isrbench.harness.processes import told_to_end
from isrbench.methods.onestep.train.config import TrainConfig, parse_config
from isrbench.methods.onestep.train.dataset import find_dataset
from isrbench.methods.onestep.train.photos import check_sources
from isrbench.methods.onestep.train.split import split

if TYPE_CHECKING:
    from isrbench.methods.onestep.adapter import AdapterSpec

_GROUPS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "ACCELERATE_MIXED_PRECISION")
"""What torchrun, MPI and ``accelerate launch`` tell the processes that they start; the last also a single one."""
_CHILD = """import json, runpy, sys
parent, sys.path[:] = json.loads(sys.argv.pop(1))
from isrbench.harness.processes import end_with_parent
end_with_parent(parent)
runpy.run_module("isrbench", run_name="__main__")"""
"""The command, with the parent's path: ``python -m`` would put the current folder first."""
_MISTAKE = 2
"""The exit code of a ``UserError``."""


def train(
    method: str, argv: Sequence[str], spec: Callable[[], AdapterSpec], fields: Collection[str] | None = None
) -> int:
    """Train as a command line says, in this process or in one for each GPU.

    ``--help``, mistakes in the options, absent folders and data sets, and unfit lists of photos are answered before
    torch is imported.

    Args:
        method: The method's id.
        argv: See :func:`isrbench.methods.onestep.train.config.parse_config`.
        spec: Imports the method's adapter.
        fields: Names of the fields of the adapter's config, to check before it is imported; None = then.

    Returns:
        The exit code.

    Raises:
        UserError: As :func:`isrbench.methods.onestep.train.run.train`; or if a folder or a file is absent, there are
            fewer GPUs than processes asked for, the processes cannot share a step evenly, or one is killed.
    """
    config, _ = parse_config(method, argv)
    _check_names(method, config, fields)
    check_sources(config.data)
    if config.validation.dataset:
        find_dataset(config.validation)
    steps.info("loading torch and base %s...", config.base)
    count = processes_to_start(config, os.environ)
    if count == 1:
        from isrbench.methods.onestep.train import run

        return run.train(argv, spec())
    split(config.global_batch, config.batch, count)
    given = json.dumps([os.getpid(), sys.path])
    return run_together([sys.executable, "-c", _CHILD, given, "train", "--method", method, *argv], count)


def _check_names(method: str, config: TrainConfig, fields: Collection[str] | None) -> None:
    """Refuse names that nobody knows: fields of the adapter, metrics of the validation."""
    unknown = [] if fields is None else [name for name in config.adapter if name not in fields]
    if unknown:
        said = unknown_name("adapter field", unknown[0], sorted(fields or ()))
        raise UserError(said, f"isrbench train --method {method} --help")
    for id in expand(config.validation.metrics):
        metrics().get(id)


def processes_to_start(config: TrainConfig, environment: Mapping[str, str]) -> int:
    """Return how many processes a training takes: ``processes``, or one for each visible GPU; 1 = this one.

    Args:
        config: The run.
        environment: Says whether this process belongs to a group already.

    Raises:
        UserError: If fewer GPUs are visible than processes were asked for.
    """
    if any(name in environment for name in _GROUPS):
        return 1
    if config.device == "cpu":
        return config.processes or 1
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < gpus < config.processes:
        raise UserError(
            f"{config.processes} processes need as many GPUs, and {gpus} can be seen",
            f"--processes {gpus}, or check CUDA_VISIBLE_DEVICES",
        )
    return config.processes or max(1, gpus)


def run_together(command: Sequence[str], count: int, grace: float = 5.0) -> int:
    """Run a program in several processes that form a group, and wait for them; when one fails, the others are ended.

    What the first says is shown; of the others, what the one that failed had said.

    Args:
        command: The program and its arguments; the environment says which process each is.
        count: How many processes.
        grace: Seconds that processes have to end by themselves once one has failed: often all say the same.

    Returns:
        The exit code: 0, or that of the process that failed.

    Raises:
        UserError: If a process is killed.
    """
    shared = _group_environment(count)
    processes: list[subprocess.Popen[bytes]] = []
    with TemporaryDirectory() as folder, told_to_end(), _ended(processes, grace):
        for rank in range(count):
            environment = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            with Path(folder, str(rank)).open("wb") as file:
                said = file if rank else None
                processes.append(subprocess.Popen(command, env=environment, stdout=said, stderr=said))
        rank, code = _wait(processes, grace)
        sys.stderr.write(Path(folder, str(rank)).read_text(encoding="utf-8", errors="replace") if code else "")
    if code < 0:
        raise UserError(
            f"process {rank} of the training was ended by {signal.Signals(-code).name}",
            "if memory ran out, lower batch or data.workers; --resume goes on from the last state",
        )
    return code


def _group_environment(count: int) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    threads = str(max(1, (os.cpu_count() or 1) // count))
    return {"OMP_NUM_THREADS": threads} | dict(os.environ) | group | {"MASTER_PORT": str(port)}


def _wait(processes: Sequence[subprocess.Popen[bytes]], grace: float) -> tuple[int, int]:
    """Wait until all have ended, or one has failed; returns the rank and exit code that count.

    That is the first that failed, but rather one with a mistake to tell of: the others then lose their connection.
    """
    failed: dict[int, int] = {}
    deadline = float("inf")
    while True:
        codes = [process.poll() for process in processes]
        failed |= {rank: code for rank, code in enumerate(codes) if code and rank not in failed}
        if None not in codes or 0 in failed or time.monotonic() > deadline:
            mistakes = [(rank, code) for rank, code in sorted(failed.items()) if code == _MISTAKE]
            return next(iter([*mistakes, *failed.items()]), (0, 0))
        if failed:
            deadline = min(deadline, time.monotonic() + grace)
        time.sleep(0.1)


@contextmanager
def _ended(processes: list[subprocess.Popen[bytes]], grace: float) -> Iterator[None]:
    """End the processes that are still running when the block is left."""
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
