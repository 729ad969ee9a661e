"""Hardware-in-the-loop firmware gate for quantum-dot single-photon sources."""

__version__ = "0.1.0"
