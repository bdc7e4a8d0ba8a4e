"""Images that memory is too small for: a status of their own, or tiles; the others go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from isrbench.harness.api.method import Restored
from isrbench.harness.api.records import ImageStatus
from isrbench.harness.engine.memory import is_out_of_memory
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb
from isrbench.harness.store.frames import load_frames
from isrbench.harness.store.summary import summarise
from tests.support.images import make_image, write_pairs
from tests.support.nearest import CALLS, Nearest, run


@pytest.fixture
def short(request_, tmp_path, monkeypatch):
    """A set whose image c is larger than the others, and a method that has memory for 100 pixels a side."""
    folder = write_pairs(tmp_path / "large", ["a", "b", "c"])
    for sub, scale in (("LR", 1), ("HR", 4)):
        Image.fromarray(make_image(9, 150 * scale, 130 * scale)).save(folder / sub / "c.png")

    def restore(self, lr, *, image, seed):
        CALLS.append(image)
        if max(lr.shape[1:]) > 100:
            raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")
        return Restored(lr.repeat_interleave(4, 1).repeat_interleave(4, 2))

    monkeypatch.setattr(Nearest, "restore", restore)
    return replace(request_, dataset=str(folder), metrics=("psnr",))


def test_an_image_without_room_is_a_row_of_its_own_status_and_is_tried_again(short, methods) -> None:
    id, store, outcome = run(short, methods)
    a, b, c = store.images(id)
    assert (a.status, b.status, c.status) == (ImageStatus.OK, ImageStatus.OK, ImageStatus.OOM) and outcome.failed == 1
    assert c.failure.message.startswith("out of memory on cpu for an LR of 130x150: ") and not c.failure.traceback
    assert "20.00 GiB" in c.failure.message and "--on-oom tile" in c.failure.fix
    assert [row.image for row in store.scores(id)] == ["a", "b"]
    assert load_frames(store, [id]).images["status"].tolist() == ["ok", "ok", "oom"]
    assert [image for image, _ in summarise(store, id, ("psnr",)).errors] == ["c"]
    run(short, methods)
    assert CALLS == ["c"]


def test_in_tiles_it_is_what_the_method_makes_of_it_and_the_row_says_so(short, methods) -> None:
    """This method looks at single pixels, so tiles change nothing; 75 pixels a side fit."""
    id, store, outcome = run(replace(short, on_oom="tile"), methods)
    rows = store.images(id)
    assert outcome.failed == 0 and [row.tiles for row in rows] == [None, None, 6]
    lr, restored = read_rgb(Path(rows[2].lr)), read_rgb(store.folder / rows[2].output)
    np.testing.assert_array_equal(restored, lr.repeat(4, 0).repeat(4, 1))
    assert load_frames(store, [id]).images["tiles"].tolist()[2] == 6


def test_tiles_that_do_not_fit_either_are_no_room(short, methods, monkeypatch) -> None:
    def restore(self, lr, *, image, seed):
        raise MemoryError

    monkeypatch.setattr(Nearest, "restore", restore)
    id, store, _ = run(replace(short, on_oom="tile"), methods)
    assert {row.status for row in store.images(id)} == {ImageStatus.OOM}
    assert "tiles of 64 pixels do not fit either" in store.images(id)[2].failure.message


def test_only_runs_that_may_tile_have_another_identity(short, methods) -> None:
    plain, tiled = make_plan(short, methods), make_plan(replace(short, on_oom="tile"), methods)
    assert plain.identity != tiled.identity
    with pytest.raises(UserError, match="--on-oom is wait") as caught:
        make_plan(replace(short, on_oom="wait"), methods)
    assert caught.value.fix == "one of skip, tile"


def test_what_says_that_memory_ran_out() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 52, dtype=torch.uint8)
    wrapped = ValueError("the network failed")
    wrapped.__cause__ = caught.value
    for error in (caught.value, wrapped, MemoryError(), torch.OutOfMemoryError("CUDA out of memory")):
        assert is_out_of_memory(error), error
    assert not any(map(is_out_of_memory, (RuntimeError("shapes differ"), json.JSONDecodeError("x", "y", 0))))
