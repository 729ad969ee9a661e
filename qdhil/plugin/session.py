"""A pytest session that is a gate: it collects decisions, says the verdict, and ends with its exit code."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from qdhil.audit import Begun
from qdhil.errors import ConfigurationError, QdhilError, RecordFault, RefusedError, UndecidedError
from qdhil.gate.quarantine import utc_today
from qdhil.gate.verdict import Verdict
from qdhil.keys.secrets import refuse_secrets, withheld
from qdhil.plugin import DECIDED, SETTINGS
from qdhil.plugin.authority import begin_run, rack_authority
from qdhil.plugin.outcomes import Outcomes
from qdhil.plugin.progress import LiveLine, WorkerNote
from qdhil.plugin.run_ledger import RunLedger, ledger_checkout
from qdhil.plugin.settings import Settings, resolve
from qdhil.plugin.withholding import Withholding
from qdhil.record.run_folder import VERDICT_NAME

PAYLOAD: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
"""What a test decided, as plain data; set by the fixtures, carried to the controller by its report."""


def register(config: pytest.Config) -> None:
    """Check options and files, and register the parts of the gate.

    A mistake in them ends the session with exit code 64 or 40 before anything is collected.
    """
    is_worker = hasattr(config, "workerinput")
    try:
        refuse_secrets([str(argument) for argument in config.invocation_params.args])
        checkout = ledger_checkout(config)
        settings = resolve(config)
        authority = rack_authority(settings)
        begun = None if is_worker or config.getoption("collectonly") else begin_run(authority, settings)
    except QdhilError as error:
        pytest.exit(withheld(str(error)), returncode=error.exit_code)
    config.stash[SETTINGS] = settings
    config.pluginmanager.register(RigSelection(settings), "qdhil-rigs")
    config.pluginmanager.register(Payloads(), "qdhil-payloads")
    config.pluginmanager.register(Withholding(), "qdhil-withholding")
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
    if is_worker:
        config.pluginmanager.register(WorkerNote(config, settings.run_folder), "qdhil-progress")
        config.pluginmanager.register(WorkerProblems(config), "qdhil-problems")
        return
    config.pluginmanager.register(LiveLine(config, settings.run_folder, tuple(settings.rigs)), "qdhil-progress")
    config.pluginmanager.register(Gate(config, settings, begun), "qdhil-gate")
    if checkout is not None and not config.getoption("collectonly"):
        config.pluginmanager.register(RunLedger(checkout, settings.run_folder), "qdhil-ledger")
    if config.getoption("numprocesses", None) or config.getoption("tx", None):
        from qdhil.plugin.distribution import RigDistribution

        config.pluginmanager.register(RigDistribution(config, settings), "qdhil-distribution")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat a cancelled CI job or a closed terminal like Ctrl-C, so that the rig is handed back on its baseline."""
    raise KeyboardInterrupt


class WorkerProblems:
    """In an xdist worker: hand problems to the controller when the worker ends."""

    def __init__(self, config: pytest.Config) -> None:
        self._problems: list[str] = config.workeroutput.setdefault("qdhil_problems", [])  # type: ignore[attr-defined]

    def pytest_qdhil_problem(self, reason: str) -> None:
        """Keep the reason for the controller."""
        self._problems.append(reason)


class RigSelection:
    """Run every test that uses ``rig`` once per selected rig."""

    def __init__(self, settings: Settings) -> None:
        self._names = tuple(settings.rigs)

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrise the ``rig`` fixture by the selected rigs' names; first, so that ids begin with the rig."""
        if "rig" in metafunc.fixturenames:
            metafunc.parametrize("rig", self._names, indirect=True, scope="session")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, None, None]:
        """Keep the tests of a rig together, whatever order other plugins like: a rig has one campaign."""
        yield
        order = {name: index for index, name in enumerate((None, *self._names))}
        items.sort(key=lambda item: order.get(rig_of(item), 0))


