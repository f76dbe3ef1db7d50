"""One process of a training: alone in its job, or one of those of `accelerate launch`."""

import contextlib
import copy
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor
from transformers import AutoTokenizer

from mergelaw.costs.gpus import gpus_of_job, peak_bytes
from mergelaw.errors import MergeLawError, TrainingError
from mergelaw.experts.adapters import add_adapters, is_adapter, merged
from mergelaw.experts.loop import Loop
from mergelaw.experts.objective import Trainee
from mergelaw.experts.pretrain import new_model
from mergelaw.experts.processes import open_processes
from mergelaw.experts.run import TrainingRun
from mergelaw.files import atomic_directory, write_json
from mergelaw.jobs.recording import error_words
from mergelaw.models.loading import load_model, load_weights
from mergelaw.signals import EndedBySignal, end_in_order, held_back

SHARD_SIZE = "5GB"
"""The most that one file of a saved checkpoint holds."""

ERROR, FACTS = "error.txt", "facts.json"
"""Files of a launched training: what went wrong, in words, and what its end tells."""


def train(run: TrainingRun) -> dict[str, Any]:
    """Do this process's part of a training, and return what it tells of itself.

    Raises
    ------
    CheckpointError
        If the checkpoint that it starts from cannot be loaded.
    EndedBySignal
        If a signal asked for the end; the state is kept.
    TrainingError
        If a loss is not finite, or a state of another training lies there.
    """
    accelerator = open_processes(run.settings)
    _seed(run.seed)
    is_shared_out = accelerator.state.deepspeed_plugin is not None
    causal = _model(run, is_shared_out=is_shared_out)
    if accelerator.num_processes > 1:  # each drops other inputs of its adapters
        _seed(f"{run.seed}/{accelerator.process_index}")
    names = _stored(causal)
    with held_back() as come:
        loop = Loop(run, accelerator, Trainee(causal), causal.config.hidden_size, come)
        first = loop.resume()

        def keep(step: int) -> None:
            weights = loop.trained.weights()
            if weights is not None:
                with atomic_directory(Path(run.progress) / f"step-{step}") as part:
                    _save(run, causal, names, weights, part)
            accelerator.wait_for_everyone()

        try:
            loop.train(first, keep)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"{run.title}: the GPU's memory runs out ({str(error).splitlines()[0]}); lower "
                "training.expert.micro_batch_rows or max_length, set gradient_checkpointing: true, "
                "or share the model out over more GPUs (sizes[].launch)"
            ) from error
        loop.close()
    weights = loop.trained.weights()
    if weights is not None:
        _save(run, causal, names, weights, Path(run.out))
    accelerator.wait_for_everyone()
    return {
        "n_steps": run.n_steps,
        "n_resumed": first,
        "n_processes": accelerator.num_processes,
        "gpus": gpus_of_job(accelerator.num_processes),
        "peak_device_bytes": peak_bytes(),
        "n_params": sum(
            getattr(parameter, "ds_numel", parameter.numel())
            for name, parameter in causal.named_parameters()
            if not is_adapter(name)
        ),
    }


def _seed(name: str) -> None:
    torch.manual_seed(random.Random(name).getrandbits(63))


def _model(run: TrainingRun, *, is_shared_out: bool) -> Any:
    """Return the model to train; where DeepSpeed shares it out, each process gets its part alone.

    Such a model is not tried: there is no whole one to try.
    """
    settings = run.settings
    if run.architecture is not None:
        tokenizer = AutoTokenizer.from_pretrained(run.tokenizer, local_files_only=True)
        return new_model(run.architecture, tokenizer)
    start = Path(str(run.start))
    if is_shared_out:
        dtype = getattr(torch, settings.precision)
        model = load_weights(start, dtype, attn_implementation=settings.attention)
    else:
        model = load_model(start, torch.float32)
        model.set_attn_implementation(settings.attention)
    if settings.lora is not None:
        _seed(f"{run.seed}/adapters")  # loading draws random numbers, by the way it is done
        add_adapters(model, settings.lora)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def _stored(causal: Any) -> frozenset[str]:
    """Return the names of a model's tensors that a checkpoint holds, tied weights once."""
    buffers = {name for name, _ in causal.named_buffers()} & causal.state_dict().keys()
    return frozenset({name for name, _ in causal.named_parameters()} | buffers)


def _save(
    run: TrainingRun,
    causal: Any,
    names: frozenset[str],
    weights: Mapping[str, Tensor],
    folder: Path,
) -> None:
    """Write a checkpoint of standard safetensors files.

    Parameters
    ----------
    causal : transformers causal language model
        Tells config and generation config.
    names : frozenset of str
        Those of its tensors that are stored.
    weights : mapping of str to tensor
        Of the whole trainee.
    """
    own = {name: weights[f"causal.{name}"] for name in names}
    if run.settings.lora is not None:
        own = merged(own, run.settings.lora)
    dtype = getattr(torch, run.settings.precision)
    state = {name: tensor.to("cpu", dtype) for name, tensor in own.items()}
    save_torch_state_dict(state, folder, max_shard_size=SHARD_SIZE)
    config = copy.deepcopy(causal.config)
    config.dtype, config.architectures = dtype, [type(causal).__name__]
    config.save_pretrained(folder)
    if causal.generation_config is not None:
        causal.generation_config.save_pretrained(folder)


def main() -> int:
    """Do the part of a launched process; the first one writes what its job has to know."""
    end_in_order()
    run = TrainingRun.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    progress = Path(run.progress)
    try:
        facts = train(run)
        if os.environ.get("RANK") == "0":
            write_json(progress / FACTS, facts)
        return 0
    except (MergeLawError, EndedBySignal, OSError) as error:
        _tell(progress / ERROR, error_words(error))
        return error.status if isinstance(error, EndedBySignal) else 1


def _tell(path: Path, words: str) -> None:
    """Write what went wrong where the job finds it; the first process that fails is heard."""
    with contextlib.suppress(OSError), path.open("x", encoding="utf-8") as file:
        file.write(words)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # DeepSpeed's own end of a process fails at times, after all is done
