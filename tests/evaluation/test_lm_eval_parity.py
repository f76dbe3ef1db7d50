"""Parity with lm-evaluation-harness 0.4.13: its loglikelihood with a softmax in float32."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from benchmarks.lm_eval_env import OVERLAY, overlay_variables
from mergelaw.data.encode import Encoded
from mergelaw.evaluation.loss import item_nll, make_batches
from mergelaw.models.loading import load_model
from tests.evaluation.families import family, random_items
from tests.helpers import special_token_tokenizer

pytestmark = pytest.mark.skipif(
    not OVERLAY.exists(), reason="python -m benchmarks.lm_eval_env installs lm-evaluation-harness"
)

MODELS = ("qwen2", "llama", "gemma", "gemma2", "granite")
IN_BFLOAT16 = ("llama", "bfloat16", 1)
JOBS = [*((kind, "float32", 4) for kind in MODELS), IN_BFLOAT16]
"""Model, type, rows of a batch."""

SPECIALS = ("<bos>", "<turn>", "<end>")
TEXTS = [
    ("<bos><turn>Add 12 and 30.<end><turn>", "The answer is 42.<end>"),
    ("Add the numbers:\n1 + 1 =", " 2"),
    ("naïve — 数 ", "The answer is 12. Add them again, then add the answer.<end>"),
    ("<turn>", "Add<end>"),
]
"""Contexts and continuations: special tokens in both, multi-byte characters, one token and many."""

SCORE = """
import json, sys
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

def score(kind, dtype, batch_size):
    model = AutoModelForCausalLM.from_pretrained(f"{folder}/{kind}", dtype=getattr(torch, dtype))
    lm = HFLM(
        pretrained=model,
        tokenizer=AutoTokenizer.from_pretrained(f"{folder}/{kind}"),
        batch_size=batch_size,
        max_length=96,
        softmax_dtype="float32",
    )
    by_tokens = lm._loglikelihood_tokens([(("", ""), *pair) for pair in tokens], disable_tqdm=True)
    instances = [Instance("loglikelihood", {}, tuple(text), 0) for text in texts]
    by_text = lm.loglikelihood(instances, disable_tqdm=True)
    return [[-value for value, _ in found] for found in (by_tokens, by_text)]

folder = sys.argv[1]
with open(f"{folder}/requests.json") as file:
    tokens, texts, jobs = json.load(file)
print(json.dumps([score(*job) for job in jobs]))
"""
"""All models in one process: it takes ten seconds to load."""


@pytest.fixture(scope="module")
def requests():
    """Return pairs of token lists: contexts of several tokens, responses of 1 to 60."""
    pairs = []
    for index, item in enumerate(random_items(30, 7, longest=80)):
        ids = item.input_ids.tolist()
        ids[len(ids) // 2] = index % len(SPECIALS)
        start = 1 + (index * 7) % (len(ids) - 1)
        pairs.append((ids[:start], ids[start:]))
    return pairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory, requests):
    """A folder with the requests, and models with their tokenizer."""
    folder = tmp_path_factory.mktemp("lm_eval")
    (folder / "requests.json").write_text(json.dumps([requests, TEXTS, JOBS]))
    tokenizer = special_token_tokenizer("", SPECIALS, bos="<bos>")
    for kind in MODELS:
        family(kind, vocab_size=320).save_pretrained(folder / kind)
        tokenizer.save_pretrained(folder / kind)
    return folder


@pytest.fixture(scope="module")
def theirs(folder):
    """Return what lm-eval says of the token requests and of the texts, by job."""
    command = [sys.executable, "-c", SCORE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=overlay_variables())
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    return {job: [np.array(x) for x in found] for job, found in zip(JOBS, results, strict=True)}


def ours(folder, kind, dtype, pairs, batch_tokens):
    items = []
    for context, continuation in pairs:
        ids = np.array([*context, *continuation], dtype=np.int32)
        items.append(Encoded(ids, np.arange(len(ids)) >= len(context), 0))
    model = load_model(folder / kind, getattr(torch, dtype))
    return item_nll(model, make_batches(items, batch_tokens), len(items))


def text_pairs(folder, kind):
    """Return the texts' tokens as lm-eval defines them: the whole, cut after the context's own.

    Blanks at the context's end are the continuation's; no text gets a second `<bos>`.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder / kind)  # its class hangs on the model
    pairs = []
    for context, continuation in TEXTS:
        cut = len(context) - len(context.rstrip())
        head, tail = context[: len(context) - cut], context[len(context) - cut :] + continuation
        adds = not context.startswith("<bos>")
        whole = tokenizer(head + tail, add_special_tokens=adds).input_ids
        n = len(tokenizer(head, add_special_tokens=adds).input_ids)
        assert whole.count(tokenizer.bos_token_id) <= 1
        pairs.append((whole[:n], whole[n:]))
    return pairs


@pytest.mark.parametrize("kind", MODELS)
def test_every_response_has_the_loss_that_lm_eval_gives_it(folder, requests, theirs, kind):
    by_tokens, by_text = theirs[kind, "float32", 4]
    for found, pairs in ((by_tokens, requests), (by_text, text_pairs(folder, kind))):
        n_tokens = np.array([len(continuation) for _, continuation in pairs])
        mine = ours(folder, kind, "float32", pairs, 300)
        np.testing.assert_array_less(np.abs(mine - found), 3e-6 * n_tokens)
        assert abs(mine.sum() - found.sum()) < 1e-6 * n_tokens.sum()
        assert np.ptp(found / n_tokens) > 0.3, "the items differ, so that a mix-up would show"


def test_in_bfloat16_too_where_batches_are_alike(folder, requests, theirs):
    by_tokens, _ = theirs[IN_BFLOAT16]
    mine = ours(folder, "llama", "bfloat16", requests, 1)
    n_tokens = np.array([len(continuation) for _, continuation in requests])
    np.testing.assert_array_less(np.abs(mine - by_tokens), 2e-2 * n_tokens)
    assert abs(mine.sum() - by_tokens.sum()) < 1e-3 * n_tokens.sum()
