"""The procedural domains: correct answers and steps, short and wide text, one text per seed."""

import hashlib
import importlib.util
import math
import os
import random
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from mergelaw.data.domains import DOMAINS, Problem, generate
from mergelaw.data.domains.wording import decimal_text, polynomial
from mergelaw.data.generic import generate_generic
from mergelaw.errors import DataError

SOLVERS = Path(__file__).parent / "solvers"
TEMPLATES = [(domain, template) for domain in DOMAINS for template in DOMAINS[domain]]
LONGEST_TEXT = 230
LONGEST_TOKENS = 128
CHAT_MARKS = 3
WIDTH_DRAWS = 5000
LEAST_TEMPLATE_WIDTH = 20_000
LEAST_DOMAIN_WIDTH = 200_000

each_template = pytest.mark.parametrize(
    ("domain", "template"),
    TEMPLATES,
    ids=[f"{domain}-{template.__name__}" for domain, template in TEMPLATES],
)


@cache
def draws(template):
    rng = random.Random(f"tests/{template.__name__}")
    return [template(rng) for _ in range(WIDTH_DRAWS)]


@cache
def solvers(domain):
    """Load the solvers of a domain from their file, which imports nothing of mergelaw."""
    spec = importlib.util.spec_from_file_location(f"solvers_{domain}", SOLVERS / f"{domain}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- statements of arithmetic in steps ---

CLAUSE_END = re.compile(r"[,;:.](?=\s|$)| and ")
EQUALS = re.compile(r"(?<![<>=!])=(?!=)")
NUMERIC = re.compile(r"(?:[\d.+\-*/^()!]|mod|C\(\d+,\d+\)|gcd\(\d+,\d+\))+")
FUNCTIONS = {
    "F": Fraction,
    "C": lambda n, k: Fraction(math.comb(int(n), int(k))),
    "gcd": lambda a, b: Fraction(math.gcd(int(a), int(b))),
    "factorial": lambda n: Fraction(math.factorial(int(n))),
}


def evaluate(text):
    """Evaluate numeric text exactly; None where it is not an expression of its own."""
    text = re.sub(r"(\d+)!", r"factorial(\1)", text)
    text = text.replace("^", "**").replace("mod", "%")
    text = re.sub(r"\d+(?:\.\d+)?", r"F('\g<0>')", text)
    try:
        return eval(text, FUNCTIONS)
    except SyntaxError:
        return None


def numeric_part(piece, side):
    """Return the longest run of numeric words that ends ("left") or starts ("right") a piece."""
    tokens = piece.split()[:: -1 if side == "left" else 1]
    run = []
    for token in tokens:
        if not NUMERIC.fullmatch(token):
            break
        run.append(token)
    return " ".join(run[:: -1 if side == "left" else 1])


def statements(step):
    """Yield the two values and the text of every "a = b" whose sides are both numbers."""
    for clause in CLAUSE_END.split(step):
        pieces = EQUALS.split(clause)
        for i in range(len(pieces) - 1):
            last = i + 1 == len(pieces) - 1
            left = numeric_part(pieces[i], "left")
            right = numeric_part(pieces[i + 1], "right")
            if not last and right != pieces[i + 1].strip():
                continue
            # A run that starts with a bare operator is the tail of an algebraic expression.
            if re.match(r"[+*/^-](\s|$)|mod", left) or re.search(r"(\s[+*/^-]|mod)$", right):
                continue
            values = evaluate(left), evaluate(right)
            if None not in values:
                yield *values, f"{left} = {right}"


@pytest.mark.parametrize(
    ("step", "verdicts"),
    [
        ("7x = 96 - 12 = 84", [True]),
        ("7x = 96 - 12 = 85", [False]),
        ("x = 5 and 3x + 4 = 19", []),
        ("Roots: 3 * (-4) = -12, 2^5 / 4 = 9", [True, False]),
        ("C(9,3) = 84 and C(7,2) = 22", [True, False]),
        ("6! / (2! * 3!) = 720 / 12 = 60", [True, True]),
        ("7^4 mod 11 = 25 mod 11 = 3", [True, True]),
        ("Share 640 * 3/4 * 1/2 = 240.", [True]),
        ("0.3 * 0.2 = 0.06, t > 3 - 1 = 2, gcd(84,126) = 42 g", [True, True, True]),
        ("f'(x) = 9x^2 - 10x + 2 = 0, 12 = 3x, f(3) = 4", []),
        ("1/v = 1/20 - 1/30 = 1/60, v = 60", [True]),
        ("119 / (7/4) = 68, (5 + 8) / 2 = 6.5", [True, True]),
    ],
)
def test_statements_are_found_and_judged(step, verdicts):
    assert [left == right for left, right, _ in statements(step)] == verdicts


# --- every template ---


@each_template
def test_answer_is_recomputed_from_the_prompt(domain, template):
    solve = getattr(solvers(domain), template.__name__)
    for problem in draws(template)[:300]:
        assert solve(problem.prompt) == problem.answer, problem


@each_template
def test_steps_hold(domain, template):
    """Every step's arithmetic is right; a solver judges what a template shows beyond numbers."""
    holds = getattr(solvers(domain), f"{template.__name__}_steps", None)
    for problem in draws(template)[:300]:
        found = [found for step in problem.steps for found in statements(step)]
        for left, right, text in found:
            assert left == right, (text, problem)
        assert found or holds, f"nothing checks the steps of {problem}"
        assert holds is None or holds(problem.prompt, problem.steps), problem


def numbers(text):
    return set(re.findall(r"(?<![\d.^])\d+(?:\.\d+)?", text))


@each_template
def test_steps_lead_to_the_answer(domain, template):
    """Every number of the answer stands in the prompt or the steps, exponents apart."""
    for problem in draws(template)[:300]:
        shown = " ".join([problem.prompt, *problem.steps])
        listed_digits = re.sub(r"(?<=\d), (?=\d)", "", shown)
        assert numbers(problem.answer) <= numbers(shown) | numbers(listed_digits), problem


@each_template
def test_text_is_short_ascii_and_labelled(domain, template):
    for problem in draws(template)[:2000]:
        text = problem.prompt + problem.response
        assert text.isascii()
        assert len(text) <= LONGEST_TEXT, problem
        assert 2 <= len(problem.steps) <= 4
        assert all(step == step.strip() and "\n" not in step for step in problem.steps)
        assert problem.prompt == problem.prompt.strip()


@pytest.fixture(scope="module")
def tokenizer():
    """Train a byte-level BPE of 512 entries, digits apart, on a mix as of the ladder's bases."""
    texts = generate_generic(random.Random(0), 2000)
    for domain in DOMAINS:
        problems = generate(domain, random.Random(0), 700)
        texts += [text for problem in problems for text in (problem.prompt, problem.response)]
    bpe = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    bytes_of_text = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_of_text])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=508, initial_alphabet=alphabet, show_progress=False)
    )
    return bpe


