"""``isrbench runs``: list, rename, remove, merge and salvage stored runs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isrbench.harness.cli.arguments import RUNS_DIR, RUNS_DIRS, Json, RunsDir, RunsDirs
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.engine.removing import Removal

runs_app = typer.Typer(no_args_is_help=True, help="Look after stored runs: list, rename, remove, merge, salvage.")


@runs_app.command(name="list")
def list_(json: Json = False, runs_dir: RunsDirs = RUNS_DIRS) -> None:
    """List stored runs, how far each got, and what its files take; the one that was asked for last comes last.

    Example: `isrbench runs list --runs-dir runs --runs-dir others`
    """
    show_runs(runs_dir, json=json)


def show_runs(folders: Sequence[Path], *, json: bool) -> None:
    """Print the runs of each folder; a run's id says which method and set it is of."""
    from isrbench.harness.cli.terminal import show_json, show_rows
    from isrbench.harness.engine.listing import list_stored

    columns, rows = list_stored(folders)
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    if json:
        show_json(found)
        return
    for folder in folders:
        own = [row for row in found if row["runs folder"] == str(folder)]
        shown = ["run", "state", "last used", "size"]
        shown += [columns[-1]] if any(row[columns[-1]] for row in own) else []
        show_rows(f"runs in {folder}", shown, [[_brief(row, column) for column in shown] for row in own])


def _brief(row: Mapping[str, str], column: str) -> str:
    """Return a cell that fits: of the time the day and the minute."""
    return row[column].replace("T", " ")[:16] if column == "last used" else row[column]


@runs_app.command()
def rename(
    run: Annotated[str, typer.Argument(metavar="RUN", help="An id, a run folder or `latest`.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What tables call its method from now on.")],
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Rename a run, as if it had been made with `eval --name NAME`; its id and folder follow.

    Example: `isrbench runs rename latest ours-v2`
    """
    from isrbench.harness.cli.terminal import show_text
    from isrbench.harness.engine.renaming import rename as give_name
    from isrbench.harness.store.schema import home_of

    home = home_of(run) or runs_dir
    for old, new in give_name(home, run, name).items():
        show_text(f"{old} is {new} now")
    _say_report_is_old(home)


@runs_app.command()
def remove(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, run folders or `latest`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Take runs out of a runs folder: their rows, and the images that isrbench wrote. Says what goes, and asks.

    Files that isrbench did not write, or that were changed since, stay where they are and are named.

    Example: `isrbench runs remove bicubic-sample-1a2b3c4d`
    """
    from isrbench.harness.cli.terminal import show_text
    from isrbench.harness.engine.removing import removals
    from isrbench.harness.engine.removing import remove as take_away
    from isrbench.harness.store.schema import home_of
    from isrbench.harness.store.store import Store

    homes = {home_of(run) or runs_dir.resolve() for run in runs}
    if len(homes) > 1:
        raise UserError(f"these runs lie in {len(homes)} runs folders", "remove the runs of one at a time")
    home = homes.pop()
    with Store(home, create=False) as store:  # not opened for writing, and so not made, where there is none
        ids = list(dict.fromkeys(map(store.find_run, runs)))
    with Store(home) as store, removals(store, ids) as found:
        for removal in found:
            show_text(_what_goes(removal))
        if not yes and not sys.stdin.isatty():
            raise UserError("nothing was removed: there is no terminal to ask at", "the same command with --yes")
        if not yes and not typer.confirm("Remove this for good?"):
            show_text("nothing was removed")
            raise typer.Exit
        for removal in found:
            take_away(store, removal)
    show_text(f"{len(found)} removed" if len(found) > 1 else f"{found[0].run} removed")
    _say_report_is_old(home)


def _what_goes(removal: Removal) -> str:
    from isrbench.harness.files import size_text

    lines = [
        f"{removal.run}: rows of {removal.images} images and {removal.scores} scores; "
        f"{len(removal.files)} files, {size_text(removal.size)}"
    ]
    lines += [f"  stays: {path} (isrbench did not write it, or it was changed since)" for path in removal.kept]
    return "\n".join(lines)


def _say_report_is_old(home: Path) -> None:
    from isrbench.harness.cli.terminal import show_aside

    if (home / "report" / "index.html").is_file():
        show_aside(f"the report there is older: isrbench report --runs-dir {shlex.quote(str(home))}")


@runs_app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Runs folders of other machines.")],
    into: Annotated[Path, typer.Option(help="The runs folder that they go to; made if it is not there.")],
) -> None:
    """Bring the runs of several runs folders together, rows and images; nothing is counted twice.

    For example:

    `isrbench runs merge from-a/runs from-b/runs --into runs`
    """
    from isrbench.harness.cli.terminal import show_aside, show_text
    from isrbench.harness.engine.merging import merge as bring_together

    done = bring_together(sources, into)
    for note in done.notes:
        show_aside(f"note: {note}")
    show_text(f"{into}: {done.runs} new runs, {done.images} images, {done.scores} scores of images that were there")


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
