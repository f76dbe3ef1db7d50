"""References to models, a folder or `org/name[@revision]`, and the names of experts from them."""

import re
from collections.abc import Iterable

SNAPSHOT = re.compile(r"models--(?:[^/]*--)?([^/]+)/snapshots/[^/]+/*$")
"""The tail of a folder in the Hugging Face cache, whose own name is a commit's."""

LONGEST = 64


def expert_names(refs: Iterable[str]) -> dict[str, str]:
    """Call each reference by its last part, cleaned and made unique.

    Parameters
    ----------
    refs : iterable of str
        Folders or Hub names, in the order in which names are given.

    Returns
    -------
    dict of str to str
        Reference by name, as in a recipe's `experts`. No name is `base`: the word is taken.
    """
    named: dict[str, str] = {}
    for ref in refs:
        name, count = _cleaned(ref), 1
        while name in named or name == "base":
            count += 1
            suffix = f"-{count}"
            name = _cleaned(ref)[: LONGEST - len(suffix)] + suffix
        named[name] = ref
    return named


def _cleaned(ref: str) -> str:
    cached = SNAPSHOT.search(ref)
    last = cached[1] if cached else ref.rstrip("/").rsplit("/", 1)[-1].split("@")[0]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", last).lstrip("_.-")[:LONGEST] or "expert"
