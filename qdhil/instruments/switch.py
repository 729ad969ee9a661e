"""DiCon GP600 optical switch that routes the light."""

from __future__ import annotations

from qdhil.instruments.config import Switch
from qdhil.instruments.session import Session
from qdhil.instruments.wait import wait_until
from qdhil.tags.acquisition import Configuration

_NO_ERROR = "+0, No Error"
_SETTLE_TIMEOUT_S = 2.0


class DiConGP600:
    """Select which path the light takes."""

    def __init__(self, session: Session, config: Switch) -> None:
        self.session = session
        self._module = config.module
        self._paths = config.paths

    @property
    def output(self) -> int:
        """Get the output that input 1 is connected to (answered as ``input,output``)."""
        command = f"{self._module} CH 1?"
        return self.session.query_as(
            command, lambda answer: int(answer.split(",")[-1]), "switch position", "an input and an output number"
        )

    def select(self, path: Configuration) -> None:
        """Set the path of the light and verify that the switch went there.

        Raises
        ------
        InfraFault
            If the rig has no such path, the switch reports an error or stays elsewhere.
        """
        if path not in self._paths:
            raise self.session.fault("path", path, f"one of {sorted(self._paths)}", "add it to the rack file")
        output = self._paths[path]
        self.session.write(f"{self._module} CH 1 {output}")
        error = self.session.query("SYST:ERR?")
        if error != _NO_ERROR:
            raise self.session.fault(f"error after selecting output {output}", error, _NO_ERROR)
        if not wait_until(lambda: self.output == output, _SETTLE_TIMEOUT_S):
            raise self.session.fault("switch position", self.output, f"{output} ({path})", "check the switch")
