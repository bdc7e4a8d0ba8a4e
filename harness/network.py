"""The network: whether it may be used, whether it is there (asked at most once a process), and a file from it."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from isrbench.harness.files import size_below, size_text

log = logging.getLogger(__name__)

HUB = "https://huggingface.co"
OFFLINE_SWITCHES = ("ISRBENCH_OFFLINE", "HF_HUB_OFFLINE")
PROBE_SECONDS = 4.0
"""How long the one attempt to reach the network may take."""
STALL_SECONDS = 20.0
"""How long a server may take to answer, and a download stand still."""
LEAST_RATE = 10_000
"""Bytes a second that a download reaches on average once ``STALL_SECONDS`` are over: one that drips has no end."""
TOTAL_SECONDS = 6 * 3600.0
"""How long a download may take, however steadily it arrives."""
LARGEST = 20 * 10**9
"""Bytes of a file whose size neither the server announces nor a card names."""


def offline() -> str | None:
    """Return the environment variable that forbids the network, or None."""
    on = {"1", "true", "yes", "on"}
    return next((s for s in OFFLINE_SWITCHES if os.environ.get(s, "").strip().lower() in on), None)


def endpoint() -> str:
    """Return the address of the Hugging Face hub, or of the mirror in ``$HF_ENDPOINT``."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


@cache
def network() -> bool:
    """Return whether the hub answers; asked once a process, on a thread because no timeout covers looking up a name."""
    import http.client
    import urllib.error
    import urllib.request

    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(endpoint(), method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.debug("%s: %s", endpoint(), error)

    asking = threading.Thread(target=ask, name="isrbench-network", daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    if not answered.is_set():
        log.warning("%s cannot be reached; metrics whose weights are absent stay unavailable", endpoint())
    return answered.is_set()


class TransferError(OSError):
    """A server that does not give the file: too slow, too much, or less than it announced."""


def transfer(url: str, target: Path, progress: Callable[[int, int], None], size: int = 0) -> str:
    """Download a file.

    Args:
        url: Where from.
        target: What to write.
        progress: Told (bytes done, bytes in all or 0) after every block.
        size: Bytes that the file has, where a card says so; 0 = not said.

    Returns:
        The sha256 of what arrived, in hex.

    Raises:
        OSError: If the server cannot be reached, drips, ends early or does not end, or the disk is full.
        http.client.HTTPException: If what answers is no web server.
    """
    source, start = _open(url), time.monotonic()
    with source, target.open("wb") as sink:
        announced = _announced(source.headers.get("Content-Length"))
        if size and announced > size:
            raise TransferError(f"the server announces {size_text(announced)}, and {size_text(size)} are known")
        limit = announced or size or LARGEST
        digest, done = hashlib.sha256(), 0
        # What there is, however little: `read` would wait for a whole block from a server that drips.
        while block := _next(source):
            done += len(block)
            if done > limit:
                raise TransferError(f"the server does not end after {size_text(limit)}")
            sink.write(block)
            digest.update(block)
            progress(done, announced)
            _check_pace(done, time.monotonic() - start)
    if announced and done != announced:
        raise TransferError(f"it ended after {size_text(done)} of {size_text(announced)}")
    return digest.hexdigest()


def _announced(text: str | None) -> int:
    return int(text) if text and text.strip().isdecimal() and len(text) < 20 else 0


def _next(source: Any) -> bytes:
    try:
        return source.read1(1 << 20)
    except TimeoutError as error:
        raise TransferError(f"it stood still for {STALL_SECONDS:g} s") from error


def _check_pace(done: int, seconds: float) -> None:
    if seconds > STALL_SECONDS and done < LEAST_RATE * (seconds - STALL_SECONDS):
        raise TransferError(
            f"too slow: {size_text(done)} in {seconds:.0f} s (at least {size_text(LEAST_RATE)} a second)"
        )
    if seconds > TOTAL_SECONDS:
        raise TransferError(f"it did not end within {TOTAL_SECONDS / 3600:g} hours")


def hub_folder(repository: str, kind: str = "models") -> Path:
    """Return where the hub's cache keeps a repository of models or ``datasets``, there or not."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"{kind}--{repository.replace('/', '--')}"


def arrive(folder: Path, work: Callable[[], Any]) -> Any:
    """Return what the download of a library returns, held to the pace and the time of :func:`transfer`.

    Args:
        folder: Where its files grow, which tells how much has arrived.
        work: The download.

    Raises:
        TransferError: If it drips, stands still or does not end.
        BaseException: What ``work`` raises.
    """
    start, least = time.monotonic(), size_below(folder)

    def check() -> None:
        nonlocal least
        size = size_below(folder)
        least = min(least, size)  # what was begun earlier and is thrown away is no loss of what arrives
        _check_pace(size - least, time.monotonic() - start)

    return in_time(TOTAL_SECONDS, work, "it did not arrive", meanwhile=check)


def in_time(seconds: float, work: Callable[[], Any], what: str, *, meanwhile: Callable[[], None] | None = None) -> Any:
    """Return what ``work`` returns, if it does so in time; no timeout of a library covers names, heads and drips alike.

    Args:
        seconds: How long.
        work: Done on a thread of its own, which is left behind if it takes longer, and ends with the process.
        what: What there would be by then, for the message, such as ``no answer``.
        meanwhile: Called now and then while it works; what it raises ends the waiting.

    Raises:
        TransferError: If it takes longer.
        BaseException: What ``work`` raises.
    """
    answers: list[Any] = []
    errors: list[BaseException] = []

    def do() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # handed on to the caller's thread
            errors.append(error)

    doing = threading.Thread(target=do, name="isrbench-download", daemon=True)
    doing.start()
    deadline = time.monotonic() + seconds
    while meanwhile is not None and doing.is_alive() and time.monotonic() < deadline:
        doing.join(min(seconds, STALL_SECONDS / 4))
        if doing.is_alive():
            meanwhile()
    doing.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]
    if not answers:
        raise TransferError(f"{what} within {f'{seconds / 3600:g} hours' if seconds >= 3600 else f'{seconds:g} s'}")
    return answers[0]


def _open(url: str) -> Any:
    """Return the answer, its head read."""
    import urllib.request

    what = "no answer"
    try:
        return in_time(STALL_SECONDS, lambda: urllib.request.urlopen(url, timeout=STALL_SECONDS), what)
    except OSError as error:
        if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
            raise TransferError(f"{what} within {STALL_SECONDS:g} s") from error
        raise
