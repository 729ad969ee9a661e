"""What an instrument can refuse, with the numbers and texts of SCPI-1999 volume 2, chapter 21.8."""

from __future__ import annotations

_TEXTS = {
    -101: "Invalid character",
    -102: "Syntax error",
    -103: "Invalid separator",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -121: "Invalid character in number",
    -123: "Exponent too large",
    -124: "Too many digits",
    -131: "Invalid suffix",
    -138: "Suffix not allowed",
    -151: "Invalid string data",
    -161: "Invalid block data",
    -171: "Invalid expression",
    -200: "Execution error",
    -203: "Command protected",
    -211: "Trigger ignored",
    -213: "Init ignored",
    -220: "Parameter error",
    -221: "Settings conflict",
    -222: "Data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -230: "Data corrupt or stale",
    -241: "Hardware missing",
    -300: "Device-specific error",
    -310: "System error",
    -350: "Queue overflow",
    -365: "Time out error",
    -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
}


class ScpiError(Exception):
    """A command that was refused; it goes to the instrument's error queue, never to the client's answer.

    Parameters
    ----------
    code
        SCPI error number: -1xx command, -2xx execution, -3xx device, -4xx query errors.
    detail
        What was wrong, appended to the standard text after a semicolon.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        self.text = f"{_TEXTS[code]};{detail}" if detail else _TEXTS[code]
        super().__init__(f'{code},"{self.text}"')

    @property
    def event_status_bit(self) -> int:
        """Bit of the standard event status register that this error sets (IEEE 488.2, 11.5.1)."""
        return {1: 0x20, 2: 0x10, 3: 0x08, 4: 0x04}[-self.code // 100]
