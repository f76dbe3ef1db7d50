"""`mergelaw forecast` as it is called: words, JSON, law files, exit codes."""

import json
import sys

import pytest

from mergelaw import fit_law
from mergelaw.cli import _status
from mergelaw.planning.law_file import read_law_file

PAPER = "1=2.267,2=1.899,4=1.710"
ALL = "1=9,2=36,4=126"


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs a command and returns its exit code, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mergelaw", "forecast", *map(str, words)])
        capsys.readouterr()
        status = _status()
        streams = capsys.readouterr()
        return status, streams.out, streams.err

    return run


def test_three_points_without_errors_say_that_there_is_no_interval(call):
    status, out, _ = call("--points", PAPER, "--pool", 9)
    assert status == 0
    assert "85% at k = 5, 90% at k = 6" in out
    assert "no intervals: the errors of the points are not known" in out
    assert "1.6035" in out


def test_numbers_are_those_of_python(call):
    status, out, _ = call("--points", PAPER, "--pool", 9, "--subsets", ALL, "--json")
    facts = json.loads(out)
    law = fit_law({1: 2.267, 2: 1.899, 4: 1.710}, 9, n_subsets={1: 9, 2: 36, 4: 126})
    assert status == 0
    assert facts["curve"][8]["loss"] == float(law.loss(9))
    assert (facts["curve"][8]["low"], facts["curve"][8]["high"]) == law.interval(9)
    assert facts["curve"][8]["stderr_sampling"] == 0
    assert facts["curve"][8]["stderr_law"] == law.stderr(9)
    assert facts["returns"][1]["k"] == 6
    assert facts["near_floor"] == {"gap": 0.01, "k": 78}
    assert facts["stop"]["k"] == law.stop(0.01).k


def test_no_bend_ends_with_a_status_and_what_can_be_said(call):
    status, out, error = call("--points", "1=2,2=1.9,4=1.7", "--pool", 9)
    assert status == 1
    assert "last measured: L(4) = 1.7" in out
    assert "L(9) is not below 1.2" in out
    assert "r = (L(1) - L(2)) / (L(2) - L(4)) = 0.5" in error
    assert "Traceback" not in error


def test_a_refusal_in_json_is_json(call):
    status, out, _ = call("--points", "1=2,2=2.1,4=2.2", "--pool", 9, "--json")
    assert status == 1
    assert json.loads(out)["case"] == "not_identified"


def test_a_law_taken_as_true_against_its_points_is_told(call):
    points = ["--points", "1=2,2=1.5,3=1.3,5=1.25", "--pool", 5, "--subsets", "1=5,2=10,3=10,5=1"]
    assert "these intervals are too narrow" in call(*points, "--misfit", 0)[1]
    assert "too narrow" not in call("--points", PAPER, "--pool", 9, "--misfit", 0)[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--points", "1=2,2:3", "--pool", 9], "'2:3' is not K=NUMBER"),
        (["--points", "1=-2,2=1", "--pool", 9], "must be a finite number above 0"),
        (["--points", "1=inf,2=1", "--pool", 9], "must be a finite number above 0"),
        (["--points", "1=2,4=1", "--pool", 3], "above the pool of 3"),
        (["--points", "1=2,1=1", "--pool", 3], "stands 2 times"),
        (["--points", "1=2", "--pool", 3], "two k at least"),
        (["--pool", 3], "--points"),
        (["--points", PAPER], "--pool is missing"),
        (["--points", PAPER, "--pool", 9, "--gap", 0], "--gap 0: must be a finite number above 0"),
        (["--points", PAPER, "--pool", 9, "--misfit", -1], "misfit = -1"),
    ],
)
def test_mistakes_end_in_words(call, words, told):
    status, _, error = call(*words)
    assert status == 1
    assert told in error
    assert "Traceback" not in error


def test_out_is_a_law_file_for_the_planner(call, tmp_path):
    target = tmp_path / "law.json"
    status, _, _ = call(
        "--points", PAPER, "--pool", 9, "--errors", "1=0.01,2=0.01,4=0.01", "--method", "average",
        "--domain", "code", "--out", target,
    )  # fmt: skip
    file = read_law_file(target)
    assert status == 0
    assert (file.laws[0].method, file.laws[0].domain, file.pool) == ("average", "code", 9)
    assert all(file.laws[0].curves[0].stderr)


