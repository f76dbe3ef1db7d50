"""The encoder: exactly the response and its end mark are scored; text is tokenised as a whole."""

import random

import numpy as np
import pytest

from mergelaw.data.domains import DOMAINS, generate
from mergelaw.data.encode import encode
from mergelaw.errors import DataError
from tests.helpers import chat, special_token_tokenizer

LONG = 10_000
LLAMA = (
    "{{ '<|begin|>' }}{% for m in messages %}"
    "{{ '<|head|>' + m.role + '<|close|>\n\n' + m.content | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant<|close|>\n\n' }}{% endif %}"
)
LLAMA_MARKS = ("<|begin|>", "<|head|>", "<|close|>", "<|eot|>")
CHATML = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def scored_text(tokenizer, item) -> str:
    return tokenizer.decode(item.input_ids[item.scored])


@pytest.mark.parametrize("domain", DOMAINS)
def test_scored_tokens_are_the_response_and_its_end_mark(tokenizer, domain):
    for problem in generate(domain, random.Random(domain), 20):
        item = encode(tokenizer, chat(problem.prompt, problem.response), "", LONG)
        assert scored_text(tokenizer, item) == problem.response + "<|end|>"
        first = int(item.scored.argmax())
        assert item.scored[first:].all(), "the response is one run at the end"
        assert tokenizer.decode(item.input_ids[:first]) == f"<|user|>{problem.prompt}<|assistant|>"
        assert item.n_truncated == 0


def test_the_last_of_several_turns_is_scored(tokenizer):
    talk = chat("1 + 1?", "It is 2.") + chat("And 1?", "It is 3.")
    item = encode(tokenizer, talk, "", LONG)
    assert scored_text(tokenizer, item) == "It is 3.<|end|>"


def test_all_scores_everything_but_the_first_token(tokenizer):
    item = encode(tokenizer, chat("1 + 1?", "2"), "", LONG, "all")
    assert item.scored.tolist() == [False] + [True] * (len(item.input_ids) - 1)


def test_plain_text_is_scored_but_for_its_first_token(tokenizer):
    item = encode(tokenizer, [], "A document of 12 words.", LONG)
    assert tokenizer.decode(item.input_ids) == "A document of 12 words."
    assert item.scored.tolist() == [False] + [True] * (len(item.input_ids) - 1)


@pytest.mark.parametrize("text", ["", "7"])
def test_a_text_of_no_or_one_token_scores_nothing(tokenizer, text):
    item = encode(tokenizer, [], text, LONG)
    assert len(item.input_ids) == len(item.scored) == len(text)
    assert not item.scored.any()


@pytest.mark.parametrize("length", [1, 7, 20])
def test_truncation_cuts_the_end_and_is_counted(tokenizer, length):
    talk = chat("1 + 1?", "It is 2, as anybody knows who can count.")
    whole, cut = encode(tokenizer, talk, "", LONG), encode(tokenizer, talk, "", length)
    assert len(cut.input_ids) == length
    assert cut.n_truncated == len(whole.input_ids) - length > 0
    np.testing.assert_array_equal(cut.input_ids, whole.input_ids[:length])
    np.testing.assert_array_equal(cut.scored, whole.scored[:length])
    exact = encode(tokenizer, talk, "", len(whole.input_ids))
    assert (exact.n_truncated, len(exact.input_ids)) == (0, len(whole.input_ids))


def test_a_template_that_writes_the_bos_gets_no_second_one():
    llama = special_token_tokenizer(LLAMA, LLAMA_MARKS, bos="<|begin|>")
    assert llama("x")["input_ids"][0] == llama.bos_token_id, "the tokenizer too writes a BOS"
    item = encode(llama, chat("Add.", "The answer is 12."), "", LONG)
    assert item.input_ids.tolist().count(llama.bos_token_id) == 1
    assert item.input_ids[0] == llama.bos_token_id
    assert scored_text(llama, item) == "The answer is 12.<|eot|>"


def test_plain_text_gets_the_tokenizer_s_bos_and_it_is_not_scored():
    llama = special_token_tokenizer(LLAMA, LLAMA_MARKS, bos="<|begin|>")
    item = encode(llama, [], "The answer is 12.", LONG)
    assert item.input_ids.tolist().count(llama.bos_token_id) == 1
    assert scored_text(llama, item) == "The answer is 12."


def test_text_after_the_end_mark_is_scored_as_the_official_code_does():
    qwen = special_token_tokenizer(CHATML, ("<|im_start|>", "<|im_end|>"))
    item = encode(qwen, chat("Add.", "The answer is 12."), "", LONG)
    assert (
        scored_text(qwen, item) == "The answer is 12.<|im_end|>\n"
    )  # spec C5: and trailing newline


def test_a_token_across_the_border_is_of_the_prompt():
    merging = special_token_tokenizer(
        "{% for m in messages %}{{ m.content }}{% endfor %}", ("<|end|>",)
    )
    whole = merging.tokenize("The answer")
    assert len(merging.tokenize("The ans")) + len(merging.tokenize("wer")) > len(whole)
    item = encode(merging, chat("The ans", "wer is 12."), "", LONG)
    assert item.input_ids.tolist() == merging("The answer is 12.")["input_ids"]
    assert scored_text(merging, item) == " is 12."


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (
            "{{ raise_exception('no such role') }}",
            r"the chat template fails on 'Add\.': no such role",
        ),
        (
            "{% for m in messages %}{{ m.content[0].text.x }}{% endfor %}",
            "the chat template fails on 'Add",
        ),
        (
            "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}",
            "does not start with its text without; at 'Add",
        ),
    ],
)
def test_a_template_that_does_not_fit_is_an_error(template, reason):
    broken = special_token_tokenizer(template, ("<|end|>",))
    with pytest.raises(DataError, match=reason):
        encode(broken, chat("Add.", "The answer is 12."), "", LONG)


def test_a_tokenizer_without_a_template_is_an_error(tokenizer):
    without = special_token_tokenizer(None, ("<|end|>",))
    with pytest.raises(DataError, match="the chat template fails"):
        encode(without, chat("Add.", "12"), "", LONG)


def test_a_role_that_the_study_s_template_does_not_know_is_an_error(tokenizer):
    system = [{"role": "system", "content": "Be brief."}, *chat("Add.", "12")]
    with pytest.raises(DataError, match="only user and assistant turns"):
        encode(tokenizer, system, "", LONG)
