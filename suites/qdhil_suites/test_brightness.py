"""Brightness: the candidate must not cost photons."""

import pytest

from qdhil.gate.judge import Comparison


@pytest.mark.metric("brightness.detected")
def test_brightness(comparison: Comparison) -> None:
    """Detected photons per pulse have not fallen by the policy's margin, drift taken out by ABBA quads."""
    assert comparison.verdict == "PASS", comparison.summary
