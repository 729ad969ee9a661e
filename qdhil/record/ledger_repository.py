"""Git as the ledger uses it: a checkout, its remote, and the few plumbing commands that are needed.

The remote keeps one reference a run below ``refs/qdhil/runs/`` and the folded ones in ``refs/qdhil/ledger``.
Where a forge refuses references of its users' own, branches take their place. Either way the checkout mirrors
them below ``refs/qdhil/``. A push never forces: it creates, or it is a compare-and-swap on the old value.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from qdhil.errors import ConfigurationError, RecordFault

LEDGER_REF = "refs/qdhil/ledger"
RUNS_PREFIX = "refs/qdhil/runs/"
_TIMEOUT_S = 300
_QUIET = ("--no-verify", "--no-follow-tags", "--recurse-submodules=no")
_CONTENTION = re.compile(
    r"stale info|lock|fetch first|failed to update|non-fast-forward|already exists|atomic|unresolved|"
    r"incorrect old|expected|not our ref|unpack|no such remote ref|couldn't find remote ref|does not exist",
    re.IGNORECASE,
)


class GitFailure(RecordFault):
    """A git command that failed; ``contended`` where another writer may be why, so that trying again helps."""

    def __init__(self, what: str, stderr: str) -> None:
        # a URL may carry a token
        said = re.sub(r"://[^/@\s]+@", "://", stderr).replace("stderr: '", "").rstrip(" '\n")
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        telling = [line for line in lines if re.search(r"error|fatal|reject|denied|refus|declin|stale", line, re.I)]
        self.contended = bool(_CONTENTION.search(said))
        super().__init__(f"ledger: {what}: " + ("; ".join((telling or lines)[:3]) or "git gave no reason"))


@dataclass(frozen=True)
class Layout:
    """Where the remote keeps what the ledger consists of."""

    name: str
    ledger: str
    runs: str
    probe: str


REFS = Layout("refs", LEDGER_REF, RUNS_PREFIX, "refs/qdhil/probe/")
BRANCHES = Layout("branches", "refs/heads/qdhil-ledger", "refs/heads/qdhil-runs/", "refs/heads/qdhil-probe/")
LAYOUTS = {layout.name: layout for layout in (REFS, BRANCHES)}


class LedgerRepository:
    """A checkout and one of its remotes.

    Parameters
    ----------
    folder
        Anywhere in the checkout (a bare repository will do).
    remote
        Name of the remote.

    Raises
    ------
    ConfigurationError
        If there is no repository, or no such remote.
    """

    def __init__(self, folder: Path, remote: str = "origin") -> None:
        try:
            import git
        except ImportError as error:
            raise ConfigurationError("ledger: there is no git command") from error
        try:
            self._repo = git.Repo(folder, search_parent_directories=True)
        except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
            raise ConfigurationError(f"ledger: {folder} is in no git repository") from error
        if remote not in {known.name for known in self._repo.remotes}:
            known = ", ".join(known.name for known in self._repo.remotes) or "none"
            raise ConfigurationError(f"ledger: the repository has no remote {remote!r}; it has {known}")
        self.remote = remote

    def close(self) -> None:
        """End the processes that read objects."""
        self._repo.close()

    @cached_property
    def private_folder(self) -> Path:
        """Folder inside ``.git``, one for all work trees; it need not exist."""
        return Path(self._repo.common_dir) / "qdhil"

    def git(self, command: str, *arguments: str, environment: Mapping[str, str] | None = None, **options: Any) -> str:
        """Run a git command and return what it printed.

        Raises
        ------
        GitFailure
            With git's own reason.
        """
        import git

        settings = {"GIT_TERMINAL_PROMPT": "0", **(environment or {})}
        try:
            with self._repo.git.custom_environment(**settings):
                run = getattr(self._repo.git, command.replace("-", "_"))
                return str(run(*arguments, kill_after_timeout=_TIMEOUT_S, **options))
        except git.GitCommandError as error:
            raise GitFailure(f"git {command}", str(error.stderr)) from error

    # --- objects

    def write_blob(self, content: bytes) -> str:
        """Store bytes and return their object id."""
        with tempfile.TemporaryFile() as stream:
            stream.write(content)
            stream.seek(0)
            return self.git("hash-object", "-w", "--stdin", istream=stream)

    def write_tree(self, blobs: Mapping[str, str], onto: str | None = None) -> str:
        """Store the tree of a commit with more files in it, and return its object id."""
        with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as stream:
            index = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
            self.git("read-tree", onto or "--empty", environment=index)
            stream.write("".join(f"100644 {oid}\t{path}\n" for path, oid in blobs.items()).encode())
            stream.seek(0)
            self.git("update-index", "--index-info", environment=index, istream=stream)
            return self.git("write-tree", environment=index)

    def write_commit(self, tree: str, message: str, when: datetime, parent: str | None = None) -> str:
        """Store a commit whose id follows from its arguments alone, and return it."""
        identity: dict[str, str] = {}
        for role in ("AUTHOR", "COMMITTER"):
            identity |= {f"GIT_{role}_NAME": "qdhil", f"GIT_{role}_EMAIL": "qdhil@localhost"}
            identity[f"GIT_{role}_DATE"] = f"@{int(when.timestamp())} +0000"
        parents = ("-p", parent) if parent else ()
        return self.git("commit-tree", tree, *parents, "-m", message, environment=identity)

    def files(self, commit: str) -> dict[str, str]:
        """Return the object ids of a commit's files by path."""
        listed = (line.partition("\t") for line in self.git("ls-tree", "-r", "-z", commit).split("\0") if line)
        return {path: facts.split()[2] for facts, _, path in listed}

    def read_blob(self, oid: str) -> bytes:
        """Return the bytes of an object.

        Raises
        ------
        ValueError
            If it is missing or damaged.
        """
        try:
            return bytes(self._repo.odb.stream(bytes.fromhex(oid)).read())
        except Exception as error:  # gitdb raises what it likes on damage, and this is the place to name it
            raise ValueError(f"object {oid} can't be read") from error

    # --- references

    def local_refs(self) -> dict[str, str]:
        """Return the mirrored references of this checkout."""
        listed = self.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/qdhil/").splitlines()
        return {name: oid for oid, _, name in (line.partition(" ") for line in listed)}

    def remote_refs(self) -> dict[str, str]:
        """Return the references of both layouts that the remote has now."""
        wanted = [pattern for it in LAYOUTS.values() for pattern in (it.ledger, f"{it.runs}*", f"{it.probe}*")]
        listed = self.git("ls-remote", "--quiet", self.remote, *wanted).splitlines()
        return {name: oid for oid, _, name in (line.partition("\t") for line in listed)}

    def fetch(self, layout: Layout) -> None:
        """Fetch the remote's runs and ledger from one listing; a ledger that was rewritten is refused.

        Nothing is pruned here: a run that is gone from the remote may be in a ledger that this listing has not.
        """
        specs = (f"{layout.runs}*:{RUNS_PREFIX}*", f"{layout.ledger}*:{LEDGER_REF}*")
        options = ("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--no-prune")
        try:
            self.git("fetch", *options, self.remote, *specs)
        except GitFailure as error:
            if "non-fast-forward" in str(error):
                error.contended = False  # trying again would not undo what somebody rewrote
            raise

    def forget(self, refs: Mapping[str, str]) -> None:
        """Delete mirrored references of this checkout, each only if it still has its commit."""
        if refs:
            with tempfile.TemporaryFile() as stream:
                stream.write("".join(f"delete {name} {oid}\n" for name, oid in refs.items()).encode())
                stream.seek(0)
                self.git("update-ref", "--stdin", istream=stream)

    def push(self, *arguments: str) -> None:
        """Push what the refspecs say, without hooks, tags or submodules."""
        options = [argument for argument in arguments if argument.startswith("--")]
        specs = [argument for argument in arguments if not argument.startswith("--")]
        if any(spec.startswith("+") for spec in specs):
            raise ValueError("a ledger is never pushed by force")
        self.git("push", "--quiet", *_QUIET, *options, self.remote, *specs)

    def swap(self, ledger: tuple[str, str | None, str], delete: Mapping[str, str]) -> None:
        """Move the ledger from its old to its new commit and delete references, all or nothing.

        Parameters
        ----------
        ledger
            Name, old commit (``None``: there must be none yet) and new commit.
        delete
            References and the commits that they must still have.
        """
        name, old, new = ledger
        leases = [f"--force-with-lease={name}:{old or ''}"]
        leases += [f"--force-with-lease={run}:{oid}" for run, oid in delete.items()]
        self.push("--atomic", *leases, f"{new}:{name}", *(f":{run}" for run in delete))

    # --- layout

    def layout(self, existing: Iterable[str] = ()) -> Layout | None:
        """Return the remembered layout, or that of references which the remote has (and remember it)."""
        remembered = ""
        with suppress(GitFailure):
            remembered = self.git("config", "--get", self._layout_key)
        if remembered:
            if remembered not in LAYOUTS:
                raise ConfigurationError(f"git config {self._layout_key} = {remembered}: must be refs or branches")
            return LAYOUTS[remembered]
        present = set(existing)
        for layout in LAYOUTS.values():
            if any(name == layout.ledger or name.startswith(layout.runs) for name in present):
                return self._remember(layout)
        return None

    def probe_layout(self) -> Layout:
        """Find out by trying which references the remote takes and shows again, and remember it.

        Raises
        ------
        GitFailure
            If it takes neither.
        """
        commit = self.write_commit(self.write_tree({}), "probe", datetime.fromtimestamp(0, UTC))
        refused: GitFailure | None = None
        for layout in LAYOUTS.values():
            name = f"{layout.probe}{secrets.token_hex(8)}"
            try:
                self.push(f"{commit}:{name}")
            except GitFailure as error:
                refused = error
                continue
            shown = name in self.remote_refs()
            with suppress(GitFailure):  # a compactor may have swept it away
                self.push(f":{name}")
            if shown:
                return self._remember(layout)
        raise refused or GitFailure("git push", "the remote takes references and does not show them")

    @property
    def _layout_key(self) -> str:
        return f"qdhil.{self.remote}.layout"

    def _remember(self, layout: Layout) -> Layout:
        with suppress(GitFailure):  # a read-only checkout finds out again
            self.git("config", self._layout_key, layout.name)
        return layout
