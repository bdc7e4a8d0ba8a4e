"""What holds for methods that route by severity: overruled, they do as they are told."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.method import Restored, Routed
from isrbench.harness.engine.contract.check import Checks, Skipped, expect
from isrbench.harness.engine.contract.subject import Subject, noise
from isrbench.harness.severity.dimensions import DIMENSIONS

if TYPE_CHECKING:
    pass


def _routed(subject: Subject) -> Restored:
    if not subject.plugin.info.routes:
        raise Skipped("the method does not route")
    return subject.restored("odd")


def _otherwise(subject: Subject, **options: object) -> Restored:
    if not set(options) <= {field.name for field in dataclasses.fields(subject.options)}:
        raise Skipped(f"the method has no option {', '.join(options)}")
    method = subject.plugin.make(dataclasses.replace(subject.options, **options), subject.runtime)
    return subject.restored("odd", method=method)


def _takes_severities(subject: Subject) -> None:
    import torch

    own = _routed(subject)
    expect(isinstance(subject.method, Routed), "it lacks severity() and active_counts()")
    assert isinstance(subject.method, Routed)
    severity = subject.method.severity(noise("odd"), image="odd")
    fits = severity.shape == (len(DIMENSIONS),) and severity.min() >= 0 and severity.max() <= 1
    expect(bool(fits), f"severity() has to return ({len(DIMENSIONS)},) in [0, 1]")
    with tempfile.TemporaryDirectory(prefix="isrbench-check-") as folder:
        path = Path(folder, "severities.csv")
        path.write_text(",".join(["image", *DIMENSIONS]) + "\n" + ",".join(["odd", *map(repr, severity.tolist())]))
        given = _otherwise(subject, severities=path)
    same = torch.equal(given.image, own.image) and given.trace == own.trace
    expect(same, "its own severity, handed back by the option severities, gives another image")


def _fixed_counts(subject: Subject) -> None:
    own = _routed(subject)
    assert isinstance(subject.method, Routed) and own.trace is not None
    counts = subject.method.active_counts()
    expect(list(counts) == sorted(set(counts)), "active_counts() has to rise")
    for count in counts:
        trace = _otherwise(subject, active=count).trace
        assert trace is not None
        fixed = set(trace.active) == {count} and set(trace.zero) == {0} and trace.layers == own.trace.layers
        expect(fixed, f"under active={count} the trace says {set(trace.active)}, with {set(trace.zero)} zero slots")


def _off(subject: Subject) -> None:
    own = _routed(subject)
    trace = _otherwise(subject, adapter_off=True).trace
    assert trace is not None and own.trace is not None
    none = trace.mean_active == 0 and trace.layers == own.trace.layers and not (trace.macs or trace.params)
    expect(none, "under adapter_off=true experts are active")


ROUTING_CHECKS: Checks[Subject] = {
    "routing: it takes back the severity that it says": _takes_severities,
    "routing: a fixed number of experts is active": _fixed_counts,
    "routing: off, no expert is active": _off,
}
"""What has to hold, in words, and the function that finds out; other methods skip them."""