def rig_of(item: pytest.Item) -> str | None:
    """Return the rig that a test runs on, ``None`` for a test without one."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("rig")


class Payloads:
    """Carry each test's decision in its report, and say failures of the rig in one line."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the payload; replace the traceback of a qdhil error by its message."""
        report = yield
        reports_decision = report.when == "call" or (report.when == "setup" and report.failed)
        payload: dict[str, Any] = {}
        carried = item.stash.get(PAYLOAD, None)
        if reports_decision and carried is not None:
            payload.update(carried)
        error = call.excinfo.value if call.excinfo is not None else None
        if isinstance(error, QdhilError):
            payload["problem"] = [str(_verdict_of(error)), str(error)]
            report.longrepr = withheld(f"{_verdict_of(error)}: {error}")
        elif report.failed and not (isinstance(error, AssertionError) and _explains_itself(payload)):
            payload["problem"] = [
                str(Verdict.INCONCLUSIVE if isinstance(error, _SAID_BY_THE_TEST) else Verdict.INFRA),
                f"{item.nodeid} ({report.when}): {type(error).__name__}: {_first_line_of(error)}",
            ]
        elif report.failed:
            report.longrepr = str(payload["summary"])
        if report.skipped and item.get_closest_marker("metric") is not None:
            payload["problem"] = [str(Verdict.INCONCLUSIVE), f"{item.nodeid} was skipped or expected to fail"]
        marker = item.get_closest_marker("metric")
        if "problem" in payload and marker is not None and marker.args:
            payload["metric"] = str(marker.args[0])
        if payload:
            report.qdhil = {**payload, "rig": rig_of(item)}  # type: ignore[attr-defined]
        return report


_LONGEST_REASON = 200
_SAID_BY_THE_TEST = (AssertionError, pytest.fail.Exception)
"""How a test says that something is not as it should be; any other exception is a failure of the tools."""


def _explains_itself(payload: dict[str, Any]) -> bool:
    """Whether a failed assertion is told by the test's own comparison; after a PASS it is a finding of its own."""
    return payload.get("comparison", {}).get("verdict") not in (None, str(Verdict.PASS))


def _verdict_of(error: QdhilError) -> Verdict:
    if isinstance(error, RefusedError):
        return Verdict.REFUSED
    undecided = isinstance(error, ConfigurationError | UndecidedError)
    return Verdict.INCONCLUSIVE if undecided else Verdict.INFRA


