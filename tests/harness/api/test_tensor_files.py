"""Weight files that are none are called what they are, and no file runs code."""

from __future__ import annotations

import argparse
import io
import os
import socket
import zipfile
from pathlib import Path

import pytest
import torch

from isrbench.harness.api.tensor_files import check_weights, read_tensors
from isrbench.harness.errors import UserError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 66956000\n"
NONE = {
    "nothing": (b"", "is empty: 0 bytes"),
    "LFS": (LFS, "is a Git LFS pointer, not the file of 67 MB that it stands for"),
    "LFS, Windows": (LFS.replace(b"\n", b"\r\n"), "is a Git LFS pointer"),
    "annex": (b"/annex/objects/SHA256E-s66956000--0a.pth\n", "is a git-annex pointer"),
    "page": (b"<!DOCTYPE html>\n<html><head><title>Drive &amp; more</title>", 'page (HTML) titled "Drive & more"'),
    "page after a comment": (b"\xef\xbb\xbf\n <!-- saved -->\n<HTML lang=en>", "is a web page (HTML), not weights"),
    "page, UTF-16": ("<html><title>Nein</title>".encode("utf-16"), 'web page (HTML) titled "Nein"'),
    "part of a page": (b"<script>location = 1</script>", "is a web page (HTML), not weights"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is an XML text"),
    "JSON": (b'{"error": "Repository not found"}', "is a JSON text"),
    "words": (b"Entry not found\x1b[2J", 'is a text, not weights: "Entry not found?[2J"'),
    "zeros": (bytes(5000), "damaged: it begins with zeros"),
    "gzip": (b"\x1f\x8b\x08\x00", "is a gzip archive, not weights"),
    "image": (b"\x89PNG\r\n\x1a\n", "is a PNG image, not weights"),
    "ONNX-like": (b"\x89HDF\r\n\x1a\n", "is an HDF5 file (Keras), not weights"),
}  # fmt: skip


@pytest.mark.parametrize("name", NONE)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_what_is_no_weight_file_is_called_what_it_is(name, ending, tmp_path):
    content, said = NONE[name]
    path = tmp_path / f"net.{ending}"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_tensors(path)
    assert said in caught.value.message and str(path) in caught.value.message
    assert caught.value.message.isprintable() and "fetch it again" in (caught.value.fix or "")
    assert ("git lfs pull" in (caught.value.fix or "")) == ("pointer" in said)


def test_what_is_no_file_is_not_opened(tmp_path):
    (tmp_path / "folder.pth").mkdir()
    os.mkfifo(tmp_path / "pipe.pth")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.path.relpath(tmp_path / "door.pth"))
        for name, said in (("folder", "a folder"), ("pipe", "a device or pipe"), ("door", "a device or pipe")):
            with pytest.raises(UserError, match=said) as caught:
                read_tensors(tmp_path / f"{name}.pth")
            assert caught.value.fix == "pass the weight file itself"
    for name in ("absent", "x" * 300):
        with pytest.raises(UserError, match="does not exist"):
            read_tensors(tmp_path / name)


@pytest.mark.parametrize("kept", [7, 200, 900])
@pytest.mark.parametrize("old_format", [False, True])
def test_a_download_that_was_cut_off(kept, old_format, tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"a": torch.rand(40, 40)}, path, _use_new_zipfile_serialization=not old_format)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="damaged") as caught:
        read_tensors(path)
    assert caught.value.fix == "fetch it again"


def test_other_zips_and_programs(tmp_path):
    class Program(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    path = tmp_path / "net.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("weights/net.pth", b"x")
    with pytest.raises(UserError, match=r"a zip archive that torch did not write, holding weights/net\.pth") as caught:
        read_tensors(path)
    assert (caught.value.fix or "").startswith("unpack it and pass the file inside")
    torch.jit.script(Program()).save(path)
    with pytest.raises(UserError, match="is a TorchScript program, not weights alone; it was not run"):
        read_tensors(path)


def test_a_checkpoint_that_unpacks_to_far_more_than_its_size(tmp_path):
    plain, path = io.BytesIO(), tmp_path / "net.pth"
    torch.save({"a": torch.zeros(1 << 20)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(UserError, match=r"would unpack to 4\.19 MB, more than 20 times as much: it was not unpacked"):
        read_tensors(path)


class _Bomb:
    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_code_is_never_run_and_named(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"params": _Bomb(tmp_path / "exploded")}, path)
    with pytest.raises(UserError, match=r"holds more than weights \(posix\.mkdir\), and reading that could run code"):
        read_tensors(path)
    torch.save({"state_dict": {}, "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(UserError, match=r"more than weights \(argparse\.Namespace\)") as caught:
        read_tensors(path, "fetch it: isrbench fetch")
    assert "isrbench fetch" in (caught.value.fix or "")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("start", [b"PK", b"#!", b"\x1f\x8b", b"BZh", b"<p", b"{}"])
def test_a_safetensors_header_of_any_length_is_one(start, tmp_path):
    """The length stands in front: 19,280 bytes begin as a zip does."""
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    length = int.from_bytes(start, "little")
    content = length.to_bytes(8, "little") + header.ljust(length) + bytes(4)
    (tmp_path / "net.safetensors").write_bytes(content)
    assert read_tensors(tmp_path / "net.safetensors")["a"].tolist() == [0]


def test_the_content_decides_and_not_the_ending(tmp_path):
    from safetensors.torch import save_file

    state = {"a": torch.arange(3.0)}
    save_file(state, tmp_path / "net.pth")
    torch.save(state, tmp_path / "net.ckpt")
    torch.save(state, tmp_path / "net.safetensors", _use_new_zipfile_serialization=False)
    for path in (tmp_path / "net.pth", tmp_path / "net.ckpt", tmp_path / "net.safetensors"):
        assert torch.equal(read_tensors(path)["a"], state["a"])
        check_weights(path)
    torch.save(torch.zeros(2), tmp_path / "tensor.pth")
    with pytest.raises(UserError, match="holds a Tensor, not a dictionary of weights"):
        read_tensors(tmp_path / "tensor.pth")
