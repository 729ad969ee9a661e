"""One campaign of a bisection: a pytest session between two bundles, and the effect its verdict states."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

from qdhil.errors import ConfigurationError
from qdhil.exit_codes import ExitCode
from qdhil.model_files import read_json
from qdhil.record.run_folder import VERDICT_NAME
from qdhil.record.schemas import VerdictRecord

_MEASURED = (ExitCode.PASS, ExitCode.BLOCK, ExitCode.INCONCLUSIVE)


def measure_by_campaign(
    candidate: str,
    *,
    rig: str,
    metric: str,
    baseline: str | None,
    rack: Path | None,
    policy: Path | None,
    runs: Path,
) -> tuple[int, str]:
    """Run the shipped suites and return the exit code and the line of JSON (empty where nothing was measured).

    The effect is the logarithm of the ratio candidate/baseline on the metric's scale of harm; its error is half
    the width of the interval in standard deviations. A campaign that measured ends with 0, whatever its
    verdict: the effect says more. One that did not keeps its code (30 INFRA, 40 REFUSED).
    """
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="campaign-", dir=runs))
    words = [sys.executable, "-m", "pytest", "--pyargs", "qdhil_suites", "-q", "-p", "no:cacheprovider"]
    words += ["--rig", rig, "--candidate", candidate, "--rig-runs", str(folder), "--rootdir", str(folder)]
    words += ["-c", "/dev/null", "--import-mode=importlib"]
    for option, value in (("--rig-baseline", baseline), ("--rack", rack), ("--rig-policy", policy)):
        words += [] if value is None else [option, str(value)]
    with (folder / "session.log").open("wb") as log:
        code = subprocess.run(words, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code not in _MEASURED:
        # pytest's own codes (1 to 5) mean that no verdict was reached
        return (ExitCode.INTERNAL if 0 < code < 10 else code), ""
    found = list(folder.glob(f"*/{VERDICT_NAME}"))
    if len(found) != 1:
        raise ConfigurationError(f"{folder}: one run with {VERDICT_NAME} was expected, there are {len(found)}")
    effect = stated_effect(read_json(found[0], VerdictRecord, "verdict"), rig, metric)
    if effect is None:
        return ExitCode.INCONCLUSIVE, ""
    return ExitCode.PASS, json.dumps({"effect": effect[0], "error": effect[1]})


def stated_effect(verdict: VerdictRecord, rig: str, metric: str) -> tuple[float, float] | None:
    """Return a metric's log ratio and its standard error; ``None`` where one of them is undefined.

    Raises
    ------
    ConfigurationError
        If the verdict has no such metric on the rig.
    """
    from scipy.special import ndtri

    stated = [entry for entry in verdict.comparisons if (entry.rig, entry.definition) == (rig, metric)]
    if not stated:
        raise ConfigurationError(f"bisect: the campaign decided no {metric} on {rig}")
    ratio, low, high = stated[0].change.ratio, stated[0].change.low, stated[0].change.high
    if ratio is None or ratio == "inf" or high == "inf" or not 0 < low <= ratio <= high or low == high:
        return None
    sigmas = 2 * float(ndtri((1 + stated[0].baseline.confidence) / 2))
    return math.log(ratio), math.log(high / low) / sigmas
