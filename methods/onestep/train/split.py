"""How the images of one step are split: over processes, and over micro-batches that fit the memory. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from isrbench.harness.errors import UserError


@dataclass(frozen=True)
class Split:
    """One way to share out a step. Every way gives the same step, but for the rounding of sums."""

    processes: int
    accumulate: int
    """Micro-batches of each process."""
    batch: int
    """Images of each micro-batch."""

    def __str__(self) -> str:
        return f"{self.processes} x {self.accumulate} x {self.batch} (processes, micro-batches, images)"


def split(global_batch: int, batch: int, processes: int) -> Split:
    """Split a step evenly.

    Args:
        global_batch: Images of the step.
        batch: The most images of a micro-batch, at least 1; the largest number up to this that divides evenly is taken.
        processes: How many processes share the step.

    Raises:
        UserError: If the processes cannot have equal shares.
    """
    if global_batch % processes:
        fits = ", ".join(str(n) for n in range(1, global_batch + 1) if not global_batch % n)
        multiple = global_batch + -global_batch % processes
        raise UserError(
            f"global_batch={global_batch} cannot be shared out evenly among {processes} processes",
            f"train with {fits} of them (--processes), or with global_batch={multiple}",
        )
    share = global_batch // processes
    size = max(n for n in range(1, min(batch, share) + 1) if not share % n)
    return Split(processes, share // size, size)


def item_numbers(step: int, steps: int, parts: Split, rank: int) -> list[int]:
    """List the items of one process from ``step`` to the run's end, in order.

    Every optimizer step uses the next ``global_batch`` items, whichever way they are split.
    """
    per_step = parts.processes * parts.accumulate * parts.batch
    return [
        s * per_step + (micro * parts.processes + rank) * parts.batch + i
        for s in range(step, steps)
        for micro in range(parts.accumulate)
        for i in range(parts.batch)
    ]
