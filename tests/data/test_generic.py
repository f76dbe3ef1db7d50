"""The generic corpus: short, wide, everyday text that is the same in every process."""

import hashlib
import os
import random
import re
import subprocess
import sys

import pytest

from mergelaw.data.generic import PARAGRAPHS, _clock, _in_words, generate_generic

DRAWS = 5000
MOST_COINCIDING_PAIRS = 3


@pytest.mark.parametrize("paragraph", PARAGRAPHS, ids=lambda paragraph: paragraph.__name__)
def test_paragraph_is_short_plain_text(paragraph):
    assert paragraph.__doc__
    rng = random.Random(0)
    for _ in range(2000):
        text = paragraph(rng)
        assert text.isascii()
        assert 80 <= len(text) <= 300, text
        assert "\n" not in text
        assert "<|" not in text
        assert not re.search(r"Step \d|Answer:|Problem\.|Solution\.", text)
        assert not re.search(r"\ba [aeiou]|  |\ban [^aeiou]", text), text


def test_text_is_wide():
    # 5,000 draws of 1e7 equally likely paragraphs have 1.25 coinciding pairs in the mean.
    texts = generate_generic(random.Random(0), DRAWS)
    assert DRAWS - len(set(texts)) <= MOST_COINCIDING_PAIRS
    assert len(PARAGRAPHS) >= 12


def test_length_and_start():
    assert generate_generic(random.Random(1), 0) == []
    assert generate_generic(random.Random(1), 50)[:20] == generate_generic(random.Random(1), 20)


def test_spelled_numbers_are_distinct_words():
    assert [_in_words(number) for number in (0, 13, 20, 47, 98)] == [
        "zero",
        "thirteen",
        "twenty",
        "forty-seven",
        "ninety-eight",
    ]
    assert len({_in_words(number) for number in range(100)}) == 100


def test_train_arrives_when_it_should():
    (train_ride,) = [p for p in PARAGRAPHS if p.__name__ == "train_ride"]
    for seed in range(300):
        text = train_ride(random.Random(seed))
        leaves, arrives = (
            60 * int(hours) + int(minutes) for hours, minutes in re.findall(r"(\d+):(\d\d)", text)
        )
        assert leaves + int(re.search(r"takes (\d+) minutes", text)[1]) == arrives
    assert _clock(1445) == "0:05"


def test_counts_add_up():
    named = {paragraph.__name__: paragraph for paragraph in PARAGRAPHS}
    for seed in range(300):
        first, second, total = map(int, re.findall(r"\d+", named["shopping"](random.Random(seed))))
        assert first + second == total
        total, given, kept = map(int, re.findall(r"\d+", named["sharing"](random.Random(seed))))
        assert kept + given == total


DIGEST_PROGRAM = """
import hashlib, random
from mergelaw.data.generic import generate_generic
text = "|".join(generate_generic(random.Random(5), 500))
print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_text_is_the_same_in_every_process():
    text = "|".join(generate_generic(random.Random(5), 500))
    for hash_seed in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        command = [sys.executable, "-c", DIGEST_PROGRAM]
        output = subprocess.check_output(command, env=environment, text=True)
        assert output.strip() == hashlib.sha256(text.encode()).hexdigest()
