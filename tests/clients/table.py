"""Write the table of docs/clients.md from what a run of these tests left: table.py RESULTS.json PAGE.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path

BEGIN, END = "<!-- table of: pytest tests/clients --clients --clients-table -->\n", "<!-- end of table -->\n"
TRANSPORTS = {"hislip": "HiSLIP", "socket": "SOCKET", "asrlsocket": "serial over TCP", "own": "its own socket"}


def table(rows: list[dict[str, str]]) -> str:
    """Return a table with a line for each driver and what came of it on every transport it was run on."""
    results: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        driver = (row["instrument"], row["package"], row["driver"])
        results.setdefault(driver, {})[row["transport"]] = row["result"]
    lines = ["| instrument | driver | package | transport and result |", "|---|---|---|---|"]
    for (instrument, package, driver), by_transport in sorted(results.items()):
        cell = ", ".join(f"{TRANSPORTS[name]} {result}" for name, result in sorted(by_transport.items()))
        lines.append(f"| {instrument} | `{driver}` | {package} | {cell} |")
    return "\n".join(lines) + "\n"


def main(results: Path, page: Path) -> None:
    """Replace the table between the marks of a page."""
    head, _, rest = page.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    page.write_text(head + BEGIN + table(json.loads(results.read_text())) + END + tail)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