@each_template
def test_text_fits_the_context(domain, template, tokenizer):
    for problem in draws(template)[:1000]:
        lengths = [len(tokenizer.encode(text).ids) for text in (problem.prompt, problem.response)]
        assert sum(lengths) + CHAT_MARKS <= LONGEST_TOKENS, problem


@each_template
def test_equal_prompts_have_equal_responses(domain, template):
    responses = {}
    for problem in draws(template):
        assert responses.setdefault(problem.prompt, problem.response) == problem.response


def width(prompts):
    """Estimate the number of distinct prompts from pairs that coincide (birthday estimate).

    Among n draws of S equally likely prompts n(n-1)/2 / S pairs coincide; where prompts are not
    equally likely the estimate is smaller than S. Prompts that differ only in case or white space
    count as one, as in the split of items.
    """
    counts = Counter(" ".join(prompt.split()).casefold() for prompt in prompts)
    pairs = sum(math.comb(count, 2) for count in counts.values())
    return math.comb(len(prompts), 2) / max(pairs, 1)


def test_width_estimates_a_known_space():
    rng = random.Random(0)
    assert 18_000 < width([str(rng.randrange(20_000)) for _ in range(WIDTH_DRAWS)]) < 22_000


@cache
def template_width(template):
    return width([problem.prompt for problem in draws(template)])


@each_template
def test_template_is_wide(domain, template):
    assert template_width(template) >= LEAST_TEMPLATE_WIDTH


# --- domains ---


