"""Checkpoints written from ranges of entries, and what is then in their folders."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import load_file

from mergelaw.checkpoints.reading import TORCH_DTYPE
from mergelaw.checkpoints.shards import OutTensor
from mergelaw.checkpoints.writer import CheckpointWriter

NAMES = {dtype: name for name, dtype in TORCH_DTYPE.items()}
WHOLE, SHARDED = 10**9, 60


def example() -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(0)
    return {
        "embed": torch.randn(11, 9, generator=make).bfloat16(),
        "norm": torch.randn(13, generator=make),
        "scalar": torch.tensor(3, dtype=torch.int64),
        "none": torch.empty(0, 3),
        "mask": torch.rand(3, 3, generator=make) > 0.5,
        "\u00e4.weight": torch.randn(2, 3, 5, generator=make).half(),
    }


def writer(out, tensors, shard_bytes=WHOLE, metadata=None, identity="one") -> CheckpointWriter:
    plan = [OutTensor(name, NAMES[t.dtype], tuple(t.shape)) for name, t in tensors.items()]
    return CheckpointWriter(out, plan, shard_bytes, metadata or {}, identity)


def spans(tensors, length=7):
    return [
        (name, start, min(start + length, t.numel()))
        for name, t in sorted(tensors.items())
        for start in range(0, t.numel(), length)
    ]


def put(opened, tensors, span):
    name, start, stop = span
    opened.write(name, start, tensors[name].reshape(-1)[start:stop])
    opened.record(span, {"n": stop - start})


def write(out, tensors, shard_bytes=WHOLE, seed=0, threads=3, length=7, finish=None, **settings):
    """Write a checkpoint, or what is missing of it, from spans in random order by threads."""
    with writer(out, tensors, shard_bytes, **settings) as opened:
        todo = [span for span in spans(tensors, length) if span not in opened.done]
        random.Random(seed).shuffle(todo)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda span: put(opened, tensors, span), todo))
        opened.commit(finish)
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def load(folder: Path) -> dict[str, torch.Tensor]:
    return {k: t for path in folder.glob("*.safetensors") for k, t in load_file(path).items()}


def equal(found, expected) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == t.dtype and torch.equal(found[name], t) for name, t in expected.items()
    )


def wait_until(condition) -> None:
    """Wait for another thread's work; it may take seconds on a busy machine."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.002)
