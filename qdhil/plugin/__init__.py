"""The pytest plugin: options in their own group, and nothing else unless ``--rig`` is given.

Loading it imports neither numba nor PyVISA nor pydantic. With ``--rig``, the session becomes a gate:
tests that use the ``rig`` fixture run once per selected rig, their decisions are collected, and the
process ends with the verdict's exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from qdhil.exit_codes import ExitCode

if TYPE_CHECKING:
    from qdhil.plugin.settings import Settings

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
DECIDED: pytest.StashKey[ExitCode] = pytest.StashKey()
"""The exit code of this session's verdict, once there is one."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and ini values of the group ``qdhil``.

    Plain words such as ``--seed`` are left to the projects that this plugin is loaded beside.
    """
    group = parser.getgroup("qdhil", "qdhil: firmware gate for quantum-dot single-photon sources")
    group.addoption(
        "--rig",
        action="append",
        default=[],
        metavar="NAME|tag:KEY=VALUE",
        help="rig to run on; repeatable; tag:KEY=VALUE selects every rig that carries the tag",
    )
    group.addoption("--rack", metavar="FILE", help="rack file (default: ini 'rack', else two simulated rigs)")
    group.addoption(
        "--rig-policy", metavar="FILE", help="policy file (default: ini 'rig_policy', else the packaged one)"
    )
    group.addoption(
        "--rig-quarantine",
        metavar="FILE",
        help="quarantine file: metrics of rigs that may not decide (default: ini 'rig_quarantine', else none)",
    )
    group.addoption(
        "--rig-ledger",
        metavar="DIR",
        help="git checkout whose ledger the run is recorded in, at its remote origin (default: ini 'rig_ledger', "
        "else none)",
    )
    group.addoption("--candidate", metavar="VERSION|PATH", help="firmware that asks to be rolled out")
    group.addoption("--rig-baseline", metavar="VERSION|PATH", help="firmware in service (default: the rack file's)")
    group.addoption("--rig-runs", metavar="DIR", default="runs", help="where run folders are made (default: runs)")
    group.addoption(
        "--rig-seed", type=int, metavar="N", help="seed of the block order, and of the light of simulated rigs"
    )
    group.addoption(
        "--rig-wait",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="how long a busy rig is waited for (default: 600; 0 refuses at once)",
    )
    parser.addini("rack", "rack file, relative to the ini file", type="string", default="")
    parser.addini("rig_policy", "policy file, relative to the ini file", type="string", default="")
    parser.addini("rig_quarantine", "quarantine file, relative to the ini file", type="string", default="")
    parser.addini("rig_ledger", "git checkout of the ledger, relative to the ini file", type="string", default="")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Make the hooks of qdhil known."""
    from qdhil.plugin import newhooks

    pluginmanager.add_hookspecs(newhooks)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    """With ``--rig``, end a usage error with 64 (pytest: 4), and what decided nothing never with 0."""
    try:
        status = yield
    except pytest.UsageError as error:
        if not config.getoption("rig"):
            raise
        for line in error.args:
            sys.stderr.write(f"ERROR: {line}\n")
        return ExitCode.USAGE
    if not config.getoption("rig") or config.getoption("help") or config.getoption("version"):
        return status
    is_worker = hasattr(config, "workerinput")
    if status == ExitCode.PASS and DECIDED not in config.stash and not is_worker:
        sys.stderr.write("qdhil: no test was run, nothing was decided: INCONCLUSIVE\n")
    return status if status != ExitCode.PASS else config.stash.get(DECIDED, ExitCode.INCONCLUSIVE)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; with ``--rig``, turn the session into a gate."""
    config.addinivalue_line(
        "markers", "metric(definition): the metric of the policy that this test decides, such as 'g2.pulsed.area'"
    )
    if config.getoption("rig"):
        from qdhil.plugin import session

        session.register(config)
