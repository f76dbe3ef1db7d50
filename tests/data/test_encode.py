"""The encoder: exactly the response and its end mark are scored; text is tokenised as a whole."""

import random

import numpy as np
import pytest
from tokenizers import AddedToken, pre_tokenizers, processors

from mergelaw.data.domains import DOMAINS, generate
from mergelaw.data.encode import BLOCK, STAND_IN, Encoder
from mergelaw.data.templates import TEMPLATES
from mergelaw.errors import DataError
from tests.data.small_tokenizers import sentencepiece
from tests.helpers import chat, special_token_tokenizer

LONG = 10_000
LLAMA_MARKS = ("<|begin_of_text|>", *TEMPLATES["llama3"].marks)
LLAMA_BOS = LLAMA_MARKS[0]
CHATML_MARKS = TEMPLATES["chatml"].marks
QWEN3 = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.last %}"
    "{% set parts = m.content.split('</think>') %}"
    "{{ '<think>\n' + (parts[0].split('<think>')[-1].strip('\n') if parts | length > 1 else '') }}"
    "{{ '\n</think>\n\n' + parts[-1].lstrip('\n') }}"
    "{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As Qwen3's: it takes thoughts out of the last answer and writes them anew, empty or not."""
WITHOUT_THOUGHTS = (
    "{% for m in messages %}{{ m.role + ': ' + m.content.split('</think>')[-1] + '<|im_end|>' }}"
    "{% endfor %}"
)
"""As DeepSeek-R1's: it drops the thoughts."""


def row(messages=(), plain="", place="file.json[7]"):
    return {"messages": list(messages), "plain": plain, "place": place}


def encode(tokenizer, messages, plain="", max_length=LONG, scored="response", system=None):
    (item,) = Encoder(tokenizer, max_length, scored, system).encode([row(messages, plain)])
    return item


def scored_text(tokenizer, item) -> str:
    return tokenizer.decode(item.input_ids[item.scored])


def prompt_text(tokenizer, item) -> str:
    return tokenizer.decode(item.input_ids[~item.scored])


def llama(template="llama3", **settings):
    named = TEMPLATES.get(template)
    return special_token_tokenizer(
        named.text if named else template, LLAMA_MARKS, **{"bos": LLAMA_BOS} | settings
    )


def chatml(template=TEMPLATES["chatml"].text):
    return special_token_tokenizer(template, CHATML_MARKS)


@pytest.mark.parametrize("domain", DOMAINS)
def test_scored_tokens_are_the_response_and_its_end_mark(tokenizer, domain):
    for problem in generate(domain, random.Random(domain), 20):
        item = encode(tokenizer, chat(problem.prompt, problem.response))
        assert scored_text(tokenizer, item) == problem.response + "<|end|>"
        first = int(item.scored.argmax())
        assert item.scored[first:].all(), "the response is one run at the end"
        assert tokenizer.decode(item.input_ids[:first]) == f"<|user|>{problem.prompt}<|assistant|>"
        assert item.n_truncated == 0


def test_the_last_of_several_turns_is_scored(tokenizer):
    talk = chat("1 + 1?", "It is 2.") + chat("And 1?", "It is 3.")
    assert scored_text(tokenizer, encode(tokenizer, talk)) == "It is 3.<|end|>"


def test_the_same_answer_given_before_is_not_scored(tokenizer):
    item = encode(tokenizer, chat("1 + 1?", "2") + chat("4 - 2?", "2"))
    assert scored_text(tokenizer, item) == "2<|end|>"
    assert prompt_text(tokenizer, item) == "<|user|>1 + 1?<|assistant|>2<|end|><|user|>4 - 2?" + (
        "<|assistant|>"
    )


def test_a_conversation_may_say_anything(tokenizer):
    item = encode(tokenizer, chat(f"What does {STAND_IN} mean?", "12"))
    assert scored_text(tokenizer, item) == "12<|end|>"
    item = encode(tokenizer, chat("1 + 1?", f"It is {STAND_IN}."))
    assert scored_text(tokenizer, item) == f"It is {STAND_IN}.<|end|>"


