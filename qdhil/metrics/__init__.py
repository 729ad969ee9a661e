"""Photon metrics: from sorted time tags to counts, and from counts to estimates."""

from __future__ import annotations

from qdhil.metrics.brightness import at_detector
from qdhil.metrics.coincidences import PeakCounts, count_block, excluded_lags
from qdhil.metrics.correlate import cross_correlate
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.indistinguishability import m_tot, v_co_cross, v_unc
from qdhil.metrics.lifetime import lifetime_tail
from qdhil.metrics.noise import noise_ratio
from qdhil.metrics.peaks import count_peaks
from qdhil.metrics.purity import g2_area
from qdhil.metrics.sync import sync_period

__all__ = [
    "Estimate",
    "PeakCounts",
    "at_detector",
    "count_block",
    "count_peaks",
    "cross_correlate",
    "excluded_lags",
    "g2_area",
    "lifetime_tail",
    "m_tot",
    "noise_ratio",
    "sync_period",
    "v_co_cross",
    "v_unc",
]
