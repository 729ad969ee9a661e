"""The operating characteristics as lines and as a page; both from the plain data that ``qdhil oc --json`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.operating import TOLERATED, upper_bound

Record = Mapping[str, Any]
_NEVER_WRONG = "–"
GOAL_SHARE = 0.6
"""Mean acquisition over that of the fixed design that is aimed at."""


def wrong_of(cell: Record) -> int | None:
    """Return how many verdicts of a cell were wrong, ``None`` where neither verdict would be."""
    if cell["truth"] in ("no change", TOLERATED):
        return int(cell["blocked"])
    return int(cell["passed"]) if cell["truth"] in ("margin", "twice margin") else None


def pooled(cells: Sequence[Record]) -> tuple[int, int, float]:
    """Return wrong verdicts, campaigns, and the upper 95 % bound of the rate, over some cells together."""
    wrong = sum(wrong_of(cell) or 0 for cell in cells)
    campaigns = sum(int(cell["campaigns"]) for cell in cells)
    return wrong, campaigns, upper_bound(wrong, campaigns) if campaigns else 1.0


def beyond(record: Record) -> list[str]:
    """Return, one a line, the single cells whose bound is above the policy's rate, and whether that says anything."""
    found: list[str] = []
    for cell in [*record["single"], *record["family"]]:
        wrong = wrong_of(cell)
        if wrong is None:
            continue
        false_block = cell["truth"] in ("no change", TOLERATED)
        rate = record["false_block_rate" if false_block else "miss_rate"]
        bound = upper_bound(wrong, cell["campaigns"])
        if bound > rate:
            seen = wrong / cell["campaigns"]
            why = "the rate itself is above" if seen > rate else "neither shown nor refuted by so few"
            what = "false blocks" if false_block else "misses"
            found.append(
                f"{_title(cell)}, {cell['drift']}, {cell['truth']}, {cell['streams']} "
                f"stream{'s' * (cell['streams'] != 1)}: {wrong} {what} in {cell['campaigns']}, "
                f"bound {bound:.1%}: {why}"
            )
    return found


def table(record: Record) -> list[str]:
    """Return every cell as lines for a terminal."""
    lines = [
        f"{record['campaigns']} campaigns, seed {record['seed']}; policy {record['policy']}: "
        f"misses {record['miss_rate']:.0%}, false blocks {record['false_block_rate']:.0%}"
    ]
    for name in ("single", "family"):
        lines += [
            "",
            f"{_HEAD[name]:<38}{'PASS':>6}{'BLOCK':>7}{'INC.':>6}{'wrong':>7}{'bound':>8}"
            f"{'quads':>7}{'p90':>6}{'of fixed':>9}",
        ]
        for cell in record[name]:
            wrong = wrong_of(cell)
            bound = "" if wrong is None else f"{upper_bound(wrong, cell['campaigns']):.1%}"
            share = "" if cell["mean_share"] is None else f"{cell['mean_share']:.2f}"
            lines.append(
                f"{_title(cell):<13} {cell['drift']:<12}{cell['truth']:<12}{cell['passed']:>6}{cell['blocked']:>7}"
                f"{cell['inconclusive']:>6}{'' if wrong is None else wrong:>7}{bound:>8}"
                f"{cell['mean_quads']:>7.1f}{cell['p90_quads']:>6.0f}{share:>9}"
            )
    lines += ["", *(f"above the rate: {line}" for line in beyond(record))]
    return lines


_HEAD = {"single": "one metric on one rig", "family": "every metric on every rig"}


def _title(cell: Record) -> str:
    return DEFINITIONS[cell["metric"]].title


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def _cells(cells: Sequence[Record]) -> list[str]:
    rows: list[list[str]] = []
    for cell in cells:
        wrong = wrong_of(cell)
        rows.append(
            [
                cell["drift"],
                cell["truth"],
                *(str(cell[name]) for name in ("passed", "blocked", "inconclusive")),
                _NEVER_WRONG if wrong is None else f"{wrong / cell['campaigns']:.1%}",
                _NEVER_WRONG if wrong is None else f"{upper_bound(wrong, cell['campaigns']):.1%}",
                f"{cell['mean_quads']:.1f}",
                f"{cell['p90_quads']:.0f}",
                *([] if cell["mean_share"] is None else [f"{cell['mean_share']:.2f}", f"{cell['p90_share']:.2f}"]),
            ]
        )
    header = ["drift", "true change", "PASS", "BLOCK", "INCONCLUSIVE", "wrong", "95 % bound", "quads", "p90"]
    if cells and cells[0]["mean_share"] is not None:
        header += ["mean / fixed", "p90 / fixed"]
    return _rows(header, rows)


