"""``isrbench runs salvage``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

runs_app = typer.Typer(no_args_is_help=True, help="Look after stored runs.")


@runs_app.callback()
def _runs() -> None:
    """Keep `salvage` a word of its own, though it is the only one."""


@runs_app.command()
def salvage(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The runs folder whose store is damaged.")],
    out: Annotated[
        Path, typer.Option(help="FILE.sqlite, a new store; or FILE.csv, .parquet or .jsonl, all tables in one.")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Save the rows of a damaged store that can still be read; nothing in DIR is changed.

    Example: `isrbench runs salvage runs --out salvaged.sqlite`
    """
    from isrbench.harness.cli.terminal import show_aside, show_rows, show_text, show_warning
    from isrbench.harness.store.salvage import salvage as read
    from isrbench.harness.store.salvage import write_store
    from isrbench.harness.store.schema import FILE

    found = read(folder)
    if out.suffix == ".sqlite":
        write_store(found, out, overwrite=overwrite)
    else:
        import pandas as pd

        from isrbench.harness.store.export import export

        rows = [{"table": table, **row} for table, rows in found.rows.items() for row in rows]
        export(pd.DataFrame(rows), out, option="--out", overwrite=overwrite)
    show_rows("runs", ("run", "images", "scores"), found.runs)
    for run, count in found.lost_runs.items():
        show_warning(f"{count} rows of {run} are left out: neither its own row nor its manifest.json can be read")
    if found.damaged_pages:
        show_warning(f"{found.damaged_pages} pages of the file are damaged: rows on them are lost, or in part")
    show_text(f"{sum(map(len, found.rows.values()))} rows in {out}")
    if out.suffix == ".sqlite":
        store, old = shlex.quote(str(folder / FILE)), shlex.quote(str(folder / "damaged"))
        # The write-ahead log of the damaged store would be taken for that of the new one.
        swap = f"mkdir {old} && mv {store}* {old} && cp {shlex.quote(str(out))} {store}"
        show_aside(f"to go on with them: {swap}")
