"""GitHub's deployment protection rule, against a server on loopback that keeps to GitHub's documented contract."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import queue
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from command import Command, command
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rollout.vectors import Vector, attestation, load, now_times
from securesystemslib.signer import CryptoSigner
from serving_made import HARDWARE, RING, Answered, Served, serving
from signing_made import CI, STRANGER, attested, trust_text

from qdhil.firmware.manifest import MANIFEST_TYPE
from qdhil.keys.envelope import seal
from qdhil.keys.signers import public_pem
from qdhil.serve import Answer, Question
from qdhil.serve.github import GithubRule
from qdhil.serve.github_api import GithubApi
from qdhil.serve.github_settings import load_github

BUILD = Path(__file__).resolve().parents[1] / "sim" / "qdhil_sim" / "builds" / "1.5.0-good"
IMAGE = (BUILD / "image.toml").read_bytes()
CANDIDATE = {"candidate": {"version": "1.5.0-good", "sha256": hashlib.sha256(IMAGE).hexdigest()}}
COMMIT = "c0ffee" + "0" * 34
SECRET = "a-webhook-secret-of-the-tests"
TOKEN = "ghs_" + "t" * 36

run = pytest.fixture(command)


class Github(http.server.ThreadingHTTPServer):
    """The two addresses of GitHub's API that the rule calls."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Api)
        self.calls: queue.Queue[dict[str, Any]] = queue.Queue()
        self.token = TOKEN
        self.statuses: list[int] = []
        self.app: RSAPrivateKey | None = None
        self.tokens_made = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def said(self) -> str:
        """State of the next callback, or ``report`` where it has none."""
        return str(self.calls.get(timeout=30).get("state", "report"))

    def is_quiet(self, seconds: float = 0.6) -> bool:
        """Nothing more is called back, for a few looks of the rule."""
        with contextlib.suppress(queue.Empty):
            self.calls.get(timeout=seconds)
            return False
        return True


class _Api(http.server.BaseHTTPRequestHandler):
    server: Github
    protocol_version = "HTTP/1.1"
    fields: ClassVar[set[str]] = {"environment_name", "state", "comment"}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parts = self.path.strip("/").split("/")
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.server.statuses:
            self._answer(self.server.statuses.pop(0))
        elif parts[0] == "app" and parts[3] == "access_tokens":
            self._token(parts[2], bearer)
        elif bearer != self.server.token:
            self._answer(401)
        elif parts[-1] != "deployment_protection_rule" or not self._is_review(body):
            self._answer(422)
        else:
            self.server.calls.put({"run": parts[5], **body})
            self._answer(204)

    def _is_review(self, body: dict[str, Any]) -> bool:
        """What GitHub takes: a state with a comment or without, or a comment alone."""
        if not isinstance(body.get("environment_name"), str) or not set(body) <= self.fields:
            return False
        return body.get("state") in ("approved", "rejected") or ("state" not in body and bool(body.get("comment")))

    def _token(self, installation: str, jwt: str) -> None:
        head, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in jwt.split("."))
        assert self.server.app is not None
        self.server.app.public_key().verify(signature, jwt.rpartition(".")[0].encode(), PKCS1v15(), SHA256())
        said = json.loads(claims)
        now = time.time()
        assert json.loads(head)["alg"] == "RS256"
        assert said["iss"] == "12345"
        assert said["iat"] <= now < said["exp"] <= said["iat"] + 600, "GitHub takes ten minutes at most"
        self.server.tokens_made += 1
        self._answer(201, {"token": self.server.token, "expires_at": "2030-01-01T00:00:00Z", "for": installation})

    def _answer(self, status: int, value: dict[str, Any] | None = None) -> None:
        text = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def github() -> Iterator[Github]:
    server = Github()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def write_bundle(folder: Path, image: bytes) -> None:
    """A bundle of the commit that the webhooks name."""
    manifest = json.loads((BUILD / "manifest.json").read_text())
    manifest |= {"git_commit": COMMIT, "sha256": hashlib.sha256(image).hexdigest(), "size_bytes": len(image)}
    folder.mkdir()
    (folder / "image.toml").write_bytes(image)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def sign_bundle(folder: Path, signer: CryptoSigner) -> None:
    payload = (folder / "manifest.json").read_bytes()
    envelope = seal(payload, [signer], payload_type=MANIFEST_TYPE)
    (folder / "manifest.dsse.json").write_bytes(envelope.encode())


def settings(
    folder: Path, api: str, more: str = 'token_file = "token"', bundles: str = "unsigned_bundles = true"
) -> Path:
    """``github.toml`` with what it names."""
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "secret").write_text(f"{SECRET}\n")
    (folder / "bundles").mkdir(exist_ok=True)
    write_bundle(folder / "bundles" / "1.5.0", IMAGE)
    file = folder / "github.toml"
    file.write_text(f"""
schema_version = 1
api = "{api}"
repositories = ["lab/firmware"]
bundles = "bundles"
{bundles}
webhook_secret_file = "secret"
{more}

[environments.production]
hardware = "{HARDWARE}"
ring = "{RING}"
""")
    return file


