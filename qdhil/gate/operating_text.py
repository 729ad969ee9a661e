"""The words around the tables of the page of operating characteristics, from ``operating_page.md``."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from typing import Any


def page(record: Mapping[str, Any], parts: Mapping[str, str], picture: str) -> str:
    """Return the page: ``parts`` are its tables, by the names that the text has for them."""
    from qdhil.gate.definitions import DEFINITIONS
    from qdhil.gate.operating import TOLERATED
    from qdhil.gate.operating_page import GOAL_SHARE
    from qdhil.gate.operating_plan import FINER

    family = record["family"]
    shares = ", ".join(
        f"{DEFINITIONS[name].title} {record['false_block_rate'] * share:.1%}"
        for name, share in record["shares"].items()
    )
    words = (importlib.resources.files("qdhil.gate") / "operating_page.md").read_text(encoding="utf-8")
    return words.format(
        **parts,
        picture=picture,
        campaigns=record["campaigns"],
        seed=record["seed"],
        asked=record["asked"],
        policy=record["policy"],
        digest=f"sha256 {record['policy_sha256'][:12]}",
        miss_rate=record["miss_rate"],
        false_block_rate=record["false_block_rate"],
        quads_min=record["quads_min"],
        quads_max=record["quads_max"],
        blocks=4 * record["quads_max"],
        shares=shares,
        tolerated=TOLERATED,
        finer=FINER,
        goal=GOAL_SHARE,
        rigs=record["rigs"],
        streams=family[0]["streams"] if family else "no",
        family_centrals=record["family_centrals"],
        **{name: record["source"][name] for name in ("centrals", "g2", "visibility", "noise")},
    )
