"""Options of a plugin: a frozen dataclass, filled from the ``key=value`` texts of a command line."""

from __future__ import annotations

import argparse
import json
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import shown

if TYPE_CHECKING:
    from isrbench.harness.api.method import MethodPlugin

T = TypeVar("T")

_NONE = "none"


@dataclass(frozen=True)
class OptionRow:
    """One option as ``isrbench describe`` shows it."""

    name: str
    type: str
    """In words, such as ``number`` or ``one of: fp32, fp16``."""
    default: str | None
    """As it would be typed, or None where the option is required."""
    help: str


def option_text(value: Any) -> str:
    """Return an option's value as it would be typed behind ``-o``: True is ``true``, None is ``none``."""
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.value if isinstance(value, Enum) else value)


def split_options(texts: Iterable[str]) -> dict[str, str]:
    """Split ``key=value`` texts at their first equals sign.

    Raises:
        UserError: If a text has no equals sign or no key, or a key comes twice.
    """
    options: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise UserError(f"option '{text}' is not of the form key=value", "write it as -o key=value")
        if key in options:
            raise UserError(f"option '{key}' is given twice: '{options[key]}' and '{value}'", "keep one of the two")
        options[key] = value
    return options


def parse_options(options_type: type[T], texts: Mapping[str, str]) -> T:
    """Build the options dataclass ``options_type`` from texts.

    Fields may be str, int, float (finite), bool, Path, an Enum, a Literal, or one of these or None; pydantic reads
    numbers and truth values. ``none`` stands for None, an Enum member is named by its value, and ``~`` in a path is
    expanded. A field with ``metadata={"aliases": ("old_name",)}`` also answers to these names.

    Raises:
        UserError: If an option is unknown, missing, given twice or of the wrong type, or the dataclass refuses it.
        TypeError: If a field's annotation is none of the above (the plugin author's mistake).
    """
    known = _declared(options_type)
    texts = _by_field_name(known, texts)
    missing = [name for name, (option, _) in known.items() if _is_required(option) and name not in texts]
    if missing:
        example = " ".join(f"-o {name}=..." for name in missing)
        named = ", ".join(f"'{name}' ({_type_words(known[name][1])})" for name in missing)
        raise UserError(f"required option{'s' if len(missing) > 1 else ''} missing: {named}", f"add {example}")
    return options_type(**{name: _parsed(name, known[name][1], text) for name, text in texts.items()})


def read_options(plugin: MethodPlugin, texts: Mapping[str, str]) -> Any:
    """Return a method's options as texts state them (:func:`parse_options`).

    Raises:
        UserError: If they do not fit, or the plugin's options fail at it in any way.
    """
    with plugin.held("does not take these options"):
        options = parse_options(plugin.options, texts)
        json.dumps(options_key(options))  # part of a run's identity
    return options


def describe_options(options_type: type[Any]) -> list[OptionRow]:
    """Return the options of ``options_type`` in order of declaration; needs no pydantic, so it is fast."""
    return [
        OptionRow(
            name=name,
            type=_type_words(annotation),
            default=None if _is_required(option) else option_text(_default(option)),
            help=str(option.metadata.get("help", "")),
        )
        for name, (option, annotation) in _declared(options_type).items()
    ]


def options_key(options: Any) -> dict[str, str | int | float | bool | None]:
    """Return the options as values for JSON, the same for every way of writing them: part of a run's identity.

    Paths become absolute, Enums their values; names are sorted. An option declared with ``metadata={"result": False}``
    (a time limit, say) cannot change a result and is left out.
    """
    key: dict[str, str | int | float | bool | None] = {}
    for option in sorted(fields(options), key=lambda f: f.name):
        if not option.metadata.get("result", True):
            continue
        value = getattr(options, option.name)
        value = value.value if isinstance(value, Enum) else value
        key[option.name] = str(value.expanduser().resolve()) if isinstance(value, Path) else value
    return key


def _declared(options_type: type[Any]) -> dict[str, tuple[Field[Any], Any]]:
    hints = get_type_hints(options_type)
    return {f.name: (f, hints[f.name]) for f in fields(options_type) if f.init}


def _by_field_name(known: Mapping[str, tuple[Field[Any], Any]], texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts under their fields' names instead of aliases."""
    names = {alias: name for name, (option, _) in known.items() for alias in option.metadata.get("aliases", ())}
    found: dict[str, str] = {}
    for given, text in texts.items():
        name = names.get(given, given)
        if name not in known:
            raise UserError(unknown_name("option", given, list(known)), "isrbench describe method ID shows the options")
        if name in found:
            both = " and ".join(f"'{key}'" for key in texts if names.get(key, key) == name)
            raise UserError(f"{both} are one option", f"give -o {name}=... alone")
        found[name] = text
    return found


def _is_required(option: Field[Any]) -> bool:
    return option.default is MISSING and option.default_factory is MISSING


def _default(option: Field[Any]) -> Any:
    return option.default if option.default_factory is MISSING else option.default_factory()


def _optional(annotation: Any) -> tuple[Any, bool]:
    """Return the annotation without ``None``, and whether None was allowed."""
    if get_origin(annotation) not in {Union, types.UnionType}:
        return annotation, False
    rest = [part for part in get_args(annotation) if part is not type(None)]
    if len(rest) != 1:
        raise TypeError(f"an option cannot be of type {annotation}")
    return rest[0], len(rest) < len(get_args(annotation))


def _choices(annotation: Any) -> dict[str, Any] | None:
    """Return what may be typed for a Literal or an Enum, and what each stands for; None for other annotations."""
    if get_origin(annotation) is Literal:
        return {option_text(value): value for value in get_args(annotation)}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {option_text(member): member for member in annotation}
    return None


def _type_words(annotation: Any) -> str:
    inner, may_be_none = _optional(annotation)
    choices = _choices(inner)
    if choices is not None:
        words = f"one of: {', '.join(choices)}"
    else:
        names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
        if inner not in names:
            raise TypeError(f"an option cannot be of type {annotation}")
        words = names[inner]
    return f"{words}, or {_NONE}" if may_be_none else words


def _parsed(name: str, annotation: Any, text: str) -> Any:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    inner, may_be_none = _optional(annotation)
    refusal = UserError(
        f"option '{name}' is '{text}', but has to be {_type_words(annotation)}", f"write -o {name}=VALUE"
    )
    if may_be_none and text.strip().lower() == _NONE:
        return None
    choices = _choices(inner)
    if choices is not None:
        if text not in choices:
            raise refusal
        return choices[text]
    if inner is Path:
        if not text:  # pydantic takes it for the current folder
            raise refusal
        return _path(name, text)
    try:
        adapter = TypeAdapter(inner, config=ConfigDict(allow_inf_nan=False))
        return adapter.validate_strings(text if inner is str else text.strip())
    except ValidationError:
        raise refusal from None


def _path(name: str, text: str) -> Path:
    """Return a path, whether something is there or not; one that nothing can be at is refused."""
    with foreign(f"option '{name}': {shown(text)} cannot be a path", f"write -o {name}=PATH"):
        path = Path(text).expanduser()  # of a user who is not there
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.stat()
        return path


def positive(text: str) -> int:
    """Return a whole number of 1 or more: a ``type`` for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value
