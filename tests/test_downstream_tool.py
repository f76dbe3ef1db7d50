"""`mergelaw downstream` as people call it."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from mergelaw.laws import published

TABLE = Path(published.__file__).parent / "table16.csv"
LOWER = ("--lower", "wildguard_micro_harm", "--lower", "harmbench_micro_asr")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mergelaw", "downstream", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_table_16_in_words():
    done = run(TABLE, *LOWER)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert lines["31"] == ["31", "subsets", "of", "5", "experts:", "1,", "2,", "3,", "4,", "5"]
    assert lines["subsets"][1:] == ["5", "10", "10", "5", "1"]
    assert lines["mean"] == ["mean", "higher", "0.3961", "0.4405", "0.4584", "0.4651", "0.4675"]
    assert lines["gsm8k"][1:3] == ["higher", "0.3694"]
    assert lines["harmbench_micro_asr"][1:3] == ["lower", "0.5242"]
    assert " ".join(lines["harmbench_rta"]).endswith("not counted: repeats harmbench_micro_asr")
    assert lines["best"] == ["best", "single", "expert:", "3,", "with", "a", "mean", "of", "0.4215"]


def test_json_is_printed_and_written_and_parquet_is_read(tmp_path):
    table, out = tmp_path / "scores.parquet", tmp_path / "out.json"
    pl.read_csv(TABLE).rename({"subset": "folder"}).write_parquet(table)
    done = run(table, "--subset", "folder", *LOWER, "--json", "--out", out)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads(out.read_text(encoding="utf-8"))
    assert found["n_subsets"] == 31
    assert found["best_single_expert"]["subset"] == "3"
    kept = {metric["name"]: metric["kept"] for metric in found["metrics"]}
    assert (kept["wildguard_micro_harm"], kept["wildguard_rta"]) == (True, False)
    mean = [row for row in found["by_k"] if row["metric"] == "mean"]
    assert [row["n_subsets"] for row in mean] == [5, 10, 10, 5, 1]
    assert mean[0]["value"] == pytest.approx(0.411, abs=5e-4)


def test_chosen_metrics_and_no_single_expert(tmp_path):
    table = tmp_path / "scores.csv"
    table.write_text("subset,speed,accuracy\na+b,33.0,0.25\na+c,12.0,0.75\n", encoding="utf-8")
    done = run(table, "--metric", "accuracy", "--json")
    found = json.loads(done.stdout)
    assert [metric["name"] for metric in found["metrics"]] == ["accuracy"]
    assert found["best_single_expert"] is None
    assert found["by_k"][0]["oriented"] == 0.5
    assert "best single" not in run(table, "--metric", "accuracy").stdout


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("subset,m\na,0.5\n", ["--lower", "n"], "--lower n: no such metric; one of m"),
        ("subset,m\na,half\n", [], "row 1 (a), m = 'half': is not a number"),
        ("subset,m\na,0.5\na,0.6\n", [], "the same subset as row 1"),
        ("subset,m\na,12.5\n", ["--lower", "m"], "m = '12.5': lies outside 0..1"),
        ("folder,m\na,0.5\n", [], "has no column 'subset'; one of folder, m"),
        ("", [], "cannot be read"),
    ],
)
def test_mistakes_end_in_words(tmp_path, text, arguments, words):
    table = tmp_path / "scores.csv"
    table.write_text(text, encoding="utf-8")
    done = run(table, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {table}: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_other_files_and_missing_ones_are_refused(tmp_path):
    assert "must end in .csv or .parquet" in run(tmp_path / "scores.txt").stderr
    assert "cannot be read" in run(tmp_path / "scores.csv").stderr
