"""``isrbench fetch weights``, ``isrbench fetch datasets`` and ``isrbench fetch training``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from isrbench.harness.cli.arguments import NOTHING, AcceptLicense, DataRoot, metric_ids
from isrbench.harness.cli.ids import complete_dataset, dataset_id, method_id
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.api.download import Download, Held, TrainingNeeds

fetch_app = typer.Typer(no_args_is_help=True, help="Download metric weights, data sets, or what a training needs.")
_HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@fetch_app.command()
def weights(
    metric: Annotated[
        list[str],
        typer.Option(
            help="Metrics' ids and sets, separated by commas; may be repeated. "
            "[default: the metrics that `eval` scores by default, unless a method is named]"
        ),
    ] = NOTHING,
    method: Annotated[list[str], typer.Option(help="A published network's id or card; may be repeated.")] = NOTHING,
) -> None:
    """Download weights of metrics and of published networks to torch's hub folder.

    For example:

    `isrbench fetch weights --metric lpips,musiq`

    `isrbench fetch weights --metric @osediff`
    """
    from isrbench.harness.api.registry import methods, metrics
    from isrbench.harness.cli.terminal import show_text
    from isrbench.harness.cli.waiting import download_bars
    from isrbench.harness.metrics.sets import DEFAULT_METRICS, expand
    from isrbench.harness.metrics.weights import fetch_files, location, wanted

    networks = {name: methods().get(name) for name in map(method_id, method) if name}
    asked = expand(id for text in metric for id in metric_ids(text) or ()) if metric or method else DEFAULT_METRICS
    scored = {id: metrics().get(id) for id in asked}
    licenses = {name: f" (license: {plugin.info.license})" for name, plugin in networks.items()}
    chosen = [("metric", name, one.weights) for name, one in scored.items()]
    chosen += [("method", name, plugin.weights) for name, plugin in networks.items()]
    with download_bars() as progress:
        for kind, name, files in chosen:
            fetched = fetch_files(files, f"isrbench fetch weights --{kind} {name}", progress)
            if absent := wanted(files):
                raise UserError(
                    f"{location(absent[0])} was fetched, but is gone or not as published", "run the same command again"
                )
            place = ", ".join(map(str, fetched)) if fetched else "nothing to fetch"
            show_text(f"{name}: {place}{licenses.get(name, '') if files else ''}")


@fetch_app.command()
def datasets(
    dataset: Annotated[
        str, typer.Option(help="A dataset's id or card.", callback=dataset_id, autocompletion=complete_dataset)
    ],
    data_root: DataRoot = None,
    accept_license: AcceptLicense = False,
) -> None:
    """Download a data set.

    Example: `isrbench fetch datasets --dataset RealSR --accept-license`
    """
    from isrbench.harness.cli.terminal import show_path
    from isrbench.harness.data.catalogue import find_card
    from isrbench.harness.data.fetch import fetch_dataset

    show_path(fetch_dataset(find_card(dataset), data_root, accept_license))


@fetch_app.command(context_settings=_HANDED_ON)
def training(
    context: typer.Context,
    method: Annotated[
        str | None, typer.Option(help="A trainable method's id. [default: all of them]", callback=method_id)
    ] = None,
) -> None:
    """Download what a training needs besides photos: base, severity estimator, weights of losses and metrics.

    Everything else on the line is what `isrbench train` takes. What is there is checked and left.

    Example: `isrbench fetch training --method mor --preset sd21`
    """
    from isrbench.harness.cli.terminal import show_text
    from isrbench.harness.cli.waiting import download_bars

    needs = _needs(method, context.args)
    lacking: list[tuple[Download, Held]] = []
    for download in needs.downloads:
        held = download.look()
        if held.lacking:
            lacking.append((download, held))
        else:
            show_text(_line("ok", download, held))
    if not needs.downloads:
        show_text("nothing to fetch: all that this training needs ships with isrbench")
    for sentence in needs.by_hand:
        show_text(sentence)
    _refuse_offline(lacking)
    for download, _ in lacking:
        with download_bars() as progress:
            download.fetch(progress)
        held = download.look()
        if held.lacking:
            names = ", ".join(held.lacking)
            raise UserError(
                f"{download.what} was fetched from {download.source}, but lacks {names}", "run the same command again"
            )
        show_text(_line("fetched", download, held))


def _needs(method: str | None, argv: Sequence[str]) -> TrainingNeeds:
    """Return what a training of one method needs, or of any that can say so.

    Raises:
        UserError: If the method cannot say, or the arguments do not fit.
    """
    from isrbench.harness.api.download import TrainingNeeds
    from isrbench.harness.api.registry import methods

    plugins = {name: plugin for name, plugin in methods().load_all()[0].items() if plugin.needs is not None}
    if method is not None and methods().get(method).needs is None:
        raise UserError(
            f"{method} does not say what its training needs", f"methods that do: {', '.join(plugins) or 'none'}"
        )
    asked = [plugin.training_needs(argv) for name, plugin in plugins.items() if method in (None, name)]
    downloads = {(d.what, d.source): d for needs in asked for d in needs.downloads}
    by_hand = dict.fromkeys(sentence for needs in asked for sentence in needs.by_hand)
    return TrainingNeeds(tuple(downloads.values()), tuple(by_hand))


def _refuse_offline(lacking: Sequence[tuple[Download, Held]]) -> None:
    """Name everything that is lacking where the network is forbidden or does not answer.

    Raises:
        UserError: If something is lacking and cannot be fetched now.
    """
    from isrbench.harness.network import endpoint, network, offline

    if not lacking:
        return
    switch = offline()
    if switch is None and network():
        return
    names = "; ".join(f"{d.what} ({', '.join(held.lacking)}) from {d.source}" for d, held in lacking)
    why, fix = (f"{switch} is set", f"unset {switch}") if switch else (f"{endpoint()} cannot be reached", "connect")
    raise UserError(
        f"not on this machine: {names}; {why}",
        f"{fix} and run the same command again, or copy the caches of a machine that has them",
    )


def _line(state: str, download: Download, held: Held) -> str:
    return f"{state:7} {download.what}: {_bytes(held.size)} at {held.place}"


def _bytes(size: int) -> str:
    """Return a size in decimal units, as download pages give it: ``5.2 GB``."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{size} B"
