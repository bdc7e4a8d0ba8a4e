"""Many runs in one TOML file: methods x sets x values of options, each a run as ``isrbench eval`` makes it.

methods = ["bicubic", { id = "mor", options = { active = [4, 12] } }]
datasets = ["sample", { id = "RealSR", data_root = "/data/RealSR" }]
metrics = ["@free"]
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from isrbench.harness.api.options import option_text, read_options
from isrbench.harness.api.registry import methods, metrics, unknown_name
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.find import find_root
from isrbench.harness.documents import read_toml
from isrbench.harness.engine.plan import check_name
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.metrics.sets import METRIC_SETS, expand

_FIX = "correct it; docs/runs.md shows one"
_MOST = 10_000
"""Runs of one matrix: more are a slip of the pen."""
_FLAGS = {"hr_severity": ("--hr-severity", ""), "complexity": ("", "--no-complexity")}
"""What stands for true and for false on a command line."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _OfMethods(_Entry):
    device: str | None = None
    seed: int | None = None
    runner: str | None = None
    workers: int | None = None
    devices: str | None = None
    batch: int | None = None
    on_oom: str | None = None
    complexity: bool | None = None


class _OfSets(_Entry):
    data_root: str | None = None
    metrics: list[str] | None = None
    limit: int | None = None
    sample: int | None = None
    scale: int | None = None
    hr_crop: str | None = None
    estimator: str | None = None
    hr_severity: bool | None = None


class _Method(_OfMethods):
    id: str
    name: str | None = None
    options: dict[str, Any] = {}
    """A list stands for a run with each of its values."""


class _Set(_OfSets):
    id: str


class _Matrix(_OfSets, _OfMethods):
    """What stands here is meant for all methods, or all sets, that do not say it themselves."""

    methods: list[_Method] = Field(min_length=1)
    datasets: list[_Set] = Field(min_length=1)
    runs_dir: str = "runs"


@dataclass(frozen=True)
class MatrixRun:
    """One run of a matrix."""

    method: str
    dataset: str
    options: Mapping[str, str]
    """As they would be typed behind ``-o``."""
    runs_dir: Path
    settings: Mapping[str, Any]
    """Further arguments of ``isrbench eval`` by their names in Python; those at their defaults are left out."""

    @property
    def command(self) -> str:
        """Return the command that makes this run, to paste."""
        words = ["isrbench", "eval", "--method", self.method, "--dataset", self.dataset]
        words += [word for key, value in self.options.items() for word in ("-o", f"{key}={value}")]
        for key, value in self.settings.items():
            if key in _FLAGS:
                words += [word for word in (_FLAGS[key][0 if value else 1],) if word]
            else:
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                words += [f"--{key.replace('_', '-')}", text]
        return shlex.join([*words, "--runs-dir", str(self.runs_dir)])


def read_matrix(path: Path) -> list[MatrixRun]:
    """Read a matrix and check all that can be checked before anything runs: ids, options, names, metrics.

    Paths in it mean what they mean on a command line: they are relative to the working directory.

    Args:
        path: A TOML file.

    Returns:
        The runs, set by set, of each the methods in their order.

    Raises:
        UserError: If it cannot be read, a key or value does not fit, or something that it names is not there.
    """
    table = read_toml(path, _FIX, "matrix")
    for key in ("methods", "datasets"):
        listed = table.get(key)
        if isinstance(listed, list):
            table[key] = [{"id": entry} if isinstance(entry, str) else entry for entry in listed]
    with foreign(f"{path} is not a matrix of runs", _FIX):
        try:
            matrix = _Matrix.model_validate(table)
        except ValidationError as error:
            raise ValueError("; ".join(_said(e["loc"], e["type"], e["msg"]) for e in error.errors())) from error
        for place, method in enumerate(matrix.methods):
            for key, value in method.options.items():
                _check_values(f"methods.{place}.options.{key}", value)
        if (count := _count(matrix)) > _MOST:
            raise ValueError(f"it stands for {count} runs, more than {_MOST}")
    runs = list(_runs(matrix))
    counts = Counter(run.command for run in runs)
    twice = next((command for command, count in counts.items() if count > 1), None)
    if twice is not None:
        raise UserError(f"{path} holds one run twice: {twice}", "leave one of the two out")
    for run in runs:
        _check(run)
    return runs


def _said(place: Sequence[int | str], kind: str, message: str) -> str:
    words = {"extra_forbidden": "there is no such key", "missing": "this key is missing"}
    words["model_type"] = "an id, or a table with one"
    return f"{'.'.join(map(str, place))}: {words.get(kind) or message[0].lower() + message[1:]}"


def _check_values(where: str, value: Any) -> None:
    """Check that an option has a value, or a list of values.

    Raises:
        ValueError: If it has not.
    """
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(own, str | int | float) for own in values):
        raise ValueError(f"{where}: a text, a number, true or false, or a list of these is wanted")


def _count(matrix: _Matrix) -> int:
    lists = [[len(value) for value in own.options.values() if isinstance(value, list)] for own in matrix.methods]
    return len(matrix.datasets) * sum(prod(lengths) for lengths in lists)


def _runs(matrix: _Matrix) -> Iterator[MatrixRun]:
    shared = matrix.model_dump(exclude={"methods", "datasets", "runs_dir"}, exclude_none=True)
    for dataset, method in product(matrix.datasets, matrix.methods):
        own = method.model_dump(exclude={"id", "options"}, exclude_none=True)
        settings = shared | own | dataset.model_dump(exclude={"id"}, exclude_none=True)
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
        values = [value if isinstance(value, list) else [value] for value in method.options.values()]
        for chosen in product(*values):
            options = {key: option_text(value) for key, value in zip(method.options, chosen, strict=True)}
            yield MatrixRun(method.id, dataset.id, options, Path(matrix.runs_dir), settings)


def _check(run: MatrixRun) -> None:
    """Refuse what ``eval`` would refuse after hours of other runs.

    Raises:
        UserError: If a method, option, name, set or metric is unknown, does not fit, or a set is not on this machine.
    """
    plugin = methods().get(run.method)
    read_options(plugin, run.options)
    if "name" in run.settings:
        check_name(run.settings["name"], run.method, methods())
    root = run.settings.get("data_root")
    place = Path(root) if root else None
    scale, crop = run.settings.get("scale"), run.settings.get("hr_crop")
    find_root(find_card(run.dataset, scale=scale, hr_crop=crop, data_root=place), place)
    for id in expand(run.settings.get("metrics", ())):
        if metrics().find(id) is None:
            raise UserError(unknown_name("metric", id, sorted({*metrics(), *METRIC_SETS})), "isrbench list metrics")
