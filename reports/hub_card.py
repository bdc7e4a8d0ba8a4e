"""What publishing needs: a Hugging Face model card's ``model-index`` block, and a bibliography."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results

from isrbench.harness.api.method import MethodPlugin
from isrbench.harness.api.records import Manifest
from isrbench.harness.api.registry import Registry
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full, refuse_to_replace, replacing
from isrbench.harness.store.frames import Frames
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.names import unique_slugs
from isrbench.reports.statistics import means
from isrbench.reports.unproven import UNPROVEN, not_publishable, weights_mark

log = logging.getLogger(__name__)


def hub_card(frames: Frames, title: str) -> str:
    """Return the YAML front matter of a model card, with every complete mean of one method over whole sets.

    Args:
        frames: The runs, of one or more sets; those over a part of a set are left out.
        title: The method's title, id or label; of several runs of it on one set the newest counts.

    Returns:
        A block from ``---`` to ``---``, equal to what huggingface_hub reads back from it.

    Raises:
        UserError: If the method is not among the runs or has no complete mean over a whole set.
    """
    return _card(align(frames), frames, title)


def bibliography(frames: Frames, methods: Registry[MethodPlugin]) -> str:
    """Return the BibTeX of all methods, sets and metrics in ``frames``; each key once, in alphabetical order."""
    sets = align(frames)
    texts = [_method_citation(row, methods) for _, row in frames.runs.iterrows()]
    texts += [metric.citation for own in sets for metric in own.metrics]
    texts += [_set_citation(own) for own in sets]
    entries: dict[str, str] = {}
    for text in texts:
        for entry in re.split(r"\n\s*(?=@)", text.strip()):
            key = re.match(r"@\w+\{\s*([^,\s]+)", entry)
            if key:
                entries.setdefault(key[1], entry.strip())
    return "\n\n".join(entries[key] for key in sorted(entries)) + "\n"


def write_publication(
    frames: Frames, methods: Registry[MethodPlugin], folder: Path, *, overwrite: bool = False
) -> list[Path]:
    """Write ``hub-card-METHOD.md`` for each method with a complete mean, and ``references.bib``, below ``folder``.

    Runs over a part of a set, and methods without a complete mean, are left out; the log says so.

    Args:
        frames: The runs.
        methods: Where a run's citation is looked up that the run itself does not hold.
        folder: Made where it is absent.
        overwrite: Whether files that are there are replaced.

    Raises:
        UserError: If no card is left, a file is there already, or ``folder`` is not a folder or cannot be written.
    """
    sets = align(frames)
    for own in sets:
        if own.partial:
            log.warning("no hub card from %s (%s): a card is about whole sets", own.title, ", ".join(own.labels))
    cards = {}
    for title, name in _file_names(frames).items():
        if any(True for _ in _results(sets, title)):
            cards[name] = _card(sets, frames, title)
        else:
            log.warning("no hub card for %s: it has no complete mean over a whole set", title)
    if not cards:
        raise UserError(
            "no run here can be published: a hub card needs a mean over all images of a whole set",
            "score a whole set: isrbench eval, without --limit and --sample",
        )
    texts = {**{name: cards[name] for name in sorted(cards)}, "references.bib": bibliography(frames, methods)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not overwrite:
            refuse_to_replace((folder / name for name in texts), "pass --overwrite, or another --to")
        for name, text in texts.items():
            with replacing(folder / name) as partial:
                partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror}",
            "make room, then the same command again" if is_full(error) else "give a folder that can be written",
        ) from error
    return [folder / name for name in texts]


def _file_names(frames: Frames) -> dict[str, str]:
    """Return a card's file name by title: a method's id names its file, unless two titles share the id."""
    named = frames.runs.sort_values("created").drop_duplicates("title", keep="last")
    shared = named["method"].duplicated(keep=False)
    names = {t: f"{m}-{t}" if twice else m for t, m, twice in zip(named["title"], named["method"], shared, strict=True)}
    slugs = unique_slugs(sorted(names.values()))
    return {title: f"hub-card-{slugs[name]}.md" for title, name in names.items()}


def _card(sets: Sequence[AlignedRuns], frames: Frames, wanted: str) -> str:
    results = list(_results(sets, wanted))
    if not results:
        raise UserError(
            f"no complete mean of '{wanted}' over a whole set to publish",
            "score it first: isrbench eval, without --limit and --sample",
        )
    titles = frames.runs.loc[frames.runs["method"] == wanted, "title"]
    name = wanted if wanted in set(frames.runs["title"]) or titles.empty else str(titles.iloc[-1])
    data = ModelCardData(model_name=name, eval_results=results, library_name="isrbench",
                         pipeline_tag="image-to-image", tags=["super-resolution", "isrbench"])  # fmt: skip
    text = f"---\n{data.to_yaml()}\n---\n"
    index = ModelCard(text, ignore_metadata_errors=False).data.to_dict()["model-index"]
    read_name, read_back = model_index_to_eval_results(index)

    def key(result: EvalResult) -> tuple[str, str]:
        return result.dataset_name, result.metric_type

    if read_name != name or sorted(read_back, key=key) != sorted(results, key=key):
        raise RuntimeError("huggingface_hub reads the model index otherwise than it was written")
    return text


def _results(sets: Sequence[AlignedRuns], wanted: str) -> Iterator[EvalResult]:
    """Yield a result for each whole set and metric with a complete mean; one run a set, the newest."""
    for aligned in sets:
        runs = aligned.runs
        named = (runs.index == wanted) | (runs["title"] == wanted) | (runs["method"] == wanted)
        own: pd.DataFrame = runs.loc[named, :]
        if own.empty or aligned.partial:
            continue
        newest = own.sort_values("created").iloc[-1]
        label, manifest = str(newest.name), newest["manifest"]
        cells = means(aligned, list(aligned.images.index))
        for metric in aligned.metrics:
            mean = cells[label, metric.id].mean
            said = weights_mark(manifest, metric)
            title = metric.title.removesuffix(UNPROVEN)
            if not_publishable(manifest, metric):
                log.warning("no %s of %s in a hub card: its weights were not the published ones", metric.id, label)
                continue
            if mean is not None and pd.notna(mean) and abs(mean) != float("inf"):
                yield EvalResult(
                    task_type="image-to-image",
                    task_name="Real-world image super-resolution",
                    dataset_type=aligned.dataset,
                    dataset_name=aligned.title,
                    metric_type=metric.id,
                    metric_name=f"{title} ({'; '.join(filter(None, (metric.colour, said)))})",
                    metric_value=round(mean, 6),
                )


def _method_citation(run: pd.Series, methods: Registry[MethodPlugin]) -> str:
    """Return what the run itself says, else its plugin: ``--name`` calls a run anything, and a plugin may be gone."""
    manifest: Manifest = run["manifest"]  # pyright: ignore[reportAssignmentType]
    if manifest.citation:
        return manifest.citation
    plugin = methods.find(manifest.method)
    return plugin.info.citation if plugin else ""


def _set_citation(aligned: AlignedRuns) -> str:
    manifest: Manifest = aligned.runs["manifest"].iloc[0]
    if manifest.dataset.citation:
        return manifest.dataset.citation
    try:
        return find_card(aligned.dataset).citation
    except UserError:
        return ""  # a folder or card that has moved since: it had no name to cite by