def test_all_scores_everything_but_the_first_token(tokenizer):
    item = encode(tokenizer, chat("1 + 1?", "2"), scored="all")
    assert item.scored.tolist() == [False] + [True] * (len(item.input_ids) - 1)


def test_plain_text_is_scored_but_for_its_first_token(tokenizer):
    item = encode(tokenizer, [], "A document of 12 words.")
    assert tokenizer.decode(item.input_ids) == "A document of 12 words."
    assert item.scored.tolist() == [False] + [True] * (len(item.input_ids) - 1)


@pytest.mark.parametrize("text", ["", "7"])
def test_a_text_of_no_or_one_token_scores_nothing(tokenizer, text):
    item = encode(tokenizer, [], text)
    assert len(item.input_ids) == len(item.scored) == len(text)
    assert not item.scored.any()


@pytest.mark.parametrize("length", [1, 7, 20])
def test_truncation_cuts_the_end_and_is_counted(tokenizer, length):
    talk = chat("1 + 1?", "It is 2, as anybody knows who can count.")
    whole, cut = encode(tokenizer, talk), encode(tokenizer, talk, max_length=length)
    assert len(cut.input_ids) == length
    assert cut.n_truncated == len(whole.input_ids) - length > 0
    np.testing.assert_array_equal(cut.input_ids, whole.input_ids[:length])
    np.testing.assert_array_equal(cut.scored, whole.scored[:length])
    exact = encode(tokenizer, talk, max_length=len(whole.input_ids))
    assert (exact.n_truncated, len(exact.input_ids)) == (0, len(whole.input_ids))


def test_many_items_are_encoded_as_each_alone_in_their_order(tokenizer):
    rows = [row(chat(f"{i} + 1?", "x" * (i % 5)), place=f"{i}") for i in range(BLOCK + 7)]
    rows += [row(plain=f"Document {i}.") for i in range(3)]  # other tokens are added to these
    rows += rows[:2]
    together = list(Encoder(tokenizer, 30).encode(rows))
    alone = [item for one in rows for item in Encoder(tokenizer, 30).encode([one])]
    assert len(together) == len(rows)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.input_ids, other.input_ids)
        np.testing.assert_array_equal(one.scored, other.scored)


