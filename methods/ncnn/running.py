"""The calls to ncnn itself, and a first run of a network in a process of its own.

ncnn is C++ that trusts its files: a graph that does not fit ends the process. So a network is tried by running this
file as a program before it is loaded. The file imports nothing of isrbench for that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZES = ((16, 16), (16, 32))
"""(height, width) of the images that a network is tried on."""
_SECONDS = 120.0
"""How long it may take to try a network: a damaged graph may loop for ever."""
_EXACT = ("bf16_packed", "bf16_storage", "fp16_arithmetic", "fp16_packed", "fp16_storage")
"""Shortcuts in half precision that ncnn takes unless told otherwise."""


def open_net(param: str, weights: str, threads: int, vulkan: bool) -> Any:
    """Load a network, to compute in float32.

    Raises:
        RuntimeError: If ncnn refuses a file, or there is no Vulkan device.
    """
    ncnn: Any = import_module("ncnn")
    if vulkan and not ncnn.get_gpu_count():
        raise RuntimeError("no Vulkan device")
    net = ncnn.Net()
    for shortcut in _EXACT:
        setattr(net.opt, f"use_{shortcut}", False)
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = vulkan
    if net.load_param(param) != 0:
        raise RuntimeError("ncnn refuses the .param")
    if net.load_model(weights) != 0:
        raise RuntimeError("ncnn refuses the .bin")
    return net


def run_net(net: Any, image: NDArray[np.float32], source: str, wanted: Sequence[str]) -> list[NDArray[np.float32]]:
    """Run a network once.

    Args:
        net: From :func:`open_net`.
        image: float32 (C, H, W).
        source: Name of the blob that takes the image.
        wanted: Names of the blobs to return.

    Returns:
        Each blob, a copy.

    Raises:
        RuntimeError: If a blob cannot be computed.
    """
    import numpy as np

    ncnn: Any = import_module("ncnn")
    pixels = np.ascontiguousarray(image)  # a name of its own: ncnn's Mat does not keep the array alive
    found = []
    with net.create_extractor() as extractor:
        extractor.set_light_mode(len(wanted) == 1)  # else the blobs in between are kept
        extractor.input(source, ncnn.Mat(pixels).clone())
        for name in wanted:
            code, blob = extractor.extract(name)
            if code != 0:
                raise RuntimeError(f"ncnn cannot compute blob {name} (code {code})")
            found.append(np.array(blob))
    return found


def try_net(param: str, weights: str, vulkan: bool, source: str, wanted: Sequence[str]) -> list[list[list[int]]]:
    """Run a network on black images of :data:`SIZES` in a process of its own.

    Returns:
        For each size the shape of each wanted blob.

    Raises:
        RuntimeError: With the reason, in words.
    """
    from isrbench.harness import processes

    asked = json.dumps([param, weights, vulkan, source, list(wanted)])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            code = processes.run([sys.executable, __file__, asked], stdout=out, stderr=err, timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"running it on {SIZES[0][0]}x{SIZES[0][1]} pixels takes over {_SECONDS:g} s") from error
        out.seek(0)
        answer = json.loads(out.read().splitlines()[-1]) if code == 0 else {}
    if "shapes" in answer:
        return answer["shapes"]
    raise RuntimeError(answer.get("error") or f"running it ends the process (exit code {code})")


def _main(param: str, weights: str, vulkan: bool, source: str, wanted: list[str]) -> dict[str, Any]:
    import numpy as np

    try:
        net = open_net(param, weights, 1, vulkan)
        runs = [run_net(net, np.zeros((3, *size), np.float32), source, wanted) for size in SIZES]
    except (RuntimeError, ImportError) as error:
        return {"error": (str(error).splitlines() or [type(error).__name__])[0]}
    return {"shapes": [[list(blob.shape) for blob in run] for run in runs]}


if __name__ == "__main__":
    del sys.path[0]  # this file's folder
    sys.stdout.write(json.dumps(_main(*json.loads(sys.argv[1]))) + "\n")
