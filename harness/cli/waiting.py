"""What a person sees while a command works: bars with the time that is left, or now and then a line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from isrbench.harness.cli.terminal import err, show_aside

LINE_SECONDS = 30.0
"""How often a command without a terminal says how far it is."""


@dataclass
class Pace:
    """How fast images come, from the second one on: the first brings what is done once."""

    clock: Callable[[], float] = time.monotonic
    _first: tuple[float, int] | None = None
    _last: tuple[float, int] = (0.0, 0)

    def update(self, done: int) -> None:
        """Take note that so many are done."""
        self._last = (self.clock(), done)
        if self._first is None or done < self._first[1]:
            self._first = self._last

    @property
    def seconds(self) -> float | None:
        """Return seconds an image; None before the second one."""
        if self._first is None or self._last[1] <= self._first[1]:
            return None
        return (self._last[0] - self._first[0]) / (self._last[1] - self._first[1])

    def left(self, total: int) -> float | None:
        """Return the seconds that are probably left; None where nobody knows yet.

        It counts down within the image at hand alone: however long that one takes, the others will take their time.
        """
        seconds = self.seconds
        if seconds is None or total <= self._last[1]:
            return None if seconds is None else 0.0
        return seconds * (total - self._last[1] - 1) + max(0.0, seconds - (self.clock() - self._last[0]))

    def text(self, total: int, unit: str = "image") -> str:
        """Return both in words: ``12.3 s/image, 4 min left``; "" where nobody knows yet."""
        seconds, left = self.seconds, self.left(total)
        if seconds is None or left is None:
            return ""
        pace = f"{'under 0.01' if seconds < 0.01 else f'{seconds:.3g}'} s/{unit}"
        return f"{pace}, {duration(left)} left" if self._last[1] < total else pace


def duration(seconds: float) -> str:
    """Return a time in words: ``45 s``, ``12 min``, ``1 h 20 min``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a ``(stage, done, total)`` callback that shows how far each stage is and how long it is going to take."""
    from isrbench.harness.cli.verbs import asked

    if quiet or asked.quiet:
        yield lambda stage, done, total: None
    elif err.is_terminal:
        with _bars() as update:
            yield update
    else:
        with progress_lines(LINE_SECONDS) as update:
            yield update


@contextmanager
def progress_lines(every: float) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a ``(stage, done, total)`` callback; how far each stage is is said every so many seconds, by a thread."""
    from isrbench.harness.engine.arguments import STAGES

    stages: dict[str, tuple[int, int, Pace]] = {}
    over = threading.Event()

    def update(stage: str, done: int, total: int) -> None:
        pace = stages[stage][2] if stage in stages else Pace()
        pace.update(done)
        stages[stage] = (done, total, pace)

    def tell() -> None:
        while not over.wait(every):
            for stage, (done, total, pace) in list(stages.items()):
                if done < total:
                    words = pace.text(total, _unit(stage))
                    show_aside(f"{STAGES.get(stage, stage)} {done} of {total}{f', {words}' if words else ''}")

    telling = threading.Thread(target=tell, name="isrbench-progress", daemon=True)
    telling.start()
    try:
        yield update
    finally:
        over.set()
        telling.join()


@contextmanager
def download_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a ``(file, bytes done, bytes in all or 0)`` callback that draws a bar for each download."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as bars:
        tasks = {}

        def update(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file, total=total or None)
            bars.update(tasks[file], completed=done)

        yield update


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.text import Text

    from isrbench.harness.engine.arguments import STAGES

    class Left(ProgressColumn):
        """Our own estimate: rich forgets what is older than half a minute, so that slow images have none."""

        def render(self, task: Any) -> Text:
            return Text(task.fields["pace"].text(int(task.total or 0), task.fields["unit"]))

    columns = (TextColumn("{task.description:11}"), BarColumn(bar_width=20), MofNCompleteColumn(), Left())
    with Progress(*columns, console=err, transient=True) as progress:
        bars: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                name = STAGES.get(stage, stage)
                bars[stage] = progress.add_task(name, total=total, pace=Pace(), unit=_unit(stage))
            progress.tasks[bars[stage]].fields["pace"].update(done)
            progress.update(bars[stage], completed=done, total=total)

        yield update


def _unit(stage: str) -> str:
    return "tile" if stage == "tile" else "image"
