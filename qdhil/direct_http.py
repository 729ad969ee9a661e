"""HTTP to the server that was named, and to no other: no proxy, no redirect."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar
from urllib.request import BaseHandler, HTTPRedirectHandler, OpenerDirector, ProxyHandler, build_opener

_T = TypeVar("_T")


class _Here(HTTPRedirectHandler):
    """An answer from elsewhere is none; a password or a token must not go there either."""

    def redirect_request(self, *_: object) -> None:
        return None


def direct_opener(*handlers: BaseHandler) -> OpenerDirector:
    """Return what opens requests, each at the address it names."""
    return build_opener(ProxyHandler({}), _Here(), *handlers)


def within(seconds: float, exchange: Callable[[], _T]) -> _T:
    """Return what an exchange gives; TimeoutError when the time is over, however slowly names or bytes come.

    A socket's own timeout begins anew with every byte. An exchange that is late is left to itself.
    """
    given: Future[_T] = Future()

    def run() -> None:
        try:
            given.set_result(exchange())
        except BaseException as error:
            given.set_exception(error)

    Thread(target=run, daemon=True).start()
    return given.result(timeout=seconds)
