"""Shipped studies run to their reports, with tiny models under the names that they give."""

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.helpers import naive_nll
from tests.workflow.stand_in import LENGTH, StandIn, shipped
from tests.workflow.workspace import Workspace

CARDS = {
    "NousResearch/Hermes-3-Llama-3.1-8B": "meta-llama/Meta-Llama-3.1-8B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
    "Undi95/Meta-Llama-3-8B-Instruct-hf": "meta-llama/Meta-Llama-3-8B",
}
STUDIES: dict[str, dict[str, Any]] = {
    "qwen2.5": {
        "family": "Qwen2",
        "sizes": {"0.5b", "14b"},
        "trained": {"algebra", "code"},
        "rows": {"0.5b": {k: n for k, n in enumerate((1, 9, 36, 84, 126, 126, 84, 36, 9, 1))}},
    },
    "llama3": {"family": "Llama"},
    "pool16": {
        "family": "Llama",
        "trained": {"japanese"},
        "rows": {"3b": {0: 1, **dict.fromkeys(range(2, 16, 2), 15), 16: 1}},
    },
    "own-experts": {"family": "Gemma2", "rows": {"own": {0: 1, 1: 4, 2: 6, 3: 4, 4: 1}}},
}
"""What stands in for each study; `rows`: subsets at each k, where that is not drawn."""


@dataclass(frozen=True)
class Finished:
    """A study that ran: as shipped, as it ran, and where."""

    name: str
    shipped: dict[str, Any]
    config: dict[str, Any]
    workspace: Workspace
    made: StandIn

    @property
    def results(self) -> Path:
        return self.workspace.folder / "results" / self.name

    @property
    def losses(self) -> pl.DataFrame:
        return pl.read_parquet(self.results / "sweep" / "losses.parquet")

    @property
    def page(self) -> str:
        return (self.results / "report" / "report.html").read_text(encoding="utf-8")

    def items(self, domain: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """The tokens of each item of a domain, and whether they are scored."""
        shard = load_file(self.results / "data" / "shards" / f"{domain}.safetensors")
        ends = np.cumsum(shard["lengths"])[:-1]
        return list(
            zip(np.split(shard["input_ids"], ends), np.split(shard["scored"], ends), strict=True)
        )


@pytest.fixture(scope="module", params=STUDIES)
def finished(request, tmp_path_factory):
    """Each study in turn, run to its report."""
    name, settings = request.param, STUDIES[request.param]
    workspace = Workspace(tmp_path_factory.mktemp(name))
    made = StandIn(workspace.folder, settings["family"], CARDS)
    given = shipped(name)
    config = made.shrink(given, settings.get("sizes"), settings.get("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(made.cache))
        workspace.run(config)
        yield Finished(name, given, config, workspace, made)


def test_every_cell_is_measured(finished):
    losses = finished.losses
    for size in finished.config["sizes"]:
        rows = losses.filter(size=size["name"])
        assert set(rows["method"]) == {entry["label"] for entry in finished.shipped["methods"]}
        assert set(rows["domain"]) == {entry["name"] for entry in finished.shipped["domains"]}
        subsets = rows.select("k", "subset").unique()
        counts = dict(subsets.group_by("k").len().iter_rows())
        expected = STUDIES[finished.name].get("rows", {}).get(size["name"])
        if expected is None:  # prefixes of 15 permutations of nine
            assert counts.keys() == set(range(10))
            assert counts[9] == 1
            assert all(1 < counts[k] <= 15 for k in range(1, 9))
        else:
            assert counts == expected
        cells = len(finished.shipped["methods"]) * len(finished.shipped["domains"])
        assert rows.height == subsets.height * cells
        assert rows["nll_sum"].is_finite().all()


def test_the_page_has_the_notes_and_the_reason(finished):
    page = " ".join(html.unescape(finished.page).split())
    for text in finished.shipped.get("notes", ()):
        assert text in page
    reason = finished.shipped.get("lineage", {}).get("reason")
    assert ("speak against this base" in page) == (reason is not None)
    assert reason is None or reason in page


def test_only_experts_without_a_checkpoint_are_trained(finished):
    folder = finished.results / "experts"
    found = {place.name for place in folder.glob("*/*")} if folder.exists() else set()
    assert found == STUDIES[finished.name].get("trained", set())


def test_a_merge_of_two_has_the_loss_of_a_plain_loop(finished):
    """Merged by hand from the files; each item alone, unpadded, by the model's own labels."""
    size, entry = finished.config["sizes"][-1], finished.shipped["methods"][0]
    pairs = finished.losses.filter(size=size["name"], method=entry["label"], k=2, domain="algebra")
    row = next(r for r in pairs.rows(named=True) if _given(r, size))
    base, *experts = (
        finished.made.place(ref)
        for ref in (size["base"], *(size["experts"][name] for name in row["subset"].split("+")))
    )
    scale = {"average": 1.0}.get(entry["method"], 0.8)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).eval()
    start, *others = (load_torch(place / "model.safetensors") for place in (base, *experts))
    for name, parameter in model.named_parameters():
        value = start[name].float()
        mean = sum(other[name].float() - value for other in others) / len(others)
        parameter.data.copy_(value + scale * mean)
    items = finished.items("algebra")
    assert len(items) > 1
    expected = sum(naive_nll(model, ids, scored) for ids, scored in items)
    assert row["nll_sum"] == pytest.approx(expected, rel=1e-3)
    assert row["n_tokens"] == sum(int(scored.sum()) for _, scored in items)


def _given(row: dict[str, Any], size: dict[str, Any]) -> bool:
    return all(name in size["experts"] for name in row["subset"].split("+"))


def test_every_item_begins_as_its_format_does(finished):
    tokenizer = AutoTokenizer.from_pretrained(finished.results / "data" / "tokenizer")
    system = finished.shipped["tokenizer"].get("system")
    chatml = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n"
    start = {
        "qwen2.5": chatml,
        "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        f"{system}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        "own-experts": "<bos><start_of_turn>user\n",
    }
    for domain in finished.shipped["domains"]:
        for ids, scored in finished.items(domain["name"]):
            text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            assert text.startswith(start.get(finished.name, start["llama3"]))
            if tokenizer.bos_token_id is not None:
                assert (ids == tokenizer.bos_token_id).sum() == 1
            assert not scored[: len(ids) // 4].any()
            assert len(ids) <= LENGTH


def test_a_finished_study_has_nothing_to_do(finished):
    done = finished.workspace.snakemake(finished.config, "--dry-run")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_an_expert_of_another_base_is_told_where_it_is_merged(finished):
    logs = (finished.results / "logs" / "merge").glob("*_task_vectors.log")
    told = " ".join(path.read_text(encoding="utf-8") for path in logs)
    doubts = re.findall(r"expert '(\w+)' says that it was made from", told)
    assert sorted(doubts) == (["expert8", "expert9"] if finished.name == "llama3" else [])
