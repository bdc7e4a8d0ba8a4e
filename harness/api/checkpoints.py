"""Networks in what training programs write: containers opened, what stands before all names taken off. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isrbench.harness.files import shown

CONTAINERS = (
    "params_ema", "params-ema", "params", "state_dict_ema", "ema_model", "G_ema", "ema_state_dict", "generator_ema",
    "net_g_ema", "g_ema",
    "state_dict", "model_state_dict", "model_ema", "generator", "net_g", "netG", "G", "model", "network", "net",
    "module", "ema", "weights",
)  # fmt: skip
"""Names under which training programs keep a network: entries of a checkpoint, and first parts of tensors' names. The
running mean of the weights first: it is what their authors publish."""
_WRAPPERS = ("module.", "_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What running a network in several processes, compiled or in parts puts before the names of its tensors."""
_KNOWN = {name.rstrip(".") for name in (*CONTAINERS, *_WRAPPERS)}
_DEPTH = 6
_SHOWN = 4
"""Names in a message."""


def networks(content: Mapping[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the state dicts that a checkpoint may hold, without what training programs put around them.

    Containers (``params_ema``, ``state_dict``, ...) are opened, and what all names begin with (``module.``,
    ``_orig_mod.``, ``generator.``, ``net_g.``, ``model.``, ...) is taken off, one in the other as deep as they lie.
    Of a checkpoint with several networks each one that a known name begins is yielded, the likeliest first.

    Args:
        content: What a file holds.

    Yields:
        What was taken off, such as ``state_dict/generator.``, and tensors by name; never the content as it is.
    """
    yield from _networks(content, "", _DEPTH)


def _networks(content: Mapping[Any, Any], taken: str, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    if depth == 0:
        return
    inner = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, dict)}
    for key in sorted(inner, key=_likelihood):
        yield from _opened(inner[key], f"{taken}{shown(key, 40)}/", depth)
    tensors = _tensors(content)
    firsts = dict.fromkeys(key.partition(".")[0] for key in tensors if "." in key)
    for first in sorted(firsts, key=_likelihood):
        if len(firsts) == 1 or first in _KNOWN:
            prefix = f"{first}."
            stripped = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
            yield from _opened(stripped, f"{taken}{shown(prefix, 40)}", depth)


def _opened(content: Mapping[Any, Any], taken: str, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    if tensors := _tensors(content):
        yield taken, tensors
    yield from _networks(content, taken, depth - 1)


def _tensors(content: Mapping[Any, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if isinstance(key, str) and hasattr(value, "shape")}


def _likelihood(name: str) -> int:
    return CONTAINERS.index(name) if name in CONTAINERS else len(CONTAINERS)


def without_wrappers(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a state dict without ``module.``, ``_orig_mod.`` and the like, where all its names begin so."""
    found = dict(state)
    while prefix := next((p for p in _WRAPPERS if found and all(str(key).startswith(p) for key in found)), None):
        found = {str(key)[len(prefix) :]: value for key, value in found.items()}
    return found


def first_keys(content: Mapping[Any, Any]) -> str:
    """Return the first names of tensors in a checkpoint, however deep, for a message: ``a.weight, a.bias (of 70)``."""
    names = list(_names(content, "", _DEPTH))
    if not names:
        entries = ", ".join(shown(str(key), 40) for key in list(content)[:_SHOWN])
        return f"no tensor at all, but {entries}" if entries else "nothing"
    listed = ", ".join(shown(name, 60) for name in names[:_SHOWN])
    return listed if len(names) <= _SHOWN else f"{listed}, ... ({len(names)} in all)"


def _names(content: Mapping[Any, Any], above: str, depth: int) -> Iterator[str]:
    for key, value in content.items():
        if hasattr(value, "shape"):
            yield f"{above}{key}"
        elif isinstance(value, dict) and depth > 0:
            yield from _names(value, f"{above}{key}/", depth - 1)
