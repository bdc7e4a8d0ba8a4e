"""What publishing needs: a Hugging Face model card's ``model-index`` block, and a bibliography."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results

from isrbench.harness.api.method import MethodPlugin
from isrbench.harness.api.registry import Registry
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames
from isrbench.reports.comparison import View, views
from isrbench.reports.names import unique_slugs
from isrbench.reports.statistics import means


def hub_card(frames: Frames, title: str) -> str:
    """The YAML front matter of a model card, with every complete mean of one method.

    Args:
        frames: The runs, of one or more sets.
        title: The method's title, id or label; of several runs of it on one set the newest counts.

    Returns:
        A block from ``---`` to ``---``, equal to what huggingface_hub reads back from it.

    Raises:
        UserError: If the method is not among the runs or has no complete mean.
    """
    return _card(views(frames), frames, title)


def bibliography(frames: Frames, methods: Registry[MethodPlugin]) -> str:
    """BibTeX of all methods, sets and metrics in ``frames``; each key once, in alphabetical order."""
    shown = views(frames)
    texts = [_method_citation(row, methods) for _, row in frames.runs.iterrows()]
    texts += [metric.citation for view in shown for metric in view.metrics]
    texts += [_set_citation(view) for view in shown]
    entries: dict[str, str] = {}
    for text in texts:
        for entry in re.split(r"\n\s*(?=@)", text.strip()):
            key = re.match(r"@\w+\{\s*([^,\s]+)", entry)
            if key:
                entries.setdefault(key[1], entry.strip())
    return "\n\n".join(entries[key] for key in sorted(entries)) + "\n"


def write_publication(frames: Frames, methods: Registry[MethodPlugin], out: Path) -> list[Path]:
    """Write ``hub-card-METHOD.md`` for each method with a complete mean, and ``references.bib``, below ``out``.

    Raises:
        UserError: If ``out`` is no folder, or cannot be written.
    """
    shown = views(frames)
    named = frames.runs.sort_values("created").drop_duplicates("title", keep="last")
    # A method's id names its file, unless two titles share the id.
    shared = named["method"].duplicated(keep=False)
    names = {t: f"{m}-{t}" if twice else m for t, m, twice in zip(named["title"], named["method"], shared, strict=True)}
    slugs = unique_slugs(sorted(names.values()))
    written = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for title in sorted(names, key=lambda t: slugs[names[t]]):
            if any(True for _ in _results(shown, title)):
                written.append(out / f"hub-card-{slugs[names[title]]}.md")
                written[-1].write_text(_card(shown, frames, title), encoding="utf-8")
        written.append(out / "references.bib")
        written[-1].write_text(bibliography(frames, methods), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--to {out} cannot be written: {error.strerror}", "with --hub-card, --to is a folder: choose another"
        ) from error
    return written


def _card(shown: list[View], frames: Frames, wanted: str) -> str:
    results = list(_results(shown, wanted))
    if not results:
        raise UserError(f"there is no complete mean of '{wanted}' to publish", "score it first: isrbench eval")
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


def _results(shown: list[View], wanted: str) -> Iterator[EvalResult]:
    """A result for each set and metric with a complete mean; one run a set, the newest."""
    for view in shown:
        named = (view.runs.index == wanted) | (view.runs["title"] == wanted) | (view.runs["method"] == wanted)
        own: pd.DataFrame = view.runs.loc[named, :]
        if own.empty:
            continue
        label = str(own.sort_values("created").index[-1])
        cells = means(view, list(view.images.index))
        for metric in view.metrics:
            mean = cells[label, metric.id].mean
            if mean is not None and pd.notna(mean) and abs(mean) != float("inf"):
                yield EvalResult(
                    task_type="image-to-image",
                    task_name="Real-world image super-resolution",
                    dataset_type=view.dataset,
                    dataset_name=view.title,
                    metric_type=metric.id,
                    metric_name=f"{metric.title} ({metric.colour})",
                    metric_value=round(mean, 6),
                )


def _method_citation(run: pd.Series, methods: Registry[MethodPlugin]) -> str:
    """What the run itself says; a run under ``--name`` is called what its user likes, and a plug-in may be gone."""
    manifest: Any = run["manifest"]
    if isinstance(manifest.get("citation"), str):
        return manifest["citation"]
    method = str(manifest.get("method") or run["method"])
    return methods.get(method).info.citation if method in methods else ""


def _set_citation(view: View) -> str:
    manifest: Any = view.runs["manifest"].iloc[0]
    said = (manifest.get("dataset") or {}).get("citation")
    if isinstance(said, str):
        return said
    try:
        return find_card(view.dataset).citation
    except UserError:
        return ""  # a folder or card that has moved since: it had no name to cite by
