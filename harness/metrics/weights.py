"""Weight files of metrics and networks: where they lie, what is missing, how they are fetched. Torch-free."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from isrbench.harness.api.download import Download, Held, Progress
from isrbench.harness.api.metric import Metric, WeightFile
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, replacing
from isrbench.harness.network import HUB, endpoint, network, offline

log = logging.getLogger(__name__)

STALL_SECONDS = 20.0
"""How long a download may stand still."""


class WeightsUnavailable(UserError):
    """A metric's weight files are absent and cannot be fetched now."""


def pyiqa_file(name: str, packaged: str = "") -> WeightFile:
    """Return a file of pyiqa's own collection; eight hex digits before the ending are the head of its sha256.

    Args:
        name: The file's name.
        packaged: See :attr:`isrbench.harness.api.metric.WeightFile.packaged`.
    """
    head = Path(name).stem.rpartition("-")[2]
    hexadecimal = len(head) == 8 and set(head) <= set("0123456789abcdef")
    url = f"{HUB}/chaofengc/IQA-PyTorch-Weights/resolve/main/{name}"
    return WeightFile(f"pyiqa/{name}", url, head if hexadecimal else None, packaged=packaged)


def torchvision_file(name: str) -> WeightFile:
    """Return a file of torchvision's model zoo, named after the head of its sha256."""
    head = Path(name).stem.rpartition("-")[2]
    return WeightFile(f"checkpoints/{name}", f"https://download.pytorch.org/models/{name}", head)


def hub_dir() -> Path:
    """Return ``torch.hub.get_dir()``, ``$TORCH_HOME/hub`` or ``~/.cache/torch/hub``, without importing torch."""
    cache_home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache_home}/torch")).expanduser() / "hub"


def location(file: WeightFile) -> Path:
    """Return where a weight file lies on this machine."""
    return hub_dir() / file.path


def digest(file: WeightFile) -> str | None:
    """Return the file's sha256 in hex, or None where it is absent."""
    try:
        stat = location(file).stat()
    except FileNotFoundError:
        return None
    return _sha256(location(file), stat.st_size, stat.st_mtime_ns)


def missing(metric: Metric) -> list[WeightFile]:
    """Return the metric's files that are absent, or present with content that the reading library would refuse."""
    return [f for f in metric.weights if not location(f).is_file() or (f.strict and not _intact(f))]


def damaged(metric: Metric) -> list[WeightFile]:
    """Return the metric's files that are there but not as published, where a hash is known."""
    return [f for f in metric.weights if location(f).is_file() and not _intact(f)]


def fetch_command(metrics: Iterable[str]) -> str:
    """Return the command that fetches the weights of metrics, by id."""
    return f"isrbench fetch weights --metric {','.join(metrics)}"


def without_weights(metrics: Sequence[str]) -> str:
    """Return the line that says of metrics, by id, that they are blank for want of weights, and what fetches these."""
    return f"{', '.join(metrics)}: not computed without their weights; {fetch_command(metrics)}"


def ensure(metric: Metric, download: bool = True) -> None:
    """Make sure that every weight file is there, and download what is absent where the network answers.

    The network is tried at most once a process, and not at all where an environment variable forbids it. What an
    installed package holds is copied from there.

    Args:
        metric: Whose files.
        download: Whether the network may be tried.

    Raises:
        WeightsUnavailable: With the one line that fetches them.
    """
    absent = [file for file in missing(metric) if not _copied(file)]
    if not absent:
        return
    names = ", ".join(str(location(f)) for f in absent)
    fix = fetch_command([metric.id])
    if not download:
        raise WeightsUnavailable(f"{metric.id} needs {names}", fix)
    switch = offline()
    if switch:
        raise WeightsUnavailable(f"{metric.id} needs {names}, and {switch} is set", f"unset {switch}; {fix}")
    if not network():
        raise WeightsUnavailable(f"{metric.id} needs {names}, and {endpoint()} cannot be reached", fix)
    # A warning: a run may wait long for it.
    log.warning("downloading the weights of %s; later runs find them on disk", metric.id)
    fetch(metric)


