"""ncnn's text graph (``.param``): its layers, and its ends. Torch-free.

Format: ncnn's wiki, pages "param and model file structure" and "operators".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from isrbench.harness.api.tensor_files import FETCH_AGAIN, not_weights
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import check_file

_MAGIC = "7767517"
_SOURCES = ("Input", "MemoryData")
"""Kinds of layers that have no inputs."""

Value = float | tuple[float, ...]


@dataclass(frozen=True)
class Layer:
    """One layer of a graph."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[int, Value]
    """By number, as ncnn's documentation of the kind has them."""

    def number(self, key: int, default: float = 0) -> float:
        """Return a value that is a single number.

        Raises:
            UserError: If it is a list.
        """
        value = self.values.get(key, default)
        if isinstance(value, tuple):
            raise UserError(f"layer {self.name} ({self.kind}) has a list where one value is known", FETCH_AGAIN)
        return value


def read_graph(param: Path) -> list[Layer]:
    """Read a ``.param`` file.

    Raises:
        UserError: If it cannot be read, is not such a file, or is cut off.
    """
    check_file(param, "give the graph: -o param=FILE.param", "the graph")
    with foreign(f"{param} is damaged", FETCH_AGAIN):
        lines = [line.split() for line in param.read_text(encoding="ascii").splitlines() if line.strip()]
        if not lines or lines[0] != [_MAGIC]:
            what = not_weights(param)
            if what is not None and not what.startswith("a text"):
                raise UserError(f"{param} is {what}", FETCH_AGAIN)
            raise UserError(
                f"{param} is not a text graph of ncnn: it does not begin with {_MAGIC}", "give the .param as text"
            )
        announced, layers = int(lines[1][0]), [_layer(words) for words in lines[2:]]
    if len(layers) != announced:
        raise UserError(f"{param} is cut off: it has {len(layers)} of {announced} layers", FETCH_AGAIN)
    return layers


def find_ends(param: Path, layers: Iterable[Layer]) -> tuple[str, str]:
    """Return the names of the blob that takes the image and of the one that is the result.

    Raises:
        UserError: If a blob is read before it is made, or there is not one of each end.
    """
    made: dict[str, None] = {}
    entries: list[str] = []
    used: set[str] = set()
    for layer in layers:
        if unknown := [name for name in layer.inputs if name not in made]:
            raise UserError(f"{param} is damaged: {layer.name} reads '{unknown[0]}' before it is there", FETCH_AGAIN)
        used.update(layer.inputs)
        made.update(dict.fromkeys(layer.outputs))
        if layer.kind == "Input":
            entries += layer.outputs
    results = [name for name in made if name not in used]
    for what, names in (("input", entries), ("output", results)):
        if len(names) != 1:
            said = f"{len(names)} {what} blobs ({', '.join(names)})" if names else f"no {what} blob"
            raise UserError(f"{param} has {said}, but one image goes in and one comes out", "choose another network")
    return entries[0], results[0]


def _layer(words: list[str]) -> Layer:
    kind, name, ins, outs = words[0], words[1], int(words[2]), int(words[3])
    wires, options = words[4 : 4 + ins + outs], words[4 + ins + outs :]
    if outs < 1 or (ins < 1 and kind not in _SOURCES):
        raise ValueError(f"layer {name} ({kind}) has {ins} inputs and {outs} outputs")
    if ins < 0 or len(wires) != ins + outs or any("=" in wire for wire in wires):
        raise ValueError(f"layer {name} announces {ins} inputs and {outs} outputs and has other ones")
    values: dict[int, Value] = {}
    for key, _, text in (option.partition("=") for option in options):
        if int(key) <= -23300:  # a list: its length, then its entries
            length, *entries = text.split(",")
            if len(entries) != int(length):
                raise ValueError(f"layer {name} announces {length} values and has {len(entries)}")
            values[-int(key) - 23300] = tuple(map(_finite, entries))
        else:
            values[int(key)] = _finite(text)
    return Layer(kind, name, tuple(wires[:ins]), tuple(wires[ins:]), values)


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value
