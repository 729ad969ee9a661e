"""One HTTP request in, one answer out, then the connection is closed.

The parser is h11, which is strict about what a request is. A connection carries one request, so nothing can be
smuggled behind it, and the time for it is counted as a whole: a client that sends a byte now and then does not
gain any.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.serve.answer import AskedWrongly
from qdhil.serve.limits import Limits

_READ_BYTES = 8 * 1024
_QUERY_FIELDS_MAX = 8


class BadRequest(Exception):  # noqa: N818 -- the name of its status
    """A request that is answered without being understood."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What was asked; header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, bytes]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    said: str = ""
    """For the log: a word, no data of the client's."""

    @classmethod
    def of(cls, status: int, value: dict[str, Any], *, said: str = "", **headers: str) -> Reply:
        """Return a reply with a JSON object."""
        body = json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
        return cls(status, body, headers={name.replace("_", "-"): text for name, text in headers.items()}, said=said)

    def unless_known(self, request: Request) -> Reply:
        """Return the reply with its ETag, or 304 where the client has it already."""
        tag = f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'
        headers = self.headers | {"ETag": tag, "Cache-Control": "no-cache"}
        offered = [one.strip() for one in request.headers.get("if-none-match", b"").decode("latin-1").split(",")]
        if tag in offered or f"W/{tag}" in offered:
            return Reply(304, b"", self.content_type, headers, self.said)
        return Reply(self.status, self.body, self.content_type, headers, self.said)


def parser() -> ModuleType:
    """Return h11.

    Raises
    ------
    ConfigurationError
        If it isn't installed.
    """
    try:
        return importlib.import_module("h11")
    except ImportError as error:
        raise ConfigurationError("the verdict endpoint needs the extra: pip install 'qdhil[serve]'") from error


async def read_request(reader: asyncio.StreamReader, limits: Limits) -> Request:
    """Read one request.

    Raises
    ------
    BadRequest
        If it is none, or too large.
    """
    h11 = parser()
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_max_bytes)
    head: Any = None
    body = bytearray()
    unread_bytes = 0
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(_READ_BYTES)
                unread_bytes = 0 if head is not None else unread_bytes + len(data)
                if unread_bytes > limits.head_max_bytes:
                    raise BadRequest(431, f"a head has at most {limits.head_max_bytes} bytes")
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > limits.body_max_bytes:
                    raise BadRequest(413, f"a body has at most {limits.body_max_bytes} bytes")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                raise BadRequest(400, "the connection ended before the request did")
    except h11.RemoteProtocolError as error:
        raise BadRequest(error.error_status_hint, "not an HTTP/1.1 request, or too large a head") from error


def _request(head: Any, body: bytes) -> Request:
    if head.http_version not in (b"1.0", b"1.1"):
        raise BadRequest(400, "only HTTP/1.1 is spoken")
    headers: dict[str, bytes] = {}
    for name, value in head.headers:
        text = name.decode("ascii")
        if text in headers and text in ("authorization", "x-hub-signature-256", "if-none-match"):
            raise BadRequest(400, "a header that may stand once stands twice")
        headers[text] = value
    try:
        target = urlsplit(head.target.decode("ascii"))
        pairs = parse_qsl(
            target.query,
            keep_blank_values=True,
            strict_parsing=bool(target.query),
            errors="strict",
            max_num_fields=_QUERY_FIELDS_MAX,
        )
    except ValueError as error:
        raise BadRequest(400, "the target can't be read") from error
    if len(dict(pairs)) != len(pairs):
        raise BadRequest(400, "a parameter stands twice")
    return Request(head.method.decode("ascii"), target.path, dict(pairs), headers, body)


def encode_reply(reply: Reply, *, head_only: bool = False) -> bytes:
    """Return the bytes of a reply that ends its connection."""
    headers = {
        "Content-Type": reply.content_type,
        "Content-Length": str(len(reply.body)),
        "Connection": "close",
        "X-Content-Type-Options": "nosniff",
        **reply.headers,
    }
    if reply.status == 304:
        del headers["Content-Length"]
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}".encode("ascii")]
    lines += [f"{name}: {value}".encode("ascii") for name, value in headers.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if head_only else reply.body)


def json_object(body: bytes) -> dict[str, Any]:
    """Read the body of a webhook.

    Raises
    ------
    AskedWrongly
        If it is no JSON object.
    """
    from qdhil.keys.strict_json import parse_json

    try:
        value = parse_json(body, "the body")
    except RefusedError as error:
        raise AskedWrongly("the body is no JSON") from error
    if not isinstance(value, dict):
        raise AskedWrongly("the body is no JSON object")
    return value
