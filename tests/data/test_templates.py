"""Named chat templates write the public formats; a file is taken as it is."""

import pytest

from mergelaw.config.data import TEMPLATE_NAMES
from mergelaw.data.stage import write_tokenizer
from mergelaw.data.templates import TEMPLATES, dated, set_template
from mergelaw.data.tokenizer import load_tokenizer
from mergelaw.errors import DataError
from mergelaw.paths import StudyPaths
from tests.helpers import chat, special_token_tokenizer, study_of

SYSTEM = [{"role": "system", "content": "Be brief."}]
TALK = [*chat("1 + 1?", " It is 2. "), *chat("And 1?", "It is 3.")]
BOS = "<bos>"

CHATML = (
    "<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n It is 2. <|im_end|>\n"
    "<|im_start|>user\nAnd 1?<|im_end|>\n<|im_start|>assistant\nIt is 3.<|im_end|>\n"
)
LLAMA3 = (
    "<|start_header_id|>user<|end_header_id|>\n\n1 + 1?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nIt is 2.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nAnd 1?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nIt is 3.<|eot_id|>"
)
GEMMA = (
    "1 + 1?<end_of_turn>\n<start_of_turn>model\nIt is 2.<end_of_turn>\n"
    "<start_of_turn>user\nAnd 1?<end_of_turn>\n<start_of_turn>model\nIt is 3.<end_of_turn>\n"
)
WRITTEN = {
    "chatml": (CHATML, "<|im_start|>system\nBe brief.<|im_end|>\n" + CHATML),
    "llama3": (
        BOS + LLAMA3,
        f"{BOS}<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>{LLAMA3}",
    ),
    "gemma": (
        f"{BOS}<start_of_turn>user\n{GEMMA}",
        f"{BOS}<start_of_turn>user\nBe brief.\n\n{GEMMA}",
    ),
}
OPENING = {
    "chatml": "<|im_start|>assistant\n",
    "llama3": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<start_of_turn>model\n",
}


def fitting(name, bos=BOS):
    marks = TEMPLATES[name].marks
    return special_token_tokenizer(None, (BOS, *marks), bos)


def test_every_name_of_the_config_has_a_template():
    assert tuple(TEMPLATES) == TEMPLATE_NAMES == tuple(WRITTEN)


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_a_named_template_writes_its_format(name):
    tokenizer = fitting(name)
    set_template(tokenizer, name)
    plain, with_system = WRITTEN[name]
    assert tokenizer.apply_chat_template(TALK, tokenize=False) == plain
    assert tokenizer.apply_chat_template([*SYSTEM, *TALK], tokenize=False) == with_system
    opened = tokenizer.apply_chat_template(TALK[:3], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(TALK[:3], tokenize=False)
    assert opened == whole + OPENING[name]


def test_gemma_s_turns_must_alternate():
    tokenizer = fitting("gemma")
    set_template(tokenizer, "gemma")
    for talk in (TALK[1:], [*SYSTEM, *TALK[1:]], [TALK[0], TALK[0]]):
        with pytest.raises(Exception, match="must alternate, the user first"):
            tokenizer.apply_chat_template(talk, tokenize=False)


def test_a_format_whose_marks_are_no_tokens_is_refused(tokenizer):
    with pytest.raises(DataError) as caught:
        set_template(tokenizer, "llama3")
    headline, *lines = str(caught.value).splitlines()
    assert headline.startswith("tokenizer.template = 'llama3': the tokenizer lacks what it writes")
    assert [line.removeprefix("  - ") for line in lines] == [
        "no token '<|start_header_id|>'",
        "no token '<|end_header_id|>'",
        "no token '<|eot_id|>'",
        "no beginning-of-text token (bos_token), which this format starts with",
    ]
    with pytest.raises(DataError, match="no beginning-of-text token"):
        set_template(fitting("gemma", bos=None), "gemma")
    set_template(fitting("chatml", bos=None), "chatml")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, r"t\.jinja: cannot be read \(No such file"),
        (b"\xff\xfe", r"t\.jinja: cannot be read \(not UTF-8"),
        (b" \n", r"t\.jinja: is empty"),
    ],
)
def test_a_template_file_that_cannot_be_used_is_refused(tokenizer, tmp_path, content, reason):
    if content is not None:
        (tmp_path / "t.jinja").write_bytes(content)
    with pytest.raises(DataError, match=rf"tokenizer\.template = .*{reason}"):
        set_template(tokenizer, str(tmp_path / "t.jinja"))


def test_a_broken_template_file_is_refused_by_the_tokenizer_job_with_its_line(tmp_path):
    fitting("chatml").save_pretrained(tmp_path / "given")
    file, paths = tmp_path / "own.jinja", StudyPaths(tmp_path / "study")
    file.write_text("{% for m in messages %}\n{{ m.content | }}\n{% endfor %}")
    study = study_of(
        ("tokenizer.vocab_size", None),
        ("tokenizer.path", str(tmp_path / "given")),
        ("tokenizer.template", str(file)),
    )
    with pytest.raises(DataError, match=r"own\.jinja: line 2 is no jinja \(.*\); correct it"):
        write_tokenizer(study, paths)
    assert not paths.tokenizer.exists()
    file.write_text("{% for m in messages %}\n{{ m.content }}\n")
    with pytest.raises(DataError, match=r"own\.jinja: line 2 is no jinja \(Unexpected end of"):
        write_tokenizer(study, paths)


def test_a_template_file_may_use_what_transformers_adds_to_jinja(tokenizer, tmp_path):
    text = (
        "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.role }}"
        "{% generation %}{{ m.content }}{% endgeneration %}{{ strftime_now('%d') }}{% endfor %}"
    )
    (tmp_path / "t.jinja").write_text(text)
    set_template(given := fitting("chatml"), str(tmp_path / "t.jinja"))
    assert given.apply_chat_template(TALK[:2], tokenize=False).startswith("user1 + 1?")


def test_the_study_s_tokenizer_carries_the_template(tmp_path):
    fitting("llama3").save_pretrained(tmp_path / "given")
    own = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (tmp_path / "own.jinja").write_text(own)
    changes = ("tokenizer.vocab_size", None), ("tokenizer.path", str(tmp_path / "given"))
    for template, text in (("llama3", TEMPLATES["llama3"].text), (tmp_path / "own.jinja", own)):
        study = study_of(*changes, ("tokenizer.template", str(template)))
        write_tokenizer(study, paths := StudyPaths(tmp_path / "study"))
        assert load_tokenizer(paths.tokenizer).chat_template == text


def test_only_the_day_is_fixed():
    text = "{% if x %}{{ 'strftime' }}{% endif %}"
    assert dated(text) == text
