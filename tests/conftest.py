"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.images import write_pairs
from tests.support.packages import hostile, site  # noqa: F401 - fixtures
from tests.support.paths import SHARED

# No test may reach for the network; what needs weights writes its own.
os.environ["ISRBENCH_OFFLINE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
# Tests start programs and threads of their own: on two cores, teams of OpenMP threads would spin against each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nor may each of some hundred processes compile torch anew, which takes longer than importing it: where the
# environment asks Python to keep no bytecode, it is kept all the same. pytest-xdist's workers inherit this.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


# Importing torch and diffusers makes nothing but what stays; looking through it again and again takes a tenth longer.
gc.disable()

_KINDS = {"realsr": "data", "bsds_test": "data", "browser": "browser"}
"""The kind of the tests that ask for a fixture."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cuda", help="where the tests marked gpu compute; cpu for a dry run")
    parser.addoption("--size", default="sd21", choices=("tiny", "sd21"), help="size of their full-size networks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in _KINDS:
                item.add_marker(_KINDS[fixture])


def pytest_collection_finish() -> None:
    """What is imported by now stays: later garbage collections need not go through all of torch and diffusers."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Python's own end goes through everything, or libraries report leaks."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def realsr() -> Path:
    """The 100 real pairs with the OSEDiff authors' outputs, where a developer has them."""
    folder = SHARED / "data" / "RealSR"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/RealSR (real test pairs, not redistributed here)")
    return folder


@pytest.fixture(scope="session")
def bsds_test() -> Path:
    """The test split of BSDS500, which nothing that ships was trained on, where a developer has it."""
    folder = SHARED / "data" / "BSDS500" / "test"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/BSDS500/test (photos, not redistributed here)")
    return folder


@pytest.fixture
def logs_kept() -> Iterator[None]:
    """For a test that shows the log on the terminal: afterwards it is as silent as before."""
    root, loggers = logging.getLogger(), [logging.getLogger(name) for name in ("", "isrbench", "isrbench.steps")]
    handlers, levels = root.handlers[:], [logger.level for logger in loggers]
    yield
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def pairs_folder(tmp_path: Path) -> Path:
    """Four small pairs, 16 -> 64."""
    return write_pairs(tmp_path / "small", ["a", "b", "c", "d"])
