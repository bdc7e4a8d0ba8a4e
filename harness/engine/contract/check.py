"""How a check ends, and how a list of them is carried out: a check that fails, in whatever way, stops no other."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import enumerate as running_threads
from typing import Any, TypeVar

import numpy as np

from isrbench.harness.api.containment import contained
from isrbench.harness.api.records import Failure

T = TypeVar("T")
Checks = Mapping[str, Callable[[T], None]]
"""By what each says: functions that raise :class:`Broken` or :class:`Skipped`, or return."""


class Verdict(str, Enum):
    """How a check ended."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Checked:
    """One check that was carried out."""

    check: str
    """What has to hold, in words."""
    verdict: Verdict
    reason: str = ""
    """Why it failed or was skipped; "" where it passed."""


class Broken(Exception):
    """What a check asks for does not hold."""


class Skipped(Exception):
    """A check has nothing to look at here."""


def expect(holds: bool, otherwise: str) -> None:
    """Refuse what does not hold.

    Raises:
        Broken: With ``otherwise`` as the reason.
    """
    if not holds:
        raise Broken(otherwise)


def carry_out(checks: Checks[T], subject: T) -> list[Checked]:
    """Carry out all checks on one subject, in their order; nothing is raised for one that fails."""
    return [carry_out_one(name, check, subject) for name, check in checks.items()]


def carry_out_one(name: str, check: Callable[[T], None], subject: T) -> Checked:
    """Carry out one check."""
    try:
        with contained():
            check(subject)
    except Skipped as why:
        return Checked(name, Verdict.SKIPPED, str(why))
    except Broken as why:
        return Checked(name, Verdict.FAIL, str(why))
    except Exception as error:
        failure = Failure.of(error)
        return Checked(name, Verdict.FAIL, "; fix: ".join(filter(None, (failure.brief, failure.fix))))
    return Checked(name, Verdict.PASS)


def exit_code(checked: Iterable[Checked]) -> int:
    """Return 1 where a check failed, else 0."""
    return 1 if any(one.verdict is Verdict.FAIL for one in checked) else 0


@contextmanager
def process_left_alone() -> Iterator[None]:
    """Refuse code that changes what belongs to the whole process: another plugin's results would follow.

    Raises:
        Broken: Names what was changed: a global state of random numbers, torch's default dtype, gradient mode or number
            of threads, the working directory, or threads that are left behind.
    """
    before, threads = _global_state(), set(running_threads())
    yield
    changed = [what for what, state in _global_state().items() if state != before[what]]
    expect(not changed, f"it changes {', '.join(changed)} of the whole process")
    left = [t.name for t in running_threads() if t not in threads and not t.daemon and t.is_alive()]
    expect(not left, f"it leaves threads behind, which keep the process from ending: {', '.join(left)}")


def _global_state() -> dict[str, Any]:
    import torch

    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's random state": pickle.dumps(np.random.get_state()),
        "Python's random state": random.getstate(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "the working directory": Path.cwd(),
    }
