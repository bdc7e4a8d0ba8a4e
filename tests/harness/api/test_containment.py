"""An exit of a plugin's own is an error; one that a signal asked for is not touched."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from isrbench.harness.api.containment import PluginExit, contained, first_line
from isrbench.harness.api.records import Failure
from isrbench.harness.errors import UserError


class Stop(BaseException):
    """As a library's own way to cancel."""


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (SystemExit(0), "by SystemExit: 0"), (SystemExit(), "by SystemExit$"),
        (KeyboardInterrupt(), "by KeyboardInterrupt$"), (GeneratorExit(), "by GeneratorExit$"),
        (Stop("a\nb"), "by Stop: a$"),
    ],
)  # fmt: skip
def test_an_exit_of_its_own_is_an_error(ending: BaseException, words: str) -> None:
    with pytest.raises(PluginExit, match=words) as caught, contained():
        raise ending
    assert caught.value.__cause__ is ending and isinstance(caught.value, Exception)


class Mute(Exception):
    """Fails where it is asked what it says."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_what_an_error_says_is_told_although_it_fails_at_that() -> None:
    assert first_line(Mute()) == "what it says cannot be told" and first_line(ValueError("a\nb")) == "a"
    try:
        raise Mute
    except Mute as error:
        assert Failure.of(error).brief == "Mute: what it says cannot be told"
    assert Failure.of(UserError(3, None)).brief == "3"  # type: ignore[arg-type]


def test_errors_and_what_the_contract_allows_pass_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), contained():
        _ = 1 / 0
    with pytest.raises(Stop), contained(passing=(Stop,)):
        raise Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_signal_asked_for_passes(number: int) -> None:
    def handler(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(number, handler)
    try:
        with pytest.raises(SystemExit, match=str(128 + number)), contained():
            signal.raise_signal(number)
        assert signal.getsignal(number) is handler, "what stood there before stands there again"
    finally:
        signal.signal(number, before)


def test_a_thread_gets_no_signals_so_that_its_exit_is_its_own() -> None:
    def leave() -> None:
        with contained():
            raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool, pytest.raises(PluginExit):
        pool.submit(leave).result()
