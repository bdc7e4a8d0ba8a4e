"""Runs that machines made apart, brought into one runs folder: one identity is one run, nothing is counted twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isrbench.harness.api.records import Manifest
from isrbench.harness.engine.lock import only_one
from isrbench.harness.engine.manifests import write_manifest
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, replacing, takes_nothing
from isrbench.harness.store.changes import copy_rows, copy_run
from isrbench.harness.store.connection import why_unusable
from isrbench.harness.store.store import Store

_SHOWN = 3
"""Conflicts in a message."""


@dataclass(frozen=True)
class Merged:
    """What came to a runs folder."""

    runs: int
    """Runs that it had not."""
    images: int
    """Images, of these and of runs that it had."""
    scores: int
    """Scores of images that it had."""
    notes: tuple[str, ...] = ()
    """What was left out, a line each."""


@dataclass
class _Parcel:
    """What one source has of one run that the target lacks."""

    source: Store
    manifest: Manifest
    known: bool
    """Whether the target has the run."""
    images: list[str] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    """Rows of images that the target has, and of the whole set."""
    severities: list[dict[str, Any]] = field(default_factory=list)
    """Rows of images that the target has without a severity."""
    notes: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def merge(sources: Sequence[Path], into: Path) -> Merged:
    """Bring the runs of other runs folders into one.

    A run that it has already, by id and identity, gains the images and scores that are missing there, or have failed.
    Doing it again changes nothing.

    Args:
        sources: Runs folders; they are only read.
        into: The runs folder to write, made where it is absent.

    Raises:
        UserError: If a folder holds no runs, two rows say different things of one image, two runs share an id, another
            process works on a run, or ``into`` cannot be written. Conflicts are found before anything is written.
    """
    places = [path.resolve() for path in (*sources, into)]
    twice = next((path for n, path in enumerate(places) if path in places[:n]), None)
    if twice is not None:
        raise UserError(f"{twice} is named twice", "name each runs folder once; --into is where the others go")
    done = Merged(0, 0, 0)
    with ExitStack() as stack:
        stores = [stack.enter_context(Store(path, create=False)) for path in sources]
        try:
            target = stack.enter_context(Store(into))
            for store in stores:
                # One after the other: what two sources share is the second one's news no longer.
                done = _added(done, _take(target, store))
        except OSError as error:
            if not takes_nothing(error):
                raise
            raise why_unusable(into, error) from error
    return done


def _added(one: Merged, other: Merged) -> Merged:
    sums = (a + b for a, b in ((one.runs, other.runs), (one.images, other.images), (one.scores, other.scores)))
    return Merged(*sums, notes=(*one.notes, *other.notes))


def _take(target: Store, source: Store) -> Merged:
    parcels = [_compare(target, source, run) for run in source.run_ids()]
    conflicts = [text for parcel in parcels for text in parcel.conflicts]
    if conflicts:
        more = f" and {len(conflicts) - _SHOWN} more" if len(conflicts) > _SHOWN else ""
        raise UserError(
            f"{source.folder} and {target.folder} say different things: {'; '.join(conflicts[:_SHOWN])}{more}",
            "run one of the two again (isrbench eval --resume never), or merge into another folder",
        )
    for parcel in parcels:
        with only_one(target.folder / parcel.manifest.run):
            _write(target, parcel)
    target.add_hr_severities(source.hr_severities())
    return Merged(
        runs=sum(not parcel.known for parcel in parcels),
        images=sum(len(parcel.images) for parcel in parcels),
        scores=sum(len(parcel.scores) for parcel in parcels),
        notes=tuple(note for parcel in parcels for note in parcel.notes),
    )


def _compare(target: Store, source: Store, run: str) -> _Parcel:
    manifest = source.manifest(run)
    known = run in target.run_ids()
    parcel = _Parcel(source, manifest, known)
    if known and (mine := target.manifest(run)).identity != manifest.identity:
        parcel.conflicts.append(f"{run} is another run there ({mine.identity[:12]}, here {manifest.identity[:12]})")
        return parcel
    own = {row["image"]: row for row in target.rows("images", [run])} if known else {}
    shared = []
    for row in source.rows("images", [run]):
        mine = own.get(row["image"])
        if mine is None or (mine["status"] != "ok" and row["status"] == "ok"):
            if row["status"] == "ok" and not _is_whole(source, row):
                parcel.notes.append(f"{run}: {row['image']} is left out, its PNG in {source.folder} is gone or altered")
            else:
                parcel.images.append(row["image"])
        elif (mine["status"], row["status"]) == ("ok", "ok"):
            if mine["output_hash"] != row["output_hash"]:
                parcel.conflicts.append(f"{run}: {row['image']} has other pixels")
            shared.append(row)
    parcel.severities = [row for row in shared if own[row["image"]]["estimator"] is None and row["estimator"]]
    _compare_scores(target, parcel, {row["image"] for row in shared})
    return parcel


def _compare_scores(target: Store, parcel: _Parcel, shared: set[str]) -> None:
    run = parcel.manifest.run
    own = {(row["image"], row["metric"]): row for row in target.rows("scores", [run])} if parcel.known else {}
    for row in parcel.source.rows("scores", [run]):
        # A value of the whole set ("") is of the same images: they are part of a run's identity.
        if row["image"] not in shared and row["image"] != "":
            continue
        mine = own.get((row["image"], row["metric"]))
        if mine is None or (mine["status"] != "ok" and row["status"] == "ok"):
            parcel.scores.append(row)
        elif mine["status"] == row["status"] == "ok" and mine["value"] != row["value"]:
            if (mine["code"], mine["weights"]) == (row["code"], row["weights"]):
                what = row["image"] or "the set"
                parcel.conflicts.append(
                    f"{run}: {row['metric']} of {what} is {row['value']!r}, {mine['value']!r} there"
                )
            else:
                parcel.notes.append(f"{run}: {row['metric']} of another version is left out")
    parcel.notes = list(dict.fromkeys(parcel.notes))


def _is_whole(store: Store, row: Mapping[str, Any]) -> bool:
    png = store.folder / (row["output"] or "")
    return png.is_file() and file_hash(png) == row["output_hash"]


def _write(target: Store, parcel: _Parcel) -> None:
    """PNGs first: a row never speaks of a file that is not there."""
    source, run = parcel.source, parcel.manifest.run
    rows = {row["image"]: row for row in source.rows("images", [run])}
    for image in parcel.images:
        if rows[image]["output"] is not None:
            png = target.folder / rows[image]["output"]
            png.parent.mkdir(parents=True, exist_ok=True)
            with replacing(png) as partial:
                shutil.copyfile(source.folder / rows[image]["output"], partial)
    taken = set(parcel.images)
    manifest = _united(target.manifest(run), parcel.manifest) if parcel.known else parcel.manifest
    with target.transaction() as db:
        copy_run(db, target, source, manifest)
        copy_rows(db, run, "images", [rows[image] for image in parcel.images])
        copy_rows(db, run, "images", parcel.severities)
        copy_rows(db, run, "scores", [*_of(source, "scores", run, taken), *parcel.scores])
        copy_rows(db, run, "routing", _of(source, "routing", run, taken))
    folder = target.folder / run
    folder.mkdir(exist_ok=True)
    write_manifest(folder, manifest)


def _of(store: Store, table: str, run: str, images: set[str]) -> Iterator[dict[str, Any]]:
    return (row for row in store.rows(table, [run]) if row["image"] in images)


def _united(mine: Manifest, theirs: Manifest) -> Manifest:
    """The target's manifest with the other's invocations, and metrics that it has not."""
    invocations = {call.model_dump_json(): call for call in (*mine.invocations, *theirs.invocations)}
    return mine.model_copy(
        update={
            "metrics": theirs.metrics | mine.metrics,
            "invocations": sorted(invocations.values(), key=lambda call: call.start),
            "estimator": mine.estimator or theirs.estimator,
        }
    )
