"""What the ``eval`` and ``restore`` verbs do, from request to exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rich.markup import escape

from harness.cards import find_card
from harness.errors import UserError
from harness.method import MethodPlugin, Runtime
from harness.options import parse_options
from harness.pairs import find_root
from harness.plan import Request, make_plan, resolve_device
from harness.registry import Registry
from harness.restore import restore_files
from harness.runner import execute
from harness.store import Store
from harness.summary import summarise
from harness.terminal import out, progress_bars, show_json, show_summary


def evaluate(
    request: Request,
    methods: Registry[MethodPlugin],
    *,
    require_metrics: bool,
    accept_licence: bool,
    report: bool,
    json: bool,
) -> int:
    """Plan, run, summarise, show.

    Returns:
        0 all well, 1 some images failed.

    Raises:
        UserError: For anything the user can mend.
    """
    methods.get(request.method)
    if accept_licence:
        _fetch_if_absent(request)
    plan = make_plan(request, methods)
    if require_metrics:
        absent = plan.scorer.unavailable()
        if absent:
            raise UserError("metrics are required, but " + "; ".join(absent.values()), "or leave --require-metrics out")
    store = Store(request.runs_dir)
    try:
        with progress_bars(quiet=json) as progress:
            outcome = execute(plan, store, progress)
        summary = summarise(store, outcome.run, (*plan.scorer.image_metrics, *plan.scorer.set_metrics))
    finally:
        store.close()
    if json:
        show_json(summary)
    else:
        show_summary(summary, request.runs_dir)
    if report:
        page = writer()(request.runs_dir)
        if not json:
            out.print(f"[dim]report   [/] {escape(str(page))}", soft_wrap=True)
    return outcome.exit_code


def restore_pictures(
    methods: Registry[MethodPlugin],
    method: str,
    options: Mapping[str, str],
    source: Path,
    target: Path,
    how: tuple[int, str, int, bool],
) -> int:
    """Restore a picture or a folder; ``how`` is (scale, device, seed, overwrite).

    Returns:
        0 all well, 1 some pictures failed.
    """
    scale, device, seed, overwrite = how
    plugin = methods.get(method)
    built = plugin.build(parse_options(plugin.options, options), Runtime(scale=scale, device=resolve_device(device)))
    with progress_bars(quiet=False) as progress:
        written, failed = restore_files(
            built, source, target, scale=scale, seed=seed, overwrite=overwrite, progress=progress
        )
    for path in written:
        out.print(str(path), markup=False, soft_wrap=True)
    return 1 if failed else 0


def _fetch_if_absent(request: Request) -> None:
    from harness.fetch import fetch_dataset

    card = find_card(request.dataset)
    try:
        find_root(card, request.data_root)
    except UserError:
        fetch_dataset(card, request.data_root, accept_licence=True)


def writer(group: str = "isrbench.reports") -> Callable[..., Any]:
    """Whoever registered as ``group`` (:mod:`reports.verb`); the core itself knows no report.

    Raises:
        UserError: If nobody did.
    """
    points = list(entry_points(group=group))
    if not points:
        raise UserError(f"nothing is installed as {group}", "reinstall isrbench")
    return points[0].load()