def test_a_tokenizer_s_own_cut_and_padding_are_not_used(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    from mergelaw.data.tokenizer import load_tokenizer

    cutting = load_tokenizer(tmp_path)
    cutting.backend_tokenizer.enable_truncation(4)
    cutting.backend_tokenizer.enable_padding(length=50)
    item = encode(cutting, chat("1 + 1?", "It is 2."))
    np.testing.assert_array_equal(
        item.input_ids, encode(tokenizer, chat("1 + 1?", "It is 2.")).input_ids
    )


# Beginning-of-text tokens: a tokenizer may write one, and so may a template.


def test_a_bos_of_the_template_alone_is_one_bos():
    both, template_alone = llama(), llama(bos=None)
    assert both("x")["input_ids"][0] == both.bos_token_id, "the tokenizer too writes a BOS"
    template_alone.bos_token = LLAMA_BOS
    for tokenizer in (both, template_alone):
        item = encode(tokenizer, chat("Add.", "The answer is 12."))
        assert item.input_ids.tolist().count(tokenizer.bos_token_id) == 1
        assert item.input_ids[0] == tokenizer.bos_token_id
        assert scored_text(tokenizer, item) == "The answer is 12.<|eot_id|>"


def test_a_template_without_bos_gets_none_as_transformers_own_tokenising_of_chats():
    tokenizer = llama("{% for m in messages %}{{ m.role + m.content + '<|eot_id|>' }}{% endfor %}")
    talk = chat("Add.", "The answer is 12.")
    item = encode(tokenizer, talk)
    assert tokenizer.bos_token_id not in item.input_ids
    own = tokenizer.apply_chat_template(talk, tokenize=True, return_dict=True)["input_ids"]
    assert item.input_ids.tolist() == own


def test_plain_text_gets_the_tokenizer_s_bos_and_it_is_not_scored():
    tokenizer = llama()
    item = encode(tokenizer, [], "The answer is 12.")
    assert item.input_ids.tolist().count(tokenizer.bos_token_id) == 1
    assert scored_text(tokenizer, item) == "The answer is 12."


def test_plain_text_that_begins_with_the_bos_gets_no_second_one():
    tokenizer = llama()
    item = encode(tokenizer, [], f"{LLAMA_BOS}The answer is 12.")
    assert item.input_ids.tolist() == encode(tokenizer, [], "The answer is 12.").input_ids.tolist()


def test_a_template_that_writes_two_bos_is_refused_with_the_item_s_place():
    twice = llama("{{ bos_token + bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(DataError, match=r"file\.json\[7\]: begins with two beginning-of-text"):
        encode(twice, chat("Add.", "The answer is 12."))


# Where the response begins.


def test_text_after_the_end_mark_is_scored_as_the_official_code_does():
    qwen = chatml()
    item = encode(qwen, chat("Add.", "The answer is 12."))
    assert scored_text(qwen, item) == "The answer is 12.<|im_end|>\n"  # spec C5: trailing newline


def test_a_token_across_the_border_is_of_the_prompt():
    merging = special_token_tokenizer(
        "{% for m in messages %}{{ m.content }}{% endfor %}", ("<|end|>",)
    )
    whole = merging.tokenize("The answer")
    assert len(merging.tokenize("The ans")) + len(merging.tokenize("wer")) > len(whole)
    item = encode(merging, chat("The ans", "wer is 12."))
    assert item.input_ids.tolist() == merging("The answer is 12.")["input_ids"]
    assert scored_text(merging, item) == " is 12."


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize(
    ("written", "answer", "expected"),
    [
        (": ", "answer is 漢.", " answer is 漢."),  # a space of the template, on the answer's word
        (":", "漢 answer.", "漢 answer."),  # three tokens of one character
        ("漢", "漢 again.", "漢 again."),
        (":\n\n", "answer", "answer"),
        (": ", "\nanswer", "\nanswer"),
    ],
)
def test_bytes_spaces_and_characters_at_the_border(trim, written, answer, expected):
    tokenizer = special_token_tokenizer(
        "{% for m in messages %}{{ m.role + '" + written + "' + m.content }}{% endfor %}", ("<e>",)
    )
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    item = encode(tokenizer, chat("Add.", answer))
    assert scored_text(tokenizer, item) == expected
    assert tokenizer.decode(item.input_ids) == f"user{written}Add.assistant{written}{answer}"


@pytest.mark.parametrize("trim", [False, True])
def test_a_space_of_the_template_that_is_a_token_of_its_own_is_not_scored(trim):
    tokenizer = special_token_tokenizer(
        "{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}", ("<e>",)
    )
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
    item = encode(tokenizer, chat("Add.", "12  3"))
    assert tokenizer.convert_ids_to_tokens(item.input_ids[-6:].tolist())[0] == "Ġ"
    assert scored_text(tokenizer, item) == "12  3"


LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[ ' + m.content + ' ]' }}"
    "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
"""As Llama 2's and Mistral's: a space before the answer."""
GEMMA_MARKS = TEMPLATES["gemma"].marks
SENTENCEPIECE = ("first", "always", "never", "prepend")


@pytest.mark.parametrize("spaces", SENTENCEPIECE)
@pytest.mark.parametrize(
    ("answer", "pieces"),
    [
        ("The answer is 1.", ["▁The", "▁answer", "▁is", "▁", "1", ".", "▁", "</s>"]),
        ("1.", ["1", ".", "▁", "</s>"]),
        ("漢 is", ["<0xE6>", "<0xBC>", "<0xA2>", "▁is", "▁", "</s>"]),
    ],
)
def test_a_word_that_carries_the_template_s_space_is_scored(spaces, answer, pieces):
    tokenizer = sentencepiece(LLAMA2, spaces=spaces)
    item = encode(tokenizer, chat("Add.", answer))
    found = tokenizer.convert_ids_to_tokens(item.input_ids[item.scored].tolist())
    assert found == pieces
    assert item.input_ids.tolist().count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize("spaces", SENTENCEPIECE)
@pytest.mark.parametrize("answer", ["The answer is 1.", "answer", "漢", "1"])
def test_a_response_after_a_mark_begins_with_the_token_after_it(spaces, answer):
    tokenizer = sentencepiece(TEMPLATES["llama3"].text, TEMPLATES["llama3"].marks, spaces)
    tight = tokenizer.chat_template.replace("\n\n", "")
    tokenizer.chat_template = tight
    item = encode(tokenizer, chat("Add.", answer))
    tokens = tokenizer.convert_ids_to_tokens(item.input_ids.tolist())
    last_mark = len(tokens) - 1 - tokens[::-1].index("<|end_header_id|>")
    assert item.scored.tolist() == [i > last_mark for i in range(len(tokens))]
    assert scored_text(tokenizer, item).strip() == f"{answer}<|eot_id|>"


@pytest.mark.parametrize(
    ("written", "answer", "pieces"),
    [
        (":\n", "\nThe", ["\n\n", "The"]),  # white space of both in one token: of the response
        (":\n\n", "The", ["The"]),
        (":", "\n\nThe", ["\n\n", "The"]),
        (" ans", "wer", []),  # letters of both in one token: of the prompt
    ],
)
def test_a_token_of_template_and_response(written, answer, pieces):
    template = "{% for m in messages %}{{ '" + written + "' + m.content }}{% endfor %}"
    tokenizer = sentencepiece(template, spaces="never")
    item = encode(tokenizer, chat("Add", answer))
    assert tokenizer.convert_ids_to_tokens(item.input_ids[item.scored].tolist()) == pieces


def test_gemma_s_turns_on_a_tokenizer_as_its_own():
    tokenizer = sentencepiece(TEMPLATES["gemma"].text, GEMMA_MARKS, "never")
    item = encode(tokenizer, chat("Add.", "The answer"))
    assert tokenizer.convert_ids_to_tokens(item.input_ids[item.scored].tolist()) == [
        "The",
        "▁answer",
        "<end_of_turn>",
        "\n",
    ]
    assert item.input_ids[0] == tokenizer.bos_token_id
    assert item.input_ids.tolist().count(tokenizer.bos_token_id) == 1


def test_a_mark_that_swallows_white_space_around_it_is_not_scored_before_and_is_after():
    marks = ("<|assistant|>", "<|end|>")
    template = "{% for m in messages %}{{ '<|assistant|>\n' + m.content + ' <|end|>' }}{% endfor %}"
    tokenizer = special_token_tokenizer(template, ("<e>",))
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken(m, lstrip=True, rstrip=True) for m in marks]}
    )
    item = encode(tokenizer, chat("Add.", "again"))
    assert scored_text(tokenizer, item) == "again<|end|>"


