"""ncnn's files as PyTorch weights. The graphs are written here, as onnx2ncnn writes them, not taken from the reader."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_tensor
from isrbench.methods.spandrel.ncnn import read_ncnn
from isrbench.methods.spandrel.options import SpandrelOptions
from isrbench.methods.spandrel.plugin import PLUGIN
from tests.support.images import noise_image
from tests.support.ncnn_files import compact, esrgan


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
