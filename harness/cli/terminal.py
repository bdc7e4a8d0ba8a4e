"""What a person sees in the terminal: with :mod:`isrbench.harness.cli.waiting` all that prints and that knows rich."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.api.records import RunCost
    from isrbench.harness.store.summary import MetricMean, RunSummary

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _harmless(text: Any) -> Any:
    """Return text without what steers a terminal: names of files and messages are other people's."""
    return _CONTROL.sub("?", text) if isinstance(text, str) else text


class _Screen(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*map(_harmless, objects), **options)


# No emoji codes: a user's file may well be called `:smile:`.
_out = _Screen(highlight=False, emoji=False)
err = _Screen(stderr=True, highlight=False, emoji=False)
"""Standard error."""

_FAILED_SHOWN = 5
"""Failed images that the terminal names."""
_NOISY = ("bitsandbytes",)
"""Libraries that warn, on loading, of what nobody asked them for."""


def show_text(text: str) -> None:
    """Print text as it is, on standard output."""
    _out.print(text, markup=False, soft_wrap=True)


def columns() -> int | None:
    """Return how wide the terminal is; None where standard output is none."""
    return _out.width if _out.is_terminal else None


def show_path(path: Path) -> None:
    """Print a path on a line of its own, for a person or the next program."""
    show_text(str(path))


def show_place(name: str, place: Path | str) -> None:
    """Print where something lies: ``report    runs/report/index.html``."""
    _out.print(f"[dim]{name:9}[/] {escape(str(place))}", soft_wrap=True)


def show_error(error: UserError) -> None:
    """Print what is wrong and the fix, on standard error."""
    err.print(f"[bold red]error[/] {escape(error.message)}", soft_wrap=True)
    if error.fix:
        err.print(f"[bold]fix[/]   {escape(error.fix)}", soft_wrap=True)


def show_warning(message: str, fix: str | None = None) -> None:
    """Print what went wrong without ending the work, and the fix if one is known, on standard error."""
    err.print(f"warning: {message}", markup=False, soft_wrap=True)
    if fix:
        err.print(f"fix: {fix}", markup=False, soft_wrap=True)


def show_aside(text: str) -> None:
    """Print something that is no result, on standard error."""
    err.print(text, markup=False, soft_wrap=True)


class _OnConsole(logging.Handler):
    """Prints log lines above any progress bar; rich's own handler costs a quarter second of start-up."""

    def emit(self, record: logging.LogRecord) -> None:
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        err.print(f"{level}{self.format(record)}", markup=False, soft_wrap=True)


def show_logs(verbose: bool, quiet: bool = False) -> None:
    """Send the library's log lines to standard error: warnings, and unless ``quiet`` what it begins to do."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_OnConsole()], force=True)
    logging.getLogger("isrbench").setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("isrbench.steps").setLevel(logging.WARNING if quiet else logging.INFO)
    for package in _NOISY:
        logging.getLogger(package).setLevel(logging.ERROR)


_json_out: TextIO | None = None
"""Where documents go; None = standard output."""
_own_out: TextIO | None = None
"""The process's own standard output, once it is kept for documents."""


@contextmanager
def json_alone() -> Iterator[None]:
    """Keep standard output for :func:`show_json`: what anything else writes there goes to standard error.

    That holds for a library's ``printf`` and for programs that it starts, too; and for a process's own standard output
    to its end, since threads and exit handlers may write as well.
    """
    global _json_out, _own_out
    before = sys.stdout
    try:
        own = before.fileno() == 1
    except (AttributeError, OSError, ValueError):  # no file: a notebook's, a test's
        own = False
    if own and _own_out is None:
        before.flush()
        _own_out = os.fdopen(os.dup(1), "w", encoding=before.encoding, errors=before.errors)
        os.dup2(2, 1)
    _json_out = _own_out if own else before
    if not own:
        sys.stdout = sys.stderr
    try:
        yield
    finally:
        _json_out = None
        if not own:
            sys.stdout = before


def show_json(value: Any) -> None:
    """Print one JSON document on standard output, and nothing else."""
    plain = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
    print(json.dumps(_plain(plain), indent=2, default=str), file=_json_out, flush=True)  # rich would wrap long lines


def _plain(value: Any) -> Any:
    """``value`` as JSON can hold it: records as objects, an infinity, which JSON lacks, as "inf" or "-inf"."""
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="python"))
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def show_facts(title: str, facts: Mapping[str, Any]) -> None:
    """Print one fact a line, however long it is: a hash can be copied."""
    _out.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        lines = str(value).replace("\n", f"\n{'':{width}}  ")
        _out.print(f"[dim]{name:{width}}[/]  {escape(lines)}", soft_wrap=True)


