"""Laws: curves, fits with checks, analyses."""

CURVES = ["curves", "specialists"]
FITS = ["fits", "predictions"]


rule curves:
    """Mean loss against k with standard errors, for every size, method and domain."""
    input:
        losses="<study>/sweep/losses.parquet",
    output:
        expand("<study>/laws/{table}.parquet", table=CURVES),
    log:
        "<study>/logs/laws/curves.log",
    benchmark:
        "<study>/benchmarks/laws/curves.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("laws", "curves"),
    shell:
        "python -m mergelaw laws curves --config {params.config} > {log} 2>&1"


rule part_curves:
    """The same for one size, or one method at one size; for a target only."""
    input:
        losses="<study>/sweep/{part}/losses.parquet",
    output:
        "<study>/laws/curves/{part}.parquet",
    log:
        "<study>/logs/laws/curves/{part}.log",
    benchmark:
        "<study>/benchmarks/laws/curves/{part}.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("laws", "part_curves"),
    shell:
        "python -m mergelaw laws curves --config {params.config} --part {wildcards.part}"
        " > {log} 2>&1"


rule fits:
    """Floor and tail of every curve, and one joint law over sizes."""
    input:
        curves="<study>/laws/curves.parquet",
        losses="<study>/sweep/losses.parquet",
    output:
        expand("<study>/laws/{table}.parquet", table=FITS),
        json="<study>/laws/fits.json",
    log:
        "<study>/logs/laws/fits.log",
    benchmark:
        "<study>/benchmarks/laws/fits.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("laws", "fits"),
    shell:
        "python -m mergelaw laws fits --config {params.config} > {log} 2>&1"


rule analysis:
    """One analysis: a check on points left out, intervals, rivals, and what else curves say."""
    input:
        analysis_tables,
    output:
        "<study>/laws/{analysis}.parquet",
    log:
        "<study>/logs/laws/{analysis}.log",
    benchmark:
        "<study>/benchmarks/laws/{analysis}.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("laws", "analysis"),
    shell:
        "python -m mergelaw laws analysis --config {params.config}"
        " --analysis {wildcards.analysis} > {log} 2>&1"