@pytest.fixture
def served(tmp_path: Path, github: Github) -> Iterator[Served]:
    with serving(tmp_path, "--github", settings(tmp_path, github.url), "--github-every", "0.2") as served:
        yield served


def payload(api: str, **changes: Any) -> dict[str, Any]:
    """The parts of a deployment_protection_rule webhook that are read, and some that are not."""
    return {
        "action": "requested",
        "environment": "production",
        "event": "push",
        "deployment_callback_url": f"{api}/repos/lab/firmware/actions/runs/42/deployment_protection_rule",
        "deployment": {"sha": COMMIT, "ref": "main", "task": "deploy", "environment": "production"},
        "pull_requests": [],
        "repository": {"full_name": "lab/firmware", "private": True},
        "installation": {"id": 7, "node_id": "x"},
        "sender": {"login": "ada"},
        **changes,
    }


def deliver(
    served: Served, value: Any, *, secret: str = SECRET, event: str = "deployment_protection_rule", **headers: str
) -> Answered:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    signature = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
    named = {"X_GitHub_Event": event, "X_Hub_Signature_256": signature} | headers
    return served.ask("/v1/github", method="POST", body=body, **named)


@pytest.mark.parametrize(
    "vector",
    [v for v in load() if v.transport in ("ok", "pending") and (v.verdict == "pass" or v.signature == "good")],
    ids=lambda v: v.name,
)
def test_the_table(served: Served, github: Github, vector: Vector) -> None:
    data = attestation(vector, **now_times(), **CANDIDATE)
    if data is not None:
        served.put(data)
    assert deliver(served, payload(github.url)).status == 202
    waits = vector.answer.github == "waiting"
    assert github.said() == ("report" if waits else vector.answer.github)
    assert github.is_quiet()


def test_the_callback_names_environment_state_and_reason(served: Served, github: Github) -> None:
    served.put(attested(**now_times(), **CANDIDATE))
    deliver(served, payload(github.url))
    assert github.calls.get(timeout=10) == {
        "run": "42",
        "environment_name": "production",
        "state": "approved",
        "comment": "qdhil: PASS: as measured",
    }


def test_a_deployment_waits_until_there_is_a_verdict(served: Served, github: Github) -> None:
    deliver(served, payload(github.url))
    assert github.said() == "report"
    assert github.is_quiet(), "the reason is said once"
    served.put(attested("INCONCLUSIVE", **now_times(), **CANDIDATE))
    assert github.said() == "report"
    served.put(attested("BLOCK", **now_times(), **CANDIDATE))
    assert github.said() == "rejected"
    served.clear()
    served.put(attested(**now_times(), **CANDIDATE))
    assert github.is_quiet(), "a decision is said once"


def test_an_api_that_fails_is_called_again(served: Served, github: Github) -> None:
    github.statuses = [500, 503, 302, 401]
    served.put(attested(**now_times(), **CANDIDATE))
    deliver(served, payload(github.url))
    assert github.said() == "approved"
    assert github.statuses == []


def test_a_commit_without_a_bundle_waits(served: Served, github: Github, tmp_path: Path) -> None:
    served.put(attested(**now_times(), **CANDIDATE))
    other = tmp_path / "bundles" / "other"
    write_bundle(other, b"another image of the same commit")
    deliver(served, payload(github.url))
    assert github.said() == "report", "a commit that is two firmwares is none"
    (other / "manifest.json").unlink()
    assert github.said() == "approved"


def test_only_signed_webhooks_of_known_places_are_taken(served: Served, github: Github) -> None:
    served.put(attested(**now_times(), **CANDIDATE))
    good = payload(github.url)
    evil = "https://evil.example/repos/lab/firmware/actions/runs/42/deployment_protection_rule"
    cases: list[tuple[int, Any, dict[str, str]]] = [
        (401, good, {"secret": "another-secret"}),
        (401, good, {"X_Hub_Signature_256": ""}),
        (401, good, {"X_Hub_Signature_256": "sha256="}),
        (401, good, {"X_Hub_Signature_256": "sha1=" + "0" * 40}),
        (400, b"", {}),
        (400, b"null", {}),
        (400, b"[]", {}),
        (400, good, {"event": "push"}),
        (400, payload(github.url, action="created"), {}),
        (400, payload(github.url, environment="staging"), {}),
        (400, payload(github.url, environment=["production"]), {}),
        (400, payload(github.url, repository={"full_name": "lab/other"}), {}),
        (400, payload(github.url, repository="lab/firmware"), {}),
        (400, payload(github.url, deployment={"sha": COMMIT[:12]}), {}),
        (400, payload(github.url, deployment_callback_url=evil), {}),
        (400, payload(github.url, deployment_callback_url=good["deployment_callback_url"] + "/../x"), {}),
        (400, payload(github.url, deployment_callback_url=good["deployment_callback_url"] + "?a=b"), {}),
        (400, payload(github.url, deployment_callback_url=github.url + "@evil.example/repos"), {}),
    ]
    for status, value, options in cases:
        answer = deliver(served, value, **options)  # type: ignore[arg-type]
        assert answer.status == status, (value, answer)
    assert deliver(served, b"{}", event="ping").status == 200
    assert github.is_quiet()
    log = served.log.read_text()
    assert SECRET not in log
    assert TOKEN not in log


