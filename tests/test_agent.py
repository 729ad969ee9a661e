"""``qdhil agent verify``: the vector table over every way to an attestation, and what the device file refuses."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from command import Command, command
from rollout import vectors
from rollout.vectors import Vector
from signing_made import trust_text

from qdhil.agent.attestations import TOKEN_VARIABLE
from qdhil.agent.device_file import load_device

IMAGE = b"firmware 1.5.0"
SHA256 = hashlib.sha256(IMAGE).hexdigest()
CLAIM: dict[str, Any] = {"candidate": {"version": "1.5.0", "sha256": SHA256}, **vectors.now_times()}
TOKEN = "agent-token-5e0f7d0c9a71b3"
FILED = tuple(vector for vector in vectors.load() if vector.transport not in ("unreachable", "503", "pending"))
SERVED = tuple(vector for vector in vectors.load() if vector.transport != "missing-file")


@pytest.fixture
def qdhil(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return command(monkeypatch, capsys)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A folder with an image, a trust file and a device file that looks beside the image."""
    (tmp_path / "image.bin").write_bytes(IMAGE)
    (tmp_path / "trust.toml").write_text(trust_text())
    write_device(tmp_path)
    return tmp_path


def write_device(folder: Path, more: str = "", **changes: str) -> None:
    facts = {"hardware": '"psc-2-rev-b"', "ring": '"canary"', "nonces": '"nonces"', **changes}
    lines = ["schema_version = 1", *(f"{name} = {value}" for name, value in facts.items()), more]
    (folder / "agent.toml").write_text("\n".join(lines) + "\n")


def put(file: Path, data: bytes | None) -> None:
    if data is not None:
        file.write_bytes(data)


def asked(qdhil: Command, folder: Path, *more: object, image: object = None) -> Any:
    return qdhil("agent", "verify", image or folder / "image.bin", "--device", folder / "agent.toml", *more)


def codes(qdhil: Command, folder: Path, vector: Vector) -> tuple[int, int]:
    """Exit code, and the one of a Mender state script; a nonce is used by the first that accepts."""
    if vector.signature == "replayed":
        assert asked(qdhil, folder).code == 0
        return asked(qdhil, folder).code, asked(qdhil, folder, "--exit-map", "mender").code
    plain = asked(qdhil, folder).code
    (folder / "nonces").unlink(missing_ok=True)
    return plain, asked(qdhil, folder, "--exit-map", "mender").code


@pytest.mark.parametrize("vector", FILED, ids=lambda vector: vector.name)
def test_a_device_obeys_the_attestation_beside_the_image(qdhil, device, vector):
    put(device / "image.bin.attestation.json", vectors.attestation(vector, **CLAIM))
    assert codes(qdhil, device, vector) == (vector.answer.exit, vector.answer.mender)


@pytest.mark.parametrize("vector", FILED, ids=lambda vector: vector.name)
def test_a_device_obeys_a_folder_of_attestations(qdhil, device, vector):
    write_device(device, '[attestations]\nfolder = "verdicts"')
    (device / "verdicts").mkdir()
    put(device / "verdicts" / f"{SHA256}.attestation.json", vectors.attestation(vector, **CLAIM))
    assert codes(qdhil, device, vector) == (vector.answer.exit, vector.answer.mender)


@pytest.fixture
def gate() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], str]]:
    """Serve any answer at all, as a gate that is broken, or is none, gives it."""
    servers: list[ThreadingHTTPServer] = []

    def serve(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        handler = type("Gate", (BaseHTTPRequestHandler,), {"do_GET": answer, "log_message": lambda *_: None})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def answering(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(self: BaseHTTPRequestHandler) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    return answer


def of_vector(vector: Vector) -> Callable[[BaseHTTPRequestHandler], None]:
    if vector.transport == "503":
        return answering(503, b"<html>Service Unavailable</html>")
    if vector.transport == "pending":
        return answering(404, json.dumps({"verdict": "pending", "verified": False}).encode())
    return answering(200, vectors.attestation(vector, **CLAIM) or b"")


@pytest.mark.parametrize("vector", SERVED, ids=lambda vector: vector.name)
def test_a_device_obeys_what_comes_over_the_network(qdhil, device, gate, vector):
    url = closed_port() if vector.transport == "unreachable" else gate(of_vector(vector))
    write_device(device, f'[attestations]\nurl = "{url}"\ntimeout_s = 2')
    assert codes(qdhil, device, vector) == (vector.answer.exit, vector.answer.mender)


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def silent(self: BaseHTTPRequestHandler) -> None:
    time.sleep(3)


def dripping(self: BaseHTTPRequestHandler) -> None:
    self.send_response(200)
    self.send_header("Content-Length", "1000")
    self.end_headers()
    for _ in range(30):
        self.wfile.write(b" ")
        time.sleep(0.1)


def cut_off(self: BaseHTTPRequestHandler) -> None:
    self.send_response(200)
    self.send_header("Content-Length", "1000")
    self.end_headers()
    self.wfile.write(b'{"payload"')


def no_http(self: BaseHTTPRequestHandler) -> None:
    self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (silent, 30),
        (dripping, 30),
        (cut_off, 30),
        (no_http, 30),
        (answering(500, b""), 30),
        (answering(401, b""), 30),
        (answering(302, b"", Location="http://127.0.0.1:9/"), 30),
        (answering(404, b"<html>not found</html>"), 30),
        (answering(404, b'{"verdict": "pass"}'), 30),
        (answering(404, b'{"verdict": "infra"}'), 30),
        (answering(404, b'{"verdict": "refused"}'), 40),
        (answering(200, b" " * (1 << 20) + b"  "), 40),
        (answering(204, b""), 40),
    ],
    ids=lambda it: getattr(it, "__name__", it),
)
def test_whatever_a_gate_answers_nothing_but_a_verified_pass_installs(qdhil, device, gate, answer, code):
    write_device(device, f'[attestations]\nurl = "{gate(answer)}"\ntimeout_s = 1')
    before = time.monotonic()
    ended = asked(qdhil, device)
    assert (ended.code, len((ended.out + ended.err).splitlines())) == (code, 1)
    assert time.monotonic() - before < 2.9