class Gate:
    """Collect what the tests decided, in the one process that knows the whole session."""

    def __init__(self, config: pytest.Config, settings: Settings, begun: Begun | None) -> None:
        self._config = config
        self._settings = settings
        self._begun = begun
        # a policy of its own: what a test does to the campaign's can't change what is demanded
        self._outcomes = Outcomes(replace(settings, policy=settings.policy.model_copy(deep=True)))

    def problem(self, verdict: Verdict, reason: str) -> None:
        """Take note of something that went wrong outside any test."""
        self._outcomes.problem(verdict, reason)

    def pytest_qdhil_problem(self, reason: str) -> None:
        """Take note of a failure of a rig outside any test."""
        self._outcomes.problem(Verdict.INFRA, reason)

    def pytest_report_header(self) -> list[str]:
        """Say which firmware is compared on which rigs, and where the evidence goes."""
        baseline, candidate = self._settings.firmware
        return [
            f"qdhil: candidate {candidate.version} against baseline {baseline.version} "
            f"on {', '.join(self._settings.rigs)}",
            f"qdhil: policy {self._settings.policy.name}, evidence {self._settings.run_folder}",
            *(f"qdhil: {note}" for note in (*self._quarantine_notes(), *self._audit_notes())),
        ]

    def _quarantine_notes(self) -> tuple[str, ...]:
        settings = self._settings
        unknown = tuple(
            f"quarantine names {entry.rig}, which the rack file has not: it excuses nothing"
            for entry in settings.quarantined
            if entry.rig not in settings.rack.rigs
        )
        return settings.quarantine(utc_today()).notes + unknown

    def _audit_notes(self) -> list[str]:
        if self._begun is None or self._begun.authority.audit.file is None:
            return []
        authority = self._begun.authority
        return [f"audit log {authority.audit.file}, {authority.actor.identity}", *filter(None, [authority.note])]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a test's decision from its report."""
        payload = getattr(report, "qdhil", None)
        if payload:
            self._outcomes.add(payload)
        elif report.failed:
            self._outcomes.problem(Verdict.INFRA, f"{report.nodeid}: {_first_line(report)}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take note of a file that can't be collected: a tool's failure."""
        if report.failed:
            self._outcomes.problem(Verdict.INFRA, f"collecting {report.nodeid}: {_first_line(report)}")

    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Print the verdict instead of PASSED or FAILED."""
        payload = getattr(report, "qdhil", None)
        if payload is None or report.when != "call" or report.skipped:
            return None
        word = payload["problem"][0] if "problem" in payload else payload.get("comparison", {}).get("verdict")
        if word is None or (report.failed == (word == "PASS")):
            return None
        metric = payload.get("metric") or payload.get("comparison", {}).get("definition")
        if self._settings.quarantine(utc_today()).excuses(str(payload["rig"]), str(metric)):
            return report.outcome, "q", (f"{word}, in quarantine", {"yellow": True})
        if report.passed:
            return "passed", ".", (word, {"green": True})
        return "failed", word[0], (word, {"red": word == "BLOCK", "yellow": word != "BLOCK"})

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
        """Conclude, write ``verdict.json``, and set the exit code."""
        if self._begun is None:
            return
        if exitstatus in _UNDECIDED:
            session.exitstatus, word = _UNDECIDED[exitstatus]
            with contextlib.suppress(RecordFault):  # it decides nothing in any case
                self._begun.end("failed", {"reason": word})
            return
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            self._outcomes.problem(Verdict.INCONCLUSIVE, "the session was interrupted")
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            self._outcomes.problem(Verdict.INCONCLUSIVE, "no test was collected")
        session.exitstatus = self._config.stash[DECIDED] = self._decide(self._begun).exit_code

    def _decide(self, begun: Begun) -> Verdict:
        """Conclude, and write the verdict down; what can't be written down is INFRA."""
        verdict = self._outcomes.conclude()
        try:
            begun.end(str(verdict), {"verdict_sha256": _sha256_of(self._settings.run_folder)})
        except RecordFault as error:
            self._outcomes.problem(Verdict.INFRA, str(error))
            verdict = self._outcomes.conclude()
        return verdict

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the verdict table."""
        from qdhil.report.table import verdict_lines

        record = self._outcomes.record
        if record is None:
            return
        colours = {"PASS": "green", "BLOCK": "red"}
        terminalreporter.ensure_newline()
        terminalreporter.section("verdict", "=", bold=True)
        for line, verdict in verdict_lines(record):
            markup = {colours.get(verdict, "yellow"): True} if verdict else {}
            terminalreporter.write_line(line, **markup)
        terminalreporter.write_line(f"evidence: {self._settings.run_folder / VERDICT_NAME}")


_UNDECIDED: dict[int, tuple[int, str]] = {
    pytest.ExitCode.USAGE_ERROR: (ConfigurationError.exit_code, "usage error"),
    pytest.ExitCode.INTERNAL_ERROR: (QdhilError.exit_code, "internal error"),
}


def _first_line_of(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST_REASON] if lines else "no message"


def _sha256_of(run_folder: Path) -> str | None:
    """Return the digest of the verdict, if there is one on the disk."""
    file = run_folder / VERDICT_NAME
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _first_line(report: pytest.CollectReport | pytest.TestReport) -> str:
    lines = report.longreprtext.strip().splitlines()
    return lines[-1] if lines else "no message"
