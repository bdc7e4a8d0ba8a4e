"""Where a base lies: in a folder, or in the Hugging Face cache, into which it is fetched. Torch-free."""

from __future__ import annotations

import fnmatch
import logging
from functools import partial
from pathlib import Path
from typing import Any

from isrbench.harness.api.download import Download, Held
from isrbench.harness.api.tensor_files import FETCH_AGAIN, check_weights, not_weights
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_as_named
from isrbench.harness.network import arrive, endpoint, hub_folder, offline
from isrbench.methods.onestep.options import SD21_MIRRORS

log = logging.getLogger(__name__)

FIXED_PROMPTS = "prompts.safetensors"
"""File of fixed embeddings in the folder of a base without a text encoder."""
_FETCHED = ("vae/*", "unet/*", "scheduler/*", "tokenizer/*", "text_encoder/*", FIXED_PROMPTS)
_NOT_FETCHED = ("*.bin", "*.msgpack", "*.fp16.*", "*.non_ema.*")
"""The same weights in other formats, which would double the download."""
_CONFIGS = ("vae/config.json", "unet/config.json", "scheduler/scheduler_config.json")
_TEXT = ("text_encoder/config.json", "tokenizer/tokenizer_config.json")
_VOCABULARY = ("tokenizer/vocab.json", "tokenizer/merges.txt")
"""What a tokenizer needs that has no ``tokenizer.json``."""
_HUB_SECONDS = 5.0
AS_DATA: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""How a base's parts are loaded: from disk, and without running code that lies beside them. transformers would ask on
the terminal whether to run it, and take an answer from a pipe."""


def find_base(name: str) -> Path:
    """Return the folder of a base in diffusers format; asks the network once for each mirror, and briefly.

    Args:
        name: ``sd21``, which any of its mirrors gives, another hub id, or a folder.

    Raises:
        UserError: If it is neither, or a hub id whose files are not here and cannot be fetched.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    for identifier in hub_ids(name):
        found = cached(identifier)
        if found and not lacking(found):
            return found
    return fetch_base(name)


def hub_ids(name: str) -> tuple[str, ...]:
    """Return the hub ids that a base can be fetched from.

    Raises:
        UserError: If it cannot be a hub id.
    """
    if name == "sd21":
        return SD21_MIRRORS
    if name.count("/") != 1 or name.startswith((".", "~", "/")):
        raise UserError(
            f"base '{name}' is neither a folder nor a hub id", "pass tiny, tiny-gen, sd21, a folder or owner/name"
        )
    return (name,)


def cached(identifier: str) -> Path | None:
    """Return the snapshot of a hub id in the cache, whole or not, or None; asks no network.

    Raises:
        UserError: If it cannot be a hub id.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(identifier, local_files_only=True, **_patterns()))
    except HFValidationError as error:
        raise UserError(
            f"base '{identifier}' is not a hub id: {error}", "pass tiny, tiny-gen, sd21, a folder or owner/name"
        ) from error
    except LocalEntryNotFoundError as error:
        # Newer clients say of a snapshot that was not fetched to its end where it lies.
        partial = getattr(error, "snapshot_path", None)
        return Path(partial) if partial else None


def lacking(folder: Path) -> list[str]:
    """Return which files a base in this folder would have to have and does not: configs, weights, text.

    Weights of a part may have any name; one without a text encoder brings fixed embeddings.
    """
    names: list[str] = [*_CONFIGS]
    parts = ["vae", "unet"]
    if not (folder / FIXED_PROMPTS).is_file():
        names += _TEXT
        parts.append("text_encoder")
        if not (folder / "tokenizer/tokenizer.json").is_file():
            names += _VOCABULARY
    absent = [name for name in names if not (folder / name).is_file()]
    return absent + [f"{part}/*.safetensors" for part in parts if not _weights(folder / part)]


def fetch_base(name: str) -> Path:
    """Fetch what is lacking of a base into the Hugging Face cache, from the first mirror that answers.

    Raises:
        UserError: If offline is set, or none gives it.
    """
    from huggingface_hub import HfApi, snapshot_download

    identifiers = hub_ids(name)
    fix = (
        f"fetch it where there is a network (hf download {identifiers[0]}), or pass a folder; mirrors of SD 2.1-base: "
        f"{', '.join(SD21_MIRRORS)}; base=tiny needs no download"
    )
    if switch := offline():
        raise UserError(f"base '{name}' ({identifiers[0]}) is not whole in the hub cache, and {switch} is set", fix)
    failures = []
    for identifier in identifiers:
        try:
            HfApi().model_info(identifier, timeout=_HUB_SECONDS)
            for path in damaged(cached(identifier)):
                # The client takes what is there for whole.
                path.resolve().unlink()
                path.unlink(missing_ok=True)
            log.info("fetching base %s from %s/%s", name, endpoint(), identifier)
            download = partial(snapshot_download, identifier, **_patterns())
            return Path(arrive(hub_folder(identifier), download))
        except Exception as error:  # the hub client raises its own, requests' and httpx's errors alike
            failures.append((identifier, error))
    said = ", ".join(f"{identifier}: {type(error).__name__}" for identifier, error in failures)
    raise UserError(f"base '{name}' cannot be fetched: {said}", fix) from failures[0][1]


def damaged(snapshot: Path | None) -> list[Path]:
    """Return the files of a snapshot that are not as the hub has them, reading each; ``[]`` without a snapshot."""
    return [] if snapshot is None else [path for path in _files(snapshot) if not is_as_named(path)]


def as_download(name: str) -> Download:
    """Return a base as a download.

    Args:
        name: As in :func:`find_base`.

    Raises:
        UserError: If it is neither a folder nor a hub id.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Download(f"base {name}", str(folder), lambda: _look_at(folder), lambda progress: None)
    identifiers = hub_ids(name)
    source = " or ".join(f"{endpoint()}/{identifier}" for identifier in identifiers)
    return Download(f"base {name}", source, lambda: _look_in_cache(identifiers), lambda progress: fetch_base(name))


