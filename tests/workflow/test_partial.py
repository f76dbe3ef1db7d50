"""Partial runs of a study that really ran; which jobs which edit runs is in test_reruns."""

import polars as pl

from tests.workflow.workspace import CONFIG, GROWN, edited

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


def test_one_figure(grown_run):
    workspace, _, _ = grown_run
    figure = "report/figures/synergy.svg"
    before = (workspace.results / figure).read_bytes()
    (workspace.results / figure).unlink()
    assert workspace.planned(GROWN, f"results/smoke/{figure}") == {figure}
    workspace.run(GROWN, f"results/smoke/{figure}")
    assert (workspace.results / figure).read_bytes() == before


def test_a_finished_study_runs_nothing_and_an_edit_what_it_decides(grown_run):
    workspace, _, _ = grown_run
    assert workspace.jobs(GROWN) == []
    jobs = workspace.jobs(edited(GROWN, laws={**CONFIG["laws"], "resamples": 50}))
    assert {job.split()[0] for job in jobs} == {"curves", "fits", "analysis", "figure", "page"}


def test_curves_of_a_part_are_made_from_its_chunks_alone_and_equal_those_of_all(grown_run):
    workspace, _, _ = grown_run
    for part, columns in (
        ("w16/ties", {"size": "w16", "method": "ties"}),
        ("w32", {"size": "w32"}),
    ):
        target = f"laws/curves/{part}.parquet"
        losses = f"sweep/{part}/losses.parquet"
        assert workspace.planned(GROWN, f"results/smoke/{target}") == {target, losses}
        workspace.run(GROWN, f"results/smoke/{target}")
        for file, whole in ((target, "laws/curves.parquet"), (losses, "sweep/losses.parquet")):
            expected = pl.read_parquet(workspace.results / whole).filter(**columns)
            assert expected.height
            assert pl.read_parquet(workspace.results / file).equals(expected)
    assert workspace.jobs(GROWN) == [], "parts are in nothing that the report reads"


def test_the_full_report_makes_deleted_orders_again_and_a_plain_run_none(grown_run):
    workspace, _, _ = grown_run
    workspace.run(GROWN, "results/smoke/laws/order.parquet")
    (workspace.results / "sweep/w16/orders.parquet").unlink()
    orders = {name for name in workspace.planned(GROWN, "full") if name.endswith("orders.parquet")}
    assert orders == {"sweep/w16/orders.parquet"}
    assert not any("orders" in name or "scales" in name for name in workspace.planned(GROWN))