def test_nothing_is_written_where_there_is_no_law(call, tmp_path):
    target = tmp_path / "law.json"
    words = ["--points", "1=2,2=1.9,4=1.7", "--pool", 9, "--out", target]
    status, _, error = call(*words)
    assert status == 1
    assert not target.exists()
    assert "nothing is written" in error
    target.write_text("older", encoding="utf-8")
    assert "the file that is there is older" in call(*words)[2]


def test_a_floor_below_0_is_no_answer(call, tmp_path):
    target = tmp_path / "law.json"
    words = ["--points", "1=2.267,2=1.899,4=1.40", "--pool", 9, "--out", target]
    status, out, error = call(*words)
    assert status == 1
    assert not target.exists()
    assert "the floor would be below 0" in error
    assert "floor, tail and offset are not told" in out
    assert "-0.42" not in out
    assert "of the floor at k" not in out
    facts = json.loads(call(*words[:4], "--json")[1])
    assert (facts["floor"], facts["parameters"], facts["near_floor"]) == (None, None, None)


def test_two_parameters_through_three_points_tell_what_they_miss(call):
    out = call("--points", "1=2.267,2=1.6,4=1.5", "--pool", 9)[1]
    assert "which they miss by up to 0.1, at k = 2" in out
    assert "3 points leave one residual" in out


def test_errors_that_are_not_known_are_not_told_as_none(call):
    words = ["--points", "1=2.267,2=1.899,3=1.777,4=1.710", "--pool", 9]
    row = next(line for line in call(*words)[1].splitlines() if line.split()[:1] == ["9"])
    assert row.split("]")[1].split()[0] == "-"
    assert json.loads(call(*words, "--json")[1])["curve"][8]["stderr_sampling"] is None


def test_gains_have_their_errors_and_are_expected(call):
    words = ["--points", "1=2.267,2=1.899,4=1.5", "--pool", 9, "--errors", "1=0.2,2=0.2,4=0.2"]
    out = call(*words)[1]
    assert "is expected to gain 0.01 or more; 6 of 8 gains are not clear of their errors" in out
    row = next(line for line in out.splitlines() if line.split()[:1] == ["8"])
    assert row.split()[-2:] == ["0.049", "0.093"]


def test_all_mistakes_are_told_at_once(call):
    wrong = ["--errors", "1:3", "--text-error", -1, "--misfit", -2, "--gap", -1, "--eps", 0]
    names = ["--method", "a/b", "--name", "", "--out", "/nowhere/x.json"]
    status, _, error = call("--points", "1=2.2,2=-1", "--pool", 9, *wrong, *names)
    assert status == 1
    for told in ("--errors: '1:3'", "text_error = -1", "misfit = -2", "--gap -1", "--eps 0",
                 "--method 'a/b'", "--name ''", "/nowhere is not there", "loss -1"):  # fmt: skip
        assert told in error


def test_names_of_a_table_that_plan_cannot_name_are_refused(call, tmp_path):
    table = tmp_path / "losses.csv"
    table.write_text("method,domain,k,loss\na/b,c,1,2\na/b,c,2,1.5\na/b,c,4,1.3\n")
    status, _, error = call("--file", table, "--pool", 9, "--out", tmp_path / "law.json")
    assert status == 1
    assert "method 'a/b': must have no '/'" in error


def test_a_table_gives_a_forecast_for_each_curve(call, tmp_path):
    table = tmp_path / "losses.csv"
    table.write_text(
        "method,domain,k,loss,n_subsets,sd\n"
        "average,code,1,2.267,9,0.1\naverage,code,2,1.899,36,0.05\naverage,code,4,1.710,126,0.02\n"
        "ties,code,1,2.2,9,0.1\nties,code,2,1.9,36,0.05\nties,code,4,1.7,126,0.02\n",
        encoding="utf-8",
    )
    status, out, _ = call("--file", table, "--pool", 9, "--json", "--out", tmp_path / "law.json")
    facts = json.loads(out)
    assert status == 0
    assert [one["method"] for one in facts] == ["average", "ties"]
    assert facts[0]["curve"][8]["stderr_sampling"] == 0  # all subsets are in
    assert facts[0]["misfit"]["share"] < facts[1]["misfit"]["share"]
    assert len(read_law_file(tmp_path / "law.json").laws) == 2
