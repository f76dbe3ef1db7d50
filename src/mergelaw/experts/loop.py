"""The loop that pre-training and fine-tuning share: steps, log, states, the end in order."""

import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from mergelaw.config.models import BaseTraining, ExpertTraining
from mergelaw.errors import TrainingError
from mergelaw.experts import state
from mergelaw.experts.log import LogFile
from mergelaw.experts.objective import check_packing
from mergelaw.experts.processes import Trained
from mergelaw.experts.rows import MicroBatch, micro_batches
from mergelaw.experts.run import TrainingRun
from mergelaw.experts.text import TrainingText
from mergelaw.progress import progress
from mergelaw.signals import EndedBySignal

FINAL_RATE_SHARE = 0.1
"""Share of the peak learning rate at which the cosine ends."""

LAST_SECONDS = 60
"""After the last step a state is written if the one before is older."""

SAVE, END = 1.0, 2.0
"""What a process wants after a step: a state, or a state and the end."""


def peak_rate(settings: BaseTraining, hidden_size: int) -> float:
    """Return the peak learning rate: it scales with learning_rate_width / hidden_size."""
    width = settings.learning_rate_width
    return settings.learning_rate * (width / hidden_size if width else 1.0)


def rate_share(step: int, n_steps: int, warmup_share: float) -> float:
    """Return the share of the peak rate at a step, counted from 0.

    It rises from 0 over round(warmup_share * n_steps) steps, then falls along a half cosine to
    `FINAL_RATE_SHARE`.
    """
    n_warmup = round(warmup_share * n_steps)
    if step < n_warmup:
        return step / n_warmup
    done = (step - n_warmup) / max(1, n_steps - n_warmup)
    return FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


