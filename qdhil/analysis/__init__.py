"""From a recording to everything that it tells: which metrics its data support, their estimates, and plots.

::

    from pathlib import Path
    from qdhil.analysis import analyse
    from qdhil.tags import open_recording

    report = analyse(open_recording(Path("hbt.ptu")))
    for estimate in report.estimates:
        print(estimate.definition, estimate.value, estimate.low, estimate.high)
"""

from __future__ import annotations

from qdhil.analysis.analyse import analyse
from qdhil.analysis.choices import KINDS, Choices, Kind
from qdhil.analysis.findings import Report
from qdhil.analysis.panel import Panel

__all__ = ["KINDS", "Choices", "Kind", "Panel", "Report", "analyse"]
