"""Open_clip's published weights: found, checked and fetched where open_clip looks for them. Torch-free to import."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isrbench.harness import network
from isrbench.harness.api.download import Download, Held
from isrbench.harness.api.tensor_files import not_weights
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, is_as_named
from isrbench.harness.severity.spec import FFT, folder_of

Config = Mapping[str, Any]
"""What open_clip knows of published weights: ``hf_hub`` or ``url``."""


def ships(spec: str) -> bool:
    """Return whether an estimator needs nothing that is fetched: it ships, or its file or folder is the user's."""
    weights = spec.partition("/")[2]
    return spec == FFT or folder_of(spec).is_dir() or (bool(weights) and Path(weights).is_file())


def check_spec(spec: str) -> None:
    """Refuse a ``MODEL/PRETRAINED`` that open_clip could only fail on.

    Raises:
        UserError: If there is no such model, or neither such a file nor such a tag.
    """
    import open_clip

    name, _, pretrained = spec.partition("/")
    if name not in open_clip.list_models():
        raise UserError(
            f"severity estimator '{spec}': neither 'tiny', nor a folder, nor MODEL/PRETRAINED of a model in open_clip",
            "for example tiny, fft, ViT-B-32/openai, or a folder that holds open_clip_config.json",
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not Path(pretrained).is_file() and pretrained not in tags:
        raise UserError(
            f"severity estimator '{spec}': '{pretrained}' is neither a file nor weights of {name}",
            f"known weights: {', '.join(tags) or 'none'}",
        )


def find_weights(config: Config) -> Path | None:
    """Return the file of published weights in open_clip's caches, or None; asks no network."""
    hub, url = config.get("hf_hub", ""), config.get("url", "")
    if hub:
        import huggingface_hub

        repository, names = _on_hub(hub)
        found = [huggingface_hub.try_to_load_from_cache(repository, name) for name in names]
        return next((Path(path) for path in found if isinstance(path, str)), None)
    file = Path("~/.cache/clip").expanduser() / Path(url).name
    return file if url and file.is_file() else None


def unfetchable(config: Config) -> str | None:
    """Return why published weights that are not on this machine cannot be fetched; None if they are, or can be."""
    if find_weights(config):
        return None
    if switch := network.offline():
        return f"{switch} is set"
    return None if network.network() else "the network cannot be reached"


def check_cached(spec: str, name: str, tag: str) -> None:
    """Refuse published weights in open_clip's caches that are not the published ones, before anything reads them.

    Args:
        spec: The estimator, for messages.
        name: open_clip's model.
        tag: Its weights; a file of the user's passes.

    Raises:
        UserError: If the file has another hash than its address or the cache says.
    """
    import open_clip

    config = {} if Path(tag).is_file() else open_clip.get_pretrained_cfg(name, tag)
    found = find_weights(config)
    if found is not None and not _as_published(found, config):
        what = not_weights(found)
        why = f"it is {what}" if what else "its sha256 is another one"
        raise UserError(
            f"severity estimator '{spec}': {found} is not the published file: {why}",
            f"remove it, and fetch it again where there is a network: rm {shlex.quote(str(found.resolve()))}",
        )


def as_download(spec: str) -> Download:
    """Return an estimator's published weights as a download.

    Args:
        spec: ``MODEL/PRETRAINED``, for which :func:`ships` is false.

    Raises:
        UserError: If open_clip knows no such model or weights.
    """
    import open_clip

    check_spec(spec)
    name, _, tag = spec.partition("/")
    config = open_clip.get_pretrained_cfg(name, tag)
    hub, url = config.get("hf_hub", ""), config.get("url", "")
    source = f"{network.endpoint()}/{_on_hub(hub)[0]}" if hub else url

    def look() -> Held:
        found = find_weights(config)
        if found is None:
            return Held(_cache(config), 0, (f"weights {tag}",))
        wrong = () if _as_published(found, config) else (f"{found.name} (damaged)",)
        return Held(found, found.stat().st_size, wrong)

    def fetch() -> None:
        if switch := network.offline():
            raise UserError(f"severity estimator '{spec}' is not on this machine, and {switch} is set", "unset it")
        found = find_weights(config)
        if found and not _as_published(found, config):
            # open_clip takes what is in the hub's cache for whole.
            found.resolve().unlink()
            found.unlink(missing_ok=True)
        try:
            folder = network.hub_folder(_on_hub(hub)[0]) if hub else _cache(config)
            network.arrive(folder, lambda: open_clip.download_pretrained(config))
        except Exception as error:  # open_clip lets through whatever its two ways of downloading raise
            raise UserError(
                f"severity estimator '{spec}' cannot be fetched from {source}: {type(error).__name__}: {error}",
                "try again, or use the one that ships: estimator=tiny",
            ) from error

    return Download(f"severity estimator {spec}", source, look, lambda progress: fetch())


def _on_hub(hub: str) -> tuple[str, list[str]]:
    """Split ``owner/repository/`` or ``owner/repository/file`` into the repository and the files that may hold it."""
    owner, repository, file = hub.split("/", 2)
    # open_clip tries safetensors before its own format.
    return f"{owner}/{repository}", [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]


def _cache(config: Config) -> Path:
    if config.get("hf_hub", ""):
        from huggingface_hub.constants import HF_HUB_CACHE

        return Path(HF_HUB_CACHE)
    return Path("~/.cache/clip").expanduser()


def _as_published(file: Path, config: Config) -> bool:
    if config.get("hf_hub", ""):
        return is_as_named(file)
    # OpenAI's addresses hold the sha256 before the name.
    known = config["url"].split("/")[-2]
    return len(known) != 64 or file_hash(file) == known
