"""Networks in ncnn's format, a text file of layers (``.param``) and one of weights (``.bin``), as PyTorch weights.

A graph is not guessed from its names: it is compared, layer by layer and wire by wire, with the graph that PyTorch's
network of the architecture exports to. Any other is refused, and so is a file of weights with a byte too few or too
many. Formats: ncnn's wiki, pages "param and model file structure" and "operators".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from isrbench.harness.api.tensor_files import FETCH_AGAIN
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_there
from isrbench.methods.ncnn.graph import Layer, read_graph
from isrbench.methods.ncnn.weights import FLOAT16, read_bin

_STORED = {0: "<f4", FLOAT16: "<f2"}
"""How weights are stored, by the word in front of them."""
_LEAKY_RELU = 2
_SUM, _ADD, _NEAREST = 1, 0, 1
_SLOPE = 0.2
"""Negative slope of an RRDBNet's leaky ReLUs, and the factor of its residual branches."""
_OTHERWISE = "give the PyTorch weights, or run it with ncnn itself: --method ncnn"


@dataclass(frozen=True)
class Node:
    """What a layer computes: its kind, its inputs as numbers of the nodes before it (0 = the image), its values."""

    kind: str
    inputs: tuple[int, ...] = ()
    values: tuple[float, ...] = ()


_VALUES: dict[str, tuple[tuple[int, float], ...]] = {
    # Outputs, kernel, dilation, stride, padding, bias, activation. The count of weights (6) follows from the file.
    "Convolution": ((0, 0), (1, 0), (2, 1), (3, 1), (4, 0), (5, 0), (9, 0)),
    "PReLU": ((0, 0),),
    "Concat": ((0, 0),),
    "Eltwise": ((0, 0),),
    "BinaryOp": ((0, 0), (1, 0)),
    "Interp": ((0, 0), (1, 1), (2, 1)),
    "PixelShuffle": ((0, 1), (1, 0)),
}
"""The values that decide what a layer of a kind computes, and their defaults."""
_LISTS = {"Convolution": 10, "Eltwise": 1}
"""The list among a kind's values: the activation's, the summands' factors."""
_SIZES = {("Convolution", 6)}
"""Values that say nothing beyond what others say."""


def read_ncnn(param: Path) -> dict[str, Tensor]:
    """Read a network as the weights of the PyTorch network that spandrel knows.

    Args:
        param: The ``.param`` file; the ``.bin`` file of the same name lies beside it.

    Returns:
        float32, named as the architecture names them: RRDBNet of scale 4 (ESRGAN, Real-ESRGAN) or Compact (SRVGGNet).

    Raises:
        UserError: If a file is missing or damaged, or the graph is neither's; names the first layer that differs.
    """
    layers = read_graph(param)
    weights = param.with_suffix(".bin")
    if not is_there(weights):
        raise UserError(f"{weights}, which belongs to {param.name}, does not exist", "keep both files together")
    computing, nodes = _computing(param, layers)
    trained = [layer for layer in computing if layer.kind in ("Convolution", "PReLU")]
    expected, names = _compact(trained) if any(layer.kind == "PReLU" for layer in trained) else _rrdbnet(trained)
    for layer, node, wanted in zip_longest(computing, nodes, expected):
        if node != wanted:
            where = f"layer {layer.name} ({layer.kind})" if layer else "its end"
            raise UserError(f"{param} is neither an RRDBNet nor a Compact network: {where} does not fit", _OTHERWISE)
    return {
        f"{name}.{part}": tensor
        for name, blob in zip(names, read_blobs(weights, trained), strict=True)
        for part, tensor in blob.items()
    }


