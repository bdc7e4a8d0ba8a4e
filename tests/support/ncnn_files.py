"""Small networks of PyTorch and the files that ncnn has of them, as onnx2ncnn writes them; taken from no reader."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import nn

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
