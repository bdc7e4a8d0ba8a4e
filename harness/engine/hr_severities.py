"""How degraded the HR images themselves are: estimated once for each content, for ``--hr-severity``."""

from __future__ import annotations

import logging

from isrbench.harness.api.records import Failure
from isrbench.harness.determinism import make_deterministic
from isrbench.harness.engine.arguments import Progress
from isrbench.harness.engine.plan import Plan
from isrbench.harness.imaging.images import read_hr, to_tensor
from isrbench.harness.store.store import Store

log = logging.getLogger(__name__)


def estimate_hrs(plan: Plan, store: Store, run: str, notes: list[str], progress: Progress) -> bool:
    """Estimate the HR images that have no severity yet, if that is asked for.

    An HR counts by its pixels: runs of other methods on the same set find its severity there.

    Args:
        plan: What is run.
        store: Where the severities are kept, mean over the seven dimensions, in [0, 1].
        run: The run's id; its images have rows.
        notes: What could not be estimated is added, a line.
        progress: Told of each HR.

    Returns:
        Whether there was anything to do.
    """
    if not plan.request.hr_severity or plan.estimator is None:
        return False
    files = {p.id: (p.hr_hash, p.hr) for p in plan.pairs if p.hr_hash is not None and p.hr is not None}
    if not files:
        notes.append(f"{plan.card.id} has no HR images whose severity could be estimated")
    rows = [row for row in store.images(run) if row.image in files]
    unnamed = {row.image: files[row.image][0] for row in rows if row.hr_hash != files[row.image][0]}
    version, known = plan.estimator.version, store.hr_severities()
    missing = {p.hr_hash: p for p in plan.pairs if p.id in files and (p.hr_hash, version) not in known}
    if not unnamed and not missing:
        return False
    store.set_hr_hashes(run, unnamed)
    make_deterministic(plan.device)
    plan.estimator.load()  # one that does not load fails once, and not for each image
    failed = 0
    for done, (hr_hash, pair) in enumerate(missing.items(), 1):
        path = pair.hr
        assert path is not None and hr_hash is not None  # as its id is among `files`
        try:
            vector = plan.estimator.estimate(to_tensor(read_hr(path, hr_hash, pair.hr_size))[None])[0].tolist()
        except Exception as error:
            log.info("the severity of %s could not be estimated", path, exc_info=True)
            if not failed:
                notes.append(f"severity of HR images missing, first of {path.name}: {Failure.of(error).brief}")
            failed += 1
            continue
        store.add_hr_severity(hr_hash, version, sum(vector) / len(vector))
        progress("hr-severity", done, len(missing))
    return True