def test_an_attestation_comes_from_a_real_verdict_endpoint_with_its_token(qdhil, device, monkeypatch):
    verdicts = device / "verdicts"
    verdicts.mkdir()
    opened = next(vector for vector in vectors.load() if vector.answer.action == "install")
    (device / "token").write_text(TOKEN + "\n")
    program = [sys.executable, "-c", "from qdhil.cli.main import run; run()"]
    options = ["--trust", str(device / "trust.toml"), "--port", "0", "--token-file", str(device / "token")]
    server = subprocess.Popen([*program, "serve", str(verdicts), *options], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        write_device(device, f'[attestations]\nurl = "{url}"')
        assert asked(qdhil, device).code == 30  # no token
        monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
        assert asked(qdhil, device).code == 20  # nothing known yet
        (verdicts / "any-name.attestation.json").write_bytes(vectors.attestation(opened, **CLAIM) or b"")
        assert asked(qdhil, device, image=SHA256).code == 0
        assert asked(qdhil, device).code == 40  # used
        monkeypatch.delenv(TOKEN_VARIABLE)
        write_device(device, f'[attestations]\nurl = "{url}"\ntoken_file = "token"', nonces='"others"')
        assert asked(qdhil, device).code == 0
    finally:
        server.terminate()
        server.communicate(timeout=10)


def test_an_endpoint_is_spoken_to_with_the_certificates_of_the_device_file(qdhil, device, monkeypatch):
    """With its own authority it is believed as an endpoint; otherwise no token is sent, and nothing is installed."""
    files = {name: device / name for name in ("gate.key", "gate.crt")}
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=gate"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", files["gate.key"], "-out", files["gate.crt"]),
        ],
        check=True,
        capture_output=True,
    )
    verdicts, token = device / "verdicts", device / "token"
    verdicts.mkdir()
    token.write_text(TOKEN)
    put(verdicts / "1.attestation.json", vectors.attestation(vectors.load()[0], **CLAIM))
    options = ["--trust", device / "trust.toml", "--port", "0", "--token-file", token]
    options += ["--tls-cert", files["gate.crt"], "--tls-key", files["gate.key"]]
    program = Path(sys.executable).with_name("qdhil")
    server = subprocess.Popen([program, "serve", verdicts, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        where = f'[attestations]\nurl = "{server.stdout.readline().split()[-1]}"\ntoken_file = "token"\n'
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        write_device(device, where)
        unknown = asked(qdhil, device)
        assert (unknown.code, "SSLCertVerificationError" in unknown.err) == (30, True)
        write_device(device, f'{where}ca_file = "gate.crt"\n')
        assert asked(qdhil, device).code == 0
        write_device(device, f'{where}ca_file = "token"\n')
        assert asked(qdhil, device).code == 64
    finally:
        server.terminate()
        server.communicate(timeout=10)


def test_a_file_named_on_the_command_line_is_believed_in_its_place(qdhil, device):
    opened, harmful = vectors.load()[:2]
    put(device / "image.bin.attestation.json", vectors.attestation(opened, **CLAIM))
    put(device / "other.json", vectors.attestation(harmful, **CLAIM))
    ended = asked(qdhil, device, "--attestation", device / "other.json", "--json")
    assert (ended.code, json.loads(ended.out)["verdict"]) == (10, "BLOCK")
    assert asked(qdhil, device).code == 0


def test_an_image_with_one_changed_byte_is_another_image(qdhil, device):
    put(device / "image.bin.attestation.json", vectors.attestation(vectors.load()[0], **CLAIM))
    (device / "image.bin").write_bytes(IMAGE[:-1] + b"1")
    assert asked(qdhil, device).code == 40
    (device / "image.bin").unlink()
    assert asked(qdhil, device).code == 64


def test_a_digest_alone_has_nothing_beside_it(qdhil, device):
    put(device / "image.bin.attestation.json", vectors.attestation(vectors.load()[0], **CLAIM))
    assert asked(qdhil, device, image=f"sha256:{SHA256}").code == 64
    named = ("--attestation", device / "image.bin.attestation.json")
    assert asked(qdhil, device, *named, image=f"sha256:{SHA256}").code == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"hardware": '"psc-3"'}, 40),
        ({"ring": '"fleet"'}, 40),
        ({"policy_sha256": f'"{"e" * 64}"'}, 40),
        ({"policy_sha256": f'"{"c" * 64}"'}, 0),
        ({"trust": '"none.toml"'}, 64),
        ({"nonces": '"trust.toml/nonces"'}, 64),
        ({"ring": '""'}, 64),
        ({"colour": '"red"'}, 64),
        ({"schema_version": "2"}, 64),
        ({"more": "[attestations]"}, 64),
        ({"more": '[attestations]\nfolder = "."\nurl = "http://127.0.0.1"'}, 64),
        ({"more": '[attestations]\nfolder = "."\ntoken_file = "t"'}, 64),
        ({"more": '[attestations]\nurl = "ftp://127.0.0.1"'}, 64),
        ({"more": '[attestations]\nurl = "https://me:secret@gate.example"'}, 64),
        ({"more": '[attestations]\nurl = "http://gate.example"\ntoken_file = "trust.toml"'}, 64),
    ],
)
def test_the_device_file_says_what_this_device_is(qdhil, device, changes, code):
    put(device / "image.bin.attestation.json", vectors.attestation(vectors.load()[0], **CLAIM))
    if "schema_version" in changes:
        (device / "agent.toml").write_text((device / "agent.toml").read_text().replace("= 1", "= 2", 1))
    else:
        write_device(device, **changes)
    ended = asked(qdhil, device)
    assert ended.code == code
    assert "secret" not in ended.err


