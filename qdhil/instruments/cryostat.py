"""Lake Shore 336 at the cold finger."""

from __future__ import annotations

from qdhil.instruments.config import Cryostat
from qdhil.instruments.session import Session

_STATUS_BITS = {1: "invalid reading", 16: "under range", 32: "over range", 64: "sensor zero", 128: "over range"}


class LakeShore336:
    """Read the temperature of the cold finger; qdhil never changes a cryostat's set point."""

    def __init__(self, session: Session, config: Cryostat) -> None:
        self.session = session
        self._sensor = config.sensor
        self._band_k = config.temperature_band_k

    @property
    def temperature_k(self) -> float:
        """Get the temperature of the configured sensor in K (``KRDG?``)."""
        return self.session.query_as(f"KRDG? {self._sensor}", float, "temperature", "a number in K")

    @property
    def reading_status(self) -> int:
        """Get the status bits of the reading (``RDGST?``); 0 means valid."""
        return self.session.query_as(f"RDGST? {self._sensor}", int, "reading status", "a whole number")

    def check(self) -> dict[str, float]:
        """Return the temperature, or raise InfraFault if it is invalid or out of the rig's band."""
        status = self.reading_status
        if status:
            names = [name for bit, name in _STATUS_BITS.items() if status & bit]
            raise self.session.fault(
                "reading status", f"{status} ({', '.join(names)})", "0 (valid)", "check the sensor and its wiring"
            )
        temperature_k = self.temperature_k
        low_k, high_k = self._band_k
        if not low_k <= temperature_k <= high_k:
            raise self.session.fault(
                "temperature",
                f"{temperature_k:.3f} K",
                f"{low_k:g} to {high_k:g} K",
                "wait for the cold finger to settle, or call the cryostat's owner",
            )
        return {"temperature_k": temperature_k}
