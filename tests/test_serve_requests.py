"""No client can hold the endpoint up, read past it or guess in: wrong, broken, slow and many requests."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import random
import socket
import time
from pathlib import Path

import pytest
from serving_made import HARDWARE, QUERY, RING, VERDICT, Served, emptied, endpoint, now_attested
from signing_made import CANDIDATE, write_trust

from qdhil.serve import AttestationFolder, Limits, Routes, Tokens
from qdhil.serve.messages import BadRequest, Request, read_request

TOKEN = "a-token-of-the-tests-0123456789"

server = pytest.fixture(scope="module")(endpoint)
served = pytest.fixture(emptied)


# what is asked wrongly


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 404),
        ("/v2/verdict/" + CANDIDATE, 404),
        ("/v1/verdict/", 400),
        (f"/v1/verdict/{CANDIDATE}", 400),
        (f"/v1/verdict/{CANDIDATE[:-1]}?{QUERY}", 400),
        (f"/v1/verdict/{CANDIDATE.upper()}?{QUERY}", 400),
        (f"/v1/verdict/{CANDIDATE}?hardware={HARDWARE}", 400),
        (f"{VERDICT}&ring=early", 400),
        (f"{VERDICT}&other=1", 400),
        (f"{VERDICT}&policy=", 400),
        (f"{VERDICT}&policy=x", 400),
        (f"/v1/verdict/{CANDIDATE}?hardware=&ring={RING}", 400),
        (f"/v1/verdict/{CANDIDATE}?hardware=a%00b&ring={RING}", 400),
        (f"/v1/verdict/{CANDIDATE}?hardware=%ff&ring={RING}", 400),
        (f"/v1/verdict/{CANDIDATE}?" + "&".join(f"a{i}=1" for i in range(100)), 400),
        (f"/v1/verdict/../../etc/passwd?{QUERY}", 400),
        (f"/v1/verdict/..%2f..%2fetc%2fpasswd?{QUERY}", 400),
        (f"/v1/attestation/../trust.toml?{QUERY}", 400),
        (f"/v1/attestation/%2e%2e/trust.toml?{QUERY}", 400),
        (f"/v1/attestation/1.5.0.attestation.json?{QUERY}", 400),
        ("/trust.toml", 404),
        ("/../trust.toml", 404),
        ("//etc/passwd", 404),
        ("/v1/github", 404),
    ],
)
def test_wrong_questions(served: Served, target: str, status: int) -> None:
    served.put(now_attested())
    answer = served.ask(target)
    assert answer.status == status, answer.body
    assert set(answer.json) == {"error"}
    assert b"keys" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_is_written(served: Served, method: str) -> None:
    file = served.put(now_attested())
    before = file.read_bytes()
    answer = served.ask(method=method, body=b"{}")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert file.read_bytes() == before
    assert [entry.name for entry in served.folder.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", None),  # a TLS hello to a server of plain HTTP
        (b"hello\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
        (b"G" * 20000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300000, 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 0xFFFF * 5, None),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a", None),
        (b"", None),
    ],
)
def test_malformed_requests_end_their_connection_only(served: Served, data: bytes, status: int | None) -> None:
    came = b""
    with socket.create_connection(served.address, timeout=15) as connection, contextlib.suppress(OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while more := connection.recv(65536):
            came += more
    if status is not None and came:
        assert came.startswith(b"HTTP/1.1 %d " % status), came[:80]
    assert served.ask("/healthz").status == 200


async def _read(data: bytes) -> Request | BadRequest:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    try:
        return await read_request(reader, Limits())
    except BadRequest as error:
        return error


def test_changed_requests_are_read_or_refused(tmp_path: Path) -> None:
    """20 000 requests with up to four bytes changed: each is understood or refused, and none opens."""
    (tmp_path / "1.attestation.json").write_bytes(now_attested())
    (tmp_path / "tokens").write_text(TOKEN)
    folder = AttestationFolder(tmp_path, write_trust(tmp_path))
    routes = Routes(folder, Tokens(tmp_path / "tokens"))
    request = f"GET {VERDICT} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN[:-1]}x\r\n\r\n".encode()
    dice = random.Random(20261123)

    async def all_of_them() -> set[int]:
        seen = set()
        for _ in range(20_000):
            data = bytearray(request)
            for _ in range(dice.randint(1, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            if TOKEN.encode() in data:
                continue
            read = await _read(bytes(data))
            seen.add(read.status if isinstance(read, BadRequest) else (await routes.reply(read)).status)
        return seen

    assert asyncio.run(all_of_them()) <= {400, 401, 431, 501}


def test_what_stands_behind_a_request_is_not_read(served: Served) -> None:
    one = f"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET {VERDICT} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    came = served.say(one)
    assert came.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in came


# many, slow and broken clients


def test_two_hundred_ask_at_once(served: Served) -> None:
    served.put(now_attested())
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: served.ask(), range(200)))
    assert {(answer.status, answer.json["verdict"]) for answer in answers} == {(200, "pass")}


def test_slow_clients_are_cut_off_and_hold_up_nobody_for_long(served: Served) -> None:
    """More connections than are served at once, each sending a byte now and then: all end at the deadline."""
    served.put(now_attested())
    slow = [socket.create_connection(served.address, timeout=30) for _ in range(80)]
    began = time.monotonic()
    for connection in slow:
        connection.sendall(b"GET / HTTP/1.1\r\nX-")
    answer = None
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.ask)
        while not asked.done() and time.monotonic() - began < 20:
            for connection in slow:
                with contextlib.suppress(OSError):
                    connection.sendall(b"a")
            time.sleep(0.5)
        answer = asked.result()
    assert answer.json["verdict"] == "pass"
    assert time.monotonic() - began < 15
    for connection in slow:
        connection.close()


def test_clients_that_do_not_read_their_answer_do_no_harm(served: Served) -> None:
    served.put(now_attested())
    request = f"GET /v1/attestation/{CANDIDATE}?{QUERY} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    held = []
    for _ in range(100):
        connection = socket.create_connection(served.address, timeout=15)
        connection.sendall(request)
        held.append(connection)
    assert served.ask().json["verdict"] == "pass"
    for connection in held:
        connection.close()


def test_no_connection_is_left_open(served: Served) -> None:
    open_files = Path(f"/proc/{served.process.pid}/fd")
    before = len(list(open_files.iterdir()))
    for _ in range(50):
        served.ask("/healthz")
        socket.create_connection(served.address).close()
    time.sleep(0.3)
    assert len(list(open_files.iterdir())) <= before + 2
