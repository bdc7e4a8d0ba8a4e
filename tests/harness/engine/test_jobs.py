"""One image's jobs: what a method or a disk does to one image stays with that image."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isrbench.harness.api.method import Restored, RoutingTrace, Runtime
from isrbench.harness.engine import jobs, preparing
from isrbench.harness.engine.restore_files import restore
from isrbench.harness.errors import UserError
from isrbench.harness.imaging import writing
from isrbench.harness.store.frames import load_frames
from tests.support.images import write_pairs
from tests.support.nearest import CALLS, Nearest, Options, run


def returning(monkeypatch: pytest.MonkeyPatch, make) -> None:
    """The method returns ``make(its own result)`` for b."""
    restore = Nearest.restore
    changed = lambda self, lr, *, image, seed: (  # noqa: E731
        make(restore(self, lr, image=image, seed=seed)) if image == "b" else restore(self, lr, image=image, seed=seed)
    )
    monkeypatch.setattr(Nearest, "restore", changed)


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_a_trace_of_numpy_or_torch_is_stored_as_integers(kind, request_, methods, monkeypatch) -> None:
    trace = {"active": kind([8, 10]), "zero": kind([4, 2]), "macs": kind(12), "params": kind(7)}
    returning(monkeypatch, lambda own: Restored(own.image, RoutingTrace(("l0", "l1"), **trace)))
    id, store, outcome = run(request_, methods)
    kept = [type(row[name]) for row in store.rows("routing", [id]) for name in ("active", "zero")]
    assert outcome.failed == 0 and set(kept) == {int}
    assert load_frames(store, [id]).routing["active"].tolist() == [8, 10] * 4


def test_a_trace_that_cannot_be_stored_fails_its_image_alone(request_, methods, monkeypatch) -> None:
    returning(monkeypatch, lambda own: Restored(own.image, RoutingTrace(("l0",), (8.5,), (4,))))  # type: ignore
    id, store, outcome = run(request_, methods)
    assert outcome.failed == 1 and "an integer is wanted" in store.images(id)[1].failure.message


def test_a_method_that_leaves_the_folder_takes_no_relative_path_from_the_other_images(
    request_, methods, tmp_path: Path, monkeypatch
) -> None:
    write_pairs(tmp_path / "here", ["a", "b", "c"])
    monkeypatch.chdir(tmp_path)
    returning(monkeypatch, lambda own: os.chdir("/") or own)
    _, _, outcome = run(replace(request_, dataset="here", runs_dir=Path("runs")), methods)
    assert outcome.failed == 0 and Path.cwd() == tmp_path


def test_a_folder_that_is_gone_is_nobodys_fault(tmp_path: Path, monkeypatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with preparing.folder_kept():
        os.chdir(tmp_path)


def test_a_result_larger_than_what_is_read_is_refused_before_memory_ends(request_, methods, monkeypatch) -> None:
    monkeypatch.setattr(writing, "SET_PIXELS", 100)
    id, store, outcome = run(request_, methods)
    failure = store.images(id)[0].failure
    assert outcome.failed == 4 and failure is not None and "are the most that are read" in failure.message
    with pytest.raises(UserError, match="0 would be 32x32, 1,024 pixels; 100 are the most"):
        restore(np.zeros((8, 8, 3), np.uint8), "bicubic")


def test_a_name_as_long_as_a_folder_allows_is_restored(request_, methods, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "long", ["x" * 240, "a"])
    id, store, outcome = run(replace(request_, dataset=str(folder)), methods)
    assert outcome.failed == 0 and len(store.images(id)) == 2


def test_a_file_that_cannot_be_written_fails_its_image_alone(request_, methods, monkeypatch) -> None:
    write = jobs.write_png

    def odd(path: Path, pixels) -> None:
        if path.stem == "b":
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        write(path, pixels)

    monkeypatch.setattr(jobs, "write_png", odd)
    id, store, outcome = run(request_, methods)
    assert outcome.failed == 1 and "File name too long" in store.images(id)[1].failure.message
    monkeypatch.undo()
    assert run(request_, methods)[2].failed == 0 and CALLS == ["b"]


def test_a_message_that_is_not_utf_8_is_a_row(request_, methods, monkeypatch) -> None:
    returning(monkeypatch, lambda own: (_ for _ in ()).throw(RuntimeError("caf\udce9")))
    id, store, outcome = run(request_, methods)
    assert outcome.failed == 1 and store.images(id)[1].failure.message == "RuntimeError: caf\\udce9"


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("no batch"), "ValueError: no batch"), (KeyError("a"), "KeyError: 'a'"), (UserError("no", "do"), "no")],
)
def test_a_method_that_cannot_prepare_is_named(error: Exception, said: str, monkeypatch) -> None:
    monkeypatch.setattr(Nearest, "prepare", lambda *a: (_ for _ in ()).throw(error), raising=False)
    with pytest.raises(UserError) as caught:
        preparing.prepare(Nearest(Options(), Runtime()), "nearest", [])
    assert caught.value.message == f"the method nearest cannot prepare its images: {said}" and caught.value.fix


def test_a_method_that_cannot_prepare_leaves_no_run(request_, methods, monkeypatch) -> None:
    monkeypatch.setattr(Nearest, "prepare", lambda *a: (_ for _ in ()).throw(ValueError("no")), raising=False)
    with pytest.raises(UserError, match="the method nearest cannot prepare"):
        run(request_, methods)
    assert [path for path in request_.runs_dir.iterdir() if path.is_dir()] == []
    monkeypatch.undo()
    id, store, _ = run(request_, methods)
    assert store.run_ids() == [id]