# Templates that change what they are given.


def test_an_empty_block_of_thoughts_of_the_template_is_not_scored():
    item = encode(chatml(QWEN3), chat("Add.", "The answer is 12."))
    assert scored_text(chatml(), item) == "The answer is 12.<|im_end|>\n"
    assert prompt_text(chatml(), item).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_thoughts_of_the_response_are_scored():
    answer = "<think>\nAdd them.\n</think>\n\nThe answer is 12."
    item = encode(chatml(QWEN3), chat("Add.", answer))
    assert scored_text(chatml(), item) == answer + "<|im_end|>\n"


def test_white_space_that_the_template_trims_is_not_looked_for():
    trimming = "{% for m in messages %}{{ m.role + ':' + m.content | trim + '<|im_end|>' }}"
    tokenizer = chatml(trimming + "{% endfor %}")
    item = encode(tokenizer, chat("Add.", "\n\nThe answer is 12.  "))
    assert scored_text(tokenizer, item) == "The answer is 12.<|im_end|>"


LSTRIPPED = (
    "{% for m in messages %}{{ m.role + '\n' + m.content.lstrip('\n') + '<|im_end|>' }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "answer", "expected"),
    [
        (LSTRIPPED, "\nx\n", "x\n"),
        (LSTRIPPED, "\n \n", " \n"),
        (LSTRIPPED.replace("lstrip('\n')", "strip() + '\n'"), "x\n", "x\n"),
        (LSTRIPPED.replace("lstrip('\n')", "rstrip()"), "\nx\n", "\nx"),
        (LSTRIPPED.replace("'\n' +", "'\n' + ('\n' if m.content == 'x' else '') +"), "x", "x"),
        (QWEN3, "\n\nx\n", "x\n"),
        (
            QWEN3.replace("parts[-1].lstrip('\n')", "parts[-1].strip('\n')"),
            "<think>\nAdd.\n</think>\n\nx\n",
            "<think>\nAdd.\n</think>\n\nx",
        ),
        (QWEN3, "\n<think>\nAdd.\n</think>\n\nx\n", "<think>\nAdd.\n</think>\n\nx\n"),
    ],
)
def test_white_space_of_the_template_is_not_taken_for_the_response_s(template, answer, expected):
    """The template writes as much white space as it took away: the same text, by another hand."""
    tokenizer = chatml(template)
    rendered = Encoder(tokenizer, LONG).render(row(chat("Add.", answer)))
    assert rendered.text[rendered.start :].rstrip("\n").removesuffix("<|im_end|>") == expected


