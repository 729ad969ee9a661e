"""The simulated rack: emitter, optics, detectors and instruments on loopback, with firmware builds."""
