"""Sweep: many subsets merged in memory and scored in one job; one table of all; scales, orders."""


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
    threads: threads_of("chunk")
    resources:
        **needs("chunk"),
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


rule part:
    """Losses of one size, or of one method at one size; for a target only."""
    input:
        text="<study>/data/shards/contents.parquet",
        chunks=part_chunks,
    output:
        "<study>/sweep/{part}/losses.parquet",
    log:
        "<study>/logs/sweep/{part}/losses.log",
    benchmark:
        "<study>/benchmarks/sweep/{part}/losses.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("sweep", "part"),
    shell:
        "python -m mergelaw sweep collect --config {params.config} --part {wildcards.part}"
        " > {log} 2>&1"


rule scales:
    """Losses of a few subsets at several scales; for the full report."""
    input:
        base=base_of,
        experts=pool_of,
        shards=expand(
            "<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names
        ),
    output:
        losses="<study>/sweep/{size}/scales.parquet",
        cost="<study>/sweep/{size}/scales.cost.json",
    log:
        "<study>/logs/sweep/{size}_scales.log",
    benchmark:
        "<study>/benchmarks/sweep/{size}_scales.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("scales")
    resources:
        **needs("scales"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("sweep", "scales"),
    shell:
        "python -m mergelaw sweep scales --config {params.config} --size {wildcards.size}"
        " > {log} 2>&1"


rule best_scales:
    """Losses of the same subsets at the best scales that the laws give."""
    input:
        base=base_of,
        experts=pool_of,
        fits="<study>/laws/scale_fits.parquet",
        shards=expand(
            "<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names
        ),
    output:
        losses="<study>/sweep/{size}/best_scales.parquet",
        cost="<study>/sweep/{size}/best_scales.cost.json",
    log:
        "<study>/logs/sweep/{size}_best_scales.log",
    benchmark:
        "<study>/benchmarks/sweep/{size}_best_scales.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("best_scales")
    resources:
        **needs("best_scales"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("sweep", "best_scales"),
    shell:
        "python -m mergelaw sweep best-scales --config {params.config} --size {wildcards.size}"
        " > {log} 2>&1"


rule orders:
    """Losses of a few subsets in several orders and under several mask seeds."""
    input:
        base=base_of,
        experts=pool_of,
        shards=expand(
            "<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names
        ),
    output:
        losses="<study>/sweep/{size}/orders.parquet",
        cost="<study>/sweep/{size}/orders.cost.json",
    log:
        "<study>/logs/sweep/{size}_orders.log",
    benchmark:
        "<study>/benchmarks/sweep/{size}_orders.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("orders")
    resources:
        **needs("orders"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("sweep", "orders"),
    shell:
        "python -m mergelaw sweep orders --config {params.config} --size {wildcards.size}"
        " > {log} 2>&1"
