"""The ``isrbench`` command. Imports only what a verb needs: ``--help`` and ``list`` never load torch."""

from __future__ import annotations

import sys
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from isrbench.harness.api.registry import methods
from isrbench.harness.cli.fetch import DataRoot, fetch_app
from isrbench.harness.cli.runs import RUNS, RunsDir, export, report
from isrbench.harness.cli.tools import tools
from isrbench.harness.errors import UserError


class Interrupted(BaseException):
    """Ctrl-C, under a name that typer does not swallow: :func:`main` has something to say on it."""


class Verbs(TyperGroup):
    """The verbs, with Ctrl-C let through."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb.

        Raises:
            Interrupted: On Ctrl-C.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


app = typer.Typer(
    name="isrbench",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich's help costs 0.2 s of start-up
    pretty_exceptions_enable=False,
    help="Benchmark for real-world image super-resolution: methods x datasets x metrics, stratified by degradation.",
    epilog="Start here: `isrbench eval --method bicubic --dataset sample`",
)
app.add_typer(fetch_app, name="fetch")
app.command()(export)
app.command()(report)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(tools)


class Kind(str, Enum):
    """What can be listed."""

    METHODS = "methods"
    DATASETS = "datasets"
    METRICS = "metrics"
    RUNS = "runs"


class One(str, Enum):
    """What can be described."""

    METHOD = "method"
    DATASET = "dataset"
    METRIC = "metric"


Options = Annotated[
    list[str],
    typer.Option("-o", "--option", metavar="KEY=VALUE", help="An option of the method; see `describe method ID`."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Seed = Annotated[int, typer.Option(help="Every image's own seed comes from this and its id.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
NO_OPTIONS: list[str] = []


@app.callback(invoke_without_command=True)
def _root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more while working.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    from isrbench.harness.cli.terminal import out, show_logs

    if show_version:
        out.print(version("isrbench"))
        raise typer.Exit
    show_logs(verbose)


@app.command(name="list")
def list_(
    kind: Kind,
    json: Json = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """List methods, datasets, metrics or runs.

    Example: `isrbench list methods`
    """
    from isrbench.harness.cli.terminal import show_json, show_rows
    from isrbench.harness.engine import listing as catalogues

    columns, rows = catalogues.listing(kind.value, runs_dir)
    if json:
        show_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        show_rows(kind.value, columns, rows)


@app.command()
def describe(kind: One, id: str, json: Json = False) -> None:
    """Say all there is to know of one method, dataset or metric.

    Example: `isrbench describe method folder`
    """
    from isrbench.harness.cli.terminal import show_json, show_rows
    from isrbench.harness.engine import listing as catalogues

    facts, options = catalogues.description(kind.value, id)
    if json:
        show_json({**facts, **({"options": options} if kind is One.METHOD else {})})
        return
    show_rows(f"{kind.value} {id}", ("", ""), facts.items())
    if options:
        show_rows(
            "\noptions (-o key=value)",
            ("option", "type", "default", "what it does"),
            [tuple(o.values()) for o in options],
        )


@app.command(name="eval")
def eval_(
    method: Annotated[str, typer.Option(help="A method's id; see `list methods`.")],
    dataset: Annotated[str, typer.Option(help="A dataset's id, your own card (.toml), or a folder with LR/ and HR/.")],
    option: Options = NO_OPTIONS,
    name: Annotated[
        str | None, typer.Option(help="What tables call it, to tell two folders or checkpoints apart.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="Comma-separated ids; see `list metrics`. [default: psnr,ssim,lpips,musiq,clipiqa]"),
    ] = None,
    require_metrics: Annotated[bool, typer.Option(help="Stop if a metric's weights are not there.")] = False,
    data_root: DataRoot = None,
    accept_license: Annotated[
        bool,
        typer.Option(
            "--accept-license", "--accept-licence", help="Accept the set's license and download it if it is not there."
        ),
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    runs_dir: RunsDir = RUNS,
    resume: Annotated[
        str, typer.Option(help="only-missing: go on; never: a new run; only-cache: compute nothing.")
    ] = "only-missing",
    device: Device = "auto",
    seed: Seed = 0,
    workers: Annotated[
        int | None, typer.Option(help="Threads that score; never changes a result. [default: one a core]")
    ] = None,
    estimator: Annotated[
        str, typer.Option(help="Severity estimator: tiny, an open_clip MODEL/PRETRAINED, or none.")
    ] = "tiny",
    complexity: Annotated[bool, typer.Option(help="Count and time the method too.")] = True,
    report: Annotated[bool, typer.Option(help="Write the report of all newest runs.")] = True,
    json: Json = False,
) -> None:
    """Run a method over a dataset and score what it writes; go on where an earlier run stopped.

    For example:

    `isrbench eval --method bicubic --dataset sample`

    `isrbench eval --method bicubic --dataset my_pairs/ --metrics psnr,gmsd`

    `isrbench eval --method folder -o images=ours/ --dataset RealSR`
    """
    from isrbench.harness.api.options import split_options
    from isrbench.harness.engine.evaluate import evaluate
    from isrbench.harness.engine.plan import Request, parse_resume

    request = Request(
        method=method, dataset=dataset, options=split_options(option), name=name,
        metrics=tuple(m.strip() for m in metrics.split(",") if m.strip()) if metrics is not None else None,
        data_root=data_root, limit=limit, runs_dir=runs_dir, resume=parse_resume(resume), device=device, seed=seed,
        workers=workers, estimator=estimator, complexity=complexity, argv=tuple(sys.argv),
    )  # fmt: skip
    code = evaluate(
        request,
        methods(),
        require_metrics=require_metrics,
        accept_license=accept_license,
        report=report,
        json=json,
    )
    raise typer.Exit(code)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="INPUT")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT")],
    method: Annotated[str, typer.Option(help="A method's id; see `list methods`.")],
    option: Options = NO_OPTIONS,
    scale: Annotated[int, typer.Option(help="How many times larger.")] = 4,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
) -> None:
    """Restore your own pictures: INPUT is a picture or a folder of pictures, OUTPUT a PNG or a folder.

    Example: `isrbench restore photo.jpg large.png --method bicubic`
    """
    from isrbench.harness.api.options import split_options
    from isrbench.harness.engine.evaluate import restore_pictures
    from isrbench.harness.engine.restore_files import Pictures

    pictures = Pictures(source, target, scale, device, seed, overwrite)
    raise typer.Exit(restore_pictures(methods(), method, split_options(option), pictures))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def train(
    context: typer.Context, method: Annotated[str | None, typer.Option(help="A trainable method's id.")] = None
) -> None:
    """Train a method; everything else on the line is handed on to its trainer.

    Its own options: `isrbench train --method mor --help`

    Example: `isrbench train --method mor --data images/ --out trained/`
    """
    from isrbench.harness.cli.terminal import show_logs

    if method is None:
        if {"--help", "-h"} & set(context.args):
            typer.echo(context.get_help())
            raise typer.Exit
        raise UserError("train needs a method", "isrbench train --method mor --help")
    # Its progress is in the log: a training that says nothing for an hour looks like one that hangs.
    show_logs(True)
    plugin = methods().get(method)
    if plugin.train is None:
        trainable = [name for name, p in methods().load_all()[0].items() if p.train is not None]
        raise UserError(f"{method} cannot be trained", f"trainable methods: {', '.join(trainable) or 'none'}")
    raise typer.Exit(plugin.run_training(context.args))


@app.command()
def doctor(data_root: DataRoot = None, runs_dir: RunsDir = RUNS, json: Json = False) -> None:
    """Look at what works here, what is missing, and what fixes it.

    Exit code 0 if every package, the device and the runs folder work; data sets and weights may be absent.
    """
    from isrbench.harness.cli.terminal import show_json, show_rows
    from isrbench.harness.engine.doctor import examine, exit_code

    findings = list(examine(data_root, runs_dir))
    if json:
        show_json([vars(f) for f in findings])
    else:
        show_rows(
            "doctor",
            ("", "what", "found", "fix"),
            [("ok" if f.ok else "--", f.what, f.found, f.fix) for f in findings],
        )
    raise typer.Exit(exit_code(findings))


def main() -> None:
    """Entry point. Exit codes: 0 all well, 1 some images failed, 2 the user's mistake, 130 interrupted."""
    try:
        app()
    except UserError as error:
        from isrbench.harness.cli.terminal import show_error

        show_error(error)
        sys.exit(2)
    except (KeyboardInterrupt, Interrupted):
        from isrbench.harness.cli.terminal import err

        err.print("interrupted; everything finished so far is kept, the same command goes on")
        sys.exit(130)


if __name__ == "__main__":
    main()
