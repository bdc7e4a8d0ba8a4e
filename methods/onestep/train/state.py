"""What a run needs to continue bit-exactly, written so that the last good state survives anything."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import check_file, is_full, replacing, takes_nothing

ADAPTER = "adapter.safetensors"
"""The result, in the run's folder."""
WITHOUT_IT = "remove it; --resume then takes the one before"
"""How to get on without a state that is damaged."""
PARTS = (
    "config", "step", "adapter", "regulariser", "discriminator", "optimizers", "mean", "tally", "loss_scale",
)  # fmt: skip
"""What every state holds."""
BEST = "best.safetensors"
"""The adapter of the best validation, beside the last one."""
_BROKEN = {errno.EIO, errno.ESTALE, errno.EFBIG}
_NAME = re.compile(r"state-(\d+)\.pt")


def save_state(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write ``state-STEP.pt`` in one go, then remove all but the newest ``keep``.

    Args:
        folder: Where states live, made where it is missing.
        step: Steps done.
        state: Tensors and plain values only.
        keep: How many states stay.

    Raises:
        OSError: If the disk is full or the folder cannot be written; no state is lost then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob(".state-*.part"):  # of a process that was killed while it wrote
        part.unlink()
    path = folder / f"state-{step}.pt"
    with replacing(path) as partial, partial.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # its writer breaks off as well, and speaks of positions in the file
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
    for old in _states(folder)[:-keep]:
        old.unlink()
    return path


def last_state(folder: Path) -> Path | None:
    """Return the newest state in ``folder``, or None."""
    states = _states(folder) if folder.is_dir() else []
    return states[-1] if states else None


def state_to_resume(states: Path, adapter: Path, resume: bool) -> Path | None:
    """Return the state that a run continues from, None for one that begins; look before anything is loaded.

    Args:
        states: Where the run's states live, in the folder that ``--out`` names.
        adapter: The run's result, in the same folder.
        resume: Whether a run that is there already shall go on.

    Raises:
        UserError: If the folder holds a run that would be overwritten, none that could go on, or cannot be a folder.
    """
    out, last = states.parent, last_state(states)
    place = next((place for place in (out, *out.absolute().parents) if place.exists()), out)
    if not place.is_dir():
        raise UserError(f"--out {out}: {place} is a file, but has to be a folder", "pass another --out")
    if not os.access(place, os.W_OK):
        raise UserError(f"--out {out}: {place} cannot be written", "pass another --out")
    if resume and not last:
        fix = "check --out" if adapter.exists() else "check --out, or leave out --resume"
        raise UserError(f"{out} holds no state to resume from", fix)
    if resume:
        return last
    if last:
        raise UserError(f"{out} holds a run already ({last.name})", "pass --resume, or another --out")
    for result in (adapter, adapter.with_name(BEST)):
        if result.exists():
            raise UserError(
                f"{out} holds a run already ({result.name}, no states)",
                f"pass another --out, or move {result.name} away",
            )
    return None


@contextmanager
def disk_errors_are_clear(out: Path) -> Iterator[None]:
    """Say in one message what a disk that is full, read-only or broken means for a run: its last good state stays.

    Args:
        out: The run's folder.

    Raises:
        UserError: In place of such an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if not takes_nothing(error) and error.errno not in _BROKEN:
            raise
        last = last_state(out / "states")
        again = "the same command again" + (" with --resume" if last else "")
        if not last and (out / ADAPTER).exists():
            again = f"remove {out / ADAPTER}, and {again}"
        raise UserError(
            f"{error.filename or out} cannot be written: {error.strerror}. The last good state of the "
            f"training is {last or 'none'}",
            f"{'make room' if is_full(error) else 'let it be written'}, then {again}",
        ) from error


def load_state(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Read a state and check that it belongs to this run.

    Args:
        path: A file that :func:`save_state` wrote; read with ``weights_only=True``.
        config: The run's config as plain values; compared with the stored one but for what is only looked at, and for
            places.

    Raises:
        UserError: If the file is damaged or lacks a part, or the configs differ; names the first difference.
    """
    check_file(path, WITHOUT_IT)
    with foreign(f"{path} cannot be read", WITHOUT_IT):
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not (isinstance(state, dict) and isinstance(state.get("config"), dict)):
            raise ValueError("it holds no state of a training")
    if "global_batch" not in state["config"]:
        raise UserError(
            f"{path} was written by an earlier release, which trained by other rules: the load was balanced in each "
            "micro-batch for itself, and the discriminator learnt before losses.gan_start",
            "begin anew with another --out",
        )
    ours, theirs = _flat(config), _flat(state["config"])
    # A validation is only looked at, unless it chooses the best adapter.
    chosen = _CHOOSING if ours.get("validation.best") or theirs.get("validation.best") else frozenset()
    for key in sorted(set(ours) | set(theirs)):
        looked = key.startswith("validation.") and key not in chosen
        if key in _FREE or looked or ours.get(key) == theirs.get(key):
            continue
        if key in _HASHED:
            raise UserError(f"{path} was trained {_HASHED[key]}", "put them back, or pass another --out")
        raise UserError(
            f"{path} belongs to another run: {key} was {theirs.get(key)!r}, now {ours.get(key)!r}",
            "resume with the options it began with, or pass another --out",
        )
    if absent := [part for part in PARTS if part not in state]:
        raise UserError(f"{path} is damaged: it has no {', '.join(absent)}", WITHOUT_IT)
    if type(state["step"]) is not int:
        raise UserError(f"{path} is damaged: step is of type {type(state['step']).__name__}", WITHOUT_IT)
    return state


_FREE = {
    "out", "save_every", "keep", "log_every", "trackers", "half", "data.workers", "data.folders", "data.prompts",
    "processes", "batch", "optim.max_skipped", "severity_note",
}  # fmt: skip
"""What may change on the way; folders and prompts may move, for photos are compared by name and by prompt, and a step
may be split another way, for its images stay the same ones. Not among them: threads and device, which decide the last
bits, and the colour fix, with which one file of curves would hold two kinds of values."""


_HASHED = {
    "photos": "on other photos: what --data names was added, removed or renamed",
    "prompts": "with other prompts: lines of data.prompts were changed",
}
"""What :func:`isrbench.methods.onestep.train.data.check_photos` hashes, and what another hash says."""

_CHOOSING = frozenset(f"validation.{name}" for name in ("best", "dataset", "images", "crop", "levels"))
"""What values of two validations have to share before one of them is the better."""


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _states(folder: Path) -> list[Path]:
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]