def show_rows(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a plain table; text of users and plugins is never taken for markup."""
    _out.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*(_harmless(escape("" if cell is None else str(cell))) for cell in row))
    _out.print(table)


def show_entries(title: str, entries: Iterable[tuple[str, str, str, str]]) -> None:
    """Print a list of (id, title, license, text), each as a line and its text below, at the terminal's width."""
    _out.print(f"[bold]{escape(title)}[/]", soft_wrap=True)

    def below(text: str) -> str:
        return escape(textwrap.fill(text, max(40, _out.width), initial_indent="    ", subsequent_indent="    "))

    for id, name, license, text in entries:
        fits = len(id) + len(name) + len(license) + 4 <= _out.width
        beside = f"  [dim]{escape(license)}[/]" if license and fits else ""
        _out.print(f"[bold]{escape(id)}[/]  {escape(name)}{beside}", soft_wrap=True)
        _out.print(below(text), soft_wrap=True)
        if not fits:
            _out.print(f"[dim]{below(license)}[/]", soft_wrap=True)


def show_summary(summary: RunSummary) -> None:
    """Print the table that ``eval`` ends with, what went wrong, and where everything lies."""
    title = f"{summary.title} on {summary.dataset}: {summary.restored} of {summary.images} images restored"
    _out.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
    _out.print(_means(summary))
    _show_cost(summary.cost)
    _show_troubles(summary)
    for name, place in summary.places.items():
        show_place(name, place)


def _means(summary: RunSummary) -> Table:
    from isrbench.harness.api.registry import metrics

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in (("metric", "left"), ("mean", "right"), ("n", "right"), ("failed", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for row in summary.metrics:
        if _nobody_misses(row):
            continue
        metric = metrics().get(row.metric)
        mean = "–" if row.mean is None else f"{row.mean:.{metric.decimals}f}{' ' + metric.unit if metric.unit else ''}"
        failed = f"[bold red]{row.failed}[/]" if row.failed else "0"
        note = f"[yellow]{escape(row.note)}[/]"
        table.add_row(f"{escape(metric.title)} {metric.direction.arrow}", mean, str(row.n), failed, note)
    if summary.severity is not None:
        table.add_row("severity (LR)", f"{summary.severity:.4f}", str(summary.severity_n), "", "")
    if summary.active_experts is not None:
        table.add_row("active experts", f"{summary.active_experts:.4f}", str(summary.restored), "", "")
    return table


def _nobody_misses(row: MetricMean) -> bool:
    """Whether a metric without weights came with a set or by default: such metrics share one line."""
    return row.note == "unavailable" and not row.named


def _show_troubles(summary: RunSummary) -> None:
    """Failed images, then metrics without weights, failed and unavailable ones with reason or fix, then the notes."""
    from isrbench.harness.metrics.weights import without_weights

    _show_failed_images(summary)
    without = [row.metric for row in summary.metrics if _nobody_misses(row)]
    if without:
        _out.print(f"[yellow]no weights[/] {escape(without_weights(without))}", soft_wrap=True)
    for row in summary.metrics:
        if not row.message or _nobody_misses(row):
            continue
        where = f"{row.metric} of {row.image}" if row.image else row.metric
        # The table says of absent weights that they are absent; what is left to say is the line that fetches them.
        word, said = ("unavailable", row.fix or row.message) if row.note == "unavailable" else ("failed", row.message)
        colour = "yellow" if word == "unavailable" else "red"
        _out.print(f"[{colour}]{word}[/] {escape(where)}: {escape(said)}", soft_wrap=True)
    for note in summary.notes:
        _out.print(f"[yellow]note[/] {escape(note)}", soft_wrap=True)


def _show_failed_images(summary: RunSummary) -> None:
    """The first one with all that is known, a line for a few others, and the command that lists them all."""
    for place, (image, failure) in enumerate(summary.errors[:_FAILED_SHOWN]):
        _out.print(f"[red]failed[/] {escape(image)}: {escape(failure.brief)}", soft_wrap=True)
        below = [*failure.message.strip().splitlines()[1:], *([f"fix: {failure.fix}"] if failure.fix else [])]
        if place == 0 and below:
            _out.print(escape("\n".join(f"       {line}" for line in below)), soft_wrap=True)
    if summary.errors:
        more = len(summary.errors) - _FAILED_SHOWN
        words = f"... and {more} more" if more > 0 else "in full"
        folder = shlex.quote(str(Path(summary.places["manifest"]).parent))
        _out.print(f"[red]{words}[/]: isrbench export {escape(folder)} --table images --to images.csv", soft_wrap=True)


def _show_cost(cost: RunCost) -> None:
    parts = []
    if cost.macs and cost.flops:
        parts.append(f"{amount(cost.macs, 'MACs')} ({amount(cost.flops, 'FLOPs')})")
    if cost.params_total:
        parts.append(amount(cost.params_total, " parameters"))
    if cost.latency_ms is not None:
        parts.append(f"{cost.latency_ms:,.0f} ms" if cost.latency_ms >= 1000 else f"{cost.latency_ms:.1f} ms")
        if cost.scatters:
            busy = "" if cost.load is None else f" at a load of {cost.load:.1f}"
            parts[-1] += f" (calls scatter by {cost.latency_spread:.0%}{busy})"
    if round(cost.peak_mib or 0):
        parts.append(f"peak +{cost.peak_mib:.0f} MiB")
    if parts:
        _out.print(f"[dim]one {cost.complexity_size} LR image:[/] " + ", ".join(parts), soft_wrap=True)


def amount(number: int, unit: str) -> str:
    """Return a count in about three digits with its unit's prefix: ``0.98 MMACs``, ``4.20 M parameters``."""
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "K")):
        if number >= max(0.1 * 10**power, 1000):
            return f"{number / 10**power:.2f} {prefix}{unit}"
    return f"{number} {unit.strip()}"
