"""What the ``eval`` and ``restore`` verbs do, from request to exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rich.markup import escape

from isrbench.harness.api.method import MethodPlugin, Runtime
from isrbench.harness.api.options import parse_options
from isrbench.harness.api.registry import Registry
from isrbench.harness.cli.terminal import out, progress_bars, show_json, show_summary
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.find import find_root
from isrbench.harness.determinism import make_deterministic, resolve_device
from isrbench.harness.engine.execution import execute
from isrbench.harness.engine.plan import Request, Resume, make_plan
from isrbench.harness.engine.restore_files import Pictures, restore_files
from isrbench.harness.errors import UserError
from isrbench.harness.store.store import Store
from isrbench.harness.store.summary import summarise


def evaluate(
    request: Request,
    methods: Registry[MethodPlugin],
    *,
    require_metrics: bool,
    accept_license: bool,
    report: bool,
    json: bool,
) -> int:
    """Plan, run, summarise, show.

    Returns:
        0 all well, 1 some images failed.

    Raises:
        UserError: For anything the user can fix.
    """
    methods.get(request.method)
    if accept_license:
        _fetch_if_absent(request)
    plan = make_plan(request, methods)
    if require_metrics:
        lacking = plan.scorer.lacking()
        if lacking:
            reasons = "; ".join(lacking.values())
            raise UserError(f"metrics are required, but {reasons}", "or leave --require-metrics out")
    store = Store(request.runs_dir, create=request.resume is not Resume.ONLY_CACHE)
    try:
        before = store.newest_runs()
        with progress_bars(quiet=json) as progress:
            outcome = execute(plan, store, progress)
        metrics = (*plan.scorer.image_metrics, *plan.scorer.set_metrics)
        summary = summarise(store, outcome.run, metrics, outcome.notes)
        page = request.runs_dir / "report" / "index.html"
        changed = outcome.computed or before != store.newest_runs() or not _written_since(page, store.last_computed())
    finally:
        store.close()
    if report and changed:
        page = writer()(request.runs_dir)
    if json:
        show_json(summary)
    else:
        show_summary(summary)
        if report:
            out.print(f"[dim]report   [/] {escape(str(page))}", soft_wrap=True)
    return outcome.exit_code


def restore_pictures(
    methods: Registry[MethodPlugin], method: str, options: Mapping[str, str], pictures: Pictures
) -> int:
    """Restore a picture or a folder with ``method``.

    Returns:
        0 all well, 1 some pictures failed.

    Raises:
        UserError: For anything the user can fix.
    """
    plugin = methods.get(method)
    if pictures.scale < 1:
        raise UserError(f"--scale {pictures.scale}: at least 1", "--scale 4")
    device = resolve_device(pictures.device)
    built = plugin.make(parse_options(plugin.options, options), Runtime(scale=pictures.scale, device=device))
    make_deterministic(device)
    with progress_bars(quiet=False) as progress:
        written, failed = restore_files(built, pictures, progress)
    for path in written:
        out.print(str(path), markup=False, soft_wrap=True)
    return 1 if failed else 0


def _written_since(page: Path, moment: str) -> bool:
    """Whether the page exists and is newer than ``moment`` (ISO 8601, UTC)."""
    try:
        written = datetime.fromtimestamp(page.stat().st_mtime, timezone.utc)
    except OSError:
        return False
    return written.isoformat(timespec="microseconds") >= moment


def _fetch_if_absent(request: Request) -> None:
    from isrbench.harness.data.fetch import fetch_dataset

    card = find_card(request.dataset)
    try:
        find_root(card, request.data_root)
    except UserError:
        fetch_dataset(card, request.data_root, accept_license=True)


def writer(group: str = "isrbench.reports") -> Callable[..., Any]:
    """Whoever registered as ``group`` (:mod:`isrbench.reports.entry_points`); the core itself knows no report.

    Raises:
        UserError: If nobody did.
    """
    points = list(entry_points(group=group))
    if not points:
        raise UserError(f"nothing is installed as {group}", "reinstall isrbench")
    return points[0].load()
