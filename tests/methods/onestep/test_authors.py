"""Files of a method's authors that are none: each is one message."""

from __future__ import annotations

import random

import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.authors import load_pickle

BROKEN = [random.Random(seed).randbytes(64) for seed in range(20)]


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"<!DOCTYPE html>", b"\x80\x02\x8a", *BROKEN])
def test_bytes_that_are_no_pickle(tmp_path, content):
    path = tmp_path / "net.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"net\.pkl is (damaged|a web page|a text|empty: 0 bytes)") as error:
        load_pickle(path, "fetch it")
    assert ("0 bytes" in error.value.message) == (not content)


def test_a_file_that_is_cut_off(tmp_path):
    path = tmp_path / "net.pkl"
    torch.save({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match=r"is damaged or cut off after 300 bytes: ."):
        load_pickle(path, "fetch it")