def _look_at(folder: Path) -> Held:
    absent = lacking(folder)
    if absent:
        raise UserError(f"base {folder} lacks {', '.join(absent)}", "pass a whole folder in diffusers format")
    return Held(folder, sum(path.stat().st_size for path in _files(folder)))


def _look_in_cache(identifiers: tuple[str, ...]) -> Held:
    """Look at the mirrors' snapshots; the first whole one counts, else the first one."""
    looked = [_look_at_snapshot(identifier) for identifier in identifiers]
    return next((held for held in looked if not held.lacking), looked[0])


def _look_at_snapshot(identifier: str) -> Held:
    snapshot = cached(identifier)
    if snapshot is None:
        return Held(hub_folder(identifier), 0, ("all files",))
    wrong = [path.relative_to(snapshot).as_posix() for path in damaged(snapshot)]
    size = sum(path.stat().st_size for path in _files(snapshot))
    return Held(snapshot, size, (*lacking(snapshot), *(f"{name} (damaged)" for name in wrong)))


def check_files(folder: Path, unet: Path) -> None:
    """Refuse a base in which a file that is read is none of its kind: empty, a web page, a Git LFS pointer.

    Args:
        folder: The base.
        unet: The folder of its UNet.

    Raises:
        UserError: Naming the first file, and what it is.
    """
    parts = (folder / "vae", unet, folder / "text_encoder")
    weights = [path for part in parts if part.is_dir() for path in sorted(_weights(part))]
    for path in (*weights, *([folder / FIXED_PROMPTS] if (folder / FIXED_PROMPTS).is_file() else [])):
        check_weights(path)
    texts = [path for part in (*parts, folder / "scheduler", folder / "tokenizer") for path in part.glob("*.json")]
    for path in sorted(texts):
        what = not_weights(path)
        if what is not None and not what.startswith(("a JSON text", "a text")):
            raise UserError(
                f"{path} is {what.removesuffix(', not weights')}, not the JSON that it should be", FETCH_AGAIN
            )


def _files(folder: Path) -> list[Path]:
    """Return the files of a base that are fetched and there, sorted."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return [names[name] for name in sorted(names) if _matches(name, _FETCHED) and not _matches(name, _NOT_FETCHED)]


def _weights(folder: Path) -> list[Path]:
    """Return the weight files of one part; a folder of the user's may hold torch's own format."""
    found = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    return [path for path in found if path.is_file() and not {".fp16", ".non_ema"} & set(path.suffixes)]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _patterns() -> dict[str, Any]:
    return {"allow_patterns": list(_FETCHED), "ignore_patterns": list(_NOT_FETCHED)}
