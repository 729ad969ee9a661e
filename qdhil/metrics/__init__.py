"""Photon metrics: from sorted time tags to counts, and from counts to estimates."""

from __future__ import annotations

from qdhil.metrics.adjacent import v_adjacent
from qdhil.metrics.background import BlankedRun, g2_blanked, g2_floor
from qdhil.metrics.blinking_trace import trace_blinking
from qdhil.metrics.brightness import at_detector
from qdhil.metrics.channels import ChannelCorrelator, correlate_channels
from qdhil.metrics.coincidences import PeakCounts, count_block, excluded_lags
from qdhil.metrics.correlate import auto_correlate, cross_correlate
from qdhil.metrics.correlator import Correlator, PeakCounter
from qdhil.metrics.count_rate import count_rate
from qdhil.metrics.decay import fit_decay
from qdhil.metrics.decay_histogram import decay_histogram
from qdhil.metrics.detector_memory import Intervals, afterpulsing, dead_time
from qdhil.metrics.dip import g2_dip
from qdhil.metrics.entanglement import chsh, fidelity_six_settings
from qdhil.metrics.envelope import fit_envelope
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.exposure import Exposure, dark_rate, dead_time_by_step, linearity
from qdhil.metrics.gating import in_gate, outside_intervals
from qdhil.metrics.histogram import Histogram
from qdhil.metrics.hom_controls import adjacent_control, orthogonal_control
from qdhil.metrics.indistinguishability import m_tot, v_co_cross, v_unc
from qdhil.metrics.jitter import excess_jitter
from qdhil.metrics.lifetime import lifetime_tail
from qdhil.metrics.line import fit_line, transform_limit_hz
from qdhil.metrics.log_correlate import log_correlate, log_edges
from qdhil.metrics.multi_tau import multi_tau
from qdhil.metrics.near_far import near_to_far
from qdhil.metrics.noise import noise_ratio
from qdhil.metrics.normalisation import g2_near, g2_singles, g2_upper_limit
from qdhil.metrics.optical_chain import (
    DetectorClicks,
    Efficiency,
    brightness_chain,
    two_photon_probability,
)
from qdhil.metrics.overlap import Interferometer, source_overlap, total_overlap
from qdhil.metrics.peaks import count_peaks
from qdhil.metrics.prompt import inter_peak_floor, prompt_fraction
from qdhil.metrics.pulse_pairs import pulse_pair_overlap
from qdhil.metrics.pulse_train import PulseTrain
from qdhil.metrics.pulsed_fit import g2_comb_fit
from qdhil.metrics.purity import g2_area
from qdhil.metrics.randomness import BitCounts, markov, min_entropy, most_common_value
from qdhil.metrics.repetition_rate import Limit, highest_rate
from qdhil.metrics.stability import allan_deviation, drift
from qdhil.metrics.start_stop import start_stop
from qdhil.metrics.sync import sync_period
from qdhil.metrics.tomography import reconstruct_state
from qdhil.metrics.triples import count_triples

__all__ = [
    "BitCounts",
    "BlankedRun",
    "ChannelCorrelator",
    "Correlator",
    "DetectorClicks",
    "Efficiency",
    "Estimate",
    "Exposure",
    "Histogram",
    "Interferometer",
    "Intervals",
    "Limit",
    "PeakCounter",
    "PeakCounts",
    "PulseTrain",
    "adjacent_control",
    "afterpulsing",
    "allan_deviation",
    "at_detector",
    "auto_correlate",
    "brightness_chain",
    "chsh",
    "correlate_channels",
    "count_block",
    "count_peaks",
    "count_rate",
    "count_triples",
    "cross_correlate",
    "dark_rate",
    "dead_time",
    "dead_time_by_step",
    "decay_histogram",
    "drift",
    "excess_jitter",
    "excluded_lags",
    "fidelity_six_settings",
    "fit_decay",
    "fit_envelope",
    "fit_line",
    "g2_area",
    "g2_blanked",
    "g2_comb_fit",
    "g2_dip",
    "g2_floor",
    "g2_near",
    "g2_singles",
    "g2_upper_limit",
    "highest_rate",
    "in_gate",
    "inter_peak_floor",
    "lifetime_tail",
    "linearity",
    "log_correlate",
    "log_edges",
    "m_tot",
    "markov",
    "min_entropy",
    "most_common_value",
    "multi_tau",
    "near_to_far",
    "noise_ratio",
    "orthogonal_control",
    "outside_intervals",
    "prompt_fraction",
    "pulse_pair_overlap",
    "reconstruct_state",
    "source_overlap",
    "start_stop",
    "sync_period",
    "total_overlap",
    "trace_blinking",
    "transform_limit_hz",
    "two_photon_probability",
    "v_adjacent",
    "v_co_cross",
    "v_unc",
]
