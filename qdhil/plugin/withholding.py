"""Secrets that a test or a library said: kept out of the session's reports."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from qdhil.errors import QdhilError
from qdhil.keys.secrets import withheld


class Withholding:
    """Withhold secrets from captured output, tracebacks and messages, before JUnit and Allure see them."""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Change the report of every test, of its setup and of its teardown."""
        report = yield
        report.sections = [(name, withheld(content)) for name, content in report.sections]
        if isinstance(report.longrepr, tuple):
            file, line, reason = report.longrepr
            report.longrepr = file, line, withheld(reason)
        elif report.longrepr is not None:
            said = str(report.longrepr)
            if (plain := withheld(said)) != said:
                report.longrepr = plain
        if call.excinfo is not None:
            call.excinfo = _plain(call.excinfo)
        return report


def _plain(excinfo: pytest.ExceptionInfo[BaseException]) -> pytest.ExceptionInfo[BaseException]:
    """Return an exception whose message holds no secret, of the same kind as far as reports tell kinds apart."""
    error = excinfo.value
    said = withheld(str(error))
    if said == str(error):
        return excinfo
    kinds: tuple[Any, ...] = (pytest.skip.Exception, pytest.fail.Exception, AssertionError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), RuntimeError)
    if isinstance(error, QdhilError):
        error.args = (said,)
        return excinfo
    return pytest.ExceptionInfo.from_exc_info((kind, kind(said), excinfo.tb))