def test_a_token_never_travels_in_clear_nor_into_a_message(qdhil, device, monkeypatch):
    write_device(device, '[attestations]\nurl = "http://gate.example"')
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    ended = asked(qdhil, device)
    assert (ended.code, "must not travel in clear" in ended.err) == (64, True)
    monkeypatch.setenv(TOKEN_VARIABLE, f"{TOKEN}\r\nX-Other: 1")
    write_device(device, f'[attestations]\nurl = "{closed_port()}"')
    injected = asked(qdhil, device)
    assert injected.code == 64
    assert TOKEN not in ended.err + injected.err + ended.out + injected.out


def test_the_page_on_devices_quotes_what_is_printed(qdhil, device, gate):
    page = (Path(__file__).parents[1] / "docs" / "devices.md").read_text()
    printed = page.partition("<!-- printed by: tests/test_agent.py -->")[2].split("```")[1]
    elsewhere = next(vector for vector in vectors.load() if vector.signature == "other-hardware")
    put(device / "image.bin.attestation.json", vectors.attestation(elsewhere, **CLAIM))
    said = asked(qdhil, device).out
    pending = next(vector for vector in vectors.load() if vector.transport == "pending")
    write_device(device, f'[attestations]\nurl = "{gate(of_vector(pending))}"')
    said += asked(qdhil, device).err
    assert said.splitlines() == [line for line in printed.strip().splitlines() if not line.startswith("$")]


def test_the_shipped_device_file_is_one():
    shipped = load_device(Path(__file__).parents[1] / "ci" / "workflows" / "swupdate" / "agent.toml")
    assert (shipped.ring, shipped.attestations is not None) == ("canary", True)


def test_the_agent_takes_less_than_half_a_second_of_a_processor(device):
    """As installed, with its modules compiled; time on the processor, as other tests run beside this one."""
    put(device / "image.bin.attestation.json", vectors.attestation(vectors.load()[0], **CLAIM))
    write_device(device, nonces='"n"')
    program = [Path(sys.executable).with_name("qdhil"), "agent", "verify", device / "image.bin"]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(device / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    taken = []
    for _ in range(4):
        (device / "n").unlink(missing_ok=True)
        before = os.times()
        subprocess.run([*program, "--device", device / "agent.toml"], check=True, capture_output=True, env=environment)
        after = os.times()
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(taken) < 0.5


def dripping_head(self: BaseHTTPRequestHandler) -> None:
    for _ in range(60):
        self.wfile.write(b"H")
        time.sleep(0.1)


def test_a_gate_whose_head_never_ends(qdhil, device, gate):
    write_device(device, f'[attestations]\nurl = "{gate(dripping_head)}"\ntimeout_s = 1')
    before = time.monotonic()
    ended = asked(qdhil, device)
    assert (ended.code, time.monotonic() - before < 2.9) == (30, True)


@pytest.mark.parametrize("pipe", ["image.bin", "image.bin.attestation.json", f"{SHA256}.attestation.json"])
def test_a_pipe_is_not_waited_for(device, pipe):
    if pipe.startswith(SHA256):
        write_device(device, '[attestations]\nfolder = "."')
    (device / pipe).unlink(missing_ok=True)
    os.mkfifo(device / pipe)
    program = [Path(sys.executable).with_name("qdhil"), "agent", "verify", device / "image.bin"]
    ended = subprocess.run(
        [*program, "--device", device / "agent.toml"], capture_output=True, text=True, timeout=20, check=False
    )
    assert (ended.returncode, "not a file" in ended.stderr) == (64, True)
