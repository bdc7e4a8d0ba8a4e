"""Where nothing is that compiles, and what a compiled network refuses."""

from __future__ import annotations

import pytest

from isrbench.harness.api import speed
from isrbench.harness.api.speed import check_compiler
from isrbench.harness.errors import UserError


def test_compiling_wants_a_compiler_and_headers(monkeypatch, tmp_path):
    compiler = tmp_path / "c++"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setattr(speed.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(UserError, match=r"no Python\.h"):
        check_compiler("cpu")
    (tmp_path / "Python.h").touch()
    check_compiler("cpu")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="there is no no-such-compiler") as error:
        check_compiler("cpu:0")
    assert "leave out compile" in error.value.fix


def test_a_gpu_wants_triton(monkeypatch):
    from torch.utils import _triton

    monkeypatch.setattr(_triton, "has_triton", lambda: False)
    with pytest.raises(UserError, match="wants Triton on cuda:1"):
        check_compiler("cuda:1")
