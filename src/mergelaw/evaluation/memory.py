"""Out of memory: smaller forward passes from then on, and a word about it."""

import math
import sys
from dataclasses import dataclass

import torch

WORDS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "ALLOC_FAILED")
"""How torch's CPU allocator, the libraries below it and CUDA's say that memory ran out."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of a forward pass says that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS)


@dataclass
class Room:
    """Padded tokens that one forward pass may hold; shared by all that a job scores.

    Attributes
    ----------
    tokens : float
        The most that a pass of several items may hold; no bound until memory runs out.
    """

    tokens: float = math.inf
    _untold: bool = False

    def shrink(self, items: int, length: int) -> None:
        """Take note that items of this padded length did not fit: half as many from now on."""
        self.tokens = items // 2 * length
        self._untold = True
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def fitted(self) -> None:
        """Say on stderr, once a smaller pass has fitted, what its size is."""
        if self._untold:
            self._untold = False
            print(
                f"note: memory ran out; forward passes now hold at most {self.tokens:,} padded "
                "tokens (evaluation.batch_tokens)",
                file=sys.stderr,
                flush=True,
            )
