"""Which severity estimator is meant and what decides its numbers, known without loading it. Torch-free.

:mod:`isrbench.harness.severity.clip` holds the estimator itself, which takes torch and open_clip.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.identity import code_hash, import_closure
from isrbench.harness.severity.dimensions import DIMENSIONS

if TYPE_CHECKING:
    from isrbench.harness.severity.clip import SeverityEstimator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

TINY = Path(__file__).parent / "tiny"
"""Folder of the estimator that ships (open_clip's local-dir layout)."""
PROMPTS = Path(__file__).parent / "prompts.toml"
_RELEASES = ("torch", "open_clip_torch")

Prompts = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Estimator:
    """An estimator by name: its fingerprint at once, the network when it is first needed."""

    spec: str
    """As :func:`isrbench.harness.severity.clip.load_estimator` takes it."""
    device: str = "cpu"

    def check(self) -> None:
        """Refuse a name that means nothing; loads nothing for ``tiny`` and folders.

        Raises:
            UserError: If there is no such model or tag.
        """
        if not folder_of(self.spec).is_dir():
            from isrbench.harness.severity.clip import check_spec

            check_spec(self.spec)

    def fingerprint(self) -> str:
        """sha256 of all that decides a severity: weight files (for open_clip's own, the tag), prompts, code."""
        return self._fingerprint

    def load(self) -> SeverityEstimator:
        """The network, loaded once.

        Raises:
            UserError: If it does not load or cannot be fetched.
        """
        return self._loaded

    @cached_property
    def _fingerprint(self) -> str:
        folder = folder_of(self.spec)
        named = "" if folder.is_dir() else self.spec
        files = sorted(p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
        name, _, weights = self.spec.partition("/")
        if not files and Path(weights).is_file():
            named, files = name, [Path(weights)]
        code = code_hash(import_closure("isrbench.harness.severity.clip"), _RELEASES)
        digest = hashlib.sha256(json.dumps([named, read_prompts(), code]).encode())
        for path in files:
            digest.update(f"{path.name}\n{file_hash(path)}\n".encode())
        return digest.hexdigest()

    @cached_property
    def _loaded(self) -> SeverityEstimator:
        from isrbench.harness.severity.clip import load_estimator

        return load_estimator(self.spec, self.device)


def folder_of(spec: str) -> Path:
    """Where an estimator called ``spec`` lies if it is a folder."""
    return TINY if spec == "tiny" else Path(spec)


def read_prompts(path: Path = PROMPTS) -> Prompts:
    """Read the (good, bad) prompt pair of every dimension, in the order of ``DIMENSIONS``.

    Raises:
        UserError: If a dimension is missing, unknown or has no pair of texts.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        prompts = {name: (str(table[name]["good"]), str(table[name]["bad"])) for name in DIMENSIONS}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} does not give a good and a bad prompt for each dimension: {error!r}") from error
    if unknown := sorted(set(table) - set(DIMENSIONS)):
        raise UserError(f"{path} has unknown dimensions: {', '.join(unknown)}", f"known: {', '.join(DIMENSIONS)}")
    return prompts
