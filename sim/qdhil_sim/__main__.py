"""``python -m qdhil_sim`` is the command ``qdhil-sim``."""

from __future__ import annotations

from qdhil_sim.cli import run

if __name__ == "__main__":
    run()
