"""What a bisection answers and what it costs, by simulation beside a bisection of fixed size.

``python benches/bisect_operating.py [SEARCHES] [SEED]`` prints the table of docs/bisect.md. A search looks for a
change of -3 % among 128 commits, by batches of 4 quads that scatter as their errors say; the culprit is anywhere.
The fixed one halves the range once a step and measures, at each, as many quads as give a wrong turn 1 % of the time.
"""

from __future__ import annotations

import math
import sys

import numpy as np

from qdhil.statistics.culprit import CulpritPosterior

EFFECT, COMMITS, BATCH, CONFIDENCE = -0.03, 128, 4, 0.95
WRONG_TURN_SIGMAS = 2.326


def bayes(rng: np.random.Generator, culprit: int, noise: float, true: float = EFFECT) -> tuple[int, int, int]:
    """Return the answer, the quads and the boots of one search."""
    posterior = CulpritPosterior(COMMITS + 1, EFFECT)
    quads = boots = 0
    booted = None
    while (best := posterior.likeliest()).probability < CONFIDENCE:
        commit = posterior.next_commit()
        boots += commit != booted
        booted = commit
        effect = true if commit >= culprit else 0.0
        posterior.add(commit, rng.normal(effect, noise, BATCH), np.full(BATCH, noise))
        quads += BATCH
    return best.first, quads, boots


def halving(rng: np.random.Generator, culprit: int, noise: float, quads_a_step: int) -> tuple[int, int, int]:
    """Return the same of a bisection that believes the mean of a fixed number of quads."""
    good, bad, steps = 0, COMMITS, 0
    while bad - good > 1:
        middle = (good + bad) // 2
        mean = rng.normal(EFFECT if middle >= culprit else 0.0, noise / math.sqrt(quads_a_step))
        good, bad = (good, middle) if mean < EFFECT / 2 else (middle, bad)
        steps += 1
    return bad, steps * quads_a_step, steps


def line(name: str, found: list[tuple[int, int, int]], culprits: list[int]) -> str:
    right = sum(answer == culprit for (answer, _, _), culprit in zip(found, culprits, strict=True)) / len(found)
    blamed = sum(1 <= answer <= COMMITS for answer, _, _ in found) / len(found)
    quads, boots = np.array([it[1] for it in found]), np.mean([it[2] for it in found])
    return f"{name:34} {right:7.1%} {blamed:8.1%} {quads.mean():7.0f} {np.percentile(quads, 95):7.0f} {boots:7.0f}"


def main() -> None:
    searches = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rng = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 20261123)
    out = sys.stdout.write
    out(f"{searches} searches a line, {COMMITS} commits, effect {EFFECT:+.0%}\n\n")
    out(f"{'':34} {'right':>7} {'blamed':>8} {'quads':>7} {'p95':>7} {'boots':>7}\n")
    for noise in (0.01, 0.05):
        fixed = math.ceil((2 * WRONG_TURN_SIGMAS * noise / abs(EFFECT)) ** 2)
        out(f"noise {noise:.0%} a quad (SNR {abs(EFFECT) / noise:.1f})\n")
        for name, culprits in (
            ("a culprit", [int(c) for c in rng.integers(1, COMMITS + 1, searches)]),
            ("none: the bad end is fine", [COMMITS + 1] * searches),
            ("none: the good end is bad already", [0] * searches),
        ):
            out(line(f"  {name}", [bayes(rng, culprit, noise) for culprit in culprits], culprits) + "\n")
        culprits = [int(c) for c in rng.integers(1, COMMITS + 1, searches)]
        for true in (EFFECT / 2, EFFECT * 3):
            found = [bayes(rng, culprit, noise, true) for culprit in culprits]
            out(line(f"  a culprit of {true:+.1%}", found, culprits) + "\n")
        for quads in (1, fixed):
            step = f"  a culprit, {quads} quad{'s' if quads > 1 else ''} a step"
            out(line(step, [halving(rng, culprit, noise, quads) for culprit in culprits], culprits) + "\n")
        false_alarm = [COMMITS + 1] * searches
        found = [halving(rng, culprit, noise, fixed) for culprit in false_alarm]
        out(line(f"  none, {fixed} quads a step", found, false_alarm) + "\n")


if __name__ == "__main__":
    main()
