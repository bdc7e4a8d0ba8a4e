"""Whether routing helps, in words: what the paired differences of the arms say, metric by metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from isrbench.harness.api.metric import Direction, Metric

WRONG = {"constant": "a constant one", "other": "another image's", "opposite": "the opposite"}
"""The arms whose severity is not the image's own, the most telling one first, with what the sentences call it."""


@dataclass(frozen=True)
class Difference:
    """An arm less own, over all images of the set: the mean paired difference and its 95% interval."""

    mean: float
    low: float
    high: float


class Effect(Enum):
    """What an arm does to a metric, compared with own severity."""

    SAME = "no different"
    """The whole interval is too small to show in a table."""
    WORSE = "worse"
    BETTER = "better"
    OPEN = "not told apart"
    """The interval holds 0 and differences that would matter."""


class Verdict(Enum):
    """What that says of routing."""

    HELPS = "helps"
    """Every severity that is not the image's own is worse."""
    PARTLY = "helps in part"
    """Some are worse and none is better."""
    IDLE = "makes no difference"
    """All give the same."""
    HURTS = "hurts"
    """Some are better and none is worse."""
    MIXED = "helps and hurts"
    OPEN = "shows no effect beyond the intervals"
    """Nothing was found; a small effect is not ruled out."""


def margin(metric: Metric) -> float:
    """Return the difference that counts as none: two of the last digit that tables print, 0.02 dB of PSNR.

    Our choice; it holds for every metric, those of other packages too.
    """
    return 2 * 10.0**-metric.decimals


def effect(found: Difference, metric: Metric) -> Effect:
    """Return what an arm does to ``metric``."""
    if max(-found.low, found.high) <= margin(metric):
        return Effect.SAME
    if found.low <= 0 <= found.high:
        return Effect.OPEN
    return Effect.BETTER if (found.low > 0) == (metric.direction is Direction.HIGHER) else Effect.WORSE


def verdict(found: Mapping[str, Difference], metric: Metric) -> Verdict | None:
    """Return what the differences of the arms in :data:`WRONG` say; None where there is none of them."""
    effects = [effect(found[arm], metric) for arm in WRONG if arm in found]
    worse, better = Effect.WORSE in effects, Effect.BETTER in effects
    if not effects:
        return None
    if worse and better:
        return Verdict.MIXED
    if better:
        return Verdict.HURTS
    if worse:
        return Verdict.HELPS if set(effects) == {Effect.WORSE} else Verdict.PARTLY
    return Verdict.IDLE if set(effects) == {Effect.SAME} else Verdict.OPEN


def summary(found: Sequence[tuple[Metric, Mapping[str, Difference]]]) -> str:
    """Return one sentence that says whether routing helps.

    Args:
        found: Metrics with the arms' differences, in the order to name them.
    """
    by_verdict: dict[Verdict, list[str]] = {}
    for metric, differences in found:
        reached = verdict(differences, metric)
        if reached is not None:
            by_verdict.setdefault(reached, []).append(metric.title)
    if not by_verdict:
        return "Whether routing helps cannot be said: no metric has paired values under another severity."
    parts = [f"{reached.value} in {listed(by_verdict[reached])}" for reached in Verdict if reached in by_verdict]
    return f"Routing by the image's own severity {'; it '.join(parts)}."


def sentence(
    metric: Metric, found: Mapping[str, Difference], strata: Mapping[str, Mapping[str, Difference]] | None = None
) -> str:
    """Return what was found in one metric, in numbers.

    Args:
        metric: Which.
        found: The arms' differences; an arm that was not run, or has no value for some image, is left out.
        strata: The same within each stratum; one where something else was found than overall is named.
    """

    def said(arm: str) -> str:
        return f"{effect(found[arm], metric).value} ({amount(found[arm], metric)})"

    reached = verdict(found, metric)
    head = f"{metric.title}: routing {reached.value}. " if reached else f"{metric.title}: "
    clauses = [f"{words} is {said(arm)}" for arm, words in WRONG.items() if arm in found]
    if "off" in found:
        clauses.append(f"the plain base is {said('off')}")
    fixed = {arm: own for arm, own in found.items() if arm.startswith("k=")}
    if fixed:
        least, most = (found_by(fixed, key=lambda arm: fixed[arm].mean) for found_by in (min, max))
        ends = f"{signed(fixed[least].mean, metric)} ({least}) to {signed(fixed[most].mean, metric)} ({most})"
        clauses.append(f"fixed numbers of experts give {ends}")
    within = {name: verdict(own, metric) for name, own in (strata or {}).items()}
    silent = {None, reached, Verdict.OPEN, Verdict.IDLE}
    apart = [f" Within {name} it {own.value}." for name, own in within.items() if own and own not in silent]
    return f"{head}Compared with own severity, {'; '.join(clauses)}.{''.join(apart)}"


def amount(found: Difference, metric: Metric) -> str:
    """Return ``+0.003 dB, 95% interval -0.002 to +0.008``."""
    unit = f" {metric.unit}" if metric.unit else ""
    return (
        f"{signed(found.mean, metric)}{unit}, 95% interval {signed(found.low, metric)} to {signed(found.high, metric)}"
    )


def signed(value: float, metric: Metric) -> str:
    """Return a difference with its sign, to one digit more than tables print."""
    return f"{value:+.{metric.decimals + 1}f}"


def listed(words: Sequence[str]) -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
