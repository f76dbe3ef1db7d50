"""The command line: complete help, frozen options, mistakes in words."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from mergelaw.cli import app

ROOT = Path(__file__).parents[1]
SNAPSHOT = Path(__file__).parent / "golden" / "cli_options.json"


def commands(command: click.Command, name: str = "mergelaw") -> dict[str, list[str]]:
    """Every command with its options."""
    if hasattr(command, "commands"):
        found = {}
        for child in command.commands.values():
            found |= commands(child, f"{name} {child.name}")
        return found
    return {name: sorted(option for param in command.params for option in param.opts)}


ALL = commands(typer.main.get_command(app))


@pytest.mark.parametrize("name", ALL)
def test_every_command_tells_its_options(name):
    """Brackets in a help text are markup to the library that prints it."""
    told = CliRunner().invoke(app, [*name.split()[1:], "--help"])
    assert told.exit_code == 0, told.exception
    assert "--help" in told.stdout


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mergelaw", *arguments], capture_output=True, text=True
    )


def test_options_are_frozen():
    """A changed option breaks users' scripts: change the snapshot on purpose only."""
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == ALL


@pytest.mark.parametrize("name", ALL)
def test_help_describes_every_option(name):
    done = run(*name.split()[1:], "--help")
    assert done.returncode == 0
    for option in ALL[name]:
        assert option in done.stdout


def test_every_rule_calls_a_command_that_exists():
    text = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk")
    )
    called = {
        line.split('"python -m ')[1].split(" --")[0]
        for line in text.splitlines()
        if '"python -m mergelaw' in line
    }
    assert called <= set(ALL)
    assert len(called) >= 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["design", "--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (
            ["sweep", "chunk", "--config", "config/smoke.yaml", "--size", "w99"],
            "no such size; one of w16, w32",
        ),
        (
            ["sweep", "chunk", "--config", "config/smoke.yaml", "--chunk", "7"],
            "no such chunk; one of 0",
        ),
        (["report", "figure", "--config", "config/smoke.yaml", "--figure", "x"], "no such figure"),
        (
            [
                "merge-cell",
                "checkpoint",
                "--config",
                "config/smoke.yaml",
                "--subset",
                "code+algebra",
            ],
            "cell w16/average/code+algebra: 1 problem\n  - its name is algebra+code",
        ),
    ],
)
def test_mistakes_end_in_words(arguments, words, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 KB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by root")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_ends_in_words_and_leaves_no_half_file(small_disk, monkeypatch):
    monkeypatch.chdir(small_disk)
    config = str(ROOT / "config" / "smoke.yaml")
    for job in ("items", "tokenizer"):
        assert run("data", job, "--config", config).returncode == 0
    done = run("data", "pretraining", "--config", config)
    assert done.returncode == 1
    path = "results/smoke/data/pretraining.safetensors"
    assert done.stderr.endswith(f"error: No space left on device: {path}\n")
    assert "Traceback" not in done.stderr
    assert not list((small_disk / "results" / "smoke" / "data").rglob("*pretraining*"))


def test_design_prints_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("design", "--config", str(ROOT / "config" / "default.yaml"), "--json")
    counts = json.loads(done.stdout)
    assert counts["merges"] == 8176
    assert counts["chunks"] == 16
