"""What publishing needs: a Hugging Face model card's ``model-index`` block, and a bibliography."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results

from harness.cards import find_card
from harness.errors import UserError
from harness.frames import Frames
from harness.method import MethodPlugin
from harness.registry import Registry
from reports.statistics import compare
from reports.view import views


def hub_card(frames: Frames, label: str) -> str:
    """The YAML front matter of a model card, with every complete mean of one method.

    Args:
        frames: The runs.
        label: The method's label (:attr:`reports.view.View.labels`) or id.

    Returns:
        A block from ``---`` to ``---``, checked by reading it back with huggingface_hub.

    Raises:
        UserError: If the method is not among the runs or has no complete mean.
    """
    results = _results(frames, label)
    if not results:
        raise UserError(f"there is no complete mean of '{label}' to publish", "score it first: isrbench eval")
    titles = frames.runs.loc[frames.runs["method"] == label, "title"]
    name = str(titles.iloc[0]) if len(titles) else label
    data = ModelCardData(model_name=name, eval_results=results, library_name="isrbench",
                         pipeline_tag="image-to-image", tags=["super-resolution", "isrbench"])  # fmt: skip
    read_name, read_back = model_index_to_eval_results(data.to_dict()["model-index"])
    if read_name != name or len(read_back) != len(results):
        raise RuntimeError("huggingface_hub reads the model index otherwise than it was written")
    return f"---\n{data.to_yaml()}\n---\n"


def bibliography(frames: Frames, methods: Registry[MethodPlugin]) -> str:
    """BibTeX of all methods, sets and metrics in ``frames``; each key once, in alphabetical order."""
    texts = [methods.get(m).info.citation for m in frames.runs["method"].unique() if m in methods]
    for view in views(frames):
        texts += [metric.citation for metric in view.metrics]
        try:
            texts.append(find_card(view.dataset).citation)
        except UserError:
            continue  # a folder or card that has moved since: it had no name to cite by
    entries: dict[str, str] = {}
    for text in texts:
        for entry in re.split(r"\n(?=@)", text.strip()):
            key = re.match(r"@\w+\{\s*([^,\s]+)", entry)
            if key:
                entries.setdefault(key[1], entry.strip())
    return "\n\n".join(entries[key] for key in sorted(entries)) + "\n"


def write_publication(frames: Frames, methods: Registry[MethodPlugin], out: Path) -> list[Path]:
    """Write ``hub-card-METHOD.md`` for each method with a complete mean, and ``references.bib``, below ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for method in sorted(frames.runs["method"].unique()):
        if _results(frames, method):
            written.append(out / f"hub-card-{method}.md")
            written[-1].write_text(hub_card(frames, method), encoding="utf-8")
    written.append(out / "references.bib")
    written[-1].write_text(bibliography(frames, methods), encoding="utf-8")
    return written


def _results(frames: Frames, label: str) -> list[EvalResult]:
    """One result for each run of the method and each metric with a complete mean."""
    found = []
    for view in views(frames):
        for own in view.runs.index[(view.runs.index == label) | (view.runs["method"] == label)]:
            cells = compare(view, list(view.images.index), None)
            for metric in view.metrics:
                mean = cells[own, metric.id].mean
                if mean is not None and pd.notna(mean) and abs(mean) != float("inf"):
                    found.append(
                        EvalResult(
                            task_type="image-to-image",
                            task_name="Real-world image super-resolution",
                            dataset_type=view.dataset,
                            dataset_name=view.dataset,
                            metric_type=metric.id,
                            metric_name=f"{metric.title} ({metric.colour})",
                            metric_value=round(mean, 6),
                        )
                    )
    return found

