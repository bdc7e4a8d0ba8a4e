"""A plugin's code may fail as it likes, but the end of the process is not its to choose. Torch-free."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_ENDINGS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def text_of(error: BaseException) -> str:
    """Return what an exception says; one of a plugin's own may fail at that, too."""
    try:
        return str(error).strip()
    except Exception:
        return "what it says cannot be told"


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says; "" where it says nothing."""
    return (text_of(error).splitlines() or [""])[0]


class PluginExit(Exception):
    """A plugin's code raised ``SystemExit`` or another exception that no ``except Exception`` holds."""

    def __init__(self, ending: BaseException) -> None:
        said = first_line(ending)
        kind = type(ending).__name__
        super().__init__(f"its code tried to end the process, by {kind}{f': {said}' if said else ''}")


@contextmanager
def contained(passing: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Turn an exit that the code inside raises of its own accord into an error like any other.

    What a signal asked for (Ctrl-C, or SIGTERM and SIGHUP where they have a handler) passes as it is. So it is told
    apart from a plugin that raises KeyboardInterrupt itself. ``os._exit`` and a crash cannot be held by any code of
    this process.

    Args:
        passing: Exits that belong to the contract of the code inside.

    Raises:
        PluginExit: If the code raises SystemExit, KeyboardInterrupt, GeneratorExit or another exception that is no
            ``Exception``, and no signal came meanwhile.
    """
    with _signals() as came:
        try:
            yield
        except Exception:
            raise
        except BaseException as ending:
            if came or isinstance(ending, passing):
                raise
            raise PluginExit(ending) from ending


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Yield a list of the signals that come meanwhile; Python handles them on the main thread alone."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    noted = {}
    for number in _ENDINGS:
        handler = signal.getsignal(number)
        if not callable(handler):
            continue

        def note(number: int, frame: FrameType | None, handler: object = handler) -> object:
            came.append(number)
            return handler(number, frame)  # type: ignore[operator]

        with suppress(ValueError):  # a main thread of a sub-interpreter gets no signals
            signal.signal(number, note)
            noted[number] = (note, handler)
    try:
        yield came
    finally:
        for number, (note, handler) in noted.items():
            if signal.getsignal(number) is note:  # else the code inside has put its own
                signal.signal(number, handler)
