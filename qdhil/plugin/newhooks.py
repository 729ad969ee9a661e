"""Hooks that qdhil calls, for other plugins to implement."""

from __future__ import annotations

import pytest


@pytest.hookspec
def pytest_qdhil_progress(config: pytest.Config, rig: str, line: str) -> None:
    """Show how far the campaign on ``rig`` is; called before each block, in the process that runs it."""


@pytest.hookspec
def pytest_qdhil_problem(config: pytest.Config, rig: str, reason: str) -> None:
    """Take note of a failure of ``rig`` that no test's report can carry; the run is INFRA for it."""


@pytest.hookspec
def pytest_qdhil_note(config: pytest.Config, rig: str, line: str) -> None:
    """Say something about ``rig`` that must not be overlooked, and that is no failure of this run."""
