"""Errors of a pass backward that cannot be made: a route that only goes forward is the way out."""

from mergelaw.errors import CheckpointError, DataError

FORWARD = "take the route gauss_newton, differences or pairs, which only go forward"


class NotDifferentiableError(CheckpointError):
    """A model whose loss has no pass backward; no word of numbers that are not finite.

    Attributes
    ----------
    reason : str
        The same without the way out.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; {FORWARD}")
        self.reason = reason


class NoRoomBackwardError(DataError):
    """A pass backward over one item that does not fit the memory.

    Attributes
    ----------
    reason : str
        The same without the way out.
    """

    def __init__(self, kind: str, n_tokens: int) -> None:
        self.reason = f"memory runs out on the {kind} of one item ({n_tokens:,} tokens)"
        super().__init__(
            f"{self.reason}: {FORWARD}, shorter items (evaluation.max_length), or more memory"
        )
