"""The verdict endpoint answers every known state with 200, and no client can hold it up, read past it or guess in."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import json
import os
import random
import re
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command import Command, command
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from rollout.vectors import Vector, attestation, load, now_times
from serving_made import HARDWARE, QUERY, RING, VERDICT, Served, serving
from signing_made import CANDIDATE, POLICY, attested, edited, trust_text, write_trust

from qdhil.gate.attestation import authenticate
from qdhil.keys.trust import load_trust
from qdhil.keys.validity import moment
from qdhil.serve import AttestationFolder, Limits, Question, Routes, Tokens
from qdhil.serve.github_settings import load_github
from qdhil.serve.messages import BadRequest, Request, read_request

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "a-token-of-the-tests-0123456789"

run = pytest.fixture(command)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("serve")) as served:
        yield served


@pytest.fixture
def served(server: Served) -> Served:
    server.clear()
    return server


def now_attested(verdict: str = "PASS", **changes: Any) -> bytes:
    return attested(verdict, **(now_times() | changes))


# what is answered


@pytest.mark.parametrize("vector", [v for v in load() if v.transport in ("ok", "pending")], ids=lambda v: v.name)
def test_every_known_state_is_an_answer(served: Served, vector: Vector) -> None:
    data = attestation(vector, **now_times())
    if data is not None:
        served.put(data)
    answer = served.ask()
    assert answer.status == 200
    said = answer.json
    good = vector.transport == "ok" and vector.signature in ("good", "replayed")
    if vector.transport == "pending" or vector.signature == "other-firmware":
        expected = "pending"
    else:
        expected = vector.verdict if good else "refused"
    assert (said["verdict"], said["verified"]) == (expected, good), said
    assert said["reason"]


def test_the_answer_says_what_it_stands_on(served: Served) -> None:
    times = now_times()
    served.put(attested(**times))
    said = served.ask(f"{VERDICT}&policy={POLICY}").json
    assert said.pop("statement_sha256")
    assert said == {
        "schema_version": 1,
        "verdict": "pass",
        "verified": True,
        "reason": "as measured",
        "firmware_sha256": CANDIDATE,
        "hardware": HARDWARE,
        "ring": RING,
        "policy_sha256": POLICY,
        "version": "1.5.0",
        "measured": times["measured"],
        "expires": times["expires"],
        "keys": ["ci", "rack"],
    }


def test_another_policy_is_refused(served: Served) -> None:
    served.put(now_attested())
    assert served.ask(f"{VERDICT}&policy={'0' * 64}").json["verdict"] == "refused"


def test_a_verdict_expires_and_an_attestation_goes_while_the_server_runs(served: Served) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=4)
    file = served.put(now_attested(expires=f"{soon:%Y-%m-%dT%H:%M:%SZ}"))
    assert served.ask().json["verdict"] == "pass"
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()))
    assert served.ask().json["verdict"] == "refused"
    file.unlink()
    assert served.ask().json["verdict"] == "pending"


def test_harm_stands_and_otherwise_the_latest_measurement_speaks(served: Served) -> None:
    def measured(minutes_ago: int) -> str:
        return f"{datetime.now(UTC) - timedelta(minutes=minutes_ago):%Y-%m-%dT%H:%M:%SZ}"

    served.put(now_attested("INFRA", measured=measured(30)), "1.attestation.json")
    assert served.ask().json["verdict"] == "infra"
    served.put(now_attested("PASS", measured=measured(20)), "2.attestation.json")
    assert served.ask().json["verdict"] == "pass"
    served.put(now_attested("INCONCLUSIVE", measured=measured(20)), "3.attestation.json")
    assert served.ask().json["verdict"] == "inconclusive", "of two at one time the worse one speaks"
    served.put(now_attested("BLOCK", measured=measured(40)), "4.attestation.json")
    assert served.ask().json["verdict"] == "block"


def test_a_forgery_neither_hides_a_verdict_nor_takes_its_place(served: Served) -> None:
    served.put(now_attested("PASS"), "good.attestation.json")
    forged = edited(now_attested("BLOCK"), lambda said: said["predicate"]["qdhil"].update(reasons=["forged"]))
    served.put(forged, "forged.attestation.json")
    assert served.ask().json["verdict"] == "pass"
    (served.folder / "good.attestation.json").unlink()
    said = served.ask().json
    assert said["verdict"] == "refused"
    assert "forged" not in said["reason"]


@pytest.mark.parametrize("content", [b"", b"null", b"<html>", b"[]", b'{"payload": 3}', b"\xff" * 100, b"[" * 100000])
def test_other_files_say_nothing(served: Served, content: bytes) -> None:
    served.put(content)
    served.put(now_attested(), "a.override.json")
    assert served.ask().json["verdict"] == "pending"


def test_large_files_pipes_and_ways_out_of_the_folder_are_not_read(served: Served, tmp_path: Path) -> None:
    (tmp_path / "outside.attestation.json").write_bytes(now_attested())
    (served.folder / "link.attestation.json").symlink_to(tmp_path / "outside.attestation.json")
    (served.folder / "loop.attestation.json").symlink_to("loop.attestation.json")
    os.mkfifo(served.folder / "pipe.attestation.json")
    (served.folder / "folder.attestation.json").mkdir()
    served.put(b" " * (1 << 21) + now_attested(), "large.attestation.json")
    assert served.ask().json["verdict"] == "pending"


def test_a_mounted_config_map_is_read(served: Served) -> None:
    """Kubernetes mounts files as links to ..data/NAME, and swaps ..data."""
    (served.folder / "..2026").mkdir()
    (served.folder / "..2026" / "1.attestation.json").write_bytes(now_attested())
    (served.folder / "..data").symlink_to("..2026")
    (served.folder / "1.attestation.json").symlink_to("..data/1.attestation.json")
    assert served.ask().json["verdict"] == "pass"


def test_trouble_of_the_server_is_an_unverified_infra(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.put(now_attested())
        (tmp_path / "trust.toml").write_text("schema_version = 9")
        assert served.ask().json == served.ask().json
        said = served.ask()
        assert (said.status, said.json["verdict"], said.json["verified"]) == (200, "infra", False)
        (tmp_path / "trust.toml").write_text(trust_text(threshold=1))
        assert served.ask().json["verdict"] == "pass"
        served.folder.rename(tmp_path / "elsewhere")
        said = served.ask()
        assert (said.status, said.json["verdict"], said.json["verified"]) == (200, "infra", False)
        (tmp_path / "elsewhere").rename(served.folder)


def test_a_folder_that_does_not_answer_in_time_is_an_infra(tmp_path: Path) -> None:
    def slow() -> datetime:
        time.sleep(0.5)
        return datetime.now(UTC)

    (tmp_path / "1.attestation.json").write_bytes(now_attested())
    folder = AttestationFolder(tmp_path, write_trust(tmp_path), slow)
    question = Question(CANDIDATE, HARDWARE, RING)
    assert asyncio.run(folder.ask(question)).verdict == "pass"
    said = asyncio.run(folder.ask(question, within_s=0.05))
    assert (said.verdict, said.verified, said.passed) == ("infra", False, False)


def test_agents_get_the_file_that_speaks(served: Served) -> None:
    data = now_attested("BLOCK")
    served.put(data)
    answer = served.ask(f"/v1/attestation/{CANDIDATE}?{QUERY}")
    assert (answer.status, answer.body) == (200, data)
    missing = served.ask(f"/v1/attestation/{'9' * 64}?{QUERY}")
    assert (missing.status, missing.json["verdict"]) == (404, "pending")


@pytest.mark.parametrize("address", [VERDICT, f"/v1/attestation/{CANDIDATE}?{QUERY}"])
def test_etags(served: Served, address: str) -> None:
    served.put(now_attested())
    first = served.ask(address)
    again = served.ask(address, If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    served.put(now_attested("BLOCK"))
    assert served.ask(address, If_None_Match=first.headers["ETag"]).status == 200


def test_head_and_health(served: Served) -> None:
    assert served.ask("/healthz").json == {"status": "ok"}
    head = served.ask(method="HEAD")
    assert (head.status, head.body, int(head.headers["Content-Length"]) > 100) == (200, b"", True)


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


# tokens and TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "qdhil test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"flagger:{password}".encode()).decode()


def test_a_token_opens_and_nothing_else_does(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    with serving(tmp_path, "--token-file", tokens) as served:
        served.put(now_attested())
        assert served.ask(Authorization=f"Bearer {TOKEN}").json["verdict"] == "pass"
        assert served.ask(Authorization=basic(TOKEN)).json["verdict"] == "pass"
        wrong = ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, f"Token {TOKEN}"]
        wrong += [basic(""), basic("x"), "Basic !!!", "Bearer \xe9"]
        for offered in wrong:
            answer = served.ask(Authorization=offered)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), offered
            assert b"pass" not in answer.body
        assert served.ask().status == 401
        assert served.ask("/unknown").status == 401, "who has no token does not learn what there is"
        assert served.ask("/healthz").status == 200
        tokens.write_text(f"{'n' * 30}\n{TOKEN}\n")
        assert served.ask(Authorization=f"Bearer {'n' * 30}").status == 200, "a new token beside the old one"
        tokens.write_text(f"{'n' * 30}\n")
        assert served.ask(Authorization=f"Bearer {TOKEN}").status == 401
        tokens.unlink()
        assert served.ask(Authorization=f"Bearer {'n' * 30}").status == 401
        served.ask(f"{VERDICT}&token={TOKEN}")
        served.ask(f"/{TOKEN}")
        log = served.log.read_text()
    assert "no token" in log
    assert TOKEN not in log
    assert "n" * 30 not in log


def test_a_token_from_the_environment(tmp_path: Path) -> None:
    with serving(tmp_path, environment={"QDHIL_SERVE_TOKEN": TOKEN}) as served:
        assert served.ask().status == 401
        assert served.ask(Authorization=f"Bearer {TOKEN}").status == 200


def test_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    trusting.check_hostname = False
    with serving(tmp_path, "--tls-cert", certificate[0], "--tls-key", certificate[1]) as served:
        served.put(now_attested())
        assert served.url.startswith("https://")
        assert served.ask(tls=trusting).json["verdict"] == "pass"
        with pytest.raises(ssl.SSLCertVerificationError):
            served.ask(tls=ssl.create_default_context())
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            served.ask(tls=old)
        assert b"HTTP/1.1 2" not in served.say(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        silent = [socket.create_connection(served.address) for _ in range(70)]  # no TLS hello ever
        began = time.monotonic()
        assert served.ask(tls=trusting).json["verdict"] == "pass"
        assert time.monotonic() - began < 12
        for connection in silent:
            connection.close()
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(lambda _: served.ask(tls=trusting).status, range(200)))
        assert set(statuses) == {200}


def test_what_can_not_be_served_ends_in_64(tmp_path: Path, run: Command, certificate: tuple[Path, Path]) -> None:
    (tmp_path / "attestations").mkdir()
    (tmp_path / "trust.toml").write_text(trust_text())
    (tmp_path / "short").write_text("short\n")
    (tmp_path / "empty").write_text("\n")
    base = ("serve", tmp_path / "attestations", "--trust", tmp_path / "trust.toml", "--port", "0")
    tls = ("--tls-cert", certificate[0], "--tls-key", certificate[1])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cases: list[tuple[tuple[object, ...], str]] = [
            (("serve", tmp_path / "no", "--trust", tmp_path / "trust.toml"), "no such folder"),
            (("serve", tmp_path, "--trust", tmp_path / "no.toml"), "trust file"),
            ((*base, "--host", "0.0.0.0", *tls), "it takes a token"),
            ((*base, "--host", "203.0.113.7", "--token-file", tmp_path / "short", *tls), "at least 20"),
            ((*base, "--token-file", tmp_path / "empty"), "at least 20"),
            ((*base, "--token-file", tmp_path / "no"), "can't be read"),
            ((*base, "--tls-cert", certificate[0]), "belong together"),
            ((*base, "--tls-cert", certificate[1], "--tls-key", certificate[1]), "TLS certificate"),
            ((*base[:-1], str(taken.getsockname()[1])), "can't listen"),
            ((*base, "--host", "no.such.host.invalid", *tls), "takes a token"),
            ((*base, "--github", tmp_path / "no.toml"), "GitHub settings"),
        ]
        for arguments, said in cases:
            done = run(*arguments)
            assert (done.code, said in done.err) == (64, True), (arguments, done)
            assert len(done.err.splitlines()) == 1


def test_off_loopback_takes_tls_too(tmp_path: Path, run: Command) -> None:
    (tmp_path / "attestations").mkdir()
    (tmp_path / "trust.toml").write_text(trust_text())
    (tmp_path / "tokens").write_text(TOKEN)
    base = ("serve", tmp_path / "attestations", "--trust", tmp_path / "trust.toml", "--token-file", tmp_path / "tokens")
    done = run(*base, "--host", "0.0.0.0")
    assert (done.code, "must not travel in clear" in done.err) == (64, True)
    assert TOKEN not in done.err + done.out


# Flagger's hooks


@pytest.mark.parametrize("vector", [v for v in load() if v.transport in ("ok", "pending")], ids=lambda v: v.name)
def test_flagger_hooks(served: Served, vector: Vector) -> None:
    data = attestation(vector, **now_times())
    if data is not None:
        served.put(data)
    hook = {
        "name": "laser-controller",
        "namespace": "lab",
        "phase": "WaitingPromotion",
        "checksum": "85d557f47b",
        "metadata": {"firmware": CANDIDATE, "hardware": HARDWARE, "ring": RING},
    }
    body = json.dumps(hook).encode()
    confirm = served.ask("/v1/flagger/confirm", method="POST", body=body)
    rollback = served.ask("/v1/flagger/rollback", method="POST", body=body)
    assert (confirm.status, rollback.status) == (vector.answer.flagger_confirm, vector.answer.flagger_rollback)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"metadata": null}',
        b'{"metadata": {"firmware": 3}}',
        b'{"metadata": {}}',
        b"{" * 9,
    ],
)
def test_hooks_that_ask_nothing_are_answered_with_neither_yes(served: Served, body: bytes) -> None:
    served.put(now_attested())
    for address in ("/v1/flagger/confirm", "/v1/flagger/rollback"):
        assert served.ask(address, method="POST", body=body).status == 400


# what the manual says


def test_the_answer_in_the_manual_is_what_is_served() -> None:
    folder = ROOT / "docs" / "example-attestation"
    said = json.loads((folder / "served.json").read_text())
    question = Question(said["firmware_sha256"], said["hardware"], said["ring"])
    (file,) = folder.glob("*.attestation.json")
    issued = moment(authenticate(file.read_bytes(), load_trust(folder / "trust.toml")).claim.issued)
    assert AttestationFolder(folder, folder / "trust.toml", lambda: issued).answer(question).record(question) == said


def test_the_github_settings_in_the_manual_are_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "serve.md").read_text(), re.DOTALL)
    (tmp_path / "github.toml").write_text(block)
    assert load_github(tmp_path / "github.toml").bundle_trust == tmp_path / "trust.toml"
