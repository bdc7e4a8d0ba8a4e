"""Weight files of metrics and networks: where they lie, what is missing, how they are fetched. Torch-free."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from isrbench.harness.api.download import Download, Held, Progress
from isrbench.harness.api.metric import Metric, WeightFile
from isrbench.harness.api.tensor_files import not_weights
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, replacing
from isrbench.harness.network import HUB, endpoint, network, offline, transfer

log = logging.getLogger(__name__)

_DATA_ONLY, _ANYTHING = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""How torch is told what ``torch.load`` may read, whatever its callers ask for."""

_AS_DATA = threading.Lock()


class WeightsUnavailable(UserError):
    """A metric's weight files are absent and cannot be fetched now."""


def hub_dir() -> Path:
    """Return ``torch.hub.get_dir()``, ``$TORCH_HOME/hub`` or ``~/.cache/torch/hub``, without importing torch."""
    cache_home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache_home}/torch")).expanduser() / "hub"


def location(file: WeightFile) -> Path:
    """Return where a weight file lies on this machine."""
    return hub_dir() / file.path


def digest(file: WeightFile) -> str | None:
    """Return the file's sha256 in hex, or None where it is absent or cannot be read."""
    try:
        stat = location(file).stat()
        return _sha256(location(file), stat.st_size, stat.st_mtime_ns)
    except OSError:
        return None


def missing(metric: Metric) -> list[WeightFile]:
    """Return the metric's files that are absent."""
    return [f for f in metric.weights if not location(f).is_file()]


def other_content(files: Iterable[WeightFile]) -> list[WeightFile]:
    """Return those of ``files`` that are there but are not the published ones, where a hash is known."""
    return [f for f in files if location(f).is_file() and not is_intact(f)]


def unproven(files: Iterable[WeightFile]) -> list[WeightFile]:
    """Return those of ``files`` of which nobody can say that they are the published ones: no whole sha256 is known."""
    return [f for f in files if not f.proof]


def not_published(files: Iterable[WeightFile]) -> str | None:
    """Return a sentence on the first of ``files`` that is not the published one; None where all may be."""
    for file in other_content(files):
        path = location(file)
        found, known = digest(file), file.sha256 or ""
        if found is None:
            return f"{path} cannot be read"
        what = not_weights(path)
        why = f"it is {what}" if what else f"its sha256 is {found[:16]}..., and {known[:16]}... is published"
        return f"{path} is not the published file: {why}"
    return None


def check_published(files: Iterable[WeightFile], command: str, what: str = "") -> None:
    """Check the hash of weight files before anything reads them: a pickle of another hash could run code.

    Args:
        files: Those that are absent are passed over.
        command: What fetches the published ones.
        what: Whose files they are, for the message.

    Raises:
        WeightsUnavailable: If one is not the published file.
    """
    if wrong := not_published(files):
        raise WeightsUnavailable(f"{what}: {wrong}" if what else wrong, command)


@contextmanager
def read_as_data(files: Iterable[WeightFile]) -> Iterator[None]:
    """Let ``torch.load`` read tensors and plain values alone in the block, if a file's hash does not prove what it is.

    A library that asks for more (``weights_only=False``) does not get it: the file could run code.
    """
    if not unproven(files):
        yield
        return
    with _AS_DATA:  # one at a time: the first to end would undo it for the other
        kept = {name: os.environ.pop(name, None) for name in (_DATA_ONLY, _ANYTHING)}
        os.environ[_DATA_ONLY] = "1"
        try:
            yield
        finally:
            del os.environ[_DATA_ONLY]
            os.environ.update({name: value for name, value in kept.items() if value is not None})


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
        WeightsUnavailable: With the one line that fetches them, or puts the published files in the place of others.
    """
    fix = fetch_command([metric.id])
    check_published(metric.weights, fix, metric.id)
    absent = [file for file in missing(metric) if not _copied(file)]
    if not absent:
        return
    names = ", ".join(str(location(f)) for f in absent)
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
    return [f for f in files if not location(f).is_file() or not is_intact(f)]


def _address(file: WeightFile) -> str:
    return file.url.replace(HUB, endpoint(), 1)


def is_intact(file: WeightFile) -> bool:
    """Return whether a file that is there has the hash that is known of it; without a whole one, may hold weights."""
    found = digest(file)
    if found is None or not found.startswith(file.sha256 or ""):
        return False
    return file.proof or not_weights(location(file)) is None


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Hash a file once for as long as its size and time stay as they are."""
    return file_hash(path)


def _copied(file: WeightFile) -> bool:
    """Copy a file out of the installed package that holds it; False where none does, or another file."""
    source = _packaged(file)
    if source is None or not file.proof or file_hash(source) != file.sha256:
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
            found = transfer(url, partial, lambda done, total: progress(target.name, done, total), file.size)
            other = file.sha256 is not None and not found.startswith(file.sha256)
            what = not_weights(partial) if other or file.sha256 is None else None
            if what or other:
                why = f"gave {what}" if what else f"has sha256 {found[:16]}, not {(file.sha256 or '')[:16]}"
                raise WeightsUnavailable(f"{url} {why}", by_hand)
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: of an odd $HF_ENDPOINT
        raise WeightsUnavailable(f"{url} could not be fetched: {error}", by_hand) from error
