"""``isrbench doctor``."""

from __future__ import annotations

import typer

from isrbench.harness.cli.arguments import RUNS_DIR, DataRoot, Json, RunsDir


def doctor(data_root: DataRoot = None, runs_dir: RunsDir = RUNS_DIR, json: Json = False) -> None:
    """Check what works here and what is missing, and show what fixes it.

    Exit code 0 if every package, the device and the runs folder work; data sets, weights and other packages' plugins
    do not count.

    Example: `isrbench doctor`
    """
    from isrbench.harness.cli.terminal import show_json, show_rows
    from isrbench.harness.engine.doctor import examine, exit_code

    findings = list(examine(data_root, runs_dir))
    if json:
        show_json([vars(finding) for finding in findings])
    else:
        show_rows(
            "doctor",
            ("", "what", "found", "fix"),
            [("ok" if f.ok else "--", f.what, f.found, f.fix) for f in findings],
        )
    raise typer.Exit(exit_code(findings))
