"""Indistinguishability: successive photons must interfere as well as under the baseline."""

import pytest

from qdhil.gate.judge import Comparison


@pytest.mark.metric("hom.v_unc")
def test_visibility_against_far_peaks(comparison: Comparison) -> None:
    """1 - V of parallel photons, normalised to uncorrelated pulses, has not grown by the margin."""
    assert comparison.verdict == "PASS", comparison.summary


@pytest.mark.metric("hom.v_co_cross")
def test_visibility_against_orthogonal(comparison: Comparison) -> None:
    """1 - V of parallel photons, normalised to orthogonal ones, has not grown by the margin."""
    assert comparison.verdict == "PASS", comparison.summary
