"""Pins, ranges and conda files say the same; an environment holds what its jobs import."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINS = {
    canonicalize_name(name): version
    for line in (ROOT / "envs" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for name, version in [line.split("==")]
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = sorted((ROOT / "envs").glob("*.yaml"))


def pip_pins(path: Path) -> dict[str, str]:
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    [pip] = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    return {canonicalize_name(name): version for name, version in (pin.split("==") for pin in pip)}


def test_every_requirement_is_pinned_within_its_range():
    extras = [text for group in PROJECT["optional-dependencies"].values() for text in group]
    for text in [*PROJECT["dependencies"], *extras]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)]), text


def test_torch_is_pinned_where_a_cpu_build_can_be_taken():
    assert PINS["torch"] == "2.13.0"


@pytest.mark.parametrize("path", CONDA, ids=lambda path: path.name)
def test_conda_files_agree_with_the_pins(path):
    for name, version in pip_pins(path).items():
        assert PINS[name] == version, name


def test_every_rule_names_an_environment_that_exists():
    for rules in (ROOT / "workflow" / "rules").glob("*.smk"):
        text = rules.read_text(encoding="utf-8")
        names = re.findall(r'^        "\.\./\.\./envs/(.+)"$', text, re.MULTILINE)
        assert len(names) == len(re.findall(r"^rule ", text, re.MULTILINE))
        assert {ROOT / "envs" / name for name in names} <= set(CONDA)


MODULES = {
    "analysis.yaml": (
        "planned",
        "data.stage",
        "sweep.collect",
        "laws.stage",
        "report.stage",
        "report.figures",
        "report.page",
        "report.maps",
        "cli",
    ),
    "models.yaml": (
        "data.stage",
        "data.tokenizer",
        "data.pretraining",
        "evaluation.prepared",
        "evaluation.cell",
        "experts.stage",
        "merging.stage",
        "sweep.chunk",
        "cli",
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_an_environment_holds_what_its_jobs_import(name):
    """What the jobs' modules import at the top is pinned by the environment's file."""
    code = "\n".join(
        [
            "import sys, importlib, importlib.metadata as m",
            *(f"importlib.import_module('mergelaw.{module}')" for module in MODULES[name]),
            "tops = {module.partition('.')[0] for module in sys.modules}",
            "owners = m.packages_distributions()",
            "print(*sorted({owner for top in tops for owner in owners.get(top, [])}))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {canonicalize_name(owner) for owner in done.stdout.split()}
    direct = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert loaded & direct <= set(pip_pins(ROOT / "envs" / name)) | {"snakemake"}
