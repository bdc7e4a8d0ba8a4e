"""ncnn's files as PyTorch weights. The graphs are written here, as onnx2ncnn writes them, not taken from the reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_tensor
from isrbench.methods.spandrel.ncnn import read_ncnn
from isrbench.methods.spandrel.options import SpandrelOptions
from isrbench.methods.spandrel.plugin import PLUGIN
from tests.support.images import noise_image

FLOAT16 = 0x01306B47


class Export:
    """Writes a network layer by layer: a wire that is read several times goes through a Split, as in ncnn."""

    def __init__(self, half: bool) -> None:
        self.half, self.lines, self.blobs, self.names = half, [], b"", count()

    def layer(self, kind: str, inputs: list[str], options: str = "") -> str:
        out = f"w{next(self.names)}"
        self.lines.append(f"{kind} {kind}_{out} {len(inputs)} 1 {' '.join([*inputs, out])} {options}")
        return out

    def split(self, wire: str, ways: int) -> list[str]:
        outs = [f"{wire}_splitncnn_{n}" for n in range(ways)]
        self.lines.append(f"Split split_{wire} 1 {ways} {' '.join([wire, *outs])}")
        return outs

    def conv(self, wire: str, conv: nn.Conv2d, active: bool = False) -> str:
        weight = conv.weight.detach().numpy()
        stored = weight.astype(np.float16 if self.half else np.float32).tobytes()
        self.blobs += np.uint32(FLOAT16 if self.half else 0).tobytes() + stored + b"\0" * (-len(stored) % 4)
        self.blobs += conv.bias.detach().numpy().tobytes()
        options = f"0={weight.shape[0]} 1=3 4=1 5=1 6={weight.size}" + (" 9=2 -23310=1,2.000000e-01" if active else "")
        return self.layer("Convolution", [wire], options)

    def prelu(self, wire: str, prelu: nn.PReLU) -> str:
        self.blobs += prelu.weight.detach().numpy().tobytes()
        return self.layer("PReLU", [wire], f"0={prelu.weight.numel()}")

    def save(self, param: Path) -> Path:
        wires = len({wire for line in self.lines for wire in line.split()[4:] if "=" not in wire})
        param.write_text(f"7767517\n{len(self.lines)} {wires}\n" + "\n".join(self.lines) + "\n")
        param.with_suffix(".bin").write_bytes(self.blobs)
        return param


def dense_block(out: Export, convs: Iterator[nn.Conv2d], wires: list[str]) -> str:
    """Five convolutions, each of all before it; ``wires``: the block's input, six times."""
    grown = [wires]
    for n in range(1, 6):
        read = [ends.pop() for ends in grown]  # of every earlier output one end of its Split
        x = out.conv(out.layer("Concat", read) if n > 1 else read[0], next(convs), active=n < 5)
        grown.append(out.split(x, 5 - n) if n < 4 else [x])
    return out.layer("Eltwise", [x, wires.pop()], "0=1 -23301=2,2.000000e-01,1.000000e+00")


def esrgan(path: Path, half: bool = False) -> tuple[Path, nn.Module]:
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    net = ESRGAN(num_filters=8, num_blocks=2, scale=4)
    convs = (module for module in net.modules() if isinstance(module, nn.Conv2d))
    out = Export(half)
    out.lines.append("Input data 0 1 data")
    kept, x = out.split(out.conv("data", next(convs)), 2)
    for _ in range(2):
        entry, x = out.split(x, 2)
        for _ in range(3):
            x = dense_block(out, convs, out.split(x, 6))
        x = out.layer("Eltwise", [x, entry], "0=1 -23301=2,2.000000e-01,1.000000e+00")
    x = out.layer("BinaryOp", [kept, out.conv(x, next(convs))], "0=0")
    for _ in range(2):
        x = out.conv(out.layer("Interp", [x], "0=1 1=2.000000e+00 2=2.000000e+00"), next(convs), active=True)
    out.conv(out.conv(x, next(convs), active=True), next(convs))
    return out.save(path), net


def compact(path: Path, half: bool = False) -> tuple[Path, nn.Module]:
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    net = Compact(num_in_ch=3, num_out_ch=3, num_feat=6, num_conv=3, upscale=4)
    out = Export(half)
    out.lines.append("Input data 0 1 data")
    x, kept = out.split("data", 2)
    for module in net.body:
        x = out.conv(x, module) if isinstance(module, nn.Conv2d) else out.prelu(x, module)
    x = out.layer("PixelShuffle", [x], "0=4")
    out.layer("BinaryOp", [x, out.layer("Interp", [kept], "0=1 1=4.000000e+00 2=4.000000e+00")], "0=0")
    return out.save(path), net


