"""A network in ncnn's format, as a method."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isrbench.harness.api.method import Cost, Restored, Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.identity import release
from isrbench.harness.imaging.tiling import count_tiles, run_in_tiles
from isrbench.methods.ncnn.graph import Layer, find_ends, read_graph
from isrbench.methods.ncnn.options import NcnnOptions
from isrbench.methods.ncnn.running import SIZES, open_net, run_net, try_net
from isrbench.methods.ncnn.weights import MULTIPLYING, UNCOUNTED_PRODUCTS, check_size, count_weights, layout

_OTHER = "choose another network"


class Network:
    """A loaded network (a :class:`isrbench.harness.api.method.Method`); built by :func:`load`.

    Args:
        net: ncnn's network.
        ends: Names of the blobs that take the image and give the result.
        scale: How many times larger the result is.
        options: How to tile.
        weights_hash: Hash of both files and of ncnn's release.
        macs: Multiply-accumulates of an image, as :func:`macs_by_area` returns them.
        params: Numbers among the weights; None = not known.
    """

    def __init__(
        self,
        net: Any,
        ends: tuple[str, str],
        scale: int,
        options: NcnnOptions,
        weights_hash: str,
        macs: tuple[Fraction, int] | None,
        params: int | None,
    ) -> None:
        self._net, self._ends, self._scale, self._options = net, ends, scale, options
        self._macs, self._params, self.weights_hash = macs, params, weights_hash

    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        """Run the network on the whole image, or in blended tiles."""
        restored = run_in_tiles(self._run, lr[None].float().cpu(), self._options, self._scale)
        return Restored(restored[0])

    def _run(self, batch: Tensor) -> Tensor:
        source, result = self._ends
        try:
            (found,) = run_net(self._net, batch[0].numpy(), source, [result])
        except RuntimeError as error:
            raise UserError(f"{self._options.param}: {error}", _OTHER) from error
        expected = (3, batch.shape[2] * self._scale, batch.shape[3] * self._scale)
        if found.shape != expected:
            raise UserError(
                f"{self._options.param} turns {batch.shape[2]}x{batch.shape[3]} pixels into {_shown(found.shape)}, "
                f"not {_shown(expected)}",
                "crop the images to a size that the network takes, or choose another one",
            )
        return torch.from_numpy(found)[None].clamp(0, 1)

    def cost(self, height: int, width: int) -> Cost:
        """Return the parameters and the MACs where they are known (:func:`macs_by_area`), over all tiles."""
        if self._macs is None:
            return Cost(None, self._params)
        tiles, (rows, columns) = count_tiles(height, width, self._options)
        by_area, constant = self._macs
        return Cost(tiles * (round(by_area * rows * columns) + constant), self._params)

    def input_hash(self, image: str) -> str:
        """Return "": images have no input of their own."""
        return ""


def load(options: NcnnOptions, runtime: Runtime) -> Network:
    """Load a network, after its files were checked and it was tried in a process of its own.

    Raises:
        UserError: If ncnn is not installed or there is no Vulkan device; if a file is missing, damaged, or belongs to
            another; if the graph has a layer that ncnn does not know, or not one input and one output; if the network
            does not enlarge RGB images by the scale that is asked for.
    """
    param, weights = options.param, options.weights
    if find_spec("ncnn") is None:
        raise UserError("method ncnn needs the package ncnn, which is not installed", 'pip install "isrbench[ncnn]"')
    layers = read_graph(param)
    _check_kinds(param, layers)
    ends = find_ends(param, layers)
    check_size(weights, layers)
    counted = [layer for layer in layers if layer.kind in MULTIPLYING]
    places = [(layer.inputs if layer.kind.startswith("Deconvolution") else layer.outputs)[0] for layer in counted]
    try:
        tried = try_net(str(param), str(weights), options.vulkan, ends[0], [*places, ends[1]])
    except RuntimeError as error:
        raise UserError(f"{param} does not run: {error}", _OTHER) from error
    scale = _scale(param, tried[0][-1])
    if scale != runtime.scale:
        raise UserError(
            f"{param} enlarges x{scale}, but the dataset asks for x{runtime.scale}",
            f"choose a network for x{runtime.scale}",
        )
    net = open_net(str(param), str(weights), options.threads, options.vulkan)
    decisive = "\n".join((file_hash(param), file_hash(weights), f"ncnn={release('ncnn')}"))
    hashed = hashlib.sha256(decisive.encode()).hexdigest()
    macs = macs_by_area(layers, counted, [shapes[:-1] for shapes in tried])
    return Network(net, ends, scale, options, hashed, macs, count_weights(layers))


def macs_by_area(
    layers: Sequence[Layer], counted: Sequence[Layer], shapes: Sequence[Sequence[Sequence[int]]]
) -> tuple[Fraction, int] | None:
    """Return a network's multiply-accumulates (for each pixel of the LR image, for any image).

    A convolution costs its weights times its places: of the output, or, where it is transposed, of the input. How many
    places there are was seen at two sizes: as many as before, or twice as many on twice the area, is taken to hold for
    every size.

    Args:
        layers: The graph.
        counted: Those of its layers that multiply.
        shapes: For each of :data:`SIZES` the shape of the blob whose places count, for each layer of ``counted``.

    Returns:
        None where a layer multiplies in another way, or the number of places follows another rule.
    """
    if any(layer.kind in UNCOUNTED_PRODUCTS or layout(layer) is None for layer in layers):
        return None
    by_area, constant = Fraction(0), 0
    for layer, small, large in zip(counted, *shapes, strict=True):
        weights = int(layer.number(2 if layer.kind == "InnerProduct" else 6))
        places, more = _places(layer, small), _places(layer, large)
        if more == 2 * places:
            by_area += Fraction(weights * places, prod(SIZES[0]))
        elif more == places:
            constant += weights * places
        else:
            return None
    return by_area, constant


def _places(layer: Layer, shape: Sequence[int]) -> int:
    """Places of a blob (C, H, W), or rows of one (rows, channels)."""
    return prod(shape[:-1]) if layer.kind == "InnerProduct" else prod(shape[1:])


def _check_kinds(param: Path, layers: Sequence[Layer]) -> None:
    ncnn: Any = import_module("ncnn")
    for layer in layers:
        if ncnn.layer_to_index(layer.kind) < 0:
            raise UserError(f"{param}: ncnn {release('ncnn')} knows no layer {layer.kind} ({layer.name})", _OTHER)


def _scale(param: Path, shape: Sequence[int]) -> int:
    height, width = SIZES[0]
    scale = shape[-1] // width
    if scale < 1 or list(shape) != [3, height * scale, width * scale]:
        raise UserError(
            f"{param} turns {height}x{width} pixels into {_shown(shape)}, not into a larger RGB image", _OTHER
        )
    return scale


def _shown(shape: Sequence[int]) -> str:
    """A shape as a person reads it: 64x64 pixels of 3 channels."""
    if len(shape) != 3:
        return f"a blob of shape {tuple(shape)}"
    return f"{shape[1]}x{shape[2]} of {shape[0]} channels"
