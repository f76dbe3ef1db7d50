"""Theory: derivatives at the full merge, what they predict of all others, the best weights."""

PREDICTED = ["curves", "laws", "subsets", "rankings", "terms", "synergy"]


rule derivatives:
    """Derivatives of the loss along task vectors at the whole pool's merge, by every route."""
    input:
        base=base_of,
        experts=pool_of,
        shards=expand(
            "<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names
        ),
    output:
        derivatives="<study>/theory/{size}/derivatives.parquet",
        updates="<study>/theory/{size}/updates.parquet",
        cost="<study>/theory/{size}/derivatives.cost.json",
    log:
        "<study>/logs/theory/{size}_derivatives.log",
    benchmark:
        "<study>/benchmarks/theory/{size}_derivatives.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("derivatives")
    resources:
        **needs("derivatives"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("theory", "derivatives"),
    shell:
        "python -m mergelaw theory derivatives --config {params.config} --size {wildcards.size}"
        " > {log} 2>&1"


rule weights:
    """The best weights of the experts, chosen on held-out text that nothing else reads."""
    input:
        base=base_of,
        experts=pool_of,
        tokenizer="<study>/data/tokenizer",
        text=expand("<study>/data/items/{domain}.parquet", domain=STUDY.domain_names),
        shards=expand(
            "<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names
        ),
    output:
        weights="<study>/theory/{size}/weights.parquet",
        cost="<study>/theory/{size}/weights.cost.json",
    log:
        "<study>/logs/theory/{size}_weights.log",
    benchmark:
        "<study>/benchmarks/theory/{size}_weights.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("weights")
    resources:
        **needs("weights"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("theory", "weights"),
    shell:
        "python -m mergelaw theory weights --config {params.config} --size {wildcards.size}"
        " > {log} 2>&1"


rule predictions:
    """Curves, subsets, laws, terms and synergy that the derivatives predict, beside the measured."""
    input:
        derivatives=expand(
            "<study>/theory/{size}/{table}.parquet",
            size=STUDY.size_names,
            table=["derivatives", "updates"],
        ),
        losses="<study>/sweep/losses.parquet",
        laws=expand("<study>/laws/{table}.parquet", table=[*CURVES, *FITS]),
        scales=scale_tables,
        vectors=expand(
            "<study>/merge/{size}/task_vectors.parquet", size=STUDY.size_names
        ),
    output:
        expand("<study>/theory/{table}.parquet", table=PREDICTED),
    log:
        "<study>/logs/theory/predictions.log",
    benchmark:
        "<study>/benchmarks/theory/predictions.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("theory", "predictions"),
    shell:
        "python -m mergelaw theory predictions --config {params.config} > {log} 2>&1"
