"""The parts of a model that its loss is made from: backbone, head, and what follows the head."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from mergelaw.models.chunked import Chunked

CHUNK_ENTRIES = {"cpu": 2**24}
"""Logits held at once, by device. On a CPU, 64 MB in float32: at 152k words and a width of 896, in
bfloat16, half as many and two or four times as many take the same time, a quarter half as much
again (0.84 s for 1,320 rows, 1.25 s)."""

SLICE_ENTRIES = {"cpu": 2**19}
"""Logits whose loss is taken at once, by device: on a CPU 2 MB in float32, which stay in its cache
(4,088 rows of 152k words: 0.1 s beside the head's 1.4 s, against 1.1 s for whole chunks)."""

OTHER_DEVICES = 2**26
"""The same elsewhere, by reasoning and not measured: rows enough that reading the head's weights
should not be what takes the time."""

MULTIPLIED_BY = ("logit_scale", "lm_head_multiplier", "output_multiplier")
"""Config keys: Cohere's, Falcon-H1's, Muse's logits are the head's output times this."""

DIVIDED_BY = ("logits_scaling", "logits_mup_width_multiplier")
"""Granite divides the head's output, MiniCPM3 and Inkling the head's input: the same."""

MULTIPLIED_ALL_THE_SAME = frozenset({("hyperclovax", "logits_scaling")})
"""(model type, key): HyperCLOVA X multiplies by what Granite divides by."""

CAPPED_AT = ("final_logit_softcapping", "logits_soft_cap")
"""Gemma 2 and later, and RecurrentGemma: cap * tanh(logits / cap), after any scaling."""


@dataclass(frozen=True)
class Head:
    """The output embeddings of a model, and what its own forward pass does to their output.

    Attributes
    ----------
    embeddings : torch.nn.Module
        Hidden states to raw logits.
    scale : float
        What raw logits are multiplied by.
    cap : float or None
        Bound of the scaled logits: cap * tanh(logits / cap).
    """

    embeddings: Any
    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, model: Any) -> "Head":
        """Return the head of a causal language model, as its config describes it."""
        config = model.config.get_text_config()
        scale = 1.0
        for key in (*MULTIPLIED_BY, *DIVIDED_BY):
            value = getattr(config, key, None)
            if value is not None:
                times = key in MULTIPLIED_BY or (config.model_type, key) in MULTIPLIED_ALL_THE_SAME
                scale *= value if times else 1 / value
        caps = [getattr(config, key, None) for key in CAPPED_AT]
        return cls(model.get_output_embeddings(), scale, next(filter(None, caps), None))

    @property
    def device(self) -> torch.device:
        """Where hidden states and targets have to be."""
        device: torch.device = self.embeddings.weight.device
        return device

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the model's logits in float32, a tensor of its own.

        Parameters
        ----------
        hidden : tensor, shape (..., hidden_size)
            The backbone's last hidden states.
        """
        return self.finished(self.embeddings(hidden))

    def finished(self, raw: Tensor) -> Tensor:
        """Return logits in float32, scaled and capped, from the embeddings' output.

        Parameters
        ----------
        raw : tensor, shape (..., words)
            May be written over.
        """
        logits = raw.float()
        if logits.requires_grad:
            return self._finished_anew(logits)
        if self.scale != 1.0:
            logits.mul_(self.scale)
        if self.cap is not None:
            logits = logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits

    def _finished_anew(self, logits: Tensor) -> Tensor:
        """Return the same as `finished` where gradients are made from what it would write over."""
        scaled = logits * self.scale if self.scale != 1.0 else logits
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)

    def nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return -log p(target) of each row in float32; one chunk of logits at a time.

        Parameters
        ----------
        hidden : tensor, shape (rows, hidden_size)
        targets : int64 tensor, shape (rows,)

        Returns
        -------
        float32 tensor, shape (rows,)
            Nats: log of the sum of exp(logits), less the target's logit.
        """
        rows = chunk_rows(self.embeddings.weight.shape[0], self.device)
        chunks = zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
        return torch.cat([self._chunk_nll(part, wanted) for part, wanted in chunks])

    def differentiable_nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return the same as `nll`, to be differentiated once or twice; forward mode is not.

        Logits beyond one chunk are never held: they are made again, chunk by chunk, in every pass
        backward.

        Parameters
        ----------
        hidden : tensor, shape (rows, hidden_size)
        targets : int64 tensor, shape (rows,)
        """
        rows = chunk_rows(self.embeddings.weight.shape[0], self.device)
        if len(hidden) <= rows:
            return self._plain_nll(self.embeddings(hidden), targets)
        names, weights = zip(*self.embeddings.named_parameters(), strict=True)

        def chunk(part: Tensor, wanted: Tensor, *copies: Tensor) -> Tensor:
            raw = functional_call(self.embeddings, dict(zip(names, copies, strict=True)), (part,))
            return self._plain_nll(raw, wanted)

        apply: Any = Chunked.apply
        found: Tensor = apply(chunk, rows, targets, hidden, *weights)
        return found

    def _plain_nll(self, raw: Tensor, targets: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(self.finished(raw), targets, reduction="none")

    def _chunk_nll(self, hidden: Tensor, targets: Tensor) -> Tensor:
        raw = self.embeddings(hidden)
        rows = slice_rows(raw.shape[1], self.device)
        slices = zip(torch.split(raw, rows), torch.split(targets, rows), strict=True)
        return torch.cat([_nll(self.finished(part), wanted) for part, wanted in slices])


def _nll(logits: Tensor, targets: Tensor) -> Tensor:
    """Return log of the sum of exp(logits), less the target's logit; logits are written over."""
    chosen = logits.gather(1, targets[:, None])
    largest = logits.amax(1, keepdim=True)
    total = logits.sub_(largest).exp_().sum(1, keepdim=True)  # in place: no second chunk
    return total.log_().add_(largest).sub_(chosen).squeeze(1)


def backbone(model: Any) -> Any:
    """Return the part of a causal language model that makes the hidden states for its head."""
    found = model.get_decoder()
    return getattr(model, "model", model) if found is model else found


def slice_rows(n_words: int, device: torch.device) -> int:
    """Return the rows of a chunk whose loss is taken at once."""
    return max(2, SLICE_ENTRIES.get(device.type, OTHER_DEVICES) // n_words)


def chunk_rows(n_words: int, device: torch.device) -> int:
    """Return the scored positions whose logits are held at once."""
    return max(1, CHUNK_ENTRIES.get(device.type, OTHER_DEVICES) // n_words)
