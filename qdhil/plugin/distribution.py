"""Under xdist: all tests of a rig on one worker, so that each worker holds its own rig.

Only this scheduling is used: ``each`` would give one rig to several workers, and ``loadgroup`` hangs
when a worker dies (xdist up to 3.8). A dead worker is not replaced; what it had to measure is reported as
missing, and the run is INFRA.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from qdhil.exit_codes import ExitCode
from qdhil.gate.verdict import Verdict
from qdhil.plugin.settings import Settings

_REFUSED_DISTRIBUTIONS = ("each", "loadgroup")


class RigScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Send all tests of one rig to one worker."""

    rigs: tuple[str, ...] = ()

    def _split_scope(self, nodeid: str) -> str:
        bracket = nodeid.rpartition("[")[2].removesuffix("]") if nodeid.endswith("]") else ""
        for rig in self.rigs:
            if bracket == rig or bracket.startswith(f"{rig}-"):
                return rig
        return str(super()._split_scope(nodeid))


class RigDistribution:
    """The controller's side of a session over several workers."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._settings = settings
        distribution = config.getoption("dist", "no")
        if distribution in _REFUSED_DISTRIBUTIONS:
            pytest.exit(
                f"--dist {distribution} can't give each rig to one worker; leave --dist out", returncode=ExitCode.USAGE
            )
        names = sorted(settings.rigs)
        for shorter, longer in itertools.combinations(names, 2):
            if longer.startswith(f"{shorter}-"):
                reason = f"rigs {shorter} and {longer} can't be told apart in test ids: run them without -n"
                pytest.exit(reason, returncode=ExitCode.USAGE)
        if config.getoption("maxworkerrestart", None) is None:
            config.option.maxworkerrestart = "0"

    def pytest_configure_node(self, node: Any) -> None:
        """Hand every worker the same run folder and seed, and the digest of what it must find."""
        node.workerinput["qdhil"] = {
            "run_folder": str(self._settings.run_folder),
            "order_seed": self._settings.order_seed,
            "inputs": self._settings.inputs,
        }

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> RigScheduling:
        """Schedule by rig."""
        scheduler = RigScheduling(config, log)
        scheduler.rigs = tuple(self._settings.rigs)
        return scheduler

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take a worker's problems, or report that it died."""
        gate: Any = node.config.pluginmanager.getplugin("qdhil-gate")
        for problem in getattr(node, "workeroutput", {}).get("qdhil_problems", ()):
            gate.problem(Verdict.INFRA, problem)
        for rig, line in getattr(node, "workeroutput", {}).get("qdhil_notes", ()):
            node.config.hook.pytest_qdhil_note(config=node.config, rig=rig, line=line)
        if error:
            reason = str(error).strip().splitlines()
            gate.problem(Verdict.INFRA, f"worker {node.gateway.id} died: {reason[-1] if reason else 'no reason'}")
