"""GitHub's deployment protection rule: approve on a verified PASS, reject on a verified BLOCK, else let it wait.

GitHub says once that a deployment waits and then waits up to 30 days to be called back. What can't be decided
yet is kept in memory and asked again; nothing is written, so that after a restart GitHub must deliver anew.
Contract: docs.github.com, "Creating custom deployment protection rules".
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from qdhil.errors import ConfigurationError
from qdhil.serve.answer import Answer, AskedWrongly, Question
from qdhil.serve.github_api import GithubApi, GithubFault, secret_of
from qdhil.serve.github_settings import GithubSettings
from qdhil.serve.messages import BadRequest, Reply, Request, json_object

EVENT = "deployment_protection_rule"
SECRET_VARIABLE = "QDHIL_GITHUB_WEBHOOK_SECRET"
WAITING_MAX = 1000
WAIT_MAX_S = 30 * 86400.0
REPORTS_MAX = 10
"""Status reports that GitHub takes on one deployment."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_log = logging.getLogger(__name__)


@dataclass
class _Waiting:
    """A deployment that waits to be called back."""

    repository: str
    environment: str
    commit: str
    callback: str
    installation: int | None
    since: float
    reported: str = ""
    reports: int = 0


@dataclass
class GithubRule:
    """The deployment protection rule.

    Parameters
    ----------
    settings
        ``github.toml``.
    firmware_of
        Digest of the firmware that a commit is, or ``None``.
    api
        How to call back.
    ask
        What is known of a firmware.
    every_s
        How often a waiting deployment is looked at.
    """

    settings: GithubSettings
    firmware_of: Callable[[str], str | None]
    api: GithubApi
    ask: Callable[[Question], Awaitable[Answer]]
    every_s: float = 30.0
    _waiting: dict[tuple[str, str], _Waiting] = field(default_factory=dict, init=False)
    _look: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def check(self) -> None:
        """Refuse settings that can't work.

        Raises
        ------
        ConfigurationError
            If a secret is missing or too short, or the folder of bundles is not there.
        """
        if len(self._secret()) < 16:
            raise ConfigurationError("the webhook secret needs at least 16 characters")
        self.api.check()
        if not self.settings.bundles.is_dir():
            raise ConfigurationError(f"{self.settings.bundles}: no such folder of bundles")

    async def receive(self, request: Request) -> Reply:
        """Take a webhook; the decision is called back, not answered here."""
        offered = request.headers.get("x-hub-signature-256", b"")
        digest = "sha256=" + hmac.digest(self._secret().encode(), request.body, "sha256").hex()
        if not hmac.compare_digest(offered, digest.encode()):
            raise BadRequest(401, "the signature of the webhook is missing or wrong")
        event = request.headers.get("x-github-event", b"").decode("latin-1")
        if event == "ping":
            return Reply.of(200, {"status": "ok"}, said="ping")
        payload = json_object(request.body)
        if event != EVENT or payload.get("action") != "requested":
            raise AskedWrongly(f"only {EVENT} requests are taken")
        waiting = self._read(payload)
        key = (waiting.callback, waiting.environment)
        if key not in self._waiting and len(self._waiting) >= WAITING_MAX:
            raise BadRequest(503, "too many deployments wait")
        self._waiting[key] = waiting
        self._look.set()
        return Reply.of(202, {"status": "taken"}, said="taken")

    async def run(self) -> None:
        """Look at what waits, for ever."""
        while True:
            # not wait_for, which can swallow a cancellation (Python 3.11)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.every_s):
                    await self._look.wait()
            self._look.clear()
            for key, waiting in list(self._waiting.items()):
                try:
                    done = await self._settle(waiting)
                except Exception as error:  # one deployment must not hold up the others
                    _log.error("github: %s", type(error).__name__)
                    done = False
                if done and self._waiting.get(key) is waiting:
                    del self._waiting[key]

    async def _settle(self, waiting: _Waiting) -> bool:
        """Call back if there is something to say; return whether the deployment is done with."""
        if time.monotonic() - waiting.since > WAIT_MAX_S:
            return True
        answer = await self._answer(waiting)
        comment = f"qdhil: {answer.verdict.upper()}: {answer.reason}"[:1000]
        if not (answer.passed or answer.harmful):
            await self._report(waiting, comment)
            return False
        state = "approved" if answer.passed else "rejected"
        delivered = await self._call(waiting, {"state": state, "comment": comment})
        if delivered:
            _log.info("github %s %s: %s", waiting.repository, waiting.environment, state)
        return delivered

    async def _answer(self, waiting: _Waiting) -> Answer:
        firmware = await asyncio.to_thread(self.firmware_of, waiting.commit)
        if firmware is None:
            return Answer("pending", False, f"no firmware bundle of commit {waiting.commit[:12]}")
        place = self.settings.environments[waiting.environment]
        return await self.ask(Question(firmware, place.hardware, place.ring, place.policy_sha256))

    async def _report(self, waiting: _Waiting, comment: str) -> None:
        """Say why a deployment waits, where the reason is new; without a state it goes on waiting."""
        if comment == waiting.reported or waiting.reports >= REPORTS_MAX:
            return
        if await self._call(waiting, {"comment": comment}):
            waiting.reported, waiting.reports = comment, waiting.reports + 1

    async def _call(self, waiting: _Waiting, said: dict[str, str]) -> bool:
        body = {"environment_name": waiting.environment, **said}
        try:
            await asyncio.to_thread(self.api.post, waiting.callback, body, waiting.installation)
        except GithubFault as error:
            _log.warning("github %s: %s; it is tried again", waiting.repository, error)
            return False
        return True

    def _read(self, payload: dict[str, Any]) -> _Waiting:
        repository = _text(payload, "repository", "full_name")
        environment = _text(payload, "environment")
        commit = _text(payload, "deployment", "sha")
        callback = _text(payload, "deployment_callback_url")
        if repository not in self.settings.repositories or environment not in self.settings.environments:
            raise AskedWrongly("this repository or environment is not among those that are decided here")
        if not _COMMIT.fullmatch(commit):
            raise AskedWrongly("deployment.sha is no commit")
        expected = re.escape(f"{self.settings.api}/repos/{repository}/actions/runs/") + rf"\d{{1,20}}/{EVENT}"
        if not re.fullmatch(expected, callback):
            raise AskedWrongly("deployment_callback_url leads elsewhere than to the API of this repository")
        installation = (payload.get("installation") or {}).get("id")
        if not isinstance(installation, int) or isinstance(installation, bool):
            installation = None
        return _Waiting(repository, environment, commit, callback, installation, time.monotonic())

    def _secret(self) -> str:
        return secret_of(self.settings.webhook_secret_file, SECRET_VARIABLE, "webhook secret")


def _text(payload: dict[str, Any], *path: str) -> str:
    value: Any = payload
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise AskedWrongly(f"{'.'.join(path)} is missing")
    return value
