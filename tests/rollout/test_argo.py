"""Argo Rollouts with the shipped template against the real endpoint: what it does with every state of a verdict."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from serving_made import VERDICT, Served, emptied, endpoint
from signing_made import attested

from rollout.argo import ACTIONS, Metric, Phase, analysed, assessed, condition, evaluated, measured
from rollout.vectors import Vector, attestation, load, now_times

WORKFLOWS = Path(__file__).resolve().parents[2] / "ci" / "workflows"
TEMPLATE = yaml.safe_load((WORKFLOWS / "argo-analysis-template.yaml").read_text())
(_METRIC,) = TEMPLATE["spec"]["metrics"]
RECOMMENDED = Metric.of_template(_METRIC)
NAIVE = Metric(success='result.verdict == "pass"', count=1)


server = pytest.fixture(scope="module")(endpoint)
served = pytest.fixture(emptied)


class _Stub(http.server.BaseHTTPRequestHandler):
    """What a proxy, a wrong address or another gate might answer."""

    answer: tuple[int, bytes] = (200, b"")

    def do_GET(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Callable[[int, bytes], str]]:
    handler = type("Handler", (_Stub,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def answers(status: int, body: bytes) -> str:
        handler.answer = (status, body)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield answers
    server.shutdown()
    thread.join()
    server.server_close()


TRANSPORTS = {
    "503": (503, b"unavailable"),
    "html": (200, b"<!doctype html>"),
    "empty": (200, b""),
    "null": (200, b"null"),
    "unknown-verdict": (200, b'{"verdict": "maybe", "verified": true}'),
}


@pytest.mark.parametrize("vector", [v for v in load() if v.transport != "missing-file"], ids=lambda v: v.name)
def test_the_table(served: Served, stub: Callable[[int, bytes], str], vector: Vector) -> None:
    url = served.url + VERDICT
    if vector.transport in TRANSPORTS:
        url = stub(*TRANSPORTS[vector.transport])
    elif vector.transport == "unreachable":
        url = "http://127.0.0.1:9/"
    elif (data := attestation(vector, **now_times())) is not None:
        served.put(data)
    phase = analysed(RECOMMENDED, lambda _: measured(RECOMMENDED, url), polls_max=20)
    assert ACTIONS[phase] == vector.answer.argo


# What Argo's own code, compiled and driven against a gate, did under a naive condition and under the recommended
# ones. The last three rows were not among the recorded ones; they follow from the same rules.
RECORDED: dict[str, tuple[bytes, str, str]] = {
    "pass": (b'{"verdict": "pass", "verified": true}', "PROCEED", "PROCEED"),
    "block": (b'{"verdict": "block", "verified": true}', "ABORT", "ABORT"),
    "inconclusive": (b'{"verdict": "inconclusive", "verified": true}', "ABORT", "PAUSE"),
    "infra": (b'{"verdict": "infra", "verified": true}', "ABORT", "PAUSE"),
    "pending": (b'{"verdict": "pending", "verified": false}', "ABORT", "PAUSE"),
    "unverified pass": (b'{"verdict": "pass", "verified": false}', "PROCEED", "PAUSE"),
    "missing": (b"{}", "ABORT", "PAUSE"),
    "null": (b"null", "ABORT", "PAUSE"),
    "unknown": (b'{"verdict": "PASSED", "verified": true}', "ABORT", "PAUSE"),
    "unverified block": (b'{"verdict": "block", "verified": false}', "ABORT", "PAUSE"),
    "no verified": (b'{"verdict": "pass"}', "PROCEED", "PAUSE"),
    "null verdict": (b'{"verdict": null, "verified": true}', "ABORT", "PAUSE"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_as_recorded_of_argo_itself(stub: Callable[[int, bytes], str], name: str) -> None:
    body, naive, recommended = RECORDED[name]
    url = stub(200, body)
    assert ACTIONS[analysed(NAIVE, lambda _: measured(NAIVE, url), polls_max=10)] == naive
    assert ACTIONS[analysed(RECOMMENDED, lambda _: measured(RECOMMENDED, url), polls_max=20)] == recommended


@pytest.mark.parametrize("name", ["503", "html", "empty"])
def test_errors_are_asked_again(stub: Callable[[int, bytes], str], name: str) -> None:
    """A gate that is down for five polls aborts a naive rollout; under the template it is asked again."""
    bad = stub(*TRANSPORTS[name])
    assert ACTIONS[analysed(NAIVE, lambda _: measured(NAIVE, bad), polls_max=5)] == "ABORT"

    def comes_back(number: int) -> Phase:
        if number < 5:
            return measured(RECOMMENDED, stub(*TRANSPORTS[name]))
        return measured(RECOMMENDED, stub(200, b'{"verdict": "pass", "verified": true}'))

    assert ACTIONS[analysed(RECOMMENDED, comes_back, polls_max=20)] == "PROCEED"


def test_a_slow_gate_is_an_error(stub: Callable[[int, bytes], str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert measured(replace(NAIVE, timeout_s=0.2), url) == "Error"


def test_pending_then_pass_proceeds_and_pending_then_block_aborts(served: Served) -> None:
    for verdict, action in (("PASS", "PROCEED"), ("BLOCK", "ABORT")):
        served.clear()

        def measure(number: int, verdict: str = verdict) -> Phase:
            if number == 3:
                served.put(attested(verdict, **now_times()))
            return measured(RECOMMENDED, served.url + VERDICT)

        assert ACTIONS[analysed(RECOMMENDED, measure, polls_max=20)] == action


def test_the_real_endpoint_is_safe_even_under_a_naive_condition(served: Served) -> None:
    """What does not hold is never served under the word "pass"."""
    for vector in load():
        if vector.transport != "ok":
            continue
        data = attestation(vector, **now_times())
        assert data is not None
        served.put(data)
        proceeds = ACTIONS[analysed(NAIVE, lambda _: measured(NAIVE, served.url + VERDICT), polls_max=10)] == "PROCEED"
        assert proceeds == (vector.answer.argo == "PROCEED"), vector.name


def test_held_for_hours_then_paused_never_decided() -> None:
    """What never becomes a verdict ends as Inconclusive, which pauses for people."""
    assert analysed(RECOMMENDED, lambda _: "Inconclusive", polls_max=1000) == "Inconclusive"
    assert analysed(RECOMMENDED, lambda _: "Inconclusive", polls_max=480) == "Running"
    assert analysed(RECOMMENDED, lambda _: "Error", polls_max=480) == "Running"


def test_argos_own_fail_open_rules() -> None:
    """An analysis ended before its first measurement counts as a success: ask in a step, not in the background."""
    assert assessed(RECOMMENDED, [], terminating=True) == "Successful"
    assert assessed(RECOMMENDED, ["Inconclusive"], terminating=True) == "Successful"
    assert evaluated(Metric(), None) == "Successful"


@pytest.mark.parametrize(
    ("text", "result", "expected"),
    [
        ('result?.verdict == "pass"', None, False),
        ('result?.verdict == "pass"', {"verdict": 1}, False),
        ("result?.verified == true", {"verified": "true"}, False),
        ("result?.verified == true", {"verified": 1}, False),
        ("result.a.b == 'x' && result.c == nil", {"a": {"b": "x"}}, True),
    ],
)
def test_conditions(text: str, result: Any, expected: bool) -> None:
    assert condition(text, result) is expected


def test_the_template_asks_the_endpoint_as_it_is_served() -> None:
    web = _METRIC["provider"]["web"]
    path = re.sub(r"^https://[^/]+", "", web["url"])
    for name, value in {"firmware-sha256": "b" * 64, "hardware": "psc-2-rev-b", "ring": "canary"}.items():
        assert name in {arg["name"] for arg in TEMPLATE["spec"]["args"]}
        path = path.replace("{{args." + name + "}}", value)
    assert path == VERDICT
    assert web["headers"] == [{"key": "Authorization", "value": "Bearer {{args.token}}"}]
    assert "job" not in _METRIC["provider"]
