"""Who may ask the endpoint: tokens, TLS, and what it takes to leave this machine."""

from __future__ import annotations

import base64
import concurrent.futures
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import Command, command
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from serving_made import VERDICT, emptied, endpoint, now_attested, serving
from signing_made import trust_text

TOKEN = "a-token-of-the-tests-0123456789"
run = pytest.fixture(command)
server = pytest.fixture(scope="module")(endpoint)
served = pytest.fixture(emptied)


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
