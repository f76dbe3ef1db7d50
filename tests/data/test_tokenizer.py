"""The tokenizer: digits alone, text whole, loadable by transformers, the same each time."""

import os
import random
import subprocess
import sys
from types import SimpleNamespace

import pytest
from tokenizers import normalizers
from transformers import AutoTokenizer

from mergelaw.data.digests import tokenizer_digest, vocabulary_digest
from mergelaw.data.domains import DOMAINS, generate
from mergelaw.data.generic import generate_generic
from mergelaw.data.tokenizer import load_tokenizer, train_tokenizer
from mergelaw.errors import DataError
from tests.helpers import chat

SPECIALS = ["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEXTS = generate_generic(random.Random("texts"), 200)


def test_digits_are_tokens_of_their_own(tokenizer):
    assert [
        t for t in tokenizer.tokenize("In 2024, 3.1416 x 1e10") if any(c.isdigit() for c in t)
    ] == list("202431416110")
    assert not [t for t in tokenizer.get_vocab() if sum(c.isdigit() for c in t) > 1]
    assert not [t for t in tokenizer.get_vocab() if len(t) > 1 and any(c.isdigit() for c in t)]


@pytest.mark.parametrize(
    "text",
    [
        *(p.prompt + "\n" + p.response for d in DOMAINS for p in generate(d, random.Random(d), 3)),
        "  two  spaces , a\ttab\n\nand 'don't' . ",
        "ünïcödé 漢字 🙂 \u2028 \x00",
        "1 ,2 .3 n't",
    ],
)
def test_text_comes_back_as_it_was(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_specials_are_single_tokens_that_no_text_adds(tokenizer):
    assert sorted(tokenizer.convert_tokens_to_ids(SPECIALS)) == [0, 1, 2, 3]
    marked = tokenizer("<|user|>a<|end|>")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(marked) == ["<|user|>", "a", "<|end|>"]
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.bos_token) == (
        "<|pad|>",
        "<|end|>",
        None,
    )
    assert not set(tokenizer("A plain text.")["input_ids"]) & {0, 1, 2, 3}
    assert (
        tokenizer.apply_chat_template(chat("Q", "A"), tokenize=False)
        == "<|user|>Q<|assistant|>A<|end|>"
    )
    prompt = tokenizer.apply_chat_template(
        chat("Q", "A")[:1], tokenize=False, add_generation_prompt=True
    )
    assert prompt == "<|user|>Q<|assistant|>"


def test_the_vocabulary_has_the_size_asked_for():
    assert len(train_tokenizer(TEXTS, 350)) == 350


def test_transformers_alone_loads_it(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    program = (
        "import sys; from transformers import AutoTokenizer\n"
        f"t = AutoTokenizer.from_pretrained({str(tmp_path)!r}, local_files_only=True)\n"
        "m = [{'role': 'user', 'content': 'Add 12.'}]\n"
        "text = t.apply_chat_template(m, tokenize=False, add_generation_prompt=True)\n"
        "print(t(text)['input_ids'])\n"
        "assert not [name for name in sys.modules if name.startswith('mergelaw')]"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == str(tokenizer("<|user|>Add 12.<|assistant|>")["input_ids"])


def test_training_in_another_process_gives_equal_bytes(tmp_path):
    train_tokenizer(TEXTS, 400).save_pretrained(tmp_path / "one")
    program = (
        "import random; from mergelaw.data.generic import generate_generic\n"
        "from mergelaw.data.tokenizer import train_tokenizer\n"
        "texts = generate_generic(random.Random('texts'), 200)\n"
        f"train_tokenizer(texts, 400).save_pretrained({str(tmp_path / 'two')!r})"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "tokenizer.json" in files
    for name in files:
        one, two = ((tmp_path / run / name).read_bytes() for run in ("one", "two"))
        assert one == two, name


def test_loading_gives_the_same_tokenizer(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.chat_template == tokenizer.chat_template
    assert vocabulary_digest(again) == vocabulary_digest(tokenizer)


def test_the_digest_is_of_the_vocabulary(tokenizer):
    assert vocabulary_digest(train_tokenizer(TEXTS, 350)) != vocabulary_digest(
        train_tokenizer(TEXTS, 351)
    )
    assert vocabulary_digest(train_tokenizer(TEXTS, 350)) == vocabulary_digest(
        train_tokenizer(TEXTS, 350)
    )


def test_a_folder_that_holds_no_tokenizer_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"tokenizer '.*nowhere': no such folder"):
        load_tokenizer(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be loaded"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_offsets_is_refused(tmp_path, monkeypatch):
    slow = SimpleNamespace(is_fast=False)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *_, **__: slow)
    with pytest.raises(DataError, match=r"has no fast version \(tokenizer\.json\)"):
        load_tokenizer(tmp_path)


def test_a_name_of_the_hub_is_looked_up_in_its_cache(tokenizer, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "models--Org--tiny"
    tokenizer.save_pretrained(place / "snapshots" / ("1" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "v2").write_text("1" * 40)
    assert load_tokenizer("Org/tiny@v2").get_vocab() == tokenizer.get_vocab()
    with pytest.raises(DataError, match=r"tokenizer Org/tiny: .* hf download Org/tiny$"):
        load_tokenizer("Org/tiny")


def test_digests_are_of_what_makes_tokens(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    assert tokenizer_digest(again) == tokenizer_digest(tokenizer)
    again.backend_tokenizer.enable_truncation(3)
    assert tokenizer_digest(again) == tokenizer_digest(tokenizer), "each call sets its own"
    again.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert tokenizer_digest(again) != tokenizer_digest(tokenizer)
    assert vocabulary_digest(again) == vocabulary_digest(tokenizer)
