"""Weights that an option names by an address or a hub id: fetched once, with their license and hash said."""

from __future__ import annotations

import hashlib
import http.client
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from isrbench.harness.api.options import read_options
from isrbench.harness.api.steps import steps
from isrbench.harness.api.tensor_files import not_weights
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, is_there, replacing, shown, size_text, some
from isrbench.harness.metrics.weights import hub_dir
from isrbench.harness.network import arrive, endpoint, hub_folder, offline, transfer

if TYPE_CHECKING:
    from isrbench.harness.api.method import MethodPlugin

OPTIONS = ("weights", "adapter")
"""Options of methods whose path may be an address: ``https://HOST/FILE``, ``USER/REPO`` or ``USER/REPO:FILE``."""
SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pkl"})
"""Endings of weight files."""
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(.+))?")
_PIN = re.compile(r"sha256=([0-9a-f]{64})")
_HUB_SECONDS = 10.0
_LINE_SECONDS = 30.0
"""How often a download says how far it is."""


def method_options(plugin: MethodPlugin, texts: Mapping[str, str]) -> Any:
    """Return a method's options as texts state them; files that they name by an address are here then.

    Args:
        plugin: The method.
        texts: As behind ``-o``. Of :data:`OPTIONS` one may be a path, a URL (``#sha256=HEX`` behind it holds the file
            to a hash), or a hub id ``USER/REPO[:FILE]``. What is a path on this machine is taken for that.

    Raises:
        UserError: As :func:`isrbench.harness.api.options.read_options`, before anything is fetched; or if a file
            cannot be fetched, or is another than its hash says.
    """
    options = read_options(plugin, texts)
    found = {name: path for name in OPTIONS if (path := _fetched(name, texts.get(name, ""), options)) is not None}
    return replace(options, **found) if found else options


def _fetched(name: str, text: str, options: Any) -> Path | None:
    """Return the local file of an option, or None where its text is no address."""
    if not isinstance(getattr(options, name, None), Path) or is_there(Path(text).expanduser()):
        return None
    if urlsplit(text).scheme in {"http", "https"}:
        return _from_url(name, text)
    named = _HUB_ID.fullmatch(text)
    if named is None or (named[2] is None and PurePosixPath(text).suffix.lower() in {*SUFFIXES, ".param"}):
        return None
    return _from_hub(name, named[1], named[2])


def _from_url(name: str, text: str) -> Path:
    address = urlsplit(text)
    url, pin = address._replace(fragment="").geturl(), _PIN.fullmatch(address.fragment)
    if address.fragment and pin is None:
        raise UserError(f"option '{name}': '#{shown(address.fragment)}' is no hash", f"write {url}#sha256=64-DIGITS")
    file = PurePosixPath(unquote(address.path)).name
    if not file or "\0" in file:
        raise UserError(f"option '{name}': {url} names no file", "give the address of the file itself")
    path = hub_dir() / "isrbench" / "files" / hashlib.sha256(url.encode()).hexdigest()[:16] / file
    if not path.is_file():
        _download(name, url, path)
    found = file_hash(path)
    if pin is not None and found != pin[1]:
        raise UserError(
            f"option '{name}': {path} from {url} has sha256 {found}, not {pin[1]}",
            "correct the hash, or delete the file to fetch it again",
        )
    _say(name, url, path, found, "license not said at that address")
    return path


def _download(name: str, url: str, path: Path) -> None:
    fix = f"try again, or get it with a browser and give its path: -o {name}=FILE"
    if switch := offline():
        raise UserError(f"option '{name}': {url} is not on this machine, and {switch} is set", f"unset {switch}")
    steps.info("fetching %s...", url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial_file:
            transfer(url, partial_file, _telling(path.name))
            if what := not_weights(partial_file):
                raise UserError(f"option '{name}': {url} gave no weights: it is {what}", fix)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(f"option '{name}': {url} could not be fetched: {error}", fix) from error


def _telling(file: str) -> Callable[[int, int], None]:
    """Return a callback that logs, now and then, how much of a file is here."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            steps.info("%s: %s%s", file, size_text(done), f" of {size_text(total)}" if total else "")

    return tell


def _from_hub(name: str, repository: str, file: str | None) -> Path:
    """Return a file of a model on the hub; from the hub's cache where the hub cannot be asked."""
    import huggingface_hub as hub

    fix = f"check it, or give a path: -o {name}=FILE"
    where = f"{endpoint()}/{repository}"
    if switch := offline():
        path = _cached(repository, file)
        if path is None:
            raise UserError(f"option '{name}': {repository} is not on this machine, and {switch} is set", fix)
        _say(name, where, path, file_hash(path), "license not asked for: offline")
        return path
    steps.info("fetching %s, unless it is here...", where)
    try:
        info = hub.HfApi(endpoint=endpoint()).model_info(repository, timeout=_HUB_SECONDS)
    except Exception as error:  # the client raises its own, and those of the library beneath
        raise UserError(
            f"option '{name}': {where} cannot be read: {type(error).__name__}: {_line(error)}", fix
        ) from error
    file = file or _only([sibling.rfilename for sibling in info.siblings or ()], name, repository)
    download = partial(hub.hf_hub_download, repository, file, endpoint=endpoint())
    try:
        path = Path(arrive(hub_folder(repository), download))
    except Exception as error:
        raise UserError(
            f"option '{name}': {where} does not give {file}: {type(error).__name__}: {_line(error)}", fix
        ) from error
    licenses = [tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")]
    stated = getattr(info.card_data, "license", None) or (licenses[0] if licenses else None)
    _say(name, f"{where}:{file}", path, file_hash(path), f"license {stated}" if stated else "license not said there")
    return path


def _cached(repository: str, file: str | None) -> Path | None:
    """Return what the hub's cache has of a repository; asks no network."""
    import huggingface_hub as hub

    try:
        folder = Path(hub.snapshot_download(repository, local_files_only=True))
    except Exception:  # not there, or not as the client expects it
        return None
    names = [file] if file else [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    found = [folder / name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    return found[0] if len(found) == 1 and found[0].is_file() else None


def _only(names: Sequence[str], option: str, repository: str) -> str:
    """Return the one weight file of a repository, or the one of them that is safetensors."""
    weights = sorted(name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES)
    safe = [name for name in weights if name.endswith(".safetensors")]
    chosen = weights if len(weights) == 1 else safe
    if len(chosen) == 1:
        return chosen[0]
    what = f"several weight files: {some(weights)}" if weights else "no weight files"
    raise UserError(f"option '{option}': {repository} holds {what}", f"name one: -o {option}={repository}:FILE")


def _say(name: str, source: str, path: Path, sha256: str, license: str) -> None:
    steps.info("%s: %s (%s, sha256 %s), %s", name, source, size_text(path.stat().st_size), sha256, license)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