def test_an_app_makes_its_own_tokens(tmp_path: Path, github: Github) -> None:
    github.app = generate_private_key(65537, 2048)
    pem = github.app.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "app.pem").write_bytes(pem)
    file = settings(tmp_path, github.url, 'app = { id = "12345", key_file = "app.pem" }')
    with serving(tmp_path, "--github", file, "--github-every", "0.2") as served:
        served.put(attested(**now_times(), **CANDIDATE))
        for number in (42, 43):
            url = f"{github.url}/repos/lab/firmware/actions/runs/{number}/deployment_protection_rule"
            deliver(served, payload(github.url, deployment_callback_url=url))
            assert github.said() == "approved"
        assert github.tokens_made == 1, "a token is used while it holds"
        assert "PRIVATE" not in served.log.read_text()


def test_only_a_signed_bundle_says_what_a_commit_is(tmp_path: Path, github: Github) -> None:
    keys = f'[firmware]\nthreshold = 1\n[keys.build]\nsigns = "firmware"\npublic = """\n{public_pem(CI)}"""\n'
    (tmp_path / "bundles.toml").write_text(f"schema_version = 1\nthreshold = 1\nlifetime_max_h = 24\n{keys}")
    file = settings(tmp_path, github.url, bundles='bundle_trust = "bundles.toml"')
    with serving(tmp_path, "--github", file, "--github-every", "0.2") as served:
        served.put(attested(**now_times(), **CANDIDATE))
        deliver(served, payload(github.url))
        assert github.said() == "report"
        sign_bundle(tmp_path / "bundles" / "1.5.0", STRANGER)
        assert github.is_quiet()
        sign_bundle(tmp_path / "bundles" / "1.5.0", CI)
        assert github.said() == "approved"


def test_the_rule_stops_when_it_is_told(tmp_path: Path, github: Github) -> None:
    """Cancelled around a time-out, where a cancellation is easily swallowed."""
    found = load_github(settings(tmp_path, github.url))
    dice = random.Random(20261123)

    async def ask(question: Question) -> Answer:
        return Answer("pending", False, str(question))

    async def stopped() -> bool:
        rule = GithubRule(found, lambda commit: None, GithubApi(found), ask, every_s=0.002)
        task = asyncio.create_task(rule.run())
        await asyncio.sleep(dice.uniform(0.0, 0.01))
        time.sleep(dice.choice((0.0, 0.003)))  # the loop is busy while the time runs out
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=2.0)
        task.cancel()
        return bool(done)

    async def many() -> list[bool]:
        return [await stopped() for _ in range(100)]

    assert all(asyncio.run(many()))


@pytest.mark.parametrize(
    ("api", "more", "said"),
    [
        ("http://api.example", 'token_file = "token"', "plain http only to this machine"),
        ("https://user:secret@api.example", 'token_file = "token"', "api"),
        ("https://api.github.com", 'token_file = "no"', "can't be read"),
        ("https://api.github.com", 'app = { id = "1", key_file = "token" }', "private key of the GitHub App"),
        ("https://api.github.com", 'token_file = "token"\napp = { id = "1", key_file = "k" }', "either app or"),
        ("https://api.github.com", "", "QDHIL_GITHUB_TOKEN"),
        ("https://api.github.com", 'token_file = "token"\nunknown = 1', "unknown"),
    ],
)
def test_settings_that_can_not_work_end_in_64(
    tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch, api: str, more: str, said: str
) -> None:
    monkeypatch.delenv("QDHIL_GITHUB_TOKEN", raising=False)
    (tmp_path / "attestations").mkdir()
    (tmp_path / "trust.toml").write_text(trust_text())
    file = settings(tmp_path, api, more)
    done = run("serve", tmp_path / "attestations", "--trust", tmp_path / "trust.toml", "--github", file, "--port", "0")
    assert (done.code, said in done.err) == (64, True), done
    assert TOKEN not in done.err
