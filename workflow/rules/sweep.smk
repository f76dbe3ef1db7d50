"""Sweep: many subsets merged in memory and scored in one job; then one table of all."""


rule chunk:
    """Losses of a chunk of subsets, merged with one method at one size."""
    input:
        base=base_of,
        experts=experts_of,
        shards=expand(
            "<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names
        ),
    output:
        losses="<study>/sweep/{size}/{method}/{chunk}.parquet",
        cost="<study>/sweep/{size}/{method}/{chunk}.cost.json",
    log:
        "<study>/logs/sweep/{size}_{method}_{chunk}.log",
    benchmark:
        "<study>/benchmarks/sweep/{size}_{method}_{chunk}.tsv"
    conda:
        "../../envs/models.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("sweep", "chunk"),
    shell:
        "python -m mergelaw sweep chunk --config {params.config} --size {wildcards.size}"
        " --method {wildcards.method} --chunk {wildcards.chunk} > {log} 2>&1"


rule losses:
    """All losses of the study, checked to be complete."""
    input:
        text="<study>/data/shards/contents.parquet",
        chunks=all_chunks,
    output:
        "<study>/sweep/losses.parquet",
    log:
        "<study>/logs/sweep/losses.log",
    benchmark:
        "<study>/benchmarks/sweep/losses.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("sweep", "losses"),
    shell:
        "python -m mergelaw sweep collect --config {params.config} > {log} 2>&1"
