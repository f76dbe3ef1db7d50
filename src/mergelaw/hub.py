"""Names of models and data sets: a folder, or one of the Hub in its cache; none is fetched."""

import os
import re
from pathlib import Path
from typing import Literal

from mergelaw.errors import CheckpointError

NAME = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[A-Za-z0-9][\w./-]*))?"
)
SHORT_HASH = re.compile(r"[0-9a-f]{7,40}")
REPO_PREFIX = "models--"

Kind = Literal["model", "dataset"]

Ref = str | Path
"""A folder, or `org/name` or `org/name@revision`: branch, tag or commit; `main` if not given."""


def resolve(ref: Ref) -> Path:
    """Return the folder of a model: a local one as it is, else its snapshot in the cache.

    Parameters
    ----------
    ref : str or Path
        A folder, or `org/name` or `org/name@revision`.

    Raises
    ------
    CheckpointError
        If there is no such folder and the cache does not hold the revision.
    """
    folder = Path(os.path.expanduser(ref))
    if str(ref) and folder.is_dir():
        return folder
    if folder.is_file():
        raise CheckpointError(f"{ref}: is a file; give the folder that it lies in")
    match = NAME.fullmatch(str(ref))
    if match is None or not is_hub_name(ref):
        raise CheckpointError(
            f"{str(ref)!r}: no such folder (a model of the Hugging Face Hub is written org/name or "
            "org/name@revision)"
        )
    return snapshot(match["repo"], match["revision"])


def is_hub_name(ref: Ref) -> bool:
    """Say whether a reference names a model of the hub: it is written so, and is no path here."""
    written = NAME.fullmatch(str(ref)) is not None and ".." not in str(ref)
    return written and not Path(os.path.expanduser(ref)).exists()


def hub_name(path: Path) -> str | None:
    """Return `org/name` of a folder inside a Hugging Face cache, else None."""
    for part in path.parts:
        if part.startswith(REPO_PREFIX):
            return part.removeprefix(REPO_PREFIX).replace("--", "/")
    return None


def download_command(repo: str, revision: str | None, kind: Kind = "model") -> str:
    """Return the shell command that brings a model or a data set into the cache."""
    words = ["hf", "download", repo]
    words += ["--repo-type", kind] if kind != "model" else []
    return " ".join([*words, "--revision", revision] if revision else words)


def snapshot(repo: str, revision: str | None, kind: Kind = "model") -> Path:
    """Return the folder of a revision in the cache (`main` if none is given).

    Raises
    ------
    CheckpointError
        If the cache does not hold it; names the command that brings it there.
    """
    from huggingface_hub import constants  # slow to import, and not needed for local folders

    cache = Path(constants.HF_HUB_CACHE)
    place = cache / f"{kind}s--{repo.replace('/', '--')}"
    commits = {folder.name: folder for folder in sorted(place.glob("snapshots/*"))}
    for commit in _commits(place, revision or "main", list(commits)):
        if commit in commits:
            return commits[commit]
    raise CheckpointError(
        f"{repo}{'@' * bool(revision)}{revision or ''}: no such folder, and {_lack(repo, commits)} "
        f"({cache}); nothing is fetched here, so run first: "
        f"{download_command(repo, revision, kind)}"
    )


def _commits(place: Path, revision: str, known: list[str]) -> list[str]:
    """Return the commits that a revision can mean: by branch or tag, else by (short) hash."""
    branch = place / "refs" / revision
    if branch.is_file():
        return [branch.read_text().strip()]
    if SHORT_HASH.fullmatch(revision):
        found = [commit for commit in known if commit.startswith(revision)]
        return found if len(found) == 1 else []
    return []


def _lack(repo: str, commits: dict[str, Path]) -> str:
    if not commits:
        return "not in the Hugging Face cache"
    held = ", ".join(f"{repo}@{commit}" for commit in commits)
    return f"the Hugging Face cache holds other revisions of it only: {held}"
