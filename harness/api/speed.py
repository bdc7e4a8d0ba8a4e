"""Networks made faster at the price of another rounding: weights laid out channels last, code that torch compiles.

Torch-free until something is compiled.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from torch import nn

CHANNELS_LAST = {"help": "lay the weights out channels last: another rounding, faster on tensor cores and some CPUs"}
"""Metadata of the option ``channels_last``."""
COMPILE = {
    "help": "have torch compile the networks, once for each size of image: another rounding, and minutes before the "
    "first image; for many images of few sizes"
}
"""Metadata of the option ``compile``."""

SIZES = 64
"""Sizes that a network is compiled for; at the next one, compiling is no help and is refused."""


@runtime_checkable
class Compiles(Protocol):
    """A method whose first call at a size may hold seconds or minutes of compiling, which are no time of an image."""

    @property
    def compiles(self) -> bool:
        """Return whether it does, with these options."""
        ...


def check_compiler(device: str) -> None:
    """Refuse to compile where torch could not.

    Args:
        device: Torch device string.

    Raises:
        UserError: If there is no C++ compiler or no ``Python.h`` (CPU), or no Triton (elsewhere).
    """
    fix = "or leave out compile"
    if device.partition(":")[0] != "cpu":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise UserError(f"compile wants Triton on {device}, which is not usable", f"pip install triton, {fix}")
        return
    compiler = os.environ.get("CXX", "g++")
    if not shutil.which(compiler):
        raise UserError(f"compile wants a C++ compiler, and there is no {compiler}", f"install it (apt: g++), {fix}")
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        raise UserError(
            f"compile wants Python's headers, and {headers} has no Python.h", f"install them (apt: python3-dev), {fix}"
        )


def compile_networks(device: str, *networks: nn.Module) -> None:
    """Have torch compile networks in place, at their first call with each size.

    Each size has code of its own (``dynamic=False``): code for all sizes follows the first one that it meets, and an
    image's last bits would depend on the images before it. On a GPU no kernel is chosen by trial, for the same reason.

    Args:
        device: Torch device string that they are on.
        networks: To be called inside of :func:`compiled`.

    Raises:
        UserError: As :func:`check_compiler`.
    """
    check_compiler(device)
    for network in networks:
        network.compile(dynamic=False, options={"deterministic": True})


@contextmanager
def compiled(on: bool = True) -> Iterator[None]:
    """Call compiled networks inside: beyond torch's own limit of 8 sizes they would run uncompiled without a word.

    Args:
        on: False does nothing.

    Raises:
        UserError: If a network meets more than SIZES sizes.
    """
    if not on:
        yield
        return
    from torch._dynamo import config
    from torch._dynamo.exc import FailOnRecompileLimitHit

    limits = {"recompile_limit": SIZES, "accumulated_recompile_limit": 1 << 20, "fail_on_recompile_limit_hit": True}
    try:
        with cast(Any, config).patch(limits):
            yield
    except FailOnRecompileLimitHit as error:
        raise UserError(
            f"a network was compiled for {SIZES} sizes already", "leave out compile: it is for images of few sizes"
        ) from error


@contextmanager
def uncompiled(on: bool = True) -> Iterator[None]:
    """Run compiled networks as they were, so that what counts their operations sees them.

    Args:
        on: False does nothing.
    """
    if not on:
        yield
        return
    import torch

    with torch.compiler.set_stance("force_eager"):
        yield
