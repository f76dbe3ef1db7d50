"""`mergelaw fit` as people call it: the docs' example, JSON, files, mistakes in words."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mergelaw.laws.registry import ANALYSES, REPORT_ANALYSES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "laws.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
ROWS = "k,loss\n1,2.0\n2,1.71\n3,1.6\n4,1.56\n5,1.52\n"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mergelaw", "fit", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_the_example_in_the_docs_is_what_the_command_prints(tmp_path):
    section = PAGE.split("## A law from any table")[1].split("\n## ")[0]
    lines = [line.removeprefix("    ") for line in section.splitlines() if line.startswith("    ")]
    at = next(i for i, line in enumerate(lines) if line.startswith("mergelaw fit"))
    (tmp_path / "sixteen.csv").write_text("\n".join(lines[:at]) + "\n", encoding="utf-8")
    done = run(*lines[at].split()[2:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = [line for line in done.stdout.splitlines() if line]
    shown = lines[at + 1 :]
    assert len(shown) > 12
    assert [_words(line) for line in shown] == [_words(line) for line in printed]
    for one, other in zip(shown, printed, strict=True):
        numbers = [list(map(float, NUMBER.findall(line))) for line in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-3)


def _words(line: str) -> str:
    return " ".join(NUMBER.sub("#", line).split())


def test_the_analyses_in_the_docs_are_those_of_the_registry_in_its_order():
    table = PAGE.split("## `snakemake full`")[1]
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", table, re.MULTILINE)
    assert rows == [(name, analysis.needs) for name, analysis in ANALYSES.items()]
    assert "the first six of the analyses below" in table
    assert tuple(name for name, _ in rows[:6]) == REPORT_ANALYSES


def test_out_writes_what_json_prints_and_neither_changes_the_fit(tmp_path):
    (tmp_path / "t.csv").write_text(ROWS)
    done = run("t.csv", "--pool", "9", "--json", "--out", "deep/law.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert json.loads((tmp_path / "deep" / "law.json").read_text()) == facts
    (fit,) = facts["fits"]
    assert (facts["pool"], fit["end"]["k"], fit["law"]) == (9, 9, "floor_tail")
    plain = run("t.csv", "--pool", "9", cwd=tmp_path)
    assert f"{fit['parameters']['floor']['value']:.5g}" in plain.stdout


def test_options_choose_the_law_and_the_weights(tmp_path):
    (tmp_path / "t.csv").write_text(ROWS)
    done = run("t.csv", "--weights", "k", "--law", "floor_tail", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["fits"][0]["weights"] == "k"
    refused = run("t.csv", "--law", "joint", cwd=tmp_path)
    assert refused.returncode == 1
    assert "the joint law needs N of each size, in a column n_params" in refused.stderr


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (ROWS, ("--pool", "4"), "'k' is above --pool 4: line 6 ('5')"),
        (ROWS, ("--weights", "measured"), "needs the column se, or sd and n_subsets"),
        ("K,Loss\n1,2\n", (), "'K' probably is it: rename it to 'k'"),
        ("k,loss\n1,2\n", (), "one k only says nothing of a law over k"),
        ("", (), "the file is empty"),
    ],
)
def test_mistakes_are_told_without_a_traceback_or_a_file(tmp_path, text, arguments, words):
    (tmp_path / "t.csv").write_text(text)
    done = run("t.csv", *arguments, "--out", "law.json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "law.json").exists()


@pytest.mark.parametrize(
    ("losses", "said"),
    [((2.0, 1.96, 1.99, 1.95, 1.975), True), ((2.0, 1.8, 1.71, 1.66, 1.6), False)],
)
def test_shares_of_a_fall_that_may_be_none_are_said_to_be_so(tmp_path, losses, said):
    rows = zip((1, 2, 4, 8, 9), losses, strict=True)
    (tmp_path / "curve.csv").write_text("k,loss\n" + "".join(f"{k},{loss}\n" for k, loss in rows))
    done = run("curve.csv", "--pool", "9", cwd=tmp_path)
    [line] = [line for line in done.stdout.splitlines() if "fall from k = 1" in line]
    assert ("if it falls at all" in line) == said
