"""The verdict as a table of plain text, for the terminal and for CI logs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set

from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.judge import Comparison
from qdhil.metrics import Estimate
from qdhil.record.schemas import VerdictRecord

_GAP = "  "


def verdict_lines(record: VerdictRecord) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table, each with the verdict that may colour it (empty for none)."""
    rigs = ", ".join(f"{name} ({kind})" for name, kind in record.rigs.items())
    yield f"{record.candidate.version} against {record.baseline.version}, policy {record.policy}, {rigs}", ""
    yield "", ""
    comparisons = [Comparison.from_record(entry.model_dump(exclude_unset=True)) for entry in record.comparisons]
    if comparisons:
        yield from _table(comparisons, {(entry.rig, entry.metric) for entry in record.quarantined})
        yield "", ""
    for entry in record.quarantined:
        title = DEFINITIONS[entry.metric].title if entry.metric in DEFINITIONS else entry.metric
        yield _shown(f"{title} on {entry.rig} did not decide, in quarantine until {entry.until}: "
                     f"{entry.reason} ({entry.link})"), ""  # fmt: skip
    for rig, faults in record.faults.items():
        visits, ended = faults.visits, faults.faults
        if ended.baseline or ended.candidate:
            yield (
                f"{rig}: a fault ended {ended.baseline} of {visits.baseline} visits of the baseline "
                f"and {ended.candidate} of {visits.candidate} of the candidate",
                "",
            )
    yield f"verdict: {record.verdict} (exit {record.exit_code})", str(record.verdict)
    for reason in record.reasons:
        yield f"  {reason}", ""
    if comparisons:
        yield _error_rates(record), ""


def _error_rates(record: VerdictRecord) -> str:
    return (
        f"error rates: P(PASS | worse by the margin) <= {record.miss_rate:g} for each metric, "
        f"P(BLOCK | no worse) <= {record.false_block_rate:g} for all together"
    )


def _shown(text: str) -> str:
    """Return a person's text on one line, without what a terminal would obey rather than show."""
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _table(comparisons: Sequence[Comparison], excused: Set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    confidence = comparisons[0].baseline.confidence
    interval = f"{100 * confidence:g} % of change"
    columns = ("rig", "metric", "baseline", "candidate", "change", interval, "limit", "quads", "verdict")
    rows = [_row(each, excused=(each.rig, each.definition) in excused) for each in comparisons]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    yield _line(columns, widths), ""
    for row in rows:
        yield _line(row, widths), row[-1]


def concise(value: float, sigma: float) -> str:
    """Write a value with its standard error in the last digits, such as ``0.0203(6)``."""
    if not (math.isfinite(value) and math.isfinite(sigma)) or sigma <= 0:
        return f"{value:.4g}"
    digits = max(0, -math.floor(math.log10(sigma)))
    error = round(sigma * 10**digits)
    if error == 10:
        digits, error = max(0, digits - 1), 1 if digits else 10
    return f"{value:.{digits}f}({error})"


def _row(comparison: Comparison, *, excused: bool) -> tuple[str, ...]:
    definition, change = DEFINITIONS[comparison.definition], comparison.change
    ratio = "undefined" if change.ratio is None else f"x{change.ratio:.3f}"
    sign = "<" if definition.harm == "higher" else ">"
    return (
        comparison.rig,
        definition.title,
        _quoted(comparison.baseline),
        _quoted(comparison.candidate),
        f"{definition.prefix}{ratio}",
        f"[{change.low:.3f}, {change.high:.3f}]",
        f"{sign} x{comparison.margin_ratio:g}" + ("" if comparison.limit is None else f", {sign} {comparison.limit:g}"),
        str(comparison.evidence.looks[-1].quads),
        f"({comparison.verdict})" if excused else str(comparison.verdict),
    )


def _quoted(estimate: Estimate) -> str:
    from scipy.special import ndtri

    sigmas = 2 * float(ndtri((1 + estimate.confidence) / 2))
    return concise(estimate.value, (estimate.high - estimate.low) / sigmas)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
