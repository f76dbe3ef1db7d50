"""What identifies the weights of a model that is opened for a merge."""

from mergelaw.checkpoints.digests import entries_digest
from mergelaw.preflight.members import Opened, entries


def weights_digest(model: Opened) -> str:
    """Return `mergelaw.checkpoints.digests.entries_digest` of a model's tensors."""
    return entries_digest(entries(model))
