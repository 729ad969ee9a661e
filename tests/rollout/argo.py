"""Argo Rollouts' analysis of a web metric, as its sources say it, for the tests to run against the real endpoint.

Re-stated from github.com/argoproj/argo-rollouts: ``metricproviders/webmetric/webmetric.go`` (a measurement),
``utils/evaluate/evaluate.go`` (the conditions) and ``analysis/analysis.go`` (the metric from its measurements). Of the
expression language (expr-lang.org) only what the templates use: members, ``?.``, ``==``, ``&&``, texts, true and
false. ``test_argo.py`` compares what it decides with what was recorded of Argo's own code.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Phase = Literal["Successful", "Failed", "Inconclusive", "Error", "Running"]
Action = Literal["PROCEED", "ABORT", "PAUSE"]

# what a rollout does with the phase of its analysis; one that goes on running holds the rollout at its step
ACTIONS: dict[Phase, Action] = {
    "Successful": "PROCEED",
    "Failed": "ABORT",
    "Error": "ABORT",
    "Inconclusive": "PAUSE",
    "Running": "PAUSE",
}
DEFAULT_CONSECUTIVE_ERROR_LIMIT = 4


class ConditionError(Exception):
    """A condition that can't be evaluated on a result."""


@dataclass(frozen=True)
class Metric:
    """The part of a metric that decides."""

    success: str = ""
    failure: str = ""
    count: int | None = None
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = DEFAULT_CONSECUTIVE_ERROR_LIMIT
    consecutive_success_limit: int | None = None
    timeout_s: float = 10.0

    @classmethod
    def of_template(cls, metric: dict[str, Any]) -> Metric:
        """Read a metric of an AnalysisTemplate."""
        assert metric["provider"]["web"]["jsonPath"] == "{$}"
        return cls(
            metric.get("successCondition", ""),
            metric.get("failureCondition", ""),
            metric.get("count"),
            metric.get("failureLimit", 0),
            metric.get("inconclusiveLimit", 0),
            metric.get("consecutiveErrorLimit", DEFAULT_CONSECUTIVE_ERROR_LIMIT),
            metric.get("consecutiveSuccessLimit"),
            metric["provider"]["web"].get("timeoutSeconds", 10),
        )


def measured(metric: Metric, url: str, headers: dict[str, str] | None = None) -> Phase:
    """Take one measurement: ``webmetric.go`` with the path ``{$}``."""
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=metric.timeout_s) as answer:
            result = json.loads(answer.read())
    except (OSError, ValueError, urllib.error.URLError, http.client.HTTPException):
        return "Error"
    return evaluated(metric, result)


def evaluated(metric: Metric, result: Any) -> Phase:
    """Judge one result: ``evaluate.go``."""
    try:
        succeeds = bool(metric.success) and condition(metric.success, result)
        fails = bool(metric.failure) and condition(metric.failure, result)
    except ConditionError:
        return "Error"
    if not metric.success and not metric.failure:
        return "Successful"
    if not metric.failure:
        fails = not succeeds
    elif not metric.success:
        succeeds = not fails
    if fails:
        return "Failed"
    return "Successful" if succeeds else "Inconclusive"


def assessed(metric: Metric, measurements: list[Phase], *, terminating: bool = False) -> Phase:
    """Judge all measurements so far: ``assessMetricStatus``."""
    if not measurements:
        return "Successful" if terminating else "Running"
    if measurements.count("Failed") > metric.failure_limit:
        return "Failed"
    if measurements.count("Inconclusive") > metric.inconclusive_limit:
        return "Inconclusive"
    if _trailing(measurements, "Error") > metric.consecutive_error_limit:
        return "Error"
    counted = sum(phase != "Error" for phase in measurements)
    if metric.count is not None and counted >= metric.count:
        return "Successful"
    if metric.consecutive_success_limit and _trailing(measurements, "Successful") >= metric.consecutive_success_limit:
        return "Successful"
    return "Successful" if terminating else "Running"


def analysed(metric: Metric, measure: Callable[[int], Phase], polls_max: int) -> Phase:
    """Poll until the metric is decided, or as often as allowed."""
    measurements: list[Phase] = []
    for number in range(polls_max):
        measurements.append(measure(number))
        phase = assessed(metric, measurements)
        if phase != "Running":
            return phase
    return "Running"


def _trailing(measurements: list[Phase], phase: Phase) -> int:
    count = 0
    for one in reversed(measurements):
        if one != phase:
            break
        count += 1
    return count


_TOKEN = re.compile(r"""\s*(?:(&&|==|\?\.|\.)|"([^"]*)"|'([^']*)'|([A-Za-z_]\w*))""")


def condition(text: str, result: Any) -> bool:
    """Evaluate a condition."""
    tokens = _Tokens(text)
    value = _comparison(tokens, result)
    while tokens.take("&&"):
        # both sides are parsed; the right one counts only where the left one is true
        right = _comparison(tokens, result if value is True else None, dry=value is not True)
        value = value is True and right
    if tokens.left or not isinstance(value, bool):
        raise ConditionError(text)
    return value


class _Tokens:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))

    @property
    def left(self) -> bool:
        return bool(self._tokens)

    def take(self, *symbols: str) -> str | None:
        if self._tokens and self._tokens[0][0] == "symbol" and self._tokens[0][1] in symbols:
            return self._tokens.pop(0)[1]
        return None

    def word(self) -> tuple[str, str]:
        if not self._tokens or self._tokens[0][0] == "symbol":
            raise ConditionError("a word is missing")
        return self._tokens.pop(0)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ConditionError(text)
        position = match.end()
        symbol, double, single, name = match.groups()
        if symbol:
            yield "symbol", symbol
        elif name:
            yield "name", name
        else:
            yield "text", double if double is not None else single


def _comparison(tokens: _Tokens, result: Any, *, dry: bool = False) -> Any:
    left = _operand(tokens, result, dry)
    if tokens.take("=="):
        right = _operand(tokens, result, dry)
        return dry or (type(left) is type(right) and left == right)
    return left


def _operand(tokens: _Tokens, result: Any, dry: bool) -> Any:
    kind, word = tokens.word()
    if kind == "text":
        return word
    if word in ("true", "false", "nil"):
        return {"true": True, "false": False, "nil": None}[word]
    if word != "result":
        raise ConditionError(f"unknown name {word}")
    value = result
    while link := tokens.take(".", "?."):
        _, member = tokens.word()
        if dry or (value is None and link == "?."):
            value = None
        elif isinstance(value, dict):
            value = value.get(member)
        else:
            raise ConditionError(f"cannot fetch {member} from {type(value).__name__}")
    return value
