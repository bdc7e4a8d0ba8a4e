"""What ``isrbench figure`` calls, through the entry point ``isrbench.figures``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isrbench.harness.api.layout import DEFAULT_FIGURE, FigureLayout
from isrbench.harness.api.metric import Metric, Reference
from isrbench.harness.api.registry import metrics, unknown_name
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full, refuse_to_replace, replacing
from isrbench.harness.metrics.sets import expand
from isrbench.harness.metrics.weights import fetch_command
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.arranged import methods_named
from isrbench.reports.compared_set import baseline_label
from isrbench.reports.entry_points import read_frames
from isrbench.reports.figures.crops import Box, Subject, arrange, crops_figure, images_that_differ, read_subject
from isrbench.reports.figures.crops_tex import write_tex
from isrbench.reports.seeds import without_repeats

_TEX = ".tex"
_KEPT = "choose another file, or add --overwrite"
KINDS = (".pdf", ".png", ".svg", ".jpg", ".tex")


def write(
    *,
    runs_dir: Path,
    dataset: str,
    out: Path,
    runs: Sequence[str] = (),
    boxes: Sequence[tuple[int, int, int]] = (),
    layout: FigureLayout = DEFAULT_FIGURE,
    overwrite: bool = False,
) -> list[str]:
    """Draw whole images with boxes and what every method made of them.

    Args:
        runs_dir: The runs folder.
        dataset: A set's id, or its title in reports.
        out: The file; its ending says the kind. A ``.tex`` has its pictures in a folder of its name.
        runs: Run ids, run folders or ``latest``; none = the newest run of every method and set.
        boxes: (left, top, side) in HR pixels, for every image; none = where the methods differ most.
        layout: Images, methods, metrics and sizes.
        overwrite: Whether a file that is there is replaced.

    Returns:
        What the figure shows, a line each.

    Raises:
        UserError: If there is no such set, image, method or metric, a file is gone, or ``out`` cannot be written.
    """
    if out.suffix.lower() not in KINDS:
        raise UserError(f"--out {out} ends in no kind of figure", f"end it in {', '.join(KINDS)}")
    if not overwrite:
        refuse_to_replace([out, *([out.with_suffix("")] if out.suffix.lower() == _TEX else [])], _KEPT)
    frames, _ = without_repeats(read_frames(runs_dir, runs))
    aligned = _set(align(frames), dataset)
    labels = _labels(aligned, layout.methods)
    printed = _metrics(aligned, labels, layout.metrics)
    ids = list(layout.images) or images_that_differ(aligned, labels, printed[0], layout.count)
    places = [Box(*box) for box in boxes] or layout.crops
    subjects = [read_subject(aligned, image, labels, printed, places, layout.side, layout.lr) for image in ids]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(subjects, layout.width, out)
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written: {error.strerror or error}",
            "make room, then the same command again" if is_full(error) else "choose another place",
        ) from error
    return [f"{s.image}: {', '.join(f'--box {b.left},{b.top},{b.side}' for b in s.boxes)}" for s in subjects]


def _set(sets: Sequence[AlignedRuns], name: str) -> AlignedRuns:
    found = [own for own in sets if name in (own.title, own.dataset)]
    if len(found) == 1:
        return found[0]
    titles = [own.title for own in sets]
    if not found:
        raise UserError(unknown_name("set", name, titles), "choose a set that was run")
    raise UserError(f"--dataset {name} stands for {', '.join(own.title for own in found)}", "give the whole title")


def _labels(aligned: AlignedRuns, methods: Sequence[str]) -> list[str]:
    if not methods:
        base = baseline_label(aligned, None)
        return sorted(aligned.labels, key=lambda label: (label != base, label))
    found = []
    for method in methods:
        named = methods_named(aligned, method)
        if not named:
            known = sorted({*aligned.runs["method"], *aligned.labels})
            raise UserError(unknown_name("method", method, known), f"choose a method that was run on {aligned.title}")
        found += named
    return list(dict.fromkeys(found))


def _metrics(aligned: AlignedRuns, labels: Sequence[str], given: Sequence[str]) -> list[Metric]:
    """The metrics to print; a set of metrics stands for those of its metrics that each image here has."""
    single = {m.id: m for m in aligned.metrics if m.id in aligned.values}
    ids = [id for id in expand(given) if id in single or id in given]
    for id in ids:
        if id not in single:
            raise _no_score(aligned, id, list(single))
    scored = [m for m in single.values() if aligned.values[m.id][list(labels)].notna().to_numpy().any()]
    chosen = [single[id] for id in ids] or scored[:2]
    if not chosen:
        raise UserError(f"{aligned.title} has no score of a single image", "isrbench eval --metrics psnr,ssim")
    return chosen


def _no_score(aligned: AlignedRuns, id: str, scored: list[str]) -> UserError:
    """Return what to say of a metric that images here have no score of: of a typo, of another kind, or not computed."""
    declared = metrics().find(id)
    if declared is None or declared.reference is Reference.SET:
        return UserError(unknown_name("metric", id, scored), "choose a metric of single images that was run")
    first = f"{fetch_command([id])}, then " if declared.weights else ""
    return UserError(
        f"no image of {aligned.title} has a score of {id}. Metrics with scores: {', '.join(scored) or 'none'}",
        f"{first}the same isrbench eval with --metrics {id}",
    )


def _write(subjects: Sequence[Subject], width: float, out: Path) -> None:
    kind = out.suffix.lower()
    if kind == _TEX:
        placed, height = arrange(subjects, width)
        folder = out.with_suffix("")
        folder.mkdir(exist_ok=True)
        with replacing(out) as partial:
            write_tex(placed, width, height, partial, folder)
        return
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {"Software": None}}.get(kind)
    with crops_figure(subjects, width) as drawn, replacing(out) as partial:
        drawn.savefig(partial, format=kind[1:], metadata=metadata)
