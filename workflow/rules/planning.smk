"""Planning: the study's laws with errors and costs in one file, and the page that plans from them."""


rule law_file:
    """Laws, baselines and costs: what `mergelaw plan` and the planner read."""
    input:
        losses="<study>/sweep/losses.parquet",
        curves=expand("<study>/laws/{table}.parquet", table=CURVES),
        fits="<study>/laws/fits.json",
        text="<study>/data/shards/contents.parquet",
        multitask=multitask_table,
    output:
        "<study>/planning/laws.json",
    log:
        "<study>/logs/planning/laws.log",
    benchmark:
        "<study>/benchmarks/planning/laws.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("planning", "law_file"),
    shell:
        "python -m mergelaw planning laws --config {params.config} > {log} 2>&1"


rule planner:
    """The planner: one file that needs no network."""
    input:
        "<study>/planning/laws.json",
    output:
        report(
            "<study>/planning/planner.html",
            caption="../report/planner.rst",
            category="Page",
            labels={"figure": "planner"},
        ),
    log:
        "<study>/logs/planning/planner.log",
    benchmark:
        "<study>/benchmarks/planning/planner.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("planning", "planner"),
    shell:
        "python -m mergelaw planning page --config {params.config} > {log} 2>&1"
