"""A lazy registry of plugins: built-in ones and third-party ones come through the same entry points.

:func:`methods`, :func:`metrics` and :func:`cards` are built at their first use, never at import. A plugin that is
broken or takes the name of another one disables only itself: all others work, and ``isrbench doctor`` and ``list`` say
what is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Generic, TypeVar

from isrbench.harness.api.containment import contained, first_line
from isrbench.harness.api.targets import load_target
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.api.method import MethodPlugin
    from isrbench.harness.api.metric import Metric

_OURS = "isrbench"
"""The distribution whose plugins keep their names when another package registers the same."""

T = TypeVar("T")


class Registry(Generic[T]):
    """Named plugins, each a ``"module:Object"`` target imported only when it is asked for.

    Listing names imports nothing. A registry is a plain object, so a test builds its own.

    Args:
        kind: The word for one entry in messages, such as ``"method"``.
        expected: The type that every target must be an instance of; checked on loading.
        readers: Functions that make an entry of a file, by the file's ending without its dot. :meth:`get` reads a file
            whose name ends so; it is never listed.
    """

    def __init__(self, kind: str, expected: type[T], readers: Registry[FunctionType] | None = None) -> None:
        self.kind = kind
        self._expected = expected
        self._readers = readers
        self._targets: dict[str, str] = {}
        self._loaded: dict[str, T] = {}
        self._refused: dict[str, UserError] = {}

    @classmethod
    def from_entry_points(
        cls, kind: str, expected: type[T], group: str, readers: Registry[FunctionType] | None = None
    ) -> Registry[T]:
        """Build a registry from every installed distribution's entry points in ``group``; imports none of them.

        Where several take one name, isrbench's own plugin keeps it; among foreign ones nobody gets it. Either way the
        name is in :attr:`refused`. Capital letters make no other name.
        """
        claims: dict[str, dict[str, bool]] = {}
        for point in entry_points(group=group):
            targets = claims.setdefault(point.name, {})
            ours = point.dist is not None and point.dist.name == _OURS
            targets[point.value] = ours or targets.get(point.value, False)
        registry = cls(kind, expected, readers)
        for name, targets in claims.items():
            keepers = [target for target, ours in targets.items() if ours or len(targets) == 1]
            if keepers:
                registry.register(name, keepers[0])
            if len(targets) > 1:
                registry._refused[name] = registry._clash(name, targets)
        registry._refuse_other_capitals({name for name, targets in claims.items() if any(targets.values())})
        return registry

    def _refuse_other_capitals(self, ours: set[str]) -> None:
        """Refuse names that only capital letters tell apart: readers of tables and some file systems do not."""
        for name in list(self._targets):
            other = next((n for n in (*self._targets, *self._refused) if n != name and n.lower() == name.lower()), None)
            if other is not None and name not in ours:
                self._refused[name] = UserError(
                    f"{self.kind} '{name}' ({self._targets.pop(name)}) differs from '{other}' in capital letters alone",
                    "rename the entry point, and the id with it",
                )

    @property
    def refused(self) -> dict[str, UserError]:
        """Return why names that several packages register were refused; isrbench's own plugin of such a name works."""
        return dict(self._refused)

    def _clash(self, name: str, targets: Iterable[str]) -> UserError:
        *others, last = sorted(targets)
        count = "two" if len(others) == 1 else len(others) + 1
        return UserError(
            f"{count} {self.kind}s are registered as '{name}': {', '.join(others)} and {last}",
            "uninstall all but one of the packages, or rename their entry points",
        )

    def register(self, name: str, target: str) -> None:
        """Add ``name`` for the lazy ``target``; registering the same pair again is harmless.

        Raises:
            UserError: If ``name`` already stands for another target; both are shown.
        """
        known = self._targets.setdefault(name, target)
        if known != target:
            raise self._clash(name, (known, target))

    def hold(self, name: str, plugin: T) -> None:
        """Add a plugin that is there already, under a name that is free."""
        self.register(name, f"{type(plugin).__module__}:{name}")
        self._loaded[name] = plugin

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._targets))

    def __contains__(self, name: object) -> bool:
        return name in self._targets

    def get(self, name: str) -> T:
        """Import and return the plugin called ``name``, or read the one that the file of this name describes.

        Raises:
            UserError: If the name is unknown (with close matches and the list), or its target
                cannot be imported, is missing, is not what this registry holds, or has another id; if a file cannot be
                read, or takes the id of a plugin that is installed.
        """
        ending = Path(name).suffix[1:]
        if name not in self._targets and self._readers is not None and ending in self._readers:
            return self._read(Path(name), self._readers.get(ending))
        if name not in self._targets and name in self._refused:
            raise self._refused[name]
        if name not in self._targets:
            raise UserError(unknown_name(self.kind, name, list(self)), f"isrbench list {self.kind}s")
        if name not in self._loaded:
            self._loaded[name] = self._load(name, self._targets[name])
        return self._loaded[name]

    def find(self, name: str) -> T | None:
        """Return the plugin called ``name``, or None where there is none that works: absent, refused or broken.

        For what stored rows name: their plugin may have gone or broken since.
        """
        try:
            return self.get(name)
        except UserError:
            return None

    def load_all(self) -> tuple[dict[str, T], dict[str, UserError]]:
        """Load every plugin and return those that work, and why others do not, by name.

        A name may be in both: the plugin works, and another package's of the same name was refused.
        """
        working: dict[str, T] = {}
        broken = self.refused
        for name in self:
            try:
                working[name] = self.get(name)
            except UserError as error:
                broken[name] = error
        return working, broken

    def _read(self, path: Path, reader: FunctionType) -> T:
        """Read a file anew each time: it may have been edited since."""
        try:
            with contained():
                plugin = reader(path)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{path} cannot be read as a {self.kind}: {type(error).__name__}: {first_line(error)}",
                "check the file, or report it to the package that reads it",
            ) from error
        if not isinstance(plugin, self._expected):
            raise UserError(f"{path} gave a {type(plugin).__name__}, not a {self.kind}", "report it to its package")
        own = getattr(getattr(plugin, "info", plugin), "id", path.stem)
        taken = next((id for id in self if id.lower() == own.lower()), None)
        if taken is not None:  # rows of two of them under one id would end up in one mean
            raise UserError(
                f"{path} takes the id of a {self.kind} that is installed, {taken}",
                f'give it another id, such as id = "{own}-mine"',
            )
        return plugin

    def _load(self, name: str, target: str) -> T:
        try:
            with contained():
                plugin = load_target(target)
        except Exception as error:
            # Another package's module may raise anything; only what it says can be passed on.
            said = first_line(error)
            why = said if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {said}"
            raise UserError(
                f"{self.kind} '{name}' cannot be loaded from {target}: {why}",
                "fix or reinstall the package that provides it",
            ) from error
        if not isinstance(plugin, self._expected):
            raise UserError(
                f"{self.kind} '{name}': {target} is a {type(plugin).__name__}, not a {self._expected.__name__}",
                "point the entry point at the plugin object itself",
            )
        # Rows, options and manifests go by the plugin's own id: under another's it would take that one's place.
        own = getattr(getattr(plugin, "info", plugin), "id", name)  # a card's is in its file
        if own != name:
            raise UserError(
                f"{self.kind} '{name}': {target} calls itself '{own}'",
                f"give the entry point and the {self.kind} one name",
            )
        return plugin


