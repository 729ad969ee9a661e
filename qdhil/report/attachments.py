"""Histograms and numbers of a comparison where reports look for them: run folder, Allure, JUnit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from qdhil.gate.judge import Comparison
    from qdhil.gate.quarantine import QuarantineEntry
    from qdhil.report.histogram import Histograms
    from qdhil.tags.acquisition import Configuration


def attach(
    config: pytest.Config,
    item: pytest.Item,
    comparison: Comparison,
    histograms: Histograms,
    configurations: Sequence[Configuration],
    quarantine: QuarantineEntry | None,
) -> None:
    """Write the histograms of a comparison; hand them to Allure where ``--alluredir`` is given.

    The numbers go into the test's properties, which JUnit files show, and so does what is in quarantine.
    """
    item.user_properties += list(_properties(comparison))
    if quarantine is not None:
        item.user_properties.append((f"{comparison.definition}.quarantine", str(quarantine)))
    files = [histograms.write(configuration) for configuration in configurations]
    if not config.getoption("allure_report_dir", None):
        return
    import allure

    allure.attach(
        json.dumps(comparison.record(), indent=2),
        name=f"{comparison.definition} on {comparison.rig}",
        attachment_type=allure.attachment_type.JSON,
    )
    if quarantine is not None:
        allure.attach(
            str(quarantine), name="in quarantine: does not decide", attachment_type=allure.attachment_type.TEXT
        )
    for data, picture in files:
        allure.attach.file(str(data), name=data.name, attachment_type=allure.attachment_type.JSON)
        if picture is not None:
            allure.attach.file(str(picture), name=picture.name, attachment_type=allure.attachment_type.PNG)


def _properties(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Yield what a JUnit file shows of a comparison, by names without spaces."""
    metric, change = comparison.definition, comparison.change
    for arm, estimate in (("baseline", comparison.baseline), ("candidate", comparison.candidate)):
        yield f"{metric}.{arm}", f"{estimate.value:.6g}"
        yield f"{metric}.{arm}.interval", f"{estimate.low:.6g} {estimate.high:.6g}"
    yield f"{metric}.change", "undefined" if change.ratio is None else f"{change.ratio:.6g}"
    yield f"{metric}.change.interval", f"{change.low:.6g} {change.high:.6g}"
    yield f"{metric}.margin", f"{comparison.margin_ratio:g}"
    last = comparison.evidence.looks[-1]
    yield f"{metric}.looks", f"{last.quads}"
    yield f"{metric}.e_no_harm", f"1e{last.no_harm:.2f}"
    yield f"{metric}.e_harm", f"1e{last.harm:.2f}"
    yield f"{metric}.verdict", str(comparison.verdict)
