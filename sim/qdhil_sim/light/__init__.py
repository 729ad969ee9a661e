"""The simulated light: optical setups, excitation controls, drift, and the tags they make."""

from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.drift import Drift
from qdhil_sim.light.setup import Channels, Setup, load_setup
from qdhil_sim.light.stream import LightStream

__all__ = ["Channels", "Drift", "LightStream", "PulseControls", "Setup", "load_setup"]
