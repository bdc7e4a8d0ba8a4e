"""Fields of what a plugin declares, checked where it declares them: no list or table meets a field of another type."""

from __future__ import annotations

import re
from typing import Any

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def check_fields(record: object, **kinds: type | tuple[type, ...]) -> None:
    """Refuse a record some of whose fields are of another type.

    Args:
        record: A dataclass.
        **kinds: What each field has to be an instance of; True and False are no numbers.

    Raises:
        TypeError: Names the first field that is something else.
    """
    for name, kind in kinds.items():
        value = getattr(record, name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            wanted = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise TypeError(f"{type(record).__name__}.{name} is {value!r}, but has to be {wanted}")
        if isinstance(value, str) and not _is_unicode(value):
            raise TypeError(f"{type(record).__name__}.{name} is {value!r}, which is no Unicode text")


def _is_unicode(text: str) -> bool:
    """Whether a file can hold a text: lone surrogates are no characters."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def check_id(record: Any) -> None:
    """Refuse an ``id`` that cannot be part of a file name and of a command line.

    Raises:
        ValueError: If it holds more than letters, digits and . _ + -, or begins with another than the first two.
    """
    if not _ID.fullmatch(record.id):
        raise ValueError(f"{type(record).__name__}.id is {record.id!r}; letters, digits and . _ + - make an id")


def words(record: object, name: str) -> tuple[str, ...]:
    """Return a field of several texts as a tuple.

    Raises:
        TypeError: If it is a text by itself, which would count letter by letter, or holds anything but texts.
    """
    value = getattr(record, name)
    if not isinstance(value, tuple | list) or not all(isinstance(word, str) and _is_unicode(word) for word in value):
        raise TypeError(f"{type(record).__name__}.{name} is {value!r}, but has to be a tuple of texts")
    return tuple(value)
