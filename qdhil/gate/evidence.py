"""The evidence of one metric on one rig, at every look: after each whole quad.

Four e-values, each valid whenever one looks (:mod:`qdhil.statistics.evidence`): against "worse by the margin or
more" (no harm), against "no worse than tolerated" (harm), and, where the policy sets a limit, against "at the
limit or beyond" and against "within the limit" for the candidate alone.

Count ratios have the likelihood of their tables. Where blocks of the same arm scatter more than counting allows, the
smaller of that and the t e-process over quads counts: under Poisson's law the smaller one is below a valid one at any
look, whatever made it be chosen, and where counting is wrong the t e-process is the valid one. Scatter is looked for in
the metric's own blocks, and in all light paths of the same visits together: what makes one of them scatter is the
source, and few blocks of one path may hide it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from qdhil.gate.quads import QuadReading
from qdhil.statistics.dispersion import ONE_IN_100, Dispersion, SameArmPair, dispersion
from qdhil.statistics.evidence import Alternatives, Floats, alternatives, log10_of, mixed
from qdhil.statistics.evidence_counts import arm_increment, table_increment
from qdhil.statistics.evidence_scalar import scalar_evidence

_NOTHING = -math.inf

Form = Literal["counts", "quads"]


@dataclass(frozen=True)
class Demand:
    """What is asked: log ratios of margin and tolerance, and the log limit of the candidate's value or ``None``."""

    log_margin: float
    log_tolerated: float
    log_limit: float | None = None


@dataclass(frozen=True)
class Look:
    """The evidence after so many quads; e-values as decimal logarithms.

    Parameters
    ----------
    quads
        Whole quads seen.
    no_harm
        Against a change of the margin or more: large rules it out.
    harm
        Against a change within what is tolerated: large proves harm.
    within_limit, beyond_limit
        The same for the candidate's own value; ``None`` without a limit.
    form
        ``"counts"``, or ``"quads"`` where the spread between quads counts.
    phi
        Variance over mean of same-arm blocks, ``None`` for a scalar.
    """

    quads: int
    no_harm: float
    harm: float
    within_limit: float | None
    beyond_limit: float | None
    form: Form
    phi: float | None