def read_blobs(path: Path, layers: Sequence[Layer]) -> list[dict[str, Tensor]]:
    """Read the weights of convolutions and PReLUs.

    Returns:
        For each layer ``weight``, and ``bias`` where it has one; float32.

    Raises:
        UserError: If the file ends early, goes on behind the last blob, or stores weights as integers.
    """
    data = read_bin(path)
    at = 0

    def take(count: int, dtype: str) -> np.ndarray:
        nonlocal at
        size = count * np.dtype(dtype).itemsize
        if at + size > len(data):
            raise UserError(f"{path} is cut off: it ends after {len(data)} bytes", FETCH_AGAIN)
        values = np.frombuffer(data, dtype, count, at)
        at += -(-size // 4) * 4  # every blob begins at a multiple of four bytes
        return values

    def tensor(count: int, dtype: str) -> Tensor:
        return torch.from_numpy(take(count, dtype).astype(np.float32))

    blobs = []
    for layer in layers:
        out, kernel, count = (int(layer.number(key)) for key in (0, 1, 6))
        if layer.kind == "PReLU":
            blobs.append({"weight": tensor(out, "<f4")})
            continue
        storage = int(take(1, "<u4")[0])
        if storage not in _STORED:
            raise UserError(f"{path}: the weights of {layer.name} are stored in another way than as floats", _OTHERWISE)
        if count == 0 or count % (out * kernel * kernel):
            raise UserError(f"{path}: {layer.name} cannot have {count} weights", FETCH_AGAIN)
        blob = {"weight": tensor(count, _STORED[storage]).view(out, -1, kernel, kernel)}
        blobs.append(blob | ({"bias": tensor(out, "<f4")} if layer.number(5) else {}))
    if at != len(data):
        raise UserError(f"{path} has {len(data) - at} bytes more than its graph needs", "give the .bin of this .param")
    return blobs


def _computing(param: Path, layers: Sequence[Layer]) -> tuple[list[Layer], list[Node]]:
    """The layers that compute something, and what they compute.

    Raises:
        UserError: If a layer is of a kind or has a value that is not known here, or an input comes from nowhere.
    """
    sources: dict[str, int] = {}
    computing: list[Layer] = []
    nodes: list[Node] = []
    for layer in layers:
        if layer.kind == "Input":
            sources |= dict.fromkeys(layer.outputs, 0)
            continue
        try:
            inputs = tuple(sources[wire] for wire in layer.inputs)
        except KeyError as error:
            raise UserError(
                f"{param} is damaged: {layer.name} reads {error} before it is there", FETCH_AGAIN
            ) from error
        if layer.kind == "Split":
            sources |= dict.fromkeys(layer.outputs, inputs[0])
            continue
        computing.append(layer)
        nodes.append(_node(param, layer, inputs))
        sources |= dict.fromkeys(layer.outputs, len(nodes))
    return computing, nodes


def _node(param: Path, layer: Layer, inputs: tuple[int, ...]) -> Node:
    kind = layer.kind
    known = {key for key, _ in _VALUES.get(kind, ())} | {_LISTS.get(kind, -1)}
    odd = [key for key in layer.values if key not in known and (kind, key) not in _SIZES]
    if kind not in _VALUES or odd:
        what = f"sets value {odd[0]}" if kind in _VALUES else "is of a kind"
        raise UserError(f"{param}: layer {layer.name} ({kind}) {what} that is not known here", _OTHERWISE)
    listed = layer.values.get(_LISTS.get(kind, -1), ())
    values = tuple(layer.number(key, default) for key, default in _VALUES[kind])
    return Node(kind, inputs, values + (listed if isinstance(listed, tuple) else (listed,)))


class _Graph:
    """The graph of a PyTorch network, as its export to ncnn has it."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, kind: str, inputs: Sequence[int], *values: float) -> int:
        self.nodes.append(Node(kind, tuple(inputs), values))
        return len(self.nodes)

    def convolution(self, source: int, width: int, active: bool = False) -> int:
        activation = (_LEAKY_RELU, _SLOPE) if active else (0,)
        return self.add("Convolution", [source], width, 3, 1, 1, 1, 1, *activation)


def _rrdbnet(trained: Sequence[Layer]) -> tuple[list[Node], Iterator[str]]:
    """RRDBNet as large as these layers say (Wang et al., ESRGAN, 2018), and the names of what it has trained."""
    if len(trained) < 6:
        return [], iter(())
    width, growth = (int(layer.number(0)) for layer in trained[:2])
    blocks = (len(trained) - 6) // 15
    graph = _Graph()
    first = x = graph.convolution(0, width)
    for _ in range(blocks):
        entry = x
        for _ in range(3):
            grown = [x]
            for out in (growth, growth, growth, growth, width):
                source = graph.add("Concat", grown, 0) if len(grown) > 1 else x
                grown.append(graph.convolution(source, out, active=len(grown) < 5))
            x = graph.add("Eltwise", [grown[-1], x], _SUM, _SLOPE, 1)
        x = graph.add("Eltwise", [x, entry], _SUM, _SLOPE, 1)
    x = graph.add("BinaryOp", [first, graph.convolution(x, width)], _ADD, 0)
    for _ in range(2):
        x = graph.convolution(graph.add("Interp", [x], _NEAREST, 2, 2), width, active=True)
    graph.convolution(graph.convolution(x, width, active=True), 3)
    inner = (f"body.{b}.rdb{r}.conv{c}" for b in range(blocks) for r in (1, 2, 3) for c in (1, 2, 3, 4, 5))
    return graph.nodes, iter(["conv_first", *inner, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"])


def _compact(trained: Sequence[Layer]) -> tuple[list[Node], Iterator[str]]:
    """Compact as large as these layers say (SRVGGNetCompact of Real-ESRGAN), and the names of what it has trained."""
    width, out = int(trained[0].number(0)), int(trained[-1].number(0))
    scale = round((out / 3) ** 0.5)
    graph, x = _Graph(), 0
    for n in range(len(trained)):
        last = n == len(trained) - 1
        x = graph.add("PReLU", [x], width) if n % 2 else graph.convolution(x, out if last else width)
    x = graph.add("PixelShuffle", [x], scale, 0)
    enlarged = graph.add("Interp", [0], _NEAREST, scale, scale)
    graph.add("BinaryOp", [x, enlarged], _ADD, 0)
    return graph.nodes, (f"body.{n}" for n in range(len(trained)))
