"""Purity: the candidate must not make the source emit several photons in a pulse."""

import pytest

from qdhil.gate.judge import Comparison


@pytest.mark.metric("g2.pulsed.area")
def test_purity(comparison: Comparison) -> None:
    """g2(0) under the candidate is not worse than under the baseline by the policy's margin."""
    assert comparison.verdict == "PASS", comparison.summary
