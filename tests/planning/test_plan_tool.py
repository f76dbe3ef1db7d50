"""`mergelaw plan` as people call it: text, JSON, figures, exit status, mistakes in words."""

import json
import sys

import pytest

from mergelaw.cli import _status
from mergelaw.planning.law_file import Size, write_laws
from mergelaw.planning.plan import plan
from mergelaw.planning.prices import read_prices
from mergelaw.tools.planning_figure import plan_figure
from tests.planning.examples import PAGE, ROOT, blocks, run
from tests.planning.plan_laws import costs, curve, law_file

CODE = ("--law", "qwen2.5/average/code")


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs `plan` and returns its exit status, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mergelaw", "plan", *map(str, words)])
        capsys.readouterr()
        status = _status()
        streams = capsys.readouterr()
        return status, streams.out, streams.err

    return run


@pytest.fixture
def laws(tmp_path):
    """A law file with costs and no errors."""
    write_laws(tmp_path / "laws.json", law_file())
    return tmp_path / "laws.json"


def test_json_is_what_python_returns(call):
    status, out, _ = call(*CODE, "--size", "7b", "--target", "0.4", "--budget", "500", "--json")
    assert status == 0
    found = plan("qwen2.5/average/code", size="7b", target=0.4, budget=500)
    assert json.loads(out) == json.loads(json.dumps(found.as_dict()))


def test_out_writes_the_json_and_text_is_printed(call, tmp_path):
    status, out, _ = call(*CODE, "--size", "7b", "--k", "5", "--out", tmp_path / "plan.json")
    assert status == 0
    assert "k = 5: loss 0.3881, its error is not known" in out
    assert json.loads((tmp_path / "plan.json").read_text())["question"]["k"] == 5


@pytest.mark.parametrize(("sizes", "scale"), [((), "log"), ("7b", "linear")])
def test_costs_that_differ_much_have_a_logarithmic_axis(sizes, scale):
    found = plan("qwen2.5/average/code", size=sizes, budget=500)
    *_, costs = plan_figure(found).axes
    assert costs.get_xscale() == scale


@pytest.mark.parametrize("name", ["plan.svg", "plan.png"])
def test_a_figure_is_drawn(call, tmp_path, name):
    asked = ("--target", "0.4", "--budget", "500", "--figure", tmp_path / name)
    assert call(*CODE, *asked)[0] == 0
    content = (tmp_path / name).read_bytes()
    assert content[1:4] == b"PNG" or b"<svg" in content
    assert call(*CODE, *asked)[0] == 0
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--target", "0.3"), "unreachable"),
        (("--budget", "1"), "buys nothing: the cheapest, 0.5b with k = 1, costs"),
        (("--size", "0.5b", "--gap", "0.001"), "more than the pool of 9"),
    ],
)
def test_what_cannot_be_planned_is_told_with_an_exit_status(call, words, told):
    status, out, errors = call(*CODE, *words)
    assert (status, errors) == (1, "")
    assert told in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--target", "-1"), "--target -1: must be a finite number above 0"),
        (("--k", "10"), "the pool has 9 experts"),
        (("--budget", "0"), "nothing to weigh"),
        (("--probability", "1.5"), "must be above 0 and below 1"),
        (("--size", "8b"), "no law of average/code at size '8b'"),
        (("--figure", "plan.pdf"), "must end in .svg or .png"),
        (("--prices", "nowhere.yaml"), "cannot be read"),
        (("--serve", "-1"), "must be a number of tokens"),
    ],
)
def test_mistakes_end_in_words(call, words, told):
    status, out, errors = call(*CODE, *words)
    assert (status, out) == (1, "")
    assert told in errors
    assert "Traceback" not in errors


def test_every_mistake_is_told_at_once(call):
    numbers = ("--target", "-1", "--return", "2", "--k", "0", "--serve", "-3", "--n-params", "nan")
    names = ("--size", "8b", "--prices", "nowhere.yaml", "--figure", "plan.pdf")
    status, _, errors = call(*CODE, *numbers, *names)
    assert status == 1
    assert "plan: 8 problems" in errors
    for told in (*numbers[::2], *names[1::2]):
        assert told in errors
    assert "--n-params nan: must be a finite number above 0" in errors
    _, _, errors = call("--law", "qwen2.5", "--method", "tie", "--domain", "cod", "--size", "8b")
    assert errors.count("qwen2.5 has no law of") == 3


def test_columns_speak_of_chances_only_where_they_are_known(call):
    chances = ("--target", "0.4", "--probability", "0.5", "--probability", "0.9")
    assert "k for 0.4\n" in call(*CODE, "--size", "7b", *chances)[1]
    ladder = call("--law", "ladder/ties/macro", "--size", "w80", "--target", "2.3")[1]
    assert "k at p = 0.9" in ladder


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("device_hour: {A100: 0}", "device_hour.A100 = 0: should be greater than 0"),
        ("device_hour: {A100: -2}", "greater than 0"),
        ("currency: EUR", "device_hour gives no price in it"),
        ("device_hour: {A100: 2}", "`currency` does not say in what"),
        ("experts: at_home", "to_train"),
        ("curency: EUR", "did you mean 'currency'?"),
        ("evaluations: -1", "greater than or equal to 0"),
    ],
)
def test_prices_without_sense_are_refused(call, laws, tmp_path, text, told):
    (tmp_path / "prices.yaml").write_text(text)
    status, _, errors = call("--law", laws, "--prices", tmp_path / "prices.yaml")
    assert status == 1
    assert told in errors


def test_a_law_that_does_not_fall_is_told(call, tmp_path):
    flat = curve(loss=(2.0, 2.0, 2.0, 2.0), floor=2.0, tail=0.0)
    write_laws(tmp_path / "flat.json", law_file(flat))
    status, out, _ = call("--law", tmp_path / "flat.json", "--target", "1.9")
    assert status == 1
    assert "no improvement to have a share of" in out


def test_free_plans_are_told(call, laws, tmp_path):
    free = costs(0.0, merge=0.0, merge_per_expert=0.0, evaluate=0.0)
    sizes = (Size(name="small", costs=free),)
    write_laws(tmp_path / "free.json", law_file(sizes=sizes))
    status, out, _ = call("--law", tmp_path / "free.json", "--budget", "1")
    assert status == 0
    assert "every plan costs nothing: there is nothing to weigh" in out


def test_the_example_prices_are_prices_and_every_key_is_in_them():
    path = ROOT / "config" / "prices.yaml"
    prices = read_prices(path)
    assert prices.device_hour == {"H100": 2.5}
    text = path.read_text(encoding="utf-8")
    missing = [key for key in type(prices).model_fields if f"{key}:" not in text]
    assert missing == ["device"]  # only where the law file names none


@pytest.mark.parametrize("block", blocks(PAGE), ids=lambda block: block.command[:70])
def test_the_examples_in_the_docs_are_what_the_command_prints(block):
    assert block.shown == run(block.command, block.shown)