def fetch(metric: Metric, progress: Progress = lambda file, done, total: None) -> list[Path]:
    """Download the metric's files that are absent or not as published; a file appears only when it is whole.

    Args:
        metric: Whose files.
        progress: Told after every block that has arrived.

    Returns:
        The files that were downloaded.

    Raises:
        WeightsUnavailable: If offline is set, a server cannot be reached, or a hash does not match.
    """
    return fetch_files(metric.weights, fetch_command([metric.id]), progress)


def fetch_files(
    files: Sequence[WeightFile], command: str, progress: Progress = lambda file, done, total: None
) -> list[Path]:
    """Download those of ``files`` that are absent or not as published; a file appears only when it is whole.

    Args:
        files: Which.
        command: The command to try again with, for messages.
        progress: Told after every block that has arrived.

    Returns:
        The files that were downloaded, or copied from an installed package.

    Raises:
        WeightsUnavailable: If offline is set, a server cannot be reached, or a hash does not match.
    """
    lacking = wanted(files)
    distant = [file for file in lacking if not _copied(file)]
    switch = offline()
    if distant and switch:
        names = ", ".join(str(location(f)) for f in distant)
        raise WeightsUnavailable(f"{switch} is set, so {names} cannot be fetched", f"unset {switch}; {command}")
    for file in distant:
        _download(file, command, progress)
    return [location(f) for f in lacking]


def as_download(what: str, files: Sequence[WeightFile], command: str) -> Download:
    """Return weight files as one download.

    Args:
        what: What they are.
        files: One or more.
        command: As in :func:`fetch_files`.
    """

    def look() -> Held:
        there = [location(f) for f in files if location(f).is_file()]
        place = location(files[0]) if len(files) == 1 else hub_dir()
        lacking = tuple(f.path for f in wanted(files))
        return Held(place, sum(path.stat().st_size for path in there), lacking)

    return Download(
        what=what,
        source=", ".join(_address(f) for f in files),
        look=look,
        fetch=lambda progress: fetch_files(files, command, progress),
    )


def wanted(files: Sequence[WeightFile]) -> list[WeightFile]:
    """Return those of ``files`` that are absent or not as published."""
    return [f for f in files if not location(f).is_file() or not _intact(f)]


def _address(file: WeightFile) -> str:
    return file.url.replace(HUB, endpoint(), 1)


def _intact(file: WeightFile) -> bool:
    return file.sha256 is None or (digest(file) or "").startswith(file.sha256)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Hash a file once for as long as its size and time stay as they are."""
    return file_hash(path)


def _copied(file: WeightFile) -> bool:
    """Copy a file out of the installed package that holds it; False where none does, or another file."""
    source = _packaged(file)
    if source is None or file.sha256 is None or not file_hash(source).startswith(file.sha256):
        return False
    target = location(file)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            partial.write_bytes(source.read_bytes())
    except OSError as error:
        log.info("%s cannot be copied to %s: %s", source, target, error)
        return False
    log.info("%s: copied from %s", target, source)
    return True


def _packaged(file: WeightFile) -> Path | None:
    """Return where an installed package holds the file; the package is not imported."""
    package, _, inside = file.packaged.partition("/")
    spec = find_spec(package) if package else None
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((path for folder in folders if (path := Path(folder) / inside).is_file()), None)


def _download(file: WeightFile, command: str, progress: Progress) -> None:
    import http.client

    target = location(file)
    url = _address(file)
    by_hand = f"try again: {command}; or put {url} at {target}"
    log.info("fetching %s", url)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            found = _stream(url, partial, lambda done, total: progress(target.name, done, total))
            if file.sha256 and not found.startswith(file.sha256):
                raise WeightsUnavailable(f"{url} has sha256 {found[:16]}, not {file.sha256[:16]}", by_hand)
    except (OSError, http.client.HTTPException) as error:
        raise WeightsUnavailable(f"{url} could not be fetched: {error}", by_hand) from error


def _stream(url: str, target: Path, progress: Callable[[int, int], None]) -> str:
    """Download to ``target`` and return its sha256."""
    import hashlib
    import http.client
    import urllib.request

    digest, done = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=STALL_SECONDS) as source, target.open("wb") as sink:
        total = int(source.headers.get("Content-Length") or 0)
        while block := source.read(1 << 20):
            sink.write(block)
            digest.update(block)
            done += len(block)
            progress(done, total)
    if total and done != total:
        raise http.client.IncompleteRead(b"", total - done)
    return digest.hexdigest()