@cache
def methods() -> Registry[MethodPlugin]:
    """Return the installed methods, ours and third parties'.

    Files stand for methods, too: an entry point ``toml`` in the group ``isrbench.method_files`` names a function
    ``read(path) -> MethodPlugin``, and ``get("mine.toml")`` calls it.
    """
    from isrbench.harness.api.method import MethodPlugin

    readers = Registry.from_entry_points("method file", FunctionType, "isrbench.method_files")
    return Registry.from_entry_points("method", MethodPlugin, "isrbench.methods", readers)


@cache
def metrics() -> Registry[Metric]:
    """Return the installed metrics, ours and third parties'."""
    from isrbench.harness.api.metric import Metric

    return Registry.from_entry_points("metric", Metric, "isrbench.metrics")


@cache
def cards() -> Registry[Path]:
    """Return the dataset cards that other packages carry: each entry point names the ``pathlib.Path`` of a .toml file.

    Those of isrbench itself are no entry points; :mod:`isrbench.harness.data.catalogue` holds both.
    """
    return Registry.from_entry_points("dataset", Path, "isrbench.datasets")


def unknown_name(kind: str, name: str, known: list[str]) -> str:
    """Return a message that there is no such ``kind``, with close matches and the whole list."""
    close = [k for k in known if k.lower() == name.lower()] or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else "."
    return f"unknown {kind} '{name}'{hint} Known {kind}s: {', '.join(known) or 'none'}"
