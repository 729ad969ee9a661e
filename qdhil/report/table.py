"""The verdict as a table of plain text, for the terminal and for CI logs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from qdhil.gate.judge import Comparison
from qdhil.gate.metrics import DEFINITIONS
from qdhil.metrics import Estimate
from qdhil.record.schemas import VerdictRecord

_COLUMNS = ("rig", "metric", "baseline", "candidate", "change", "interval", "limit", "verdict")
_GAP = "  "


def verdict_lines(record: VerdictRecord) -> Iterator[tuple[str, str]]:
    """Yield the lines of the table, each with the verdict that may colour it (empty for none)."""
    comparisons = [Comparison.from_record(dict(entry)) for entry in record.comparisons]
    rows = [_row(comparison) for comparison in comparisons]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    if rows:
        yield _line(_COLUMNS, widths), ""
    for row in rows:
        yield _line(row, widths), row[-1]
    for rig, faults in record.faults.items():
        if any(faults["faults"].values()):
            counts = ", ".join(
                f"{faults['faults'][arm]} of {faults['visits'][arm]} under {arm}" for arm in faults["faults"]
            )
            yield f"{rig}: visits ended by a fault and measured again: {counts}", ""
    yield "", ""
    yield f"verdict: {record.verdict} (exit {record.exit_code})", str(record.verdict)
    for reason in record.reasons:
        yield f"  {reason}", ""
    yield (
        f"error rates: P(PASS | worse by the margin) <= {record.miss_rate:g} for each metric, "
        f"P(BLOCK | no worse) <= {record.false_block_rate:g} for all together",
        "",
    )


def concise(value: float, sigma: float) -> str:
    """Write a value with its standard error in the last digits, such as ``0.0203(6)``."""
    if not (math.isfinite(value) and math.isfinite(sigma)) or sigma <= 0:
        return f"{value:.4g}"
    digits = max(0, -math.floor(math.log10(sigma)))
    error = round(sigma * 10**digits)
    if error == 10:
        digits, error = max(0, digits - 1), 1 if digits else 10
    return f"{value:.{digits}f}({error})"


def _row(comparison: Comparison) -> tuple[str, ...]:
    definition, change = DEFINITIONS[comparison.definition], comparison.change
    scale = f"{definition.scale} " if definition.scale == "1-V" else ""
    ratio = "undefined" if change.ratio is None else f"x{change.ratio:.3f}"
    sign = "<" if definition.harm == "higher" else ">"
    return (
        comparison.rig,
        definition.title,
        _quoted(comparison.baseline),
        _quoted(comparison.candidate),
        f"{scale}{ratio}",
        f"[{change.low:.3f}, {change.high:.3f}]",
        f"{sign} x{comparison.margin_ratio:g}",
        str(comparison.verdict),
    )


def _quoted(estimate: Estimate) -> str:
    from scipy.special import ndtri

    sigmas = 2 * float(ndtri((1 + estimate.confidence) / 2))
    return concise(estimate.value, (estimate.high - estimate.low) / sigmas)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
