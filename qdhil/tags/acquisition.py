"""The tags of one acquisition, split by what each channel means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Configuration = Literal["hbt", "hom_parallel", "hom_orthogonal", "blanked"]
"""How the light is routed: to one splitter, through the interferometer (two polarisations), or nowhere."""


@dataclass(frozen=True)
class Acquisition:
    """Sorted photon tags of the two detectors and of the divided laser sync.

    Parameters
    ----------
    number
        Id that the tagger gave.
    dwell_s
        How long the light was counted.
    t_a_ps, t_b_ps, sync_ps
        Sorted int64 times in ps from the start of the acquisition.
    """

    number: int
    dwell_s: float
    t_a_ps: npt.NDArray[np.int64]
    t_b_ps: npt.NDArray[np.int64]
    sync_ps: npt.NDArray[np.int64]
