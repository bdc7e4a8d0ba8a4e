"""The page for voting: two restorations of one image beside each other, in random order and without names."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2
from PIL import Image

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full
from isrbench.harness.imaging.images import read_rgb
from isrbench.harness.listed import fresh_folder, take_place
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.entry_points import read_frames
from isrbench.reports.html.data import script_json
from isrbench.reports.seeds import without_repeats
from isrbench.reports.votes.ballot import Ballot, make_ballot
from isrbench.reports.votes.files import FORMAT

QUESTION = "Which of the two looks better?"
_HERE = Path(__file__).parent
_WORKERS = 4


def write(
    *,
    runs_dir: Path,
    runs: Sequence[str] = (),
    out: Path | None = None,
    dataset: str | None = None,
    images: int = 24,
    seed: int = 0,
    question: str = QUESTION,
    overwrite: bool = False,
) -> tuple[Path, Ballot]:
    """Write a page on which people vote, blind, between restorations of stored runs.

    Neither the page nor its files say what made an image: files are named by hashes, hold pixels alone, and are all of
    one kind. :mod:`isrbench.reports.votes.analysis` finds the runs again by the same hashes.

    Args:
        runs_dir: The runs folder.
        runs: Run ids, run folders or ``latest``; none = the newest run of every method and set.
        out: The folder to write; None = ``<runs_dir>/vote``.
        dataset: The set, by id or title; needed where the runs are about several.
        images: How many images at most, evenly over severity.
        seed: Of the questions' order.
        question: What is asked.
        overwrite: Whether files may be replaced that no page wrote, or that were changed since.

    Returns:
        ``index.html``, and what is asked.

    Raises:
        UserError: If there is no such run or set, fewer than two methods, no image of all of them, or ``out`` cannot be
            written.
    """
    frames, _ = without_repeats(read_frames(runs_dir, runs))
    ballot = make_ballot(_chosen(align(frames), dataset), images, seed)
    folder = out or runs_dir / "vote"
    try:
        with fresh_folder(folder) as made:
            files = [file.relative_to(made) for file in write_ballot(ballot, made, question)]
            take_place(made, folder, [PurePosixPath(file) for file in files], overwrite=overwrite)
    except OSError as error:
        full = "make room, then the same command again" if is_full(error) else "choose another folder"
        raise UserError(f"cannot write the page to {folder}: {error.strerror or error}", full) from error
    return folder / files[0], ballot


def _chosen(sets: Sequence[AlignedRuns], dataset: str | None) -> AlignedRuns:
    """Return the set to vote on.

    Raises:
        UserError: If it is not there, or there are several and none is named.
    """
    names = [own.title for own in sets]
    if not sets:
        raise UserError("no run to vote on", "isrbench eval --method bicubic --dataset sample")
    if dataset is None and len(sets) > 1:
        raise UserError(
            f"these runs are about several sets: {', '.join(names)}",
            f"choose one, such as --dataset {shlex.quote(names[0])}",
        )
    found = [own for own in sets if dataset in (None, own.title)] or [own for own in sets if own.dataset == dataset]
    if not found:
        raise UserError(unknown_name("dataset", dataset or "", names), "choose one of those that were run")
    return found[0]


def write_ballot(ballot: Ballot, folder: Path, question: str = QUESTION) -> list[Path]:
    """Write the page and its images below ``folder``; returns the files, the page first.

    Raises:
        UserError: If an image cannot be read.
    """
    (folder / "images").mkdir(parents=True)
    inputs = {f"in-{place:03d}": path for place, path in enumerate(ballot.inputs)}
    sources = {**inputs, **ballot.versions}
    targets = {name: folder / "images" / f"{name}.webp" for name in sources}
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(lambda name: _copy(sources[name], targets[name]), sources))
    data: dict[str, Any] = {
        "format": FORMAT, "dataset": ballot.title, "images": len(ballot.images), "rounds": ballot.rounds,
    }  # fmt: skip
    data["ballot"] = hashlib.sha256(script_json(data).encode()).hexdigest()[:12]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("vote.html").render(
        title=ballot.title,
        question=question,
        data=script_json(data),
        css=(_HERE / "vote.css").read_text(encoding="utf-8"),
        js=(_HERE / "vote.js").read_text(encoding="utf-8"),
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8")
    return [index, *targets.values()]


def _copy(source: Path, target: Path) -> None:
    """Write an image's pixels, and nothing else of the file: no name, date or comment may tell what made it."""
    Image.fromarray(read_rgb(source)).save(target, "WEBP", lossless=True, quality=20, method=0, exact=True)
