"""Which commit the measuring process was started from."""

from __future__ import annotations

from pathlib import Path


def checkout_state(folder: Path | None = None) -> tuple[str | None, bool | None]:
    """Return commit and dirtiness of the git checkout around ``folder`` (default: the working directory).

    Both are ``None`` outside a checkout, or before its first commit.
    """
    try:
        import git
    except ImportError:  # GitPython refuses to import where there is no git executable
        return None, None
    try:
        with git.Repo(folder or Path.cwd(), search_parent_directories=True) as repository:
            return repository.head.commit.hexsha, repository.is_dirty(untracked_files=False)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, git.GitCommandError, ValueError):
        return None, None
