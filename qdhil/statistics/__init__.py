"""Exact intervals and comparisons of counts, and paired comparisons under drift."""

from __future__ import annotations

from qdhil.statistics.conditional import RatioComparison, ratio_interval, ratio_p_values
from qdhil.statistics.intervals import clopper_pearson, poisson_interval, poisson_ratio_interval
from qdhil.statistics.paired import PairedComparison, quad_contrasts, t_comparison
from qdhil.statistics.propagation import propagated_interval

__all__ = [
    "PairedComparison",
    "RatioComparison",
    "clopper_pearson",
    "poisson_interval",
    "poisson_ratio_interval",
    "propagated_interval",
    "quad_contrasts",
    "ratio_interval",
    "ratio_p_values",
    "t_comparison",
]