@pytest.mark.parametrize("export", [esrgan, compact])
def test_a_network_computes_what_it_computed_before_its_export(export, tmp_path):
    param, net = export(tmp_path / "net.param")
    lr = to_tensor(noise_image(9, 11))
    method = PLUGIN.make(SpandrelOptions(weights=param), Runtime(4))
    with torch.inference_mode():
        expected = net.eval()(lr[None])[0].clamp(0, 1)
    assert torch.equal(method.restore(lr, image="a", seed=0).image, expected) and expected.std() > 0.01


@pytest.mark.parametrize("export", [esrgan, compact])
def test_half_precision_is_rounded_and_nothing_else(export, tmp_path):
    full, half = (read_ncnn(export(tmp_path / f"{half}.param", half)[0]) for half in (False, True))
    assert full.keys() == half.keys()
    for name, tensor in full.items():
        rounded = tensor.half().float() if tensor.ndim == 4 else tensor
        assert half[name].dtype == torch.float32 and torch.equal(half[name], rounded), name


def test_both_files_decide_the_hash(tmp_path):
    param, _ = compact(tmp_path / "net.param")
    hashes = [PLUGIN.make(SpandrelOptions(weights=param), Runtime(4)).weights_hash]
    changed = bytearray(param.with_suffix(".bin").read_bytes())
    changed[7] ^= 1
    param.with_suffix(".bin").write_bytes(changed)
    hashes.append(PLUGIN.make(SpandrelOptions(weights=param), Runtime(4)).weights_hash)
    param.write_text(param.read_text() + "\n")
    hashes.append(PLUGIN.make(SpandrelOptions(weights=param), Runtime(4)).weights_hash)
    assert len(set(hashes)) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-4], "is cut off"),
        (lambda data: data + b"\0\0\0\0", "4 bytes more than its graph needs"),
        (lambda data: np.uint32(0x000D4B38).tobytes() + data[4:], "stored in another way than as floats"),
        (lambda data: b"", "is cut off"),
    ],
)
def test_every_byte_of_the_weights_is_read_or_refused(change, words, tmp_path):
    param, _ = compact(tmp_path / "net.param")
    file = param.with_suffix(".bin")
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UserError, match=words):
        read_ncnn(param)


@pytest.mark.parametrize(
    ("export", "pattern", "new", "words"),
    [
        (compact, "PixelShuffle", "Reorg", r"layer PixelShuffle_w\d+ \(Reorg\) is of a kind that is not known"),
        (compact, "PixelShuffle(.*)0=4", r"PixelShuffle\g<1>0=4 1=1", "layer PixelShuffle.* does not fit"),
        (compact, "1=3 4=1", "1=3 3=2 4=1", "layer Convolution.* does not fit"),
        (compact, "1=3 4=1", "1=3 4=1 7=2", "sets value 7"),
        (compact, "7767517", "7767518", "not a text graph of ncnn"),
        (compact, r"\n[^\n]*\n$", "\n", "is cut off: it has"),
        (compact, r"data_splitncnn_1 w", "nowhere w", "reads 'nowhere' before it is there"),
        (compact, "6=162", "6=161", "cannot have 161 weights"),
        (esrgan, "-23310=1,2.0", "-23310=1,1.0", "layer Convolution.* does not fit"),
        (esrgan, "-23301=2,2.0", "-23301=2,3.0", "layer Eltwise.* does not fit"),
        (esrgan, "-23301=2,2.0", "-23301=3,2.0", "announces 3 values and has 2"),
        (esrgan, r"Concat (\S+) 3 1 (\S+) (\S+) (\S+)", r"Concat \1 3 1 \2 \4 \3", "layer Concat.* does not fit"),
        (esrgan, "Interp(.*)1=2.0", r"Interp\g<1>1=3.0", "layer Interp.* does not fit"),
    ],
)
def test_any_other_graph_is_refused_by_the_layer_that_differs(export, pattern, new, words, tmp_path):
    param, _ = export(tmp_path / "net.param")
    changed, changes = re.subn(pattern, new, param.read_text(), count=1)
    assert changes == 1
    param.write_text(changed)
    with pytest.raises(UserError, match=words):
        read_ncnn(param)


def test_a_network_of_other_layers_and_lone_files_are_refused(tmp_path):
    param, _ = compact(tmp_path / "net.param")
    param.write_text("7767517\n1 1\nInput data 0 1 data\n")
    param.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(UserError, match="holds no network that spandrel knows"):
        PLUGIN.make(SpandrelOptions(weights=param), Runtime(4))
    param.with_suffix(".bin").unlink()
    with pytest.raises(UserError, match="does not exist"):
        read_ncnn(param)
    param.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is damaged"):
        read_ncnn(param)
