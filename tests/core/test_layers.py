"""The layers of the architecture: who may import whom, and what a light import must not load."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mergelaw

SOURCE = Path(mergelaw.__file__).parent
HEAVY = {
    "torch",
    "transformers",
    "accelerate",
    "lmfit",
    "scipy",
    "matplotlib",
    "seaborn",
    "snakemake",
    "datasets",
    "tokenizers",
}
LIGHT = {
    "config",
    "errors",
    "files",
    "records",
    "hub",
    "tables",
    "design",
    "parts",
    "paths",
    "cells",
    "provenance",
    "planned",
    "progress",
    "costs",
    "variants",
    "processes",
    "signals",
    "jobs",
    "owner",
}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "hub": {"errors"},
    "records": set(),
    **dict.fromkeys(LIGHT - {"errors", "files", "hub", "records"}, LIGHT),
    "costs": LIGHT | {"checkpoints"},  # their headers, which need no torch
    "data": LIGHT,
    "models": LIGHT,
    "experts": LIGHT | {"data", "checkpoints", "models"},
    "checkpoints": LIGHT - {"costs"},
    "preflight": LIGHT | {"checkpoints"},
    "merging": LIGHT | {"data", "checkpoints", "preflight"},
    "evaluation": LIGHT | {"data", "models"},
    "laws": LIGHT | {"data"},
    "sweep": LIGHT
    | {"data", "checkpoints", "models", "preflight", "merging", "evaluation", "laws"},
    "theory": LIGHT | {"data", "models", "merging", "evaluation", "laws", "sweep"},
    "planning": LIGHT | {"laws"},
    "report": LIGHT | {"laws"},
    "status": LIGHT | {"laws", "report"},
}
"""What each module or package of mergelaw may import, itself aside."""

ABOVE_ALL = {"__init__", "__main__", "cli", "tools"}
"""Modules that no other one imports, and that may import any."""


RULES_MAY_IMPORT = {"snakemake.utils", "snakemake.exceptions", "re", "pathlib"} | {
    f"mergelaw.{name}"
    for name in (*LIGHT, "costs.memory", "costs.needs", "laws.registry", "report.registry")
}


def imports_of(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, inside functions too."""
    return imported(ast.parse(path.read_text(encoding="utf-8")), path)


def imported_at_once(path: Path) -> set[str]:
    """Return those that importing the file imports: not what functions and type checkers do."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return imported(ast.Module(at_once, []), path)


def imported(tree: ast.Module, path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or ""}
            if node.module == "mergelaw":
                names |= {f"mergelaw.{alias.name}" for alias in node.names}
    return names


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def unit(path: Path) -> str:
    """Return the module or package right below mergelaw that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def own(names: set[str]) -> set[str]:
    """Return the units of mergelaw among imported names; `mergelaw.__version__` is none."""
    below = {name.split(".")[1] for name in names if name.startswith("mergelaw.")}
    return {name for name in below if not name.startswith("__")}


def test_every_module_has_a_place_in_the_table():
    assert {unit(path) for path in files()} <= MAY_IMPORT.keys() | ABOVE_ALL


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_keep_to_the_layers(path):
    names, here = imports_of(path), unit(path)
    assert "snakemake" not in {name.split(".")[0] for name in names}
    if here in MAY_IMPORT:
        assert own(names) - {here} <= MAY_IMPORT[here]
    if here in LIGHT:
        assert not {name.split(".")[0] for name in names} & HEAVY
    if path.name == "__init__.py" and here == "__init__":
        assert not own(imported_at_once(path))


def test_config_imports_nothing_but_errors():
    for path in (SOURCE / "config").glob("*.py"):
        assert own(imports_of(path)) <= {"config", "errors"}


@pytest.mark.parametrize(
    ("modules", "unloaded"),
    [
        (
            "mergelaw.config, mergelaw.design, mergelaw.paths, mergelaw.cells, "
            "mergelaw.provenance, mergelaw.planned, mergelaw.tables, "
            "mergelaw.costs.estimate, mergelaw.costs.needs, mergelaw.progress, "
            "mergelaw.hub, mergelaw.report.registry",
            HEAVY,
        ),
        ("mergelaw.cli", HEAVY),
        ("mergelaw.data.stage, mergelaw.data.items", HEAVY),
        ("mergelaw.merging.methods, mergelaw.checkpoints.store", HEAVY - {"torch"}),
        ("mergelaw.evaluation.loss", HEAVY - {"torch"}),
    ],
)
def test_a_light_import_loads_nothing_heavy(modules, unloaded):
    program = f"import {modules}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    loaded = set(result.stdout.split())
    assert "mergelaw" in loaded
    assert not loaded & unloaded


def test_rules_import_light_modules_only():
    root = Path(__file__).parents[2]
    found = set()
    for path in [root / "Snakefile", *(root / "workflow" / "rules").glob("*.smk")]:
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"^(?:from|import) ([\w.]+)", text, re.MULTILINE))
    assert found <= RULES_MAY_IMPORT
    assert "mergelaw.report.registry" in found
