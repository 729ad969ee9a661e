"""Which address answers what; every known state of a firmware is an answer with status 200."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from qdhil.serve.answer import Answer, AskedWrongly, Question
from qdhil.serve.messages import BadRequest, Reply, Request, json_object

if TYPE_CHECKING:
    from qdhil.serve.folder import AttestationFolder
    from qdhil.serve.github import GithubRule
    from qdhil.serve.tokens import Tokens

_VERDICT = "/v1/verdict/"
_ATTESTATION = "/v1/attestation/"
_FLAGGER = "/v1/flagger/"
_GITHUB = "/v1/github"
_FIRMWARE_KEY = "firmware"

_Handler = Callable[[Request], Awaitable[Reply]]


class _Route(NamedTuple):
    name: str
    method: str
    handler: _Handler
    needs_token: bool = True


class Routes:
    """The endpoint without its sockets.

    Parameters
    ----------
    folder
        What is known.
    tokens
        Who may ask.
    github
        The deployment protection rule, where there is one; its webhooks prove themselves by their signature.
    """

    def __init__(self, folder: AttestationFolder, tokens: Tokens, github: GithubRule | None = None) -> None:
        self._folder = folder
        self._tokens = tokens
        self._github = github

    def name_of(self, path: str) -> str:
        """Return the address without what the client put into it, for the log."""
        route = self._route(path)
        return route.name if route is not None else "unknown"

    async def reply(self, request: Request) -> Reply:
        """Answer a request."""
        route = self._route(request.path)
        if (route is None or route.needs_token) and not self._tokens.admit(request.headers.get("authorization", b"")):
            return Reply.of(401, {"error": "a token is needed"}, said="no token", WWW_Authenticate="Bearer")
        if route is None:
            return Reply.of(404, {"error": "no such address"})
        allowed = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        if request.method not in allowed:
            return Reply.of(405, {"error": "wrong method"}, Allow=", ".join(allowed))
        try:
            return await route.handler(request)
        except AskedWrongly as error:
            return Reply.of(400, {"error": str(error)}, said="asked wrongly")
        except BadRequest as error:
            return Reply.of(error.status, {"error": str(error)}, said="refused")

    def _route(self, path: str) -> _Route | None:
        if path == "/healthz":
            return _Route("healthz", "GET", self._health, needs_token=False)
        if path == _GITHUB and self._github is not None:
            return _Route("github", "POST", self._github_hook, needs_token=False)
        if path == f"{_FLAGGER}confirm":
            return _Route("flagger/confirm", "POST", self._flagger_confirm)
        if path == f"{_FLAGGER}rollback":
            return _Route("flagger/rollback", "POST", self._flagger_rollback)
        if path.startswith(_VERDICT):
            return _Route("verdict", "GET", self._verdict)
        if path.startswith(_ATTESTATION):
            return _Route("attestation", "GET", self._attestation)
        return None

    async def _health(self, request: Request) -> Reply:
        del request
        return Reply.of(200, {"status": "ok"})

    async def _verdict(self, request: Request) -> Reply:
        question = Question.from_texts(request.path.removeprefix(_VERDICT), request.query)
        answer = await self._folder.ask(question)
        return Reply.of(200, answer.record(question), said=answer.verdict).unless_known(request)

    async def _attestation(self, request: Request) -> Reply:
        question = Question.from_texts(request.path.removeprefix(_ATTESTATION), request.query)
        answer = await self._folder.ask(question)
        if answer.attestation is None:
            return Reply.of(404, answer.record(question), said=answer.verdict)
        return Reply(200, answer.attestation, said=answer.verdict).unless_known(request)

    async def _flagger_confirm(self, request: Request) -> Reply:
        return await self._flagger(request, lambda answer: answer.passed)

    async def _flagger_rollback(self, request: Request) -> Reply:
        return await self._flagger(request, lambda answer: answer.harmful)

    async def _flagger(self, request: Request, agrees: Callable[[Answer], bool]) -> Reply:
        """Answer a hook of Flagger: 200 goes on, anything else waits. The question stands in its metadata."""
        metadata = json_object(request.body).get("metadata")
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise AskedWrongly("metadata must hold firmware, hardware and ring as texts")
        asked = {name: value for name, value in metadata.items() if name != _FIRMWARE_KEY}
        question = Question.from_texts(metadata.get(_FIRMWARE_KEY), asked)
        answer = await self._folder.ask(question)
        return Reply.of(200 if agrees(answer) else 403, answer.record(question), said=answer.verdict)

    async def _github_hook(self, request: Request) -> Reply:
        if self._github is None:
            return Reply.of(404, {"error": "no such address"})
        return await self._github.receive(request)
