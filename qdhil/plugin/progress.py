"""The live line while blocks are acquired, in one process or over xdist's workers.

A worker can't write to the terminal; it leaves its line in the run folder, where the controller looks.
"""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

PROGRESS_NAME = "progress.txt"
_REFRESH_S = 0.5
_PLAIN_INTERVAL_S = 5.0


class WorkerNote:
    """In a worker: leave the line in the rig's folder."""

    def __init__(self, config: pytest.Config, run_folder: Path) -> None:
        self._run_folder = run_folder
        self._notes: list[tuple[str, str]] = config.workeroutput.setdefault("qdhil_notes", [])  # type: ignore[attr-defined]

    def pytest_qdhil_progress(self, rig: str, line: str) -> None:
        """Leave the line where the controller looks for it."""
        (self._run_folder / rig).mkdir(exist_ok=True)
        (self._run_folder / rig / PROGRESS_NAME).write_text(line)

    def pytest_qdhil_note(self, rig: str, line: str) -> None:
        """Keep the note for the controller."""
        self._notes.append((rig, line))


class LiveLine:
    """In the process that owns the terminal: show one line, rewritten on a terminal, now and then elsewhere."""

    def __init__(self, config: pytest.Config, run_folder: Path, rigs: tuple[str, ...]) -> None:
        self._config = config
        self._run_folder = run_folder
        self._rigs = rigs
        self._shown_at = 0.0
        self._shown = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def pytest_qdhil_progress(self, rig: str, line: str) -> None:
        """Show the line of a campaign in this process."""
        self._show(f"{rig} {line}")

    def pytest_qdhil_note(self, rig: str, line: str) -> None:
        """Show a note at once, and let it stand."""
        self._clear()
        self._write(f"{rig}: {line}")

    def pytest_sessionstart(self) -> None:
        """Under xdist, watch the workers' lines."""
        if self._config.getoption("numprocesses", None):
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Stop watching and clear the line."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._clear()
        for rig in self._rigs:
            (self._run_folder / rig / PROGRESS_NAME).unlink(missing_ok=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self) -> None:
        """Make room for a test's result."""
        self._clear()

    def _watch(self) -> None:
        while not self._stop.wait(_REFRESH_S):
            lines = []
            for rig in self._rigs:
                file = self._run_folder / rig / PROGRESS_NAME
                if file.is_file():
                    lines.append(f"{rig} {file.read_text()}")
            if lines:
                self._show(" | ".join(lines))

    def _show(self, line: str) -> None:
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        interval_s = _REFRESH_S if reporter is not None and reporter.isatty else _PLAIN_INTERVAL_S
        if reporter is None or line == self._shown or time.monotonic() - self._shown_at < interval_s:
            return
        self._shown_at, self._shown = time.monotonic(), line
        if reporter.isatty:
            with self._uncaptured():
                reporter.rewrite(f"  {line}", erase=True)
        else:
            self._write(line)

    def _write(self, line: str) -> None:
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            with self._uncaptured():
                reporter.ensure_newline()
                reporter.write_line(f"  {line}")

    def _uncaptured(self) -> AbstractContextManager[None]:
        capture: Any = self._config.pluginmanager.getplugin("capturemanager")
        return nullcontext() if capture is None else capture.global_and_fixture_disabled()

    def _clear(self) -> None:
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and reporter.isatty and self._shown:
            reporter.rewrite("", erase=True)
        self._shown = ""
