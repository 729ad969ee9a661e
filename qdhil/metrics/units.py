"""The unit of a metric's value, by the id of its definition."""

from __future__ import annotations

_UNITS = {
    "ps": (
        "lifetime.",
        "jitter.",
        "blinking.time",
        "detector.dead_time",
        "g2.cw.antibunching_time",
        "g2.cw.bunching_time",
    ),
    "s": ("trace.bleaching_time",),
    "1/s": ("rate.", "trace.rate", "detector.dark_rate"),
}
_NUMBERS = ("lifetime.decay2.slow_share",)


def unit_of(definition: str) -> str:
    """Return the unit of a definition's value: ps, s, 1/s, or empty for a number.

    A line's unit is that of the axis it was measured on, a stability's that of its series: empty here.
    """
    if definition in _NUMBERS:
        return ""
    return next((unit for unit, heads in _UNITS.items() if definition.startswith(heads)), "")
