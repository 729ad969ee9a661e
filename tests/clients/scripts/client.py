"""What every client script shares: its addresses on the command line, its result as one line of JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

RESOURCE, HOST, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])


def stream_ends(read: str = "\n", write: str = "\n") -> dict[str, str]:
    """Terminators for drivers that leave them to the user on a raw socket; a message interface needs none."""
    return {"read_termination": read, "write_termination": write} if RESOURCE.endswith("SOCKET") else {}


def report(**facts: Any) -> None:
    """Print what was read."""
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in facts.items()}
    sys.stdout.write(json.dumps(plain) + "\n")
