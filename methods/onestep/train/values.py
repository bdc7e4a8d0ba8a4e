"""A training config's plain values: from presets and ``key=value`` overrides, under today's names. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.documents import read_toml, toml_value
from isrbench.harness.errors import UserError

PRESETS = Path(__file__).parent / "presets"
_RENAMED = {
    "precision": "dtype",
    "checkpointing": "gradient_checkpointing",
    "data.context": "data.severity_window",
}
"""Fields by the names that earlier releases gave them."""
_SAME_VALUE = {("dtype", "no"): "fp32"}


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Return a config's values under today's names."""
    fresh: dict[str, Any] = {}
    for name, value in values.items():
        key = _RENAMED.get(name, name)
        if name == "data" and isinstance(value, dict):
            value = {_RENAMED.get(f"data.{n}", f"data.{n}").removeprefix("data."): v for n, v in value.items()}
        fresh[key] = _SAME_VALUE.get((key, value), value) if isinstance(value, str) else value
    return fresh


def read_preset(name: str) -> dict[str, Any]:
    """Return the values of a preset, by its name or the path of a TOML file.

    Raises:
        UserError: If there is none, or it is not TOML.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        known = sorted(p.stem for p in PRESETS.glob("*.toml"))
        raise UserError(unknown_name("training preset", name, known), "pass --preset tiny, or the path of a TOML file")
    return renamed(read_toml(path, "see methods/onestep/train/presets/tiny.toml"))


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set ``a.b=value`` in place; the value is TOML, or a bare string.

    Raises:
        UserError: If ``a`` has no fields.
    """
    key, _, text = override.partition("=")
    key = _RENAMED.get(key, key)
    value = toml_value(text)
    value = _SAME_VALUE.get((key, value), value) if isinstance(value, str) else value
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UserError(f"'{key}': '{parent}' has no fields", "see methods/onestep/train/config.py")
    values[last] = value
