"""What a ``.bin`` of ncnn has to hold for its graph: each layer's weights, and nothing else. Torch-free.

Format: ncnn's wiki, page "param and model file structure" and the pages of the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from isrbench.harness.api.tensor_files import check_weights
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import check_file
from isrbench.methods.ncnn.graph import Layer

FLOAT16 = 0x01306B47
"""The word in front of float16 weights; in front of float32 ones stands 0."""
_FLOAT32 = (0, 0x0002C056)
_INT8 = 0x000D4B38


@dataclass(frozen=True)
class Blob:
    """Numbers that lie together in the file."""

    count: int
    marked: bool = False
    """Whether a word that says how they are stored stands in front; others are float32."""


def _bias(layer: Layer, key: int, count: int) -> list[Blob]:
    return [Blob(count)] if layer.number(key) else []


def _convolution(layer: Layer) -> list[Blob] | None:
    if layer.number(8):  # of 8-bit weights: scales follow
        return None
    return [Blob(int(layer.number(6)), marked=True), *_bias(layer, 5, int(layer.number(0)))]


def _inner_product(layer: Layer) -> list[Blob] | None:
    if layer.number(8):
        return None
    return [Blob(int(layer.number(2)), marked=True), *_bias(layer, 1, int(layer.number(0)))]


def _scale(layer: Layer) -> list[Blob]:
    count = int(layer.number(0))
    return [] if count == -233 else [Blob(count), *_bias(layer, 1, count)]  # -233: the factors are an input


def _memory(layer: Layer) -> list[Blob]:
    sides = [int(layer.number(key)) for key in (0, 1, 11, 2)]
    return [Blob(prod(side for side in sides if side), marked=not layer.number(21, 1))]


def _affine(channels: int, switch: int) -> Callable[[Layer], list[Blob]]:
    return lambda layer: [Blob(int(layer.number(channels)))] * 2 if layer.number(switch, 1) else []


_LAYOUTS: Mapping[str, Callable[[Layer], list[Blob] | None]] = {
    "BatchNorm": lambda layer: [Blob(int(layer.number(0)))] * 4,
    "Bias": lambda layer: [Blob(int(layer.number(0)))],
    "Convolution": lambda layer: None if layer.number(19) else _convolution(layer),
    "ConvolutionDepthWise": lambda layer: None if layer.number(19) else _convolution(layer),
    "Deconvolution": lambda layer: None if layer.number(28) else _convolution(layer),
    "DeconvolutionDepthWise": lambda layer: None if layer.number(28) else _convolution(layer),
    "GroupNorm": _affine(1, 3),
    "InnerProduct": _inner_product,
    "InstanceNorm": _affine(0, 2),
    "LayerNorm": _affine(0, 2),
    "MemoryData": _memory,
    "PReLU": lambda layer: [Blob(int(layer.number(0)))],
    "Scale": _scale,
}
"""What each kind of layer reads, in order."""
_UNCOUNTED = frozenset({
    "Convolution1D", "Convolution3D", "ConvolutionDepthWise1D", "ConvolutionDepthWise3D", "Deconvolution1D",
    "Deconvolution3D", "DeconvolutionDepthWise1D", "DeconvolutionDepthWise3D", "DeformableConv2D", "Dequantize",
    "Embed", "Gemm", "GRU", "LSTM", "MultiHeadAttention", "Normalize", "Quantize", "Requantize", "RMSNorm", "RNN",
})  # fmt: skip
"""Kinds with weights in a layout that is not written here."""
MULTIPLYING = frozenset(
    {"Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise", "InnerProduct"}
)
"""Kinds whose multiply-accumulates are weights times places."""
UNCOUNTED_PRODUCTS = _UNCOUNTED | {"Einsum", "MatMul", "SDPA"}
"""Kinds that multiply in another way; where one is, a graph's multiply-accumulates are not known."""


def layout(layer: Layer) -> list[Blob] | None:
    """Return what a layer reads from the file; None where its layout is not known here."""
    if layer.kind in _UNCOUNTED:
        return None
    return _LAYOUTS.get(layer.kind, lambda layer: [])(layer)


def count_weights(layers: Iterable[Layer]) -> int | None:
    """Return how many numbers the layers read; None where a layout is not known."""
    blobs = [layout(layer) for layer in layers]
    return None if None in blobs else sum(blob.count for own in blobs for blob in own or ())


def read_bin(path: Path) -> bytes:
    """Read a ``.bin``, which is empty where a graph has no weights.

    Raises:
        UserError: If it is missing, no file, or a web page, a pointer or the like.
    """
    fix = "give the .bin: -o bin=FILE"
    check_file(path, fix, "the weights")
    if path.stat().st_size:
        check_weights(path)
    with foreign(f"{path} cannot be read", fix):
        return path.read_bytes()


def check_size(path: Path, layers: Iterable[Layer]) -> None:
    """Check that a ``.bin`` holds what the layers read, and nothing more.

    From the first layer on whose layout is not known, nothing is checked: ncnn itself notices a file that ends early.

    Raises:
        UserError: As :func:`read_bin`, or if the file ends early or goes on behind the last weights.
    """
    data = read_bin(path)
    at = 0
    for layer in layers:
        blobs = layout(layer)
        if blobs is None:
            return
        for blob in blobs:
            if blob.count < 0 or (blob.marked and at + 4 > len(data)):
                at = len(data) + 1
            else:
                at += _size(blob, int.from_bytes(data[at : at + 4], "little"))
            if at > len(data):
                raise UserError(
                    f"{path} is cut off or belongs to another graph: it ends after {len(data)} bytes, in {layer.name}",
                    "fetch it again, or give the .bin of this .param",
                )
    if at != len(data):
        raise UserError(f"{path} has {len(data) - at} bytes more than its graph needs", "give the .bin of this .param")


def _size(blob: Blob, mark: int) -> int:
    """Bytes of a blob; each begins at a multiple of four."""
    if not blob.marked:
        return 4 * blob.count
    if mark in _FLOAT32:
        return 4 + 4 * blob.count
    if mark == FLOAT16:
        return 4 + -(-2 * blob.count // 4) * 4
    indices = -(-blob.count // 4) * 4
    return 4 + indices + (0 if mark == _INT8 else 4 * 256)  # else: a table of 256 values, and places in it
