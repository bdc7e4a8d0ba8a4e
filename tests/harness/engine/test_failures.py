"""A hundred images that fail in one way are one warning and a number."""

from __future__ import annotations

from isrbench.harness.api.records import Failure
from isrbench.harness.engine.failures import FailureLog


def test_each_way_of_failing_is_told_once_and_counted(caplog) -> None:
    log = FailureLog("folder")
    for n in range(100):
        log.add(f"img{n}", Failure(message=f"LR/img{n}.png is {64 + n}x64\nand more"))
    log.add("b", Failure(message="no memory"))
    for image in ("c", "d"):
        log.add(image, Failure(message=f"{image} has no prompt"))
    log.end()
    assert caplog.messages == [
        "folder failed on img0: LR/img0.png is 64x64",
        "folder failed on b: no memory",
        "folder failed on c: c has no prompt",
        "folder failed in the same way on 99 other images",
        "folder failed in the same way on d",
    ]
