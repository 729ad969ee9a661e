"""``qdhil compare BASELINE... --candidate CANDIDATE...``: recorded files in, verdict out, no rig."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdhil.errors import ConfigurationError, FormatError

if TYPE_CHECKING:
    from qdhil.gate.file_comparison import FileComparison
    from qdhil.gate.file_windows import Series
    from qdhil.gate.policy import Policy
    from qdhil.tags.recording import Recording

_CHUNKS = 10
_SPAN_PS, _BIN_PS = 512_000, 128
_FEWEST_TAGS = 100


def compare(
    baseline: Annotated[list[Path], typer.Argument(help="Recordings of the baseline.", metavar="BASELINE...")],
    candidate: Annotated[
        list[Path], typer.Option("--candidate", "-c", help="A recording of the candidate; repeatable.")
    ],
    policy: Annotated[
        Path | None, typer.Option(help="Policy file; by default the packaged one's demand on g2(0).")
    ] = None,
    drift_allowance: Annotated[
        float,
        typer.Option(help="Factor by which the ratio may drift between files that were not interleaved."),
    ] = 1.05,
    window_ps: Annotated[
        int | None, typer.Option(min=1, help="Full width of a peak's window instead of the policy's.")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="The two detectors' channels of tags, such as 1,2.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare g2(0) of recorded files, and end with the verdict's exit code: 0 PASS, 10 BLOCK, 20 INCONCLUSIVE.

    Files of a candidate that were taken after those of the baseline are not interleaved: drift is not controlled, and
    the verdict says so.
    """
    import json

    from qdhil.gate.file_comparison import compare_files

    demanded = _policy(policy, window_ps)
    sets = [[series(file, channels) for file in files] for files in (baseline, candidate)]
    try:
        found = compare_files(sets[0], sets[1], demanded, drift_allowance=drift_allowance)
    except ValueError as error:
        raise ConfigurationError(f"these files can't be compared: {error}") from error
    typer.echo(json.dumps(found.record(), allow_nan=False) if as_json else table(found))
    raise typer.Exit(found.verdict.exit_code)


def _policy(file: Path | None, window_ps: int | None) -> Policy:
    from qdhil.gate.file_comparison import METRIC
    from qdhil.gate.policy import default_policy_file, load_policy

    found = load_policy(file or default_policy_file())
    if file is None:
        found = found.model_copy(
            update={"name": f"{found.name}, g2(0) only", "metrics": {METRIC: found.metrics[METRIC]}}
        )
    if window_ps is not None:
        found = found.model_copy(update={"window": found.window.model_copy(update={"window_ps": window_ps})})
    return found


def series(file: Path, channels: str | None = None) -> Series:
    """Read a delay histogram, a series of them, or time tags as a series of delay histograms.

    Raises
    ------
    FormatError
        If the file holds none of these.
    """
    from qdhil.analysis.snapshots import without_bursts
    from qdhil.gate.file_windows import Series
    from qdhil.tags.formats import open_recording
    from qdhil.tags.recording import DelayHistogram, Histograms, Spectrum

    recording = open_recording(file)
    if isinstance(recording, Spectrum):
        raise FormatError(f"{file}: a spectrum, and coincidences are compared")
    if isinstance(recording, Histograms):
        raise FormatError(f"{file}: curves of a counting card; which of them is a correlation isn't told")
    if isinstance(recording, DelayHistogram):
        recording, notes = without_bursts(recording)
        for note in notes:
            typer.echo(f"{file}: {note}", err=True)
        blocks = recording.counts[None, :] if recording.snapshots is None else recording.snapshots
        return Series(str(file), recording.first_ps, recording.bin_ps, blocks)
    return _correlated(file, recording, channels)


def _correlated(file: Path, recording: Recording, channels: str | None) -> Series:
    import numpy as np

    from qdhil.gate.file_windows import Series
    from qdhil.metrics.correlate import cross_correlate
    from qdhil.tags.recording import MARKER_BASE

    used = {n: times for n, times in recording.channels.items() if 0 <= n < MARKER_BASE and times.size >= _FEWEST_TAGS}
    pairs = list(itertools.combinations(sorted(used), 2))
    if channels is not None:
        parts = channels.split(",")
        if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
            raise FormatError(f"--channels takes two numbers such as 1,2, not {channels!r}")
        pairs = [(int(parts[0]), int(parts[1]))]
        if any(number not in used for number in pairs[0]):
            raise FormatError(f"{file}: channels {channels} hold too few tags; there are {sorted(used)}")
    if len(pairs) != 1:
        raise FormatError(f"{file}: channels {sorted(used)} hold tags: choose two with --channels")
    a, b = (used[number] for number in pairs[0])
    edges = np.linspace(min(a[0], b[0]), max(a[-1], b[-1]) + 1, _CHUNKS + 1)
    blocks = [
        cross_correlate(
            a[slice(*np.searchsorted(a, (start, stop)))],
            b[slice(*np.searchsorted(b, (start, stop)))],
            window_ps=_SPAN_PS,
            bin_ps=_BIN_PS,
        )
        for start, stop in itertools.pairwise(edges)
    ]
    return Series(str(file), -_SPAN_PS + (_BIN_PS - 1) / 2, float(_BIN_PS), np.array(blocks))


def table(found: FileComparison) -> str:
    """Return the comparison as text."""
    counts = found.counts
    ratio = "undefined" if found.change[0] is None else f"x{found.change[0]:.3f}"
    phi = "unknown" if found.phi is None else f"{found.phi:.2f}"
    lines = [
        f"window ratio around {found.delay_ps:.0f} ps ({found.window_ps} ps wide, period {found.period_ps:.1f} ps), "
        f"policy {found.policy}",
        "",
    ]
    for arm, value in (("baseline", found.baseline), ("candidate", found.candidate)):
        lines.append(
            f"{arm:<10}{value[0]:.4f} [{value[1]:.4f}, {value[2]:.4f}]  "
            f"{counts[f'{arm}_central']} central, {counts[f'{arm}_side']} side"
        )
    margin = "unknown" if found.margin is None else f"x{found.margin:.3f}"
    lines += [
        f"{'change':<10}{ratio} [{found.change[1]:.3f}, {found.change[2]:.3f}]; "
        f"PASS must rule out {margin}, BLOCK must prove more than x{found.tolerated:.3f}",
        f"{'scatter':<10}variance over mean between blocks {phi}",
        "",
        f"verdict: {found.verdict} (exit {int(found.verdict.exit_code)})",
        *(f"  {reason}" for reason in found.reasons),
        f"error rates, for one look at all files: P(PASS | worse by the margin) <= {found.miss_rate:g}, "
        f"P(BLOCK | no worse) <= {found.false_block_rate:g}",
    ]
    return "\n".join(lines)
