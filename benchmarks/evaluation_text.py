"""What `make bench-eval` scores: real problems and solutions as tokens, in files by set."""

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mergelaw.data.tokenizer import train_tokenizer

VOCABULARY = 8_000
"""Entries of the tokenizer that is trained on the text; the model has many more."""
TOKENIZER = "tokenizer"
N_REAL = 8
N_LONG = 4
N_FILES = 3
LONG_SHARE = 0.3
REAL, LONG_PROMPT = "real", "long_prompt"
MEMORY_ITEMS, MEMORY_LENGTH = 8, 512
MEMORY_SCORED = (512, 1_024, 2_048, 4_088)
"""Scored tokens of one forward pass of 8 items of 512 tokens; the last is all of them."""


@dataclass(frozen=True)
class Request:
    """One item: its tokens, of which those after the prompt's are scored."""

    ids: list[int]
    n_prompt: int

    @property
    def n_scored(self) -> int:
        """Scored tokens."""
        return len(self.ids) - self.n_prompt


def main() -> None:
    """Write the tokenizer and the sets of requests, and print what they hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="Folder of JSON lists: instruction, output.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--small", action="store_true", help="For a model of 2,048 tokens.")
    arguments = parser.parse_args()
    problems = read(arguments.text)
    size = VOCABULARY // 4 if arguments.small else VOCABULARY
    tokenizer = train_tokenizer(map("\n".join, problems), size)
    tokenizer.save_pretrained(arguments.out / TOKENIZER)
    requests = [encoded(tokenizer, *problem) for problem in problems[: N_REAL + 2 * N_LONG]]
    sets = {
        REAL: requests[:N_REAL],
        LONG_PROMPT: list(lengthened(requests[:N_LONG], requests[N_LONG:])),
        **{f"scored_{n}": list(partly_scored(requests, n)) for n in MEMORY_SCORED},
    }
    for name, chosen in sets.items():
        write(arguments.out / f"{name}.json", chosen)
    print(json.dumps({name: facts(chosen) for name, chosen in sets.items()}))


def read(folder: Path) -> list[tuple[str, str]]:
    """Return (instruction, output) of a folder's first files in turn: one of each, then the next.

    Raises
    ------
    SystemExit
        If there are no such files, or too few problems.
    """
    paths = sorted(folder.glob("*.json"))[:N_FILES]
    lists = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    turns = itertools.chain.from_iterable(zip(*lists, strict=False))
    problems = [(record["instruction"], record["output"]) for record in turns]
    if len(problems) < N_REAL + 2 * N_LONG:
        raise SystemExit(
            f"{folder}: {len(problems)} problems in {len(paths)} JSON files; "
            f"{N_REAL + 2 * N_LONG} with `instruction` and `output` are needed "
            "(make bench-eval TEXT=FOLDER)"
        )
    return problems


def encoded(tokenizer: Any, instruction: str, output: str) -> Request:
    """Return one problem through the tokenizer's chat template; prompt and answer apart."""
    turns = [{"role": "user", "content": instruction}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    parts = tokenizer([prompt, output + tokenizer.eos_token], add_special_tokens=False)["input_ids"]
    return Request(parts[0] + parts[1], len(parts[0]))


def lengthened(requests: Sequence[Request], others: Sequence[Request]) -> Iterator[Request]:
    """Put other items' tokens before the prompts until the stated share is response."""
    filler = itertools.cycle(itertools.chain.from_iterable(other.ids for other in others))
    for request in requests:
        more = round(request.n_scored / LONG_SHARE) - len(request.ids)
        before = list(itertools.islice(filler, max(0, more)))
        yield Request(before + request.ids, len(before) + request.n_prompt)


def partly_scored(requests: Sequence[Request], n_scored: int) -> Iterator[Request]:
    """Cut all text into items of one length, and score the ends of as many as a pass holds."""
    ids = itertools.cycle(itertools.chain.from_iterable(request.ids for request in requests))
    n_prompt = MEMORY_LENGTH - n_scored // MEMORY_ITEMS
    for _ in range(MEMORY_ITEMS):
        yield Request(list(itertools.islice(ids, MEMORY_LENGTH)), n_prompt)


def facts(requests: Sequence[Request]) -> dict[str, float]:
    """Return what a set holds."""
    n_tokens, n_scored = (sum(len(r.ids) for r in requests), sum(r.n_scored for r in requests))
    return {
        "n_items": len(requests),
        "n_tokens": n_tokens,
        "n_scored": n_scored,
        "longest": max(len(request.ids) for request in requests),
        "response_share": round(n_scored / n_tokens, 3),
    }


def write(path: Path, requests: Sequence[Request]) -> None:
    """Write requests as JSON."""
    path.write_text(json.dumps([asdict(request) for request in requests]), encoding="utf-8")


def load(path: Path) -> list[Request]:
    """Return the requests of a file."""
    return [Request(**record) for record in json.loads(path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    main()
