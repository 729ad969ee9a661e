"""Write ``docs/sources.md``: the sources that the simulator ships with, and what is known of each."""

from __future__ import annotations

from pathlib import Path

from qdhil_sim.light.presets import Fact, facts, load_source, source_names

PAGE = Path(__file__).resolve().parent / "sources.md"
HEAD = """# Simulated sources

Each is a TOML file in `sim/qdhil_sim/profiles` that says of every number how it is known: V read in the publication,
D derived, S simulated, M from memory, unknown: filled in, because nobody says. Only a V is ever compared with.
`qdhil_sim.light.presets.load_source(name)` reads one, `facts(source)` lists its numbers with their sources.

The light has the published purity and overlap with the pulse length that the profile names beside `leak_photons`,
10 ps where it names none. Rates, lifetimes and detectors are filled in where the table does not list them.
"""


def page() -> str:
    """Return the page."""
    lines = [HEAD]
    for name, kind in source_names().items():
        source = load_source(name)
        listed = facts(source)
        if not any(fact.source for fact in listed):
            continue
        counts = {tag: sum(fact.tag == tag and fact.value is not None for fact in listed) for tag in ("V", "D", "M")}
        known = ", ".join(f"{number} {tag}" for tag, number in counts.items() if number) or "none"
        lines += [f"## {name}", "", f"{source.title} ({kind}; of its numbers, known: {known}).", ""]
        measures = [fact for fact in listed if fact.value is None and fact.tag != "unknown"]
        lines += [_line(fact) for fact in measures] + ([""] if measures else [])
    return "\n".join(lines).rstrip() + "\n"


def _line(fact: Fact) -> str:
    return f"- `{fact.name}` [{fact.tag}] {fact.source}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
