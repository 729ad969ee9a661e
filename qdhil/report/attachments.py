"""Histograms and numbers of a comparison where reports look for them: run folder, Allure, JUnit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from qdhil.gate.judge import Comparison
    from qdhil.report.histogram import Histograms
    from qdhil.tags.acquisition import Configuration


def attach(
    config: pytest.Config,
    item: pytest.Item,
    comparison: Comparison,
    histograms: Histograms,
    configurations: Sequence[Configuration],
) -> None:
    """Write the histograms of a comparison; hand them to Allure where ``--alluredir`` is given.

    The numbers go into the test's properties, which JUnit files show.
    """
    for arm, estimate in (("baseline", comparison.baseline), ("candidate", comparison.candidate)):
        item.user_properties.append((f"{comparison.definition} {arm}", f"{estimate.value:.6g}"))
        item.user_properties.append(
            (f"{comparison.definition} {arm} interval", f"[{estimate.low:.6g}, {estimate.high:.6g}]")
        )
    item.user_properties.append((f"{comparison.definition} verdict", str(comparison.verdict)))
    files = [histograms.write(configuration) for configuration in configurations]
    if not config.getoption("allure_report_dir", None):
        return
    import allure

    allure.attach(
        json.dumps(comparison.record(), indent=2),
        name=f"{comparison.definition} on {comparison.rig}",
        attachment_type=allure.attachment_type.JSON,
    )
    for data, picture in files:
        allure.attach.file(str(data), name=data.name, attachment_type=allure.attachment_type.JSON)
        if picture is not None:
            allure.attach.file(str(picture), name=picture.name, attachment_type=allure.attachment_type.PNG)
