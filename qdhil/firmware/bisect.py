"""Search the firmware's history for the commit that brought an effect, from noisy measurements.

The search is a file: it holds what was asked and every measurement, and the posterior follows from it. A run
that was killed goes on where the file ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from qdhil.durable_files import replace_file
from qdhil.errors import ConfigurationError, QdhilError, RecordFault
from qdhil.exit_codes import ExitCode
from qdhil.firmware.bisect_measurement import Measurement, measure
from qdhil.model_files import Strict, read_json
from qdhil.statistics.culprit import CulpritPosterior, Place

SKIPS_OF_A_COMMIT = 3
"""A commit skipped so often, and never measured, is set aside."""
SKIPS_IN_A_ROW = 6
"""So many skips in a row, and the rig needs a person."""

_Rate = Annotated[float, Field(gt=0, lt=0.5)]


class BisectState(Strict):
    """``bisect.json``: what is searched for, and everything measured so far."""

    schema_version: Literal[1]
    commits: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=2)]
    """From the good end to the bad end."""
    effect: float
    """The effect to be found, with its sign, in the unit that the command prints."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    batch: Annotated[int, Field(ge=4)] = 4
    """Quads asked of each run of the command: a boot costs more than a quad."""
    quads_max: Annotated[int, Field(ge=4)] = 2000
    """Measurements in all; a test that only says good or bad counts as one batch."""
    miss_rate: _Rate = 0.05
    false_rate: _Rate = 0.05
    """Error rates of a command that only says good or bad."""
    command: Annotated[list[str], Field(min_length=1)]
    folder: str
    """Where the command is started."""
    measurements: tuple[Measurement, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.effect == 0:
            raise ValueError("effect must not be zero")
        if len(set(self.commits)) != len(self.commits):
            raise ValueError("a commit is there twice")
        if any(it.commit >= len(self.commits) for it in self.measurements):
            raise ValueError("a measurement is of a commit that is not among the commits")
        return self

    @property
    def quads(self) -> int:
        """Quads measured, or their like."""
        tests = sum(self.batch for it in self.measurements if it.kind in ("good", "bad"))
        return tests + sum(len(it.effects) for it in self.measurements)

    @property
    def boots(self) -> int:
        """How often the firmware was changed."""
        measured = [it.commit for it in self.measurements]
        return sum(1 for before, now in zip([None, *measured], measured, strict=False) if before != now)

    def set_aside(self) -> frozenset[int]:
        """Return the commits that can't be measured."""
        untestable = {it.commit for it in self.measurements if it.kind == "untestable"}
        skips = Counter(it.commit for it in self.measurements if it.kind == "skip")
        measured = {it.commit for it in self.measurements if it.kind not in ("skip", "untestable")}
        often = {commit for commit, count in skips.items() if count >= SKIPS_OF_A_COMMIT}
        return frozenset((untestable | often) - measured)

    def posterior(self) -> CulpritPosterior:
        """Return what the measurements say."""
        posterior = CulpritPosterior(len(self.commits), self.effect)
        for it in self.measurements:
            if it.kind == "quads":
                posterior.add(it.commit, it.effects, it.errors)
            elif it.kind in ("good", "bad"):
                posterior.add_sign(
                    it.commit, bad=it.kind == "bad", miss_rate=self.miss_rate, false_rate=self.false_rate
                )
        return posterior


AnswerKind = Literal["culprit", "already-bad", "no-culprit", "undecided"]


@dataclass(frozen=True)
class Answer:
    """What the search has found.

    Parameters
    ----------
    kind
        ``culprit``; ``already-bad`` (the good end has the effect); ``no-culprit`` (the bad end has it not);
        ``undecided``.
    commits
        The culprit: several where those between can't be measured; of an undecided search, the likeliest.
    probability
        Of that place.
    effect
        Mean effect, given that place.
    p_already_bad, p_no_culprit
        Posterior probabilities of these two.
    dispersion
        Scatter of the quads over what their errors allow (factor on the variance).
    quads, boots, skips, set_aside
        What it took, and the commits that can't be measured.
    reason
        Why it is undecided.
    final
        Whether more measurements would change nothing.
    """

    kind: AnswerKind
    commits: tuple[str, ...]
    probability: float
    effect: float
    p_already_bad: float
    p_no_culprit: float
    dispersion: float
    quads: int
    boots: int
    skips: int
    set_aside: tuple[str, ...]
    reason: str = ""
    final: bool = True

    @property
    def exit_code(self) -> ExitCode:
        """0 where there is an answer, 20 where there is none."""
        return ExitCode.INCONCLUSIVE if self.kind == "undecided" else ExitCode.PASS

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return asdict(self) | {"exit_code": int(self.exit_code)}


def answer(state: BisectState) -> Answer:
    """Return what the measurements so far answer."""
    posterior, aside, end = state.posterior(), state.set_aside(), len(state.commits)
    place = posterior.likeliest(aside)
    probabilities = posterior.probabilities()
    kind, reason, final = _kind(state, place)
    return Answer(
        kind=kind,
        commits=tuple(state.commits[place.first : min(place.last, end - 1) + 1]),
        probability=place.probability,
        effect=posterior.effect(place),
        p_already_bad=float(probabilities[0]),
        p_no_culprit=float(probabilities[-1]),
        dispersion=posterior.dispersion,
        quads=state.quads,
        boots=state.boots,
        skips=sum(it.kind == "skip" for it in state.measurements),
        set_aside=tuple(state.commits[number] for number in sorted(aside)),
        reason=reason,
        final=final,
    )


def _kind(state: BisectState, place: Place) -> tuple[AnswerKind, str, bool]:
    """Return the kind of answer, why it is undecided, and whether more measurements can't change that."""
    end = len(state.commits)
    if len(state.set_aside()) == end:
        return "undecided", "no commit can be measured", True
    if place.probability < state.confidence:
        return "undecided", f"no place has reached a probability of {state.confidence:g}", False
    if place.first < end == place.last:
        return "undecided", "the bad end can't be measured, so that \"no culprit\" can't be excluded", True
    if place.first == 0 < place.last:
        return "undecided", "the good end can't be measured, so that \"already bad\" can't be excluded", True
    return ("no-culprit" if place.first == end else "already-bad" if place.last == 0 else "culprit"), "", True


def load_state(file: Path) -> BisectState:
    """Read a search.

    Raises
    ------
    ConfigurationError
        If it can't be read.
    """
    return read_json(file, BisectState, "bisect state")


def save_state(file: Path, state: BisectState) -> None:
    """Write a search beside its file, flush it to the disk, and rename.

    Raises
    ------
    RecordFault
        If it can't be written.
    """
    try:
        replace_file(file, state.model_dump_json(indent=1).encode() + b"\n")
    except OSError as error:
        raise RecordFault(f"{file} can't be written: {error.strerror}") from error


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Hold a search for one process; ConfigurationError where another has it."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=0):
            yield
    except Timeout as error:
        raise ConfigurationError(f"{file}: another process is running this search") from error


def search(file: Path, on_step: Callable[[BisectState], None] = lambda _: None) -> Answer:
    """Measure until there is an answer, the budget is spent, or the rig fails; the file is written at each step.

    Raises
    ------
    ConfigurationError
        If the file can't be read, is held by another process, or the command itself fails.
    RigFailingError
        If ``SKIPS_IN_A_ROW`` measurements in a row said nothing.
    """
    with held(file):
        state = load_state(file)
        skips = 0
        while True:
            reached = answer(state)
            if reached.final or state.quads >= state.quads_max:
                return reached
            commit = state.posterior().next_commit(state.set_aside())
            measured = measure(state.command, state.commits[commit], commit, state.batch, Path(state.folder))
            state = state.model_copy(update={"measurements": (*state.measurements, measured)})
            save_state(file, state)
            on_step(state)
            skips = skips + 1 if measured.kind == "skip" else 0
            if skips >= SKIPS_IN_A_ROW:
                raise RigFailingError(f"bisect: {skips} measurements in a row said nothing; the last: {measured.note}")


class RigFailingError(QdhilError):
    """The rig or the tools fail again and again, which says nothing about the firmware."""

    exit_code = ExitCode.INFRA


def history(repository: Path, good: str, bad: str) -> list[str]:
    """Return the commits of a firmware's first-parent line from ``good`` to ``bad``, both included.

    Raises
    ------
    ConfigurationError
        If there is no repository, no such commit, or ``good`` is not on that line.
    """
    try:
        import git
    except ImportError as error:
        raise ConfigurationError("bisect: there is no git command") from error
    try:
        with git.Repo(repository, search_parent_directories=True) as repo:
            ends = (repo.git.rev_parse("--verify", "--end-of-options", f"{end}^{{commit}}") for end in (good, bad))
            first, last = (str(end) for end in ends)
            listed = repo.git.rev_list("--first-parent", "--reverse", f"{first}..{last}").split()
            parents = repo.git.rev_parse(f"{listed[0]}^@").split() if listed else []
    except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
        raise ConfigurationError(f"bisect: {repository} is in no git repository") from error
    except git.GitCommandError as error:
        raise ConfigurationError(f"bisect: {good} .. {bad}: no such commits in {repository}") from error
    if not listed or parents[:1] != [first]:
        raise ConfigurationError(f"bisect: {good} is not on the first-parent line that leads to {bad}")
    return [first, *listed]
