"""Works timed in turn in one process: a shared machine slows all alike but not at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import pytest

ROUNDS = int(os.environ.get("QDHIL_BENCH_ROUNDS", "5"))


def in_turn(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Return the seconds of each work in each round."""
    seconds = {name: np.empty(rounds) for name in works}
    for number in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            seconds[name][number] = time.perf_counter() - started
    return seconds


@pytest.fixture
def side_by_side(benchmark):
    """Record the speeds of all works, and how many times as fast the first of them is as the others.

    ``speed_over_*`` is the ratio of the shortest times, ``same_round_over_*`` the median of the ratios within a round.
    """

    def record(tags: int, rounds: int = ROUNDS, **works: Callable[[], object]) -> None:
        for work in works.values():
            work()  # compiles
        loads = [os.getloadavg()[0]]
        seconds = in_turn(works, rounds)
        loads.append(os.getloadavg()[0])
        mine, *others = works
        info = benchmark.extra_info
        info["load_before_and_after"] = [round(load, 2) for load in loads]
        for name in works:
            info[f"{name}_mtags_per_s"] = round(tags / seconds[name].min() / 1e6, 1)
        for name in others:
            info[f"speed_over_{name}"] = round(seconds[name].min() / seconds[mine].min(), 2)
            info[f"same_round_over_{name}"] = round(float(np.median(seconds[name] / seconds[mine])), 2)
        benchmark.pedantic(works[mine], rounds=1)

    return record
