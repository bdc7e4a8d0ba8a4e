"""Where numbers come from, in a line: the set's content, when and on what its runs were made, by which estimator."""

from __future__ import annotations

from isrbench.harness.api.records import Invocation, Manifest
from isrbench.reports.aligned import AlignedRuns

_HEAD = 8
"""Letters of a hash that are printed; the manifests on the page hold the whole."""


def provenance(aligned: AlignedRuns) -> tuple[str, ...]:
    """Return what a reader has to know before trusting a set's numbers, in a few parts of a line."""
    manifests: list[Manifest] = list(aligned.runs["manifest"])
    records = [manifest.dataset for manifest in manifests]
    hashes = sorted({record.content_hash[:_HEAD] for record in records if record.content_hash})
    verified = bool(records) and all(record.verified for record in records)
    content = f"content {' and '.join(hashes)}{' (as its card states)' if verified else ''}" if hashes else ""
    seeds = sorted({manifest.seed for manifest in manifests})
    calls = [call for manifest in manifests for call in manifest.invocations[-1:]]
    dates = sorted(call.start[:10] for call in calls) or sorted(manifest.created[:10] for manifest in manifests)
    when = " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else ""
    parts = [
        content,
        f"{len(manifests)} run{'s' if len(manifests) > 1 else ''} of {when}",
        *sorted({machine(call) for call in calls} - {""}),
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
        f"severity by {aligned.estimator}" if aligned.estimator != "none" else "",
    ]
    return tuple(filter(None, parts))


def machine(call: Invocation) -> str:
    """Return the machine and the releases that a process ran on, as far as its manifest says."""
    releases = [f"{name} {call.packages[name]}" for name in ("isrbench", "torch") if name in call.packages]
    commit = str((call.git or {}).get("commit") or "")[:7]
    known = [
        call.platform.partition("-")[0],
        f"{call.cpus} CPUs" if call.cpus else "",
        *releases,
        f"commit {commit}" if commit else "",
    ]
    return ", ".join(filter(None, known))
