"""Given checkpoints: nothing is trained, and the losses are those of the study that made them."""

import polars as pl

from tests.workflow.workspace import CONFIG, edited


def given_config(experts_folder) -> dict:
    """The smoke study with the checkpoints of one of its sizes named instead of trained."""
    folders = {e["name"]: str(experts_folder / e["name"]) for e in CONFIG["experts"]}
    base = str(experts_folder / "base")
    return edited(
        CONFIG,
        name="given",
        tokenizer={"path": base},
        experts=[{"name": name} for name in folders],
        multitask=None,
        sizes=[{"name": "own", "base": base, "experts": folders}],
        methods=[CONFIG["methods"][0]],
    )


def test_given_checkpoints_are_merged_as_they_are(grown_run):
    workspace, _, _ = grown_run
    config = given_config(workspace.results / "experts" / "w16")
    workspace.run(config)
    given = workspace.folder / "results" / "given"
    assert not (given / "experts").exists()
    assert (given / "report" / "report.html").exists()
    columns = ["subset", "domain", "nll_sum", "n_tokens"]
    mine = pl.read_parquet(given / "sweep" / "losses.parquet").select(columns)
    theirs = pl.read_parquet(workspace.results / "sweep" / "losses.parquet")
    theirs = theirs.filter(size="w16", method="average").select(columns)
    assert mine.sort(columns[:2]).equals(theirs.sort(columns[:2]))
