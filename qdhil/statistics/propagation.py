"""Intervals of functions of independent quantities, each known by an interval of its own.

Every quantity is moved to its limits while the others stay, and what the function moves down and up by is
added in quadrature. For sums this is MOVER (Zou and Donner, Stat. Med. 27, 1693 (2008)); unlike error
propagation by derivatives it keeps the skewness of few counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Bounded = tuple[float, float, float]
"""A value and the low and high limit of its interval."""


def propagated_interval(function: Callable[..., float], quantities: Sequence[Bounded]) -> tuple[float, float]:
    """Return the interval of ``function(*values)``.

    Parameters
    ----------
    function
        Takes one number per quantity, and is monotone in each over its interval.
    quantities
        Value, low and high of each; they must be independent, and of the same confidence.

    Raises
    ------
    ValueError
        If a value lies outside its own limits.
    """
    values = [value for value, _, _ in quantities]
    best = function(*values)
    down = up = 0.0
    for index, (value, low, high) in enumerate(quantities):
        if not low <= value <= high:
            raise ValueError(f"a value of {value} lies outside its interval [{low}, {high}]")
        moved = [function(*values[:index], limit, *values[index + 1 :]) - best for limit in (low, high)]
        down += min(*moved, 0.0) ** 2
        up += max(*moved, 0.0) ** 2
    return best - math.sqrt(down), best + math.sqrt(up)
