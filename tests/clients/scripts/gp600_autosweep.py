"""autosweep: the path switch to each of its outputs, each position read back."""

import contextlib
import sys

from autosweep.instruments.optical.DiConGP600 import DiConGP600X1
from client import RESOURCE, report

with contextlib.redirect_stdout(sys.stderr):  # the driver prints
    switch = DiConGP600X1(RESOURCE)
    for output in range(1, switch.get_outputs() + 1):
        switch.channel(1, output)
    last = switch.channel_ask(1)
    switch.reset()
    switch.wavelength(930)
report(
    model=switch.model(),
    inputs=switch.get_inputs(),
    outputs=switch.get_outputs(),
    last=last,
    reset=switch.channel_ask(1),
    wavelengths=len(switch.wavelengths_availible_ask()),
    wavelength_nm=switch.wavelength_ask(),
    version=switch.version_ask(),
)
switch.close()
