"""Experts: pre-training of bases, fine-tuning of one expert on its domain."""


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