class Loop:
    """The steps of one training in one of its processes.

    Parameters
    ----------
    run : TrainingRun
        What is trained.
    accelerator : Accelerator
        This process's place among the others.
    trainee : torch.nn.Module
        From `mergelaw.experts.objective.Trainee`.
    width : int
        The model's hidden size, by which the learning rate scales.
    come : callable
        Returns the signal that asks for the end, if any has come.
    """

    def __init__(
        self,
        run: TrainingRun,
        accelerator: Accelerator,
        trainee: nn.Module,
        width: int,
        come: Callable[[], int | None],
    ) -> None:
        self._run, self._accelerator, self._come = run, accelerator, come
        self._settings: ExpertTraining = run.settings
        self._peak = peak_rate(run.settings, width)
        self._text = TrainingText(run.text, run.settings.batch_rows)
        self.trained = Trained(accelerator, trainee, run.settings)
        self._progress = Path(run.progress)
        self._log = LogFile(self._progress / "log.jsonl", accelerator.is_main_process)
        self._saved = time.monotonic()
        self._parent = os.getppid()

    def resume(self) -> int:
        """Go on from the last state, and return the steps that are done.

        Raises
        ------
        TrainingError
            If the state is of another training, or the model cannot be trained as it is asked to.
        """
        if self._settings.pack:
            device = self._accelerator.device
            check_packing(self.trained.model, self._settings.precision, device, self._run.title)
        step = state.last_state(self._progress)
        if step is None:
            self._log.keep(0)
            return 0
        place = self._accelerator.process_index
        folder = state.state_folder(self._progress, step)
        state.check_identity(
            self._progress, step, self._run.identity, self._accelerator.num_processes
        )
        held = state.read_process(folder, place)
        self.trained.set_state(held["trained"])
        state.set_random_state(held["random"])
        self._log.keep(step)
        if self._accelerator.is_main_process:
            print(f"{self._run.title}: goes on after {step} of {self._run.n_steps} steps")
        return step

    def train(self, first: int, keep: Callable[[int], None]) -> None:
        """Make the steps from `first` on.

        Parameters
        ----------
        first : int
            Steps that are done.
        keep : callable
            Called with each step of `run.snapshot_steps` once it is done.

        Raises
        ------
        TrainingError
            If a loss or a gradient is not finite; names step and items. The last state is kept.
        EndedBySignal
            If a signal came: after the step, and a state, are done.
        """
        n_steps = self._run.n_steps
        steps = progress(range(first, n_steps), n_steps, self._run.title, "step", start=first)
        for step in steps if self._accelerator.is_main_process else range(first, n_steps):
            self._step(step)
            if step + 1 in self._run.snapshot_steps:
                keep(step + 1)
            self._between(step + 1)

    def _step(self, step: int) -> None:
        start = time.perf_counter()
        items = self._text.items(step)
        batches = micro_batches(
            items,
            pack_to=self._settings.max_length if self._settings.pack else None,
            micro_batch_rows=self._settings.micro_batch_rows,
            process=self._accelerator.process_index,
            n_processes=self._accelerator.num_processes,
        )
        n_scored = int(sum(item.scored.sum() for item in items))
        rate = self._peak * rate_share(step, self._run.n_steps, self._settings.warmup_share)
        self.trained.set_rate(rate)
        own, bad = self._accumulate(batches, n_scored)
        total, n_bad = self.trained.sum(own, len(bad))
        loss = total / n_scored
        if n_bad or not math.isfinite(loss):
            raise self._not_finite(step, f"the loss of step {step + 1} is {loss}", bad)
        norm = self.trained.step()
        if not math.isfinite(norm):
            raise self._not_finite(step, f"the gradient of step {step + 1} is {norm}", [])
        n_tokens = sum(len(item.input_ids) for item in items)
        seconds = time.perf_counter() - start
        self._log.add(step + 1, loss, rate, norm, n_scored, n_tokens, seconds)

    def _accumulate(self, batches: list[MicroBatch], n_scored: int) -> tuple[float, list[int]]:
        """Add up the step's gradient; return the own sum of losses, and items that have none.

        A gradient is averaged over processes: the sum over the step's tokens is its own process's
        times their number.
        """
        total, bad = 0.0, list[int]()
        for number, batch in enumerate(batches):
            moved = batch.to(self._accelerator.device)
            nll: Tensor = self.trained.model(moved)
            total += float(nll.detach().double().sum())
            bad += moved.items[~nll.isfinite()].tolist()
            share = self._accelerator.num_processes / n_scored
            last = number == len(batches) - 1
            self.trained.backward(nll.sum() * share, last=last)
        return total, bad

    def _not_finite(self, step: int, what: str, bad: list[int]) -> TrainingError:
        """Return an error that names the items: those without a finite loss, or all of the step."""
        if self._accelerator.num_processes > 1:
            bad = gather_object(bad)
        numbers = self._text.numbers(step)
        named = [self._text.places[numbers[i]] for i in sorted(set(bad)) or range(len(numbers))]
        kept = state.last_state(self._progress)
        fate = (
            f"the state after step {kept} is kept in {self._progress}"
            if kept
            else "no state was kept before it"
        )
        return TrainingError(
            f"{self._run.title}: {what} ({'at' if bad else 'items'} {', '.join(named)}); {fate}; "
            "lower training's learning_rate, or leave out these items if their text is broken"
        )

    def _between(self, done: int) -> None:
        """Write a state where it is time for one, and end where a signal asks for it.

        A launched process whose launcher was killed ends without one: another may have begun.
        """
        if self._accelerator.num_processes > 1 and os.getppid() != self._parent:
            raise TrainingError(f"{self._run.title}: the job of this process has ended")
        wish = 0.0
        if self._come():
            wish = END
        elif self._accelerator.is_main_process:
            seconds = 60 * self._settings.save_minutes
            if done == self._run.n_steps:  # what comes now, writing the expert, may fail, too
                seconds = min(seconds, LAST_SECONDS)
            wish = SAVE * (time.monotonic() - self._saved > seconds)
        wish = self._largest(wish)
        if wish:
            self.save(done)
        if wish >= END:
            raise EndedBySignal(self._come() or signal.SIGTERM)

    def _largest(self, wish: float) -> float:
        """Return the largest wish of any process, so that all do the same."""
        n = self._accelerator.num_processes
        if n == 1:
            return wish
        told = torch.zeros(n, device=self._accelerator.device)
        told[self._accelerator.process_index] = wish
        largest: float = self._accelerator.reduce(told, "sum").max().item()
        return largest

    def save(self, done: int) -> None:
        """Write the state after so many steps."""
        folder = state.state_folder(self._progress, done)
        part = folder.with_name(f".{folder.name}.part")
        if self._accelerator.is_main_process:
            self._log.sync()
            state.make_anew(part)
        self._accelerator.wait_for_everyone()
        held = {"trained": self.trained.state(), "random": state.random_state()}
        state.write_process(part, self._accelerator.process_index, held)
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            n_processes = self._accelerator.num_processes
            state.finish(part, folder, {"identity": self._run.identity, "n_processes": n_processes})
        self._accelerator.wait_for_everyone()
        self._saved = time.monotonic()

    def close(self) -> None:
        """Bring the log to the disk."""
        self._log.close()
