"""What decided, in plain words, from the claim of a run or of an attestation."""

from __future__ import annotations

from collections.abc import Iterator

from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.statement import Claim, InfraClaim, MetricClaim, RigClaim
from qdhil.gate.verdict import Verdict

_MEANINGS = {
    Verdict.PASS: "may roll out: harm as large as the policy's margins is ruled out.",
    Verdict.BLOCK: "must not roll out: it is proven to do harm.",
    Verdict.INCONCLUSIVE: "is not decided: harm is neither ruled out nor proven.",
    Verdict.INFRA: "is not decided: the rig or the tools failed, which says nothing about the firmware.",
}


def explanation(claim: Claim) -> Iterator[str]:
    """Yield the lines of an explanation; what a terminal would obey rather than show is left out."""
    for line in _lines(claim):
        yield "".join(character for character in line if character.isprintable())


def _lines(claim: Claim) -> Iterator[str]:
    candidate, baseline = claim.candidate, claim.baseline
    yield f"{claim.verdict}: {candidate.version} {_MEANINGS[Verdict(claim.verdict)]}"
    for reason in claim.reasons:
        yield f"  {reason}"
    yield ""
    yield f"Candidate {candidate.version} (sha256 {candidate.sha256[:12]}) against baseline {baseline.version}"
    yield f"(sha256 {baseline.sha256[:12]}), policy {claim.policy.name}, measured until {claim.measured}."
    for name, rig in claim.rigs.items():
        yield ""
        yield from _rig(claim, name, rig)
    yield ""
    if (family := claim.family) is not None:
        yield (
            f"All metrics and rigs together: e-value {_odds(family.harm_log10)} for harm, "
            f"BLOCK takes {_odds(family.needed_log10)}."
        )
    yield from _promises(claim)


def _rig(claim: Claim, name: str, rig: RigClaim) -> Iterator[str]:
    yield f"On {name} ({rig.kind}, {rig.hardware}):"
    metrics = [metric for metric in claim.metrics if metric.rig == name]
    for metric in metrics:
        yield from _metric(metric)
    if not metrics:
        yield "  no metric was decided."
    for entry in claim.quarantined:
        if entry.rig == name:
            yield f"  {_title(entry.metric)} was in quarantine until {entry.until} and did not decide: {entry.link}"
    if (faults := claim.infra.get(name)) is not None:
        yield f"  {_faults(faults)}"


def _metric(metric: MetricClaim) -> Iterator[str]:
    yield f"  {_title(metric.definition)}: {metric.verdict}"
    yield (
        f"    baseline {metric.baseline.value:.4g} [{metric.baseline.low:.4g}, {metric.baseline.high:.4g}], "
        f"candidate {metric.candidate.value:.4g} [{metric.candidate.low:.4g}, {metric.candidate.high:.4g}]"
    )
    if metric.margin_ratio is not None and metric.tolerated_ratio is not None:
        worse = "higher" if metric.margin_ratio > metric.tolerated_ratio else "lower"
        yield (
            f"    {worse} is worse: PASS must rule out x{metric.margin_ratio:g}, "
            f"BLOCK must prove more than x{metric.tolerated_ratio:g}"
        )
    if (limit := metric.evidence.get("limit")) is not None:
        yield f"    whatever the baseline: PASS must rule out that the candidate is beyond {limit:g}"
    yield f"    {metric.reason}"
    if (weight := _weight(metric)) is not None:
        yield f"    {weight}"
    for line in metric.diagnostics:
        yield f"    against its use: {line}"


def _weight(metric: MetricClaim) -> str | None:
    """Say the evidence of the last look, ``None`` where the decision was not made by looks."""
    evidence = metric.evidence
    no_harm, harm = evidence.get("no_harm"), evidence.get("harm")
    if isinstance(no_harm, int | float) and isinstance(harm, int | float):
        looks = evidence.get("looks")
        after = f" after {looks} looks" if looks else ""
        return f"evidence{after}: e-value {_odds(no_harm)} against harm of the margin, {_odds(harm)} for harm"
    return None


def _odds(log10_e: float) -> str:
    """Say an e-value, given as decimal logarithm."""
    return f"{10**log10_e:.3g}" if abs(log10_e) < 4 else f"1e{log10_e:+.0f}"


def _promises(claim: Claim) -> Iterator[str]:
    miss, false_block = claim.design.miss_rate, claim.design.false_block_rate
    yield "What the verdict promises:"
    yield f"  a candidate worse by a margin gets PASS at most {100 * miss:g} times in 100,"
    yield f"  one that is no worse than tolerated gets BLOCK at most {100 * false_block:g} times in 100."


def _faults(infra: InfraClaim) -> str:
    ended = infra.faults
    if not ended.baseline and not ended.candidate:
        return f"no fault of the rig in {infra.visits.baseline + infra.visits.candidate} visits."
    return (
        f"faults of the rig ended {ended.baseline} of {infra.visits.baseline} visits of the baseline and "
        f"{ended.candidate} of {infra.visits.candidate} of the candidate "
        f"(p = {infra.p_association:.2g} if the firmware had no part)"
    )


def _title(definition: str) -> str:
    known = DEFINITIONS.get(definition)
    return known.title if known else definition