def test_the_nine_domains_in_order():
    names = "algebra analysis discrete geometry number_theory biology physics chemistry code"
    assert list(DOMAINS) == names.split()
    assert all(6 <= len(templates) <= 8 for templates in DOMAINS.values())
    assert all(template.__doc__ for _, template in TEMPLATES)


@pytest.mark.parametrize("domain", DOMAINS)
def test_domain_is_wide(domain):
    # Templates do not share prompts, so that their widths add up.
    assert sum(map(template_width, DOMAINS[domain])) >= LEAST_DOMAIN_WIDTH


@pytest.mark.parametrize("domain", DOMAINS)
def test_generate_gives_distinct_prompts(domain):
    problems = generate(domain, random.Random(1), 3000)
    assert len({" ".join(p.prompt.split()).casefold() for p in problems}) == 3000


def test_generate_starts_alike_for_every_length():
    short, long = (generate("physics", random.Random(3), n) for n in (20, 200))
    assert long[:20] == short


def test_no_prompt_is_shared_by_domains():
    seen = {}
    for domain in DOMAINS:
        for problem in generate(domain, random.Random(2), 1000):
            assert seen.setdefault(problem.prompt, domain) == domain


def test_generate_refuses_what_it_cannot_do(monkeypatch):
    with pytest.raises(DataError, match="unknown domain 'alchemy'; choose one of algebra"):
        generate("alchemy", random.Random(0), 1)
    with pytest.raises(DataError, match="must not be negative"):
        generate("algebra", random.Random(0), -1)

    def narrow(rng):
        return Problem(f"Pick {rng.randrange(3)}.", ("Pick it",), "done")

    monkeypatch.setitem(DOMAINS, "algebra", (narrow,))
    assert len(generate("algebra", random.Random(0), 3)) == 3
    with pytest.raises(DataError, match="only 3 distinct prompts of 4"):
        generate("algebra", random.Random(0), 4)


def test_response_labels_steps_and_answer():
    problem = Problem("What is 6 * 7?", ("6 * 7 = 42", "Done"), "42")
    assert problem.response == "Step 1: 6 * 7 = 42\nStep 2: Done\nAnswer: 42"


def output_of(program, **variables):
    """Run a program in a fresh process that finds the same modules."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
    return subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)


DIGEST_PROGRAM = """
import hashlib, random
from mergelaw.data.domains import DOMAINS, generate
digest = hashlib.sha256()
for domain in DOMAINS:
    for problem in generate(domain, random.Random(f"7/{domain}"), 300):
        digest.update(f"{problem.prompt}|{problem.response}|".encode())
print(digest.hexdigest())
"""


def test_text_is_the_same_in_every_process():
    digest = hashlib.sha256()
    for domain in DOMAINS:
        for problem in generate(domain, random.Random(f"7/{domain}"), 300):
            digest.update(f"{problem.prompt}|{problem.response}|".encode())
    for hash_seed in ("1", "2"):
        assert output_of(DIGEST_PROGRAM, PYTHONHASHSEED=hash_seed).strip() == digest.hexdigest()


IMPORT_PROGRAM = """
import sys
before = set(sys.modules)
import mergelaw.data.domains, mergelaw.data.generic
print(*{name.split(".")[0] for name in set(sys.modules) - before})
"""


def test_import_loads_the_standard_library_only():
    assert set(output_of(IMPORT_PROGRAM).split()) - sys.stdlib_module_names == {"mergelaw"}


# --- wording ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(3, 8), "0.375"),
        (Fraction(-7, 2), "-3.5"),
        (Fraction(-1, 20), "-0.05"),
        (12, "12"),
        (Fraction(0), "0"),
        (Fraction(1200), "1200"),
    ],
)
def test_decimal_text(value, text):
    assert decimal_text(value) == text


def test_decimal_text_never_rounds():
    with pytest.raises(ValueError, match="1/3 has no decimal"):
        decimal_text(Fraction(1, 3))


@pytest.mark.parametrize(
    ("coefficients", "text"),
    [((3, -1, 0), "3x^2 - x"), ((-1, 0, 5), "-x^2 + 5"), ((1, -1), "x - 1"), ((0, 0), "0")],
)
def test_polynomial(coefficients, text):
    assert polynomial(coefficients) == text
