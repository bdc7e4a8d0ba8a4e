"""Which run a plan begins or goes on with, and the manifest that it keeps in the store and in its folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from isrbench.harness.api.records import EstimatorRecord, Invocation, Manifest
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.provenance import describe_dataset, describe_run, invocation, merged_metrics
from isrbench.harness.engine.request import Resume
from isrbench.harness.engine.resume import Todo
from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing
from isrbench.harness.store.store import Store, now

MANIFEST = "manifest.json"


def run_id(plan: Plan, store: Store) -> str:
    """Return the run of the plan's whole identity, or a free id: name, dataset, as much of the identity as it takes.

    Raises:
        UserError: If nothing is stored under ``only-cache``.
    """
    resume = plan.request.resume
    # Of several runs of one identity the first is the plan's own; ``never`` made the others.
    own = [run for run in store.runs_of(plan.identity) if store.manifest(run).name == plan.name]
    if own and resume is not Resume.NEVER:
        return own[0]
    known = set(store.run_ids())
    if resume is Resume.ONLY_CACHE:
        raise UserError(
            f"nothing is stored for {free_id(plan.name, plan.card.id, plan.identity, ())} in {store.folder}",
            "run it with --resume only-missing",
        )
    return free_id(plan.name, plan.card.id, plan.identity, known, numbered=bool(own))


def free_id(name: str, dataset: str, identity: str, known: Collection[str], *, numbered: bool = False) -> str:
    """Return a run's id: name, dataset, and as much of the identity as no other run has.

    Args:
        name: What rows call the method.
        dataset: Its id.
        identity: The run's.
        known: Ids that are taken.
        numbered: Whether a run of this name and identity is there: a number tells them apart.
    """
    stem = f"{name}-{dataset}"[:180]  # a folder's name has at most 255 bytes
    digits = next(n for n in range(8, 65) if numbered or f"{stem}-{identity[:n]}" not in known)
    run = f"{stem}-{identity[:digits]}"
    return next(c for c in (run, *(f"{run}-{i}" for i in range(2, len(known) + 3))) if c not in known)


def update_description(plan: Plan, store: Store, run: str) -> None:
    """Keep what may change without a change of any image: what they are a part of, the title, what is repeated.

    A set may have grown around a run's images, or shrunk to them.
    """
    if run not in store.run_ids():
        return
    with store.transaction():
        before = store.manifest(run)
        info = plan.plugin.info
        facts = {
            "dataset": describe_dataset(plan), "title": plan.title, "repeat_of": plan.request.repeat_of,
            "license": info.license, "citation": info.citation, "trained_on_metrics": list(info.trained_on_metrics),
        }  # fmt: skip
        after = before.model_copy(update=facts)
        if after != before:
            _keep(store, after)


def begin(plan: Plan, store: Store, run: str, todo: Todo) -> Invocation:
    """Keep the manifest with this invocation added, and in the same transaction drop what it no longer describes."""
    this = invocation(plan.request.argv)
    version = plan.estimator.version if plan.estimator else None
    with store.transaction():
        manifest = store.manifest(run) if run in store.run_ids() else describe_run(plan, run)
        update = {
            "metrics": merged_metrics(manifest.metrics, plan.scorer.definitions()),
            "invocations": [*manifest.invocations, this],
        }
        if version is not None:
            update["estimator"] = EstimatorRecord(spec=plan.request.estimator, version=version)
        _keep(store, manifest.model_copy(update=update))
        store.forget(run, todo.outdated, version)
    return this


def end(plan: Plan, store: Store, run: str, this: Invocation) -> None:
    """Note in the manifest that this invocation ended; weights may have been fetched since it began."""
    done = this.model_copy(update={"end": now()})
    with store.transaction():
        manifest = store.manifest(run)
        update = {
            "metrics": merged_metrics(manifest.metrics, plan.scorer.definitions()),
            "invocations": [done if known == this else known for known in manifest.invocations],
        }
        _keep(store, manifest.model_copy(update=update))


def _keep(store: Store, manifest: Manifest) -> None:
    store.add_run(manifest)
    write_manifest(store.folder / manifest.run, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the copy of a run's manifest that lies in its folder."""
    with replacing(folder / MANIFEST) as partial:
        partial.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