def test_a_template_that_leaves_out_an_empty_response_is_refused():
    with pytest.raises(DataError, match="the chat template changes or leaves out the response"):
        encode(chatml("{{ messages[0].content }}"), chat("Add.", ""))


def test_white_space_that_the_template_keeps_is_scored():
    tokenizer = chatml(
        "{% for m in messages %}{{ m.role + ':' + m.content }}{% endfor %}<|im_end|>"
    )
    item = encode(tokenizer, chat("Add.", "\nThe answer\n"))
    assert scored_text(tokenizer, item) == "\nThe answer\n<|im_end|>"


@pytest.mark.parametrize(
    ("template", "answer"),
    [
        (
            QWEN3,
            "<think>Add them.</think>The answer is 12.",
        ),  # written anew, with other white space
        (WITHOUT_THOUGHTS, "<think>Add them.</think>The answer is 12."),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "The answer is 12."),
        ("{% for m in messages[:-1] %}{{ m.content }}{% endfor %}", "The answer is 12."),
        ("{{ messages[0].content }}", "Add."),
    ],
)
def test_a_template_that_changes_the_response_is_refused(template, answer):
    with pytest.raises(DataError, match=r"file\.json\[7\]: the chat template changes or leaves"):
        encode(chatml(template), chat("Add.", answer))


def test_a_template_that_drops_nothing_of_this_response_is_used():
    item = encode(chatml(WITHOUT_THOUGHTS), chat("Add.", "The answer is 12."))
    assert scored_text(chatml(), item).strip() == "The answer is 12.<|im_end|>"


@pytest.mark.parametrize(
    ("call", "day"),
    [
        ("strftime_now('%d %b %Y')", "26 Jul 2024"),
        ('strftime_now( "%Y-%m-%d" )', "2024-07-26"),
        ("date_string if date_string is defined else strftime_now('%B')", "July"),
    ],
)
def test_a_template_that_writes_the_day_gives_the_same_text_every_day(call, day):
    dated = "{{ " + call + " }}{% for m in messages %}{{ m.content }}{% endfor %}"
    item = encode(chatml(dated), chat("Add.", "The answer is 12."))
    assert prompt_text(chatml(), item) == f"{day}Add."


