"""Options that are the fields of a frozen dataclass: typer knows no groups."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from isrbench.harness.cli.arguments import SHOWN, listed, metric_ids


def grouped(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb whose parameters of frozen dataclasses are options, one a field: typer knows no groups.

    They share a heading in help. A field's ``metadata`` may hold help, metavar, min and max. A tuple of strings is a
    text with commas; a flag that is off by default has no opposite.
    """
    signature = inspect.signature(verb, eval_str=True)
    groups: dict[str, Any] = {p.name: p.annotation for p in signature.parameters.values() if is_dataclass(p.annotation)}
    options = {name: _options(group) for name, group in groups.items()}

    @functools.wraps(verb)
    def called(**values: Any) -> None:
        for name, group in groups.items():
            given = {option.name: values.pop(option.name) for option in options[name]}
            for key, hint in get_type_hints(group).items():
                if get_origin(hint) is tuple:
                    given[key] = tuple((metric_ids if key == "metrics" else listed)(given[key]) or ())
            values[name] = group(**given)
        verb(**values)

    parameters = []
    for own in signature.parameters.values():
        parameters += options.get(own.name, [own.replace(kind=inspect.Parameter.KEYWORD_ONLY)])
    called.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def _options(group: type) -> list[inspect.Parameter]:
    """Return an option for each field of a dataclass."""
    hints = get_type_hints(group)
    found = []
    for own in fields(group):
        many = get_origin(hints[own.name]) is tuple
        names = [f"--{own.name.replace('_', '-')}"] if own.default is False else []
        option = typer.Option(
            *names, show_default=bool(own.default) and not many, rich_help_panel=SHOWN, **own.metadata
        )  # fmt: skip
        found.append(
            inspect.Parameter(
                own.name, inspect.Parameter.KEYWORD_ONLY, default=None if many else own.default,
                annotation=Annotated[str | None if many else hints[own.name], option],
            )
        )  # fmt: skip
    return found