@dataclass(frozen=True)
class Evidence:
    """All looks of one metric, and the diagnostics that speak against its use.

    Parameters
    ----------
    looks
        In the order of time, from the first quad on.
    diagnostics
        What is wrong with the light or the counting, one line each; any of them rules out a PASS.
    """

    looks: tuple[Look, ...]
    diagnostics: tuple[str, ...] = ()

    def passed(self, needed_log10: float, quads_min: int) -> bool:
        """Whether every part was ruled out at some look, and no diagnostic speaks against it."""
        ratio, limit = self.parts_passed(needed_log10, quads_min)
        return ratio and limit and not self.diagnostics

    def parts_passed(self, needed_log10: float, quads_min: int) -> tuple[bool, bool]:
        """Whether harm of the margin, and a value beyond the limit (if one is set), were ruled out at some look."""
        last = self.looks[-1]
        # scatter found late speaks against what the counts alone had said before
        due = [
            look for look in self.looks if look.quads >= quads_min and (last.form == "counts" or look.form == "quads")
        ]
        limited = last.within_limit is not None
        return (
            any(look.no_harm >= needed_log10 for look in due),
            not limited or any(look.within_limit is not None and look.within_limit >= needed_log10 for look in due),
        )

    def harm_log10(self, needed_log10: float, quads_min: int) -> float:
        """Return the e-value of harm at the last look: the mean of its parts, where one that passed counts 0."""
        last = self.looks[-1]
        ratio, limit = self.parts_passed(needed_log10, quads_min)
        parts = [_NOTHING if ratio else last.harm]
        if last.beyond_limit is not None:
            parts.append(_NOTHING if limit else last.beyond_limit)
        top = max(parts)
        if top == _NOTHING:
            return log10_of(_NOTHING)
        mean = top + math.log10(sum(10.0 ** (part - top) for part in parts) / len(parts))
        return max(mean, log10_of(_NOTHING))

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {"looks": [asdict(look) for look in self.looks], "diagnostics": list(self.diagnostics)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Restore what :meth:`record` returned; TypeError or KeyError on anything else."""
        if set(record) != {"looks", "diagnostics"} or not record["looks"]:
            raise TypeError("evidence holds looks and diagnostics")
        return cls(tuple(Look(**look) for look in record["looks"]), tuple(map(str, record["diagnostics"])))


def evidence_of(
    readings: Sequence[QuadReading],
    demand: Demand,
    diagnostics: Sequence[str] = (),
    elsewhere: Sequence[Sequence[SameArmPair]] = (),
) -> Evidence:
    """Return the evidence after each quad.

    Parameters
    ----------
    readings
        The quads in the order of time.
    demand
        What is asked of the metric.
    diagnostics
        What speaks against its use.
    elsewhere
        Same-arm pairs of the other light paths in the visits of each quad; empty where there are none.

    Raises
    ------
    ValueError
        If a scalar's contrasts are all equal: there is no error to judge by.
    """
    toward_less = demand.log_tolerated < demand.log_margin
    no_harm = alternatives(demand.log_margin, demand.log_tolerated)
    harm = alternatives(demand.log_tolerated, demand.log_margin)
    looks, excessive = _scatter([reading.pairs for reading in readings], elsewhere)
    contrasts = [reading.contrast for reading in readings]
    tables = [reading.table for reading in readings]

    def ratio(mixture: Alternatives, *, above: bool) -> Floats:
        rows = [None if table is None else table_increment(table, mixture) for table in tables]
        return _chosen(rows, mixture, contrasts, excessive, above=above)

    harmless, harmful = ratio(no_harm, above=not toward_less), ratio(harm, above=toward_less)
    within: Floats | None = None
    beyond: Floats | None = None
    if demand.log_limit is not None:
        spread = abs(demand.log_margin - demand.log_tolerated)
        within, beyond = (_limit(readings, demand.log_limit, sign * spread, excessive) for sign in (-1.0, 1.0))
    return Evidence(
        tuple(
            Look(
                quads=n + 1,
                no_harm=log10_of(float(harmless[n])),
                harm=log10_of(float(harmful[n])),
                within_limit=None if within is None else log10_of(float(within[n])),
                beyond_limit=None if beyond is None else log10_of(float(beyond[n])),
                form="quads" if excessive[n] or tables[n] is None else "counts",
                phi=looks[n].phi,
            )
            for n in range(len(readings))
        ),
        tuple(diagnostics),
    )


def _scatter(
    own: Sequence[Sequence[SameArmPair]], elsewhere: Sequence[Sequence[SameArmPair]]
) -> tuple[list[Dispersion], npt.NDArray[np.bool_]]:
    """Return the metric's own scatter at each look, and whether it or that of all light paths together is excessive."""
    looks: list[Dispersion] = []
    excessive: list[bool] = []
    pairs: list[SameArmPair] = []
    others: list[SameArmPair] = []
    for n, found in enumerate(own):
        pairs += found
        others += elsewhere[n] if elsewhere else ()
        looks.append(dispersion(pairs))
        excessive.append(looks[-1].excessive or (bool(others) and dispersion(pairs + others, ONE_IN_100).excessive))
    return looks, np.array(excessive)


def _limit(
    readings: Sequence[QuadReading], log_limit: float, toward: float, excessive: npt.NDArray[np.bool_]
) -> Floats:
    mixture = alternatives(log_limit, log_limit + toward)
    rows = [None if reading.arm is None else arm_increment(reading.arm, mixture) for reading in readings]
    return _chosen(rows, mixture, [reading.level for reading in readings], excessive, above=toward > 0)


def _chosen(
    rows: Sequence[tuple[float, ...] | None],
    mixture: Alternatives,
    contrasts: Sequence[float | None],
    excessive: npt.NDArray[np.bool_],
    *,
    above: bool,
) -> Floats:
    """Return the log e-value at each look: of the counts, of the quads, or the smaller of both."""
    if any(row is None for row in rows):
        return _over_quads(contrasts, mixture.edge, above=above)
    counted = mixed(np.array(rows), mixture.log_weights)
    if not excessive.any():
        return counted
    try:
        between = _over_quads(contrasts, mixture.edge, above=above)
    except ValueError:
        between = np.full(len(rows), _NOTHING)
    return np.where(excessive, np.minimum(counted, between), counted)


def _over_quads(contrasts: Sequence[float | None], edge: float, *, above: bool) -> Floats:
    """Return the t e-process; from a quad on that has no contrast it says nothing."""
    known = [contrast for contrast in contrasts if contrast is not None]
    found = np.full(len(contrasts), _NOTHING)
    usable = next((n for n, contrast in enumerate(contrasts) if contrast is None), len(contrasts))
    if usable:
        found[:usable] = scalar_evidence(known[:usable], edge, above=above)
    return found
