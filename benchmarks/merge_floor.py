"""The floor of a merge: checkpoints read, one written, in the engine's blocks, nothing computed."""

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK_BYTES = 65_536 * 2
"""65,536 entries of bfloat16."""
SPAN_BYTES = 64 * BLOCK_BYTES
THREADS = 2


def main() -> None:
    """Read all files side by side and write the bytes of the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="Equal in length.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sync", action="store_true", help="Wait until the disk has it.")
    arguments = parser.parse_args()
    inputs = [os.open(path / "model.safetensors", os.O_RDONLY) for path in arguments.checkpoints]
    size = os.fstat(inputs[0]).st_size
    arguments.out.mkdir()
    out = os.open(arguments.out / "model.safetensors", os.O_CREAT | os.O_WRONLY, 0o644)
    os.posix_fallocate(out, 0, size)
    spans = iter(range(0, size, SPAN_BYTES))
    with ThreadPoolExecutor(THREADS) as pool:
        read = sum(pool.map(copy_spans, [inputs] * THREADS, [out] * THREADS, [spans] * THREADS))
    if arguments.sync:
        os.fsync(out)
    print(json.dumps({"bytes_read": read, "bytes_written": size}))


def copy_spans(inputs: list[int], out: int, spans: Iterator[int]) -> int:
    """Read and write spans until none is left; return the bytes read."""
    buffers = [bytearray(BLOCK_BYTES) for _ in inputs]
    read = 0
    for span in spans:
        for start in range(span, span + SPAN_BYTES, BLOCK_BYTES):
            sizes = [
                os.preadv(file, [buffer], start)
                for file, buffer in zip(inputs, buffers, strict=True)
            ]
            read += sum(sizes)
            os.pwrite(out, memoryview(buffers[0])[: sizes[0]], start)
    return read


if __name__ == "__main__":
    main()
