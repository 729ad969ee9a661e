"""Hand a finished session's runs in to the ledger that ``--rig-ledger`` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdhil.errors import QdhilError
from qdhil.plugin.settings import named_path


class RunLedger:
    """After the verdict is written: a record for each rig, kept in the checkout's outbox and sent from there.

    A ledger that can't take it changes no verdict: the run folder has everything, the outbox keeps the record, and the
    session says what to do.
    """

    def __init__(self, checkout: Path, run_folder: Path) -> None:
        self._checkout = checkout
        self._run_folder = run_folder

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Record, and say so in a line."""
        try:
            said, markup = self._record(), {}
        except QdhilError as error:
            said, markup = f"ledger: {error}; the run folder has it all: qdhil baseline record", {"yellow": True}
        terminalreporter.write_line(said, **markup)

    def _record(self) -> str:
        from qdhil.record.ledger import Ledger
        from qdhil.record.ledger_entry import entries_of

        entries = entries_of(self._run_folder)
        with Ledger(self._checkout) as ledger:
            for entry in entries:
                ledger.put(entry)
            sent = ledger.send()
        return f"ledger: {len(entries)} record(s) handed in, {sent} sent"


def ledger_checkout(config: pytest.Config) -> Path | None:
    """Return the checkout that keeps this session's ledger, ``None`` where none is asked for.

    Raises
    ------
    ConfigurationError
        If what is named is not a checkout with a remote ``origin``.
    """
    checkout = named_path(config, "rig_ledger")
    if checkout is None:
        return None
    from qdhil.record.ledger import Ledger

    with Ledger(checkout):
        return checkout.resolve()
