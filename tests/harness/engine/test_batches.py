"""Images that are restored together: which, what each becomes where others fail, and what a run says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from isrbench.harness.api.method import Restored
from isrbench.harness.api.records import ImageStatus
from isrbench.harness.engine.batches import groups
from isrbench.harness.engine.execution import execute
from isrbench.harness.engine.jobs import Job
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.engine.runners import check_runner
from isrbench.harness.errors import UserError
from isrbench.harness.store.store import Store
from tests.support.images import make_image, write_pairs
from tests.support.nearest import Nearest, run

NAMES = ["a", "b", "c", "d", "e", "wide"]
SEEN: list[tuple[str, ...]] = []


@pytest.fixture
def batched(request_, tmp_path, monkeypatch) -> Request:
    """A set of five images of one size and one of another, and a method that takes several at once."""
    folder = write_pairs(tmp_path / "mixed", NAMES)
    for sub, scale in (("LR", 1), ("HR", 4)):
        Image.fromarray(make_image(9, 16 * scale, 24 * scale)).save(folder / sub / "wide.png")

    def restore_batch(self, lrs, *, images, seeds):
        SEEN.append(tuple(images))
        return [
            Restored(self.restore(lr, image=image, seed=seed).image)
            for lr, image, seed in zip(lrs, images, seeds, strict=True)
        ]

    SEEN.clear()
    monkeypatch.setattr(Nearest, "restore_batch", restore_batch, raising=False)
    return replace(request_, dataset=str(folder), metrics=("psnr",), batch=2)


def pngs(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.rglob("images/*.png")}


@pytest.mark.parametrize("runner", ["serial", "threads"])
def test_batches_are_of_one_size_in_the_order_of_the_set(runner: str, batched: Request, methods, tmp_path) -> None:
    together = replace(batched, runner=runner)
    id, store, outcome = run(together, methods)
    assert SEEN == [("a", "b"), ("c", "d"), ("e",), ("wide",)] and outcome.failed == 0
    single, other, _ = run(replace(batched, batch=1, runs_dir=tmp_path / "single"), methods)
    assert len(SEEN) == 4 and pngs(store.folder) == pngs(other.folder), "this method's batches are exact"
    assert [r.value for r in store.scores(id)] == [r.value for r in other.scores(single)]


def test_a_batch_is_computed_again_as_it_was_and_only_what_is_missing_is_kept(batched: Request, methods) -> None:
    id, store, _ = run(batched, methods)
    before, kept = pngs(store.folder), store.folder / id / "images" / "c.png"
    (store.folder / id / "images" / "d.png").unlink()
    written = kept.stat().st_mtime_ns
    SEEN.clear()
    run(batched, methods)
    assert SEEN == [("c", "d")] and pngs(store.folder) == before and kept.stat().st_mtime_ns == written


def test_an_image_that_fails_or_cannot_be_read_fails_alone(batched: Request, methods) -> None:
    request = replace(batched, options={"fault": "raise", "on": "a"}, batch=3)
    plan, store = make_plan(request, methods), Store(request.runs_dir)
    Path(plan.pairs[4].lr).unlink()
    outcome = execute(plan, store)
    failed = {row.image: row.failure.message for row in store.images(outcome.run) if row.failure}
    assert outcome.failed == 2 and failed["a"].startswith("RuntimeError: the method broke") and "e.png" in failed["e"]
    assert SEEN == [("a", "b", "c"), ("a",) * 3, ("b",) * 3, ("c",) * 3, ("d", "e"), ("wide",)]


def test_a_batch_without_room_is_told_of_each_image(batched: Request, methods, monkeypatch) -> None:
    def restore_batch(self, lrs, *, images, seeds):
        raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(Nearest, "restore_batch", restore_batch)
    id, store, outcome = run(batched, methods)
    assert {row.status for row in store.images(id)} == {ImageStatus.OOM} and outcome.failed == 6


def test_more_than_one_is_another_run_and_not_for_every_method_and_runner(batched: Request, methods) -> None:
    one, two = (make_plan(replace(batched, batch=n), methods).identity for n in (1, 2))
    assert one != two
    with pytest.raises(UserError, match="--batch is 0"):
        make_plan(replace(batched, batch=0), methods)
    with pytest.raises(UserError, match="--batch is not an option of --runner ray"):
        check_runner(replace(batched, runner="ray"))
    with pytest.raises(UserError, match="bicubic restores one image at a time"):
        make_plan(Request("bicubic", "sample", batch=2))


def test_images_that_are_only_scored_are_in_no_batch(batched: Request, methods) -> None:
    plan = make_plan(batched, methods)
    jobs = [Job(pair, pair.id == "b", ("psnr",)) for pair in plan.pairs]
    found = groups(plan, jobs)
    assert [[pair.id for pair in group.pairs] for group in found] == [["a", "b"], [], [], [], [], []]
    assert [group.jobs[0].pair.id for group in found] == ["b", "a", "c", "d", "e", "wide"]
