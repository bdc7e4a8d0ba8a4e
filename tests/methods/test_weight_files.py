"""Every place that reads a weight file says of one that is none what it is, in the same words."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.adcsr import weights as adcsr
from isrbench.methods.hypir import authors as hypir
from isrbench.methods.ncnn.weights import check_size
from isrbench.methods.onestep.base.tiny import load_unet
from isrbench.methods.onestep.checkpoint import load_adapter
from isrbench.methods.osediff import authors as osediff
from isrbench.methods.pisa import authors as pisa
from isrbench.methods.s3diff import authors as s3diff
from isrbench.methods.s3diff.degradation import DegradationScores
from isrbench.methods.spandrel.network import load
from isrbench.methods.spandrel.options import SpandrelOptions

BASE: Any = SimpleNamespace(base_hash="0" * 64)
READERS = {
    "spandrel": ("net.pth", lambda path: load(SpandrelOptions(weights=path), Runtime(4))),
    "spandrel, safetensors": ("net.safetensors", lambda path: load(SpandrelOptions(weights=path), Runtime(4))),
    "mor": ("mor.safetensors", lambda path: load_adapter(path, method="mor")),
    "osediff": ("own.safetensors", lambda path: osediff.read(path, BASE)),
    "osediff, the authors'": ("osediff.pkl", lambda path: osediff.read(path, BASE)),
    "pisa": ("pisa_sr.pkl", lambda path: pisa.read(path, BASE)),
    "hypir": ("HYPIR_sd2.pth", lambda path: hypir.read(path, BASE)),
    "s3diff": ("s3diff.pkl", lambda path: s3diff.read(path, BASE)),
    "s3diff's estimator": ("de_net.pth", lambda path: DegradationScores.load(path, "cpu")),
    "adcsr": ("net_params_200.pkl", lambda path: adcsr.load_weights(path, path)),
    "ncnn": ("net.bin", lambda path: check_size(path, [])),
    "pretraining": ("unet.state", load_unet),
}
LFS = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4' * 64}\nsize 66956000\n".encode()


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_weight_file(name, tmp_path):
    ending, read = READERS[name]
    for content, said in (
        (LFS, "is a Git LFS pointer, not the file of 67 MB that it stands for"),
        (b"<!DOCTYPE html><title>Sign in</title>", 'is a web page (HTML) titled "Sign in", not weights'),
        (b'{"message": "Bad credentials"}', "is a JSON text, as servers send for an error, not weights"),
    ):
        (tmp_path / ending).write_bytes(content)
        with pytest.raises(UserError) as caught:
            read(tmp_path / ending)
        assert caught.value.message == f"{tmp_path / ending} {said}"
        assert "fetch it again" in (caught.value.fix or "")


@pytest.mark.parametrize("name", ["mor", "osediff"])
@pytest.mark.parametrize("old_format", [False, True])
def test_a_checkpoint_of_torch_in_an_adapters_place(name, old_format, tmp_path):
    ending, read = READERS[name]
    torch.save({"a": torch.zeros(2)}, tmp_path / ending, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(UserError, match=r"is a file of torch\.save, not a safetensors file"):
        read(tmp_path / ending)


class _Bomb:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("name", [name for name in READERS if READERS[name][0].endswith(("pkl", "pth"))])
def test_code_is_never_run(name, tmp_path):
    ending, read = READERS[name]
    torch.save({"state_dict": _Bomb(str(tmp_path / "exploded"))}, tmp_path / ending)
    with pytest.raises(UserError, match=r"holds more than weights \(posix\.mkdir\), and reading that could run code"):
        read(tmp_path / ending)
    assert not (tmp_path / "exploded").exists()