def _summary(record: Record) -> list[str]:
    rows: list[list[str]] = []
    groups = [(name, record["single"], name) for name in record["margins"]] + [("family", record["family"], None)]
    for name, cells, metric in groups:
        own = [cell for cell in cells if metric is None or cell["metric"] == metric]
        title = f"{DEFINITIONS[name].title}, 1 stream" if metric else f"{_streams(own)} streams"
        for what, truths, rate in (
            ("false blocks", ("no change", TOLERATED), record["false_block_rate"]),
            ("misses", ("margin", "twice margin"), record["miss_rate"]),
        ):
            for truth in truths:
                members = [cell for cell in own if cell["truth"] == truth]
                if members:
                    wrong, campaigns, bound = pooled(members)
                    kept = "yes" if bound <= rate else "**no**"
                    worst = max(members, key=lambda cell: upper_bound(wrong_of(cell) or 0, cell["campaigns"]))
                    alone = f"{worst['drift']}: {wrong_of(worst)} of {worst['campaigns']}, {pooled([worst])[2]:.1%}"
                    rows.append(
                        [title, truth, what, f"{wrong} of {campaigns}", f"{bound:.2%}", f"{rate:.0%}", kept, alone]
                    )
    return _rows(
        ["judged", "true change", "error", "seen, all drifts", "95 % bound", "rate", "kept", "worst drift, its bound"],
        rows,
    )


def _streams(cells: Sequence[Record]) -> int:
    return int(cells[0]["streams"]) if cells else 0


def _cost(record: Record) -> list[str]:
    rows = [
        [
            _title(cell),
            cell["compared"],
            cell["truth"],
            f"{cell['fixed_quads']:.1f}",
            f"{cell['mean_quads']:.1f}",
            f"{cell['mean_share']:.2f}",
            f"{cell['p90_share']:.2f}",
            "yes" if cell["mean_share"] <= GOAL_SHARE else "**no**",
        ]
        for cell in record["cost"]
    ]
    header = ["metric", "case", "true change", "fixed, quads", "mean, quads", "mean / fixed", "p90 / fixed"]
    return _rows([*header, f"at most {GOAL_SHARE}"], rows)


def _rivals(record: Record, metric: str) -> list[str]:
    rules = list(dict.fromkeys(cell["rule"] for cell in record["rivals"]))
    found = {(c["rule"], c["metric"], c["drift"], c["truth"]): c for c in record["rivals"]}
    own = {(c["metric"], c["drift"], c["truth"]): c for c in record["single"]}
    rows: list[list[str]] = []
    for drift in record["drifts"]:
        same, worse = own[metric, drift, "no change"], own[metric, drift, "margin"]
        ours = [
            f"{same['blocked'] / same['campaigns']:.1%}",
            f"{worse['passed'] / worse['campaigns']:.1%} (+ {worse['inconclusive'] / worse['campaigns']:.0%})",
        ]
        others: list[str] = []
        for rule in rules:
            alarm, caught = found[rule, metric, drift, "no change"], found[rule, metric, drift, "margin"]
            others.append(
                f"{alarm['alarms'] / alarm['campaigns']:.1%} / {1 - caught['alarms'] / caught['campaigns']:.1%}"
            )
        rows.append([drift, " / ".join(ours), *others])
    return _rows(["drift", "qdhil", *rules], rows)


def _events(record: Record) -> list[str]:
    found = record.get("event_level")
    if found is None:
        return ["Not measured.", ""]
    rows = [
        [
            cell["drift"],
            cell["truth"],
            *(str(cell[name]) for name in ("passed", "blocked", "inconclusive")),
            _NEVER_WRONG if (wrong := wrong_of(cell)) is None else f"{upper_bound(wrong, cell['campaigns']):.1%}",
            f"{cell['mean_quads']:.1f}",
        ]
        for cell in found["cells"]
    ]
    lines = _rows(["drift", "true change", "PASS", "BLOCK", "INCONCLUSIVE", "wrong, 95 % bound", "quads"], rows)
    for truth, what in (
        ("no change", "false blocks"),
        ("margin", "misses"),
        ("twice margin", "misses at twice the margin"),
    ):
        wrong, campaigns, bound = pooled([cell for cell in found["cells"] if cell["truth"] == truth])
        lines += [f"All together: {wrong} {what} in {campaigns} campaigns, bound {bound:.1%}.", ""]
    return lines


def markdown(record: Record, picture: str) -> str:
    """Return the page."""
    from qdhil.gate.operating_text import page

    parts = {
        "summary": _summary(record),
        "beyond": [f"- {line}" for line in beyond(record)] or ["- none"],
        "cost": _cost(record),
        "single": [
            line
            for name in record["margins"]
            for line in (
                f"### {DEFINITIONS[name].title}",
                "",
                *_cells([cell for cell in record["single"] if cell["metric"] == name]),
            )
        ],
        "family": _cells(record["family"]),
        "rivals": [
            line
            for name in record["margins"]
            for line in (f"### {DEFINITIONS[name].title}, alarms / misses", "", *_rivals(record, name))
        ],
        "events": _events(record),
        "drifts": _rows(["drift", "what it does to the brightness"], [[k, v] for k, v in record["drifts"].items()]),
    }
    return page(record, {name: "\n".join(lines).strip("\n") for name, lines in parts.items()}, picture)
