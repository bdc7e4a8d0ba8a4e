"""Images that are restored together (``--batch``): which, and what becomes of each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from isrbench.harness.api.batch import Batches
from isrbench.harness.api.containment import contained
from isrbench.harness.api.dataset import Pair
from isrbench.harness.api.method import Method
from isrbench.harness.api.records import Failure
from isrbench.harness.api.result import Restored
from isrbench.harness.engine.jobs import Computed, Job, compute, without_room
from isrbench.harness.engine.memory import is_out_of_memory
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.preparing import folder_kept
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.identity import image_seed
from isrbench.harness.imaging.images import to_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Read = NDArray[np.uint8] | Failure


@dataclass(frozen=True)
class Group:
    """Images that go through the method together, and what is to be done for some of them."""

    pairs: tuple[Pair, ...]
    """All that are computed; none where the PNGs of ``jobs`` are there already."""
    jobs: tuple[Job, ...]


def groups(plan: Plan, jobs: Sequence[Job]) -> list[Group]:
    """Divide jobs into what is restored together: ``--batch`` images of one size, in the order of the set.

    An image's last bits may depend on its batch, so batches are those of the whole set: where some of one are there
    already, all are computed again and only what is missing is kept.
    """
    size = plan.request.batch
    if size == 1:
        return [Group((job.pair,) if job.restore else (), (job,)) for job in jobs]
    same: dict[tuple[int, int], list[Pair]] = defaultdict(list)
    for pair in plan.pairs:
        same[pair.size].append(pair)
    batches = [pairs[n : n + size] for pairs in same.values() for n in range(0, len(pairs), size)]
    place = {pair.id: n for n, batch in enumerate(batches) for pair in batch}
    waiting: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.restore:
            waiting[place[job.pair.id]].append(job)
    scored = [Group((), (job,)) for job in jobs if not job.restore]
    return [*(Group(tuple(batches[n]), tuple(own)) for n, own in waiting.items()), *scored]


def compute_group(plan: Plan, group: Group, lrs: Sequence[Read]) -> dict[str, Computed]:
    """Run the method on a group's images; nothing is raised for a bad image or method.

    An image that cannot be read is black to the others. Where a batch fails as a whole, each image is tried in a batch
    of copies of itself, so that one that fails fails alone.

    Args:
        plan: What is run.
        group: The images.
        lrs: What :func:`isrbench.harness.engine.jobs.read` returned of each.

    Returns:
        What was made of each image, by id.
    """
    if not group.pairs:  # there are images to score alone
        return {}
    if plan.request.batch == 1:
        return {pair.id: compute(plan, pair, lr) for pair, lr in zip(group.pairs, lrs, strict=True)}
    whole = [np.zeros((*pair.size, 3), np.uint8) if isinstance(lr, Failure) else lr
             for pair, lr in zip(group.pairs, lrs, strict=True)]  # fmt: skip
    made = _together(plan, group.pairs, whole)
    found = {}
    for place, (pair, lr) in enumerate(zip(group.pairs, lrs, strict=True)):
        if isinstance(lr, Failure):
            found[pair.id] = Computed(None, failure=lr)
        elif made is None:
            copies = _together(plan, [pair] * len(whole), [lr] * len(whole), alone=True)
            found[pair.id] = cast(list[Computed], copies)[0]
        else:
            found[pair.id] = made[place]
    return found


def _together(
    plan: Plan, pairs: Sequence[Pair], lrs: Sequence[NDArray[np.uint8]], alone: bool = False
) -> list[Computed] | None:
    """One call of the method; None where it fails for a reason that may be one image's, unless that is ``alone``."""
    import torch

    method, seed = cast(Batches, plan.method), plan.request.seed
    images = [pair.id for pair in pairs]
    try:
        start = time.perf_counter()
        batch = torch.stack([to_tensor(lr) for lr in lrs])
        with folder_kept(), contained():
            results = method.restore_batch(batch, images=images, seeds=[image_seed(seed, image) for image in images])
            if len(results) != len(images):
                raise TypeError(f"restore_batch returned {len(results)} results for {len(images)} images")
        restored = []
        for lr, image, result in zip(lrs, images, results, strict=True):
            one = cast(Method, _Known(result))
            restored.append(restore_pixels(one, lr, image, seed, plan.card.scale))
        seconds = (time.perf_counter() - start) / len(images)  # now that a GPU has given its results
        return [Computed(pixels, trace, seconds) for pixels, trace in restored]
    except Exception as error:
        failure, short = Failure.of(error), is_out_of_memory(error)
    if short:
        return [without_room(plan, pair, lr, failure) for pair, lr in zip(pairs, lrs, strict=True)]
    return [Computed(None, failure=failure) for _ in pairs] if alone else None


@dataclass(frozen=True)
class _Known:
    """A result, held to the contract of the method that it stands for."""

    result: Restored

    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        return self.result
