"""Chat templates by name: public formats, written out here so that a study can pin one."""

import datetime
import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mergelaw.config.data import TEMPLATE_NAMES
from mergelaw.errors import DataError, listing


class Template(NamedTuple):
    """A chat format: its jinja text, and the marks that a tokenizer needs as single tokens."""

    text: str
    marks: tuple[str, ...]


CHATML = Template(
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    ("<|im_start|>", "<|im_end|>"),
)
"""ChatML, as of Qwen2.5 without its default system turn."""

LLAMA3 = Template(
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}"
    "{{ message.content | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
)
"""Meta's format of Llama 3, without the dates that 3.1 and later write."""

GEMMA = Template(
    "{{ bos_token }}"
    "{% set has_system = messages[0].role == 'system' %}"
    "{% set before = messages[0].content + '\n\n' if has_system else '' %}"
    "{% set turns = messages[1:] if has_system else messages %}"
    "{% for message in turns %}"
    "{% if message.role != ('assistant' if loop.index0 % 2 else 'user') %}"
    "{{ raise_exception('turns of user and assistant must alternate, the user first') }}"
    "{% endif %}"
    "{{ '<start_of_turn>' + ('user' if message.role == 'user' else 'model') + '\n' }}"
    "{{ (before if loop.first else '') + message.content | trim + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
    ("<start_of_turn>", "<end_of_turn>"),
)
"""Google's format of Gemma 2 and 3: no system role, so that text opens the first user turn."""

TEMPLATES: dict[str, Template] = {"chatml": CHATML, "llama3": LLAMA3, "gemma": GEMMA}
"""By the names that a config may give (`mergelaw.config.data.TEMPLATE_NAMES`)."""

TODAY = datetime.date(2024, 7, 26)
"""The day of all templates that write one: Llama 3.1's own default, whatever day it is."""

CLOCK = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
"""How a template asks for the day; the format is a jinja string."""


class Generation(Extension):
    """The tag around what a model generates, which transformers adds to jinja."""

    tags = {"generation"}  # noqa: RUF012 - as its base class

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Read what the tag holds."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


JINJA = ImmutableSandboxedEnvironment(extensions=[Generation, loopcontrols])
"""Parses what transformers renders; nothing is run in it."""


def set_template(tokenizer: Any, given: str) -> None:
    """Give a tokenizer a chat template, which is saved with it.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        Changed in place.
    given : str
        A key of `TEMPLATES`, or the path of a jinja file.

    Raises
    ------
    DataError
        If the file cannot be read or is no jinja, or the tokenizer lacks a token that the named
        format writes.
    """
    named = TEMPLATES.get(given)
    if named is not None:
        _check_marks(tokenizer, given, named)
    tokenizer.chat_template = named.text if named else _from_file(Path(given).expanduser())


@functools.cache
def dated(template: str) -> str:
    """Return a template that writes the same day every day, so that its text can be made again.

    Raises
    ------
    DataError
        If it asks for the day in a way that is not known.
    """
    fixed = CLOCK.sub(lambda call: repr(TODAY.strftime(call[2])), template)
    if "strftime_now(" in fixed:
        raise DataError(
            "it writes the day of its use (strftime_now), and text must be the same every day; "
            "write a fixed day there"
        )
    return fixed


def _check_marks(tokenizer: Any, name: str, template: Template) -> None:
    """Refuse a format whose marks the tokenizer would take apart as if they were text."""
    vocabulary = tokenizer.get_vocab()
    problems = [f"no token {mark!r}" for mark in template.marks if mark not in vocabulary]
    if "bos_token" in template.text and tokenizer.bos_token is None:
        problems.append("no beginning-of-text token (bos_token), which this format starts with")
    if problems:
        headline = (
            f"tokenizer.template = {name!r}: the tokenizer lacks what it writes (give another of "
            f"{', '.join(TEMPLATE_NAMES)}, or a .jinja file in the tokenizer's own marks)"
        )
        raise DataError(listing(headline, problems))


def _from_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(f"tokenizer.template = {path}: cannot be read ({reason})") from error
    if not text.strip():
        raise DataError(f"tokenizer.template = {path}: is empty")
    try:
        JINJA.parse(text)
    except TemplateSyntaxError as error:
        raise DataError(
            f"tokenizer.template = {path}: line {error.lineno} is no jinja ({error.message}); "
            "correct it there"
        ) from error
    return text
