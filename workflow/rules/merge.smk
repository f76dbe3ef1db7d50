"""Merge: any cell of the sweep as a checkpoint, its losses from disk, statistics of the pool."""


rule cell:
    """A merge as a checkpoint on disk: the weights that the sweep scores, bit for bit."""
    input:
        base=base_of,
        experts=experts_of_cell,
    output:
        checkpoint=directory("<study>/merge/{size}/{method}/{subset}"),
        cost="<study>/merge/{size}/{method}/{subset}.cost.json",
    log:
        "<study>/logs/merge/{size}_{method}_{subset}.log",
    benchmark:
        "<study>/benchmarks/merge/{size}_{method}_{subset}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("cell", alone=4)
    resources:
        **needs("cell"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("merge", "cell"),
    shell:
        "python -m mergelaw merge-cell checkpoint --config {params.config} --size {wildcards.size}"
        " --method {wildcards.method} --subset {wildcards.subset} > {log} 2>&1"


rule cell_losses:
    """Losses of such a checkpoint, scored from disk: the sums of the sweep."""
    input:
        checkpoint="<study>/merge/{size}/{method}/{subset}",
        shards=expand(
            "<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names
        ),
    output:
        "<study>/merge/{size}/{method}/{subset}.parquet",
    log:
        "<study>/logs/merge/losses/{size}_{method}_{subset}.log",
    benchmark:
        "<study>/benchmarks/merge/losses/{size}_{method}_{subset}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("cell_losses")
    resources:
        **needs("cell_losses"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("merge", "cell_losses"),
    shell:
        "python -m mergelaw merge-cell losses --config {params.config} --size {wildcards.size}"
        " --method {wildcards.method} --subset {wildcards.subset} > {log} 2>&1"


rule task_vectors:
    """Statistics of the pool's task vectors, and of what each method makes of all of them."""
    input:
        base=base_of,
        experts=pool_of,
    output:
        vectors="<study>/merge/{size}/task_vectors.parquet",
        merged="<study>/merge/{size}/merged_tensors.parquet",
        cost="<study>/merge/{size}/task_vectors.cost.json",
    log:
        "<study>/logs/merge/{size}_task_vectors.log",
    benchmark:
        "<study>/benchmarks/merge/{size}_task_vectors.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("task_vectors", alone=4)
    resources:
        **needs("task_vectors"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("merge", "task_vectors"),
    shell:
        "python -m mergelaw merge-cell statistics --config {params.config}"
        " --size {wildcards.size} > {log} 2>&1"
