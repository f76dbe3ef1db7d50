"""Partial runs: what a target or an edit makes, and what it leaves alone."""

import pytest

from tests.workflow.workspace import CONFIG, GROWN, Workspace, edited

LAST = {"sweep/losses.parquet", "laws/curves.parquet", "laws/fits.json", "report/report.html"}


def test_growing_adds_chunks_and_touches_none(grown_run):
    workspace, before, planned = grown_run
    chunks = {name for name in planned if name.startswith("sweep/w") and name.endswith(".parquet")}
    assert chunks == {
        f"sweep/{size['name']}/{method['label']}/1.parquet"
        for size in CONFIG["sizes"]
        for method in CONFIG["methods"]
    }
    assert not any(name.startswith(("data", "experts")) for name in planned)
    assert planned >= LAST
    for path in workspace.results.glob("sweep/*/*/0.parquet"):
        assert before[str(path)] == path.read_bytes()


def planned_when_fresh(tmp_path, target: str) -> set[str]:
    return Workspace(tmp_path).planned(CONFIG, f"results/smoke/{target}")


def test_one_expert(tmp_path):
    assert planned_when_fresh(tmp_path, "experts/w16/physics") == {
        *(f"data/items/{domain['name']}.parquet" for domain in CONFIG["domains"]),
        "data/tokenizer",
        "data/pretraining.safetensors",
        "experts/w16/base",
        "experts/w16/physics",
    }


def test_one_method_at_one_size(tmp_path):
    planned = planned_when_fresh(tmp_path, "sweep/w16/ties/0.parquet")
    assert {name for name in planned if name.startswith("sweep")} == {
        "sweep/w16/ties/0.parquet",
        "sweep/w16/ties/0.cost.json",
    }
    assert not any("w32" in name or name.startswith(("laws", "report")) for name in planned)


def test_one_figure(grown_run):
    workspace, _, _ = grown_run
    figure = "report/figures/synergy.svg"
    before = (workspace.results / figure).read_bytes()
    (workspace.results / figure).unlink()
    assert workspace.planned(GROWN, f"results/smoke/{figure}") == {figure}
    workspace.run(GROWN, f"results/smoke/{figure}")
    assert (workspace.results / figure).read_bytes() == before


def with_density(density):
    methods = [dict(method) for method in CONFIG["methods"]]
    methods[2] = {**methods[2], "parameters": {**methods[2]["parameters"], "density": density}}
    return methods


NEW_METHOD = {"label": "half", "method": "task_arithmetic", "parameters": {"scale": 0.5}}
NEW_SIZE = {
    "name": "w64",
    "architecture": {**CONFIG["sizes"][0]["architecture"], "hidden_size": 64},
}
POOL = ("merge/w16/", "merge/w32/")
"""Statistics of all methods at a size are made in one job."""
NEW_POOL = "merge/w64/"
EDITS = {
    "a method's parameter": (
        {"methods": with_density(0.5)},
        {"sweep/w16/ties/", "sweep/w32/ties/", "sweep/losses", *POOL, "laws/", "report/"},
    ),
    "a new method": (
        {"methods": [*CONFIG["methods"], NEW_METHOD]},
        {"sweep/w16/half/", "sweep/w32/half/", "sweep/losses", *POOL, "laws/", "report/"},
    ),
    "a new size": (
        {"sizes": [*CONFIG["sizes"], NEW_SIZE]},
        {"design/", "experts/w64/", "sweep/w64/", "sweep/losses", NEW_POOL, "laws/", "report/"},
    ),
    "how laws are fitted": ({"laws": {**CONFIG["laws"], "resamples": 50}}, {"laws/", "report/"}),
    "the notes": ({"notes": ["another"]}, {"report/report.html"}),
    "the batch of a forward pass": (
        {"evaluation": {**CONFIG["evaluation"], "batch_tokens": 512}},
        set(),
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_reruns_what_it_decides(grown_run, name):
    workspace, _, _ = grown_run
    changes, expected = EDITS[name]
    planned = workspace.planned(edited(GROWN, **changes))
    unexpected = {path for path in planned if not path.startswith(tuple(expected) or ("-",))}
    assert unexpected == set()
    assert all(any(path.startswith(start) for path in planned) for start in expected)


def test_the_full_report_makes_deleted_orders_again_and_a_plain_run_none(grown_run):
    workspace, _, _ = grown_run
    workspace.run(GROWN, "results/smoke/laws/order.parquet")
    (workspace.results / "sweep/w16/orders.parquet").unlink()
    orders = {name for name in workspace.planned(GROWN, "full") if name.endswith("orders.parquet")}
    assert orders == {"sweep/w16/orders.parquet"}
    assert not any("orders" in name or "scales" in name for name in workspace.planned(GROWN))