def test_a_template_that_takes_the_day_in_another_way_is_refused():
    dated = (
        "{% set f = '%d' %}{{ strftime_now(f) }}{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    with pytest.raises(
        DataError, match=r"file\.json\[7\]: the chat template fails \(it writes the"
    ):
        encode(chatml(dated), chat("Add.", "The answer is 12."))


# The system turn.

SYSTEM = [{"role": "system", "content": "Be brief."}]


def test_the_system_turn_comes_before_conversations_that_have_none():
    qwen = chatml()
    with_turn = encode(qwen, chat("Add.", "12"), system="Be brief.")
    assert qwen.decode(with_turn.input_ids) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nAdd.<|im_end|>\n"
        "<|im_start|>assistant\n12<|im_end|>\n"
    )
    written = encode(qwen, [*SYSTEM, *chat("Add.", "12")])
    np.testing.assert_array_equal(with_turn.input_ids, written.input_ids)
    np.testing.assert_array_equal(with_turn.scored, written.scored)
    other = [{"role": "system", "content": "Be long."}, *chat("Add.", "12")]
    np.testing.assert_array_equal(
        encode(qwen, other, system="Be brief.").input_ids, encode(qwen, other).input_ids
    )


def test_the_system_turn_is_no_part_of_plain_text(tokenizer):
    np.testing.assert_array_equal(
        encode(tokenizer, [], "A text.", system="Be brief.").input_ids,
        encode(tokenizer, [], "A text.").input_ids,
    )


# Templates that fail.


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (
            "{{ raise_exception('no such role') }}",
            r"file\.json\[7\]: the chat template fails \(no such role\); give another",
        ),
        (
            "{% for m in messages %}{{ m.content[0].text.x }}{% endfor %}",
            r"file\.json\[7\]: the chat template fails",
        ),
        ("{% for m in messages %}{{ m.content }}", r"file\.json\[7\]: the chat template fails"),
        ("{{ ''.__class__.__mro__ }}", r"file\.json\[7\]: the chat template fails"),
        (None, r"file\.json\[7\]: is a conversation, and the tokenizer has no chat template; give"),
    ],
)
def test_a_template_that_fails_is_an_error_with_the_item_s_place(template, reason):
    broken = special_token_tokenizer(template, ("<|end|>",))
    with pytest.raises(DataError, match=reason):
        encode(broken, chat("Add.", "The answer is 12."))


def test_a_template_without_a_system_role_names_both_ways_out(tokenizer):
    reason = (
        r"only user and assistant turns\); give another tokenizer\.template or leave out "
        r"tokenizer\.system"
    )
    with pytest.raises(DataError, match=reason):
        encode(tokenizer, chat("Add.", "12"), system="Be brief.")


# What the tokens were made from.


def test_each_key_changes_with_its_part_alone(tokenizer):
    def keys(given=tokenizer, max_length=30, scored="response", system=None):
        return Encoder(given, max_length, scored, system).keys()

    def changed(**settings):
        return {name for name, digest in keys(**settings).items() if digest != keys()[name]}

    assert set(keys()) == {"vocabulary", "tokenizer", "template"}
    assert changed(max_length=31) == changed(scored="all") == changed(system="x") == {"template"}
    assert chatml().chat_template != QWEN3
    one, other = Encoder(chatml(), 9).keys(), Encoder(chatml(QWEN3), 9).keys()
    assert {name for name in one if one[name] != other[name]} == {"template"}
    normal = chatml()
    normal.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    assert {n for n in one if Encoder(normal, 9).keys()[n] != one[n]} == {"tokenizer"}


def test_keys_do_not_change_by_use():
    tokenizer = chatml()
    encoder = Encoder(tokenizer, 9)
    before = encoder.keys()
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=5)
    list(encoder.encode([row(chat("Add.", "12"))]))
    assert encoder.keys() == before
