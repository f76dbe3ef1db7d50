"""Report: one figure per job, and the page with all of them."""


rule figure:
    """A figure of tables."""
    input:
        tables=figure_tables,
    output:
        report(
            "<study>/report/figures/{figure}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "<study>/logs/report/figures/{figure}.log",
    benchmark:
        "<study>/benchmarks/report/figures/{figure}.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("report", "figure"),
        caption=figure_caption,
    shell:
        "python -m mergelaw report figure --config {params.config} --figure {wildcards.figure} > {log} 2>&1"


rule costs:
    """What the study's jobs cost, by stage, size and method."""
    input:
        costly,
    output:
        "<study>/report/costs.parquet",
    log:
        "<study>/logs/report/costs.log",
    benchmark:
        "<study>/benchmarks/report/costs.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("report", "costs"),
    shell:
        "python -m mergelaw report costs --config {params.config} > {log} 2>&1"


rule page:
    """The report in words, tables and figures: one file that needs no network."""
    input:
        subsets="<study>/design/subsets.parquet",
        losses="<study>/sweep/losses.parquet",
        shards="<study>/data/shards/contents.parquet",
        tables=page_tables,
        fits="<study>/laws/fits.json",
        figures=page_figures,
    output:
        report(
            "<study>/report/{page}.html",
            caption="../report/page.rst",
            category="Page",
            labels={"figure": "{page}"},
        ),
    log:
        "<study>/logs/report/{page}.log",
    benchmark:
        "<study>/benchmarks/report/{page}.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("report", "page"),
    shell:
        "python -m mergelaw report page --config {params.config} --page {wildcards.page} > {log} 2>&1"
