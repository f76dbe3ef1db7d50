"""Experts: pre-training of bases, fine-tuning, the multitask baseline, scores along training."""


rule base:
    """A base model, pre-trained from scratch."""
    input:
        tokenizer="<study>/data/tokenizer",
        tokens="<study>/data/pretraining.safetensors",
    output:
        directory("<study>/experts/{size}/base"),
    log:
        "<study>/logs/experts/{size}_base.log",
    benchmark:
        "<study>/benchmarks/experts/{size}_base.tsv"
    wildcard_constraints:
        size=any_of(STUDY.ladder),
    conda:
        "../../envs/models.yaml"
    threads: threads_of("base")
    resources:
        **needs("base"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("experts", "base"),
    shell:
        "python -m mergelaw experts base --config {params.config} --size {wildcards.size} > {log} 2>&1"


rule expert:
    """An expert: the base, fine-tuned on its home domain."""
    input:
        base=base_of,
        tokenizer="<study>/data/tokenizer",
        text=home_items,
    output:
        directory("<study>/experts/{size}/{expert}"),
    log:
        "<study>/logs/experts/{size}_{expert}.log",
    benchmark:
        "<study>/benchmarks/experts/{size}_{expert}.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("expert")
    resources:
        **needs("expert"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("experts", "expert"),
    shell:
        "python -m mergelaw experts expert --config {params.config} --size {wildcards.size}"
        " --expert {wildcards.expert} > {log} 2>&1"


rule multitask:
    """The multitask baseline: the base, fine-tuned on the items of all experts together."""
    input:
        base=base_of,
        tokenizer="<study>/data/tokenizer",
        text=multitask_items,
    output:
        directory("<study>/experts/{size}/multitask"),
    log:
        "<study>/logs/experts/{size}_multitask.log",
    benchmark:
        "<study>/benchmarks/experts/{size}_multitask.tsv"
    wildcard_constraints:
        size=any_of(STUDY.ladder),
    conda:
        "../../envs/models.yaml"
    threads: threads_of("multitask")
    resources:
        **needs("multitask"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("experts", "multitask"),
    shell:
        "python -m mergelaw experts multitask --config {params.config} --size {wildcards.size}"
        " > {log} 2>&1"


rule multitask_losses:
    """Losses of the multitask baseline on every domain."""
    input:
        model="<study>/experts/{size}/multitask",
        shards=expand(
            "<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names
        ),
    output:
        "<study>/experts/{size}/multitask.parquet",
    log:
        "<study>/logs/experts/{size}_multitask_losses.log",
    benchmark:
        "<study>/benchmarks/experts/{size}_multitask_losses.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("multitask_losses")
    resources:
        **needs("multitask_losses"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("experts", "multitask_losses"),
    shell:
        "python -m mergelaw experts multitask-losses --config {params.config} --size {wildcards.size}"
        " > {log} 2>&1"


rule snapshot_losses:
    """Losses of experts along their training, each on its own domain."""
    input:
        base=base_of,
        experts=trained_experts,
        shards=expand(
            "<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names
        ),
    output:
        "<study>/experts/{size}/snapshots.parquet",
    log:
        "<study>/logs/experts/{size}_snapshot_losses.log",
    benchmark:
        "<study>/benchmarks/experts/{size}_snapshot_losses.tsv"
    conda:
        "../../envs/models.yaml"
    threads: threads_of("snapshot_losses")
    resources:
        **needs("snapshot_losses"),
    params:
        config=STUDY_CONFIG,
        slice=slice_of("experts", "snapshot_losses"),
    shell:
        "python -m mergelaw experts snapshot-losses --config {params.config} --size {wildcards.size}"
        " > {log} 2>&1"


rule training_logs:
    """The logs of all trainings of a size, as one table."""
    input:
        experts=trained_experts,
        multitask=multitask_of,
    output:
        "<study>/experts/{size}/training.parquet",
    log:
        "<study>/logs/experts/{size}_training_logs.log",
    benchmark:
        "<study>/benchmarks/experts/{size}_training_logs.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("experts", "training_logs"),
    shell:
        "python -m mergelaw experts training-logs --config {params.config} --size {wildcards.size}"
        " > {log} 2>&1"
