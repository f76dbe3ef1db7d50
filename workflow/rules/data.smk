"""Data: the subset list, text, tokenizer, prepared shards."""


rule design:
    """Which subsets are merged, in which chunk."""
    output:
        "<study>/design/subsets.parquet",
    log:
        "<study>/logs/design.log",
    benchmark:
        "<study>/benchmarks/design.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("design", "design"),
    shell:
        "python -m mergelaw design --config {params.config} > {log} 2>&1"


rule items:
    """Items of a domain, split by their text."""
    input:
        files=source_files,
    output:
        "<study>/data/items/{domain}.parquet",
    log:
        "<study>/logs/data/items_{domain}.log",
    benchmark:
        "<study>/benchmarks/data/items_{domain}.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("data", "items"),
    shell:
        "python -m mergelaw data items --config {params.config} --domain {wildcards.domain} > {log} 2>&1"


rule tokenizer:
    """The study's tokenizer: trained on text that no evaluation sees, or copied."""
    input:
        source=tokenizer_source,
        template=template_file,
    output:
        directory("<study>/data/tokenizer"),
    log:
        "<study>/logs/data/tokenizer.log",
    benchmark:
        "<study>/benchmarks/data/tokenizer.tsv"
    conda:
        "../../envs/models.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("data", "tokenizer"),
    shell:
        "python -m mergelaw data tokenizer --config {params.config} > {log} 2>&1"


rule pretraining:
    """Tokens that ladder bases are pre-trained on."""
    input:
        text=expand("<study>/data/items/{domain}.parquet", domain=STUDY.domain_names),
        tokenizer="<study>/data/tokenizer",
    output:
        "<study>/data/pretraining.safetensors",
    log:
        "<study>/logs/data/pretraining.log",
    benchmark:
        "<study>/benchmarks/data/pretraining.tsv"
    conda:
        "../../envs/models.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("data", "pretraining"),
    shell:
        "python -m mergelaw data pretraining --config {params.config} > {log} 2>&1"


rule shards:
    """Evaluation text of all domains, tokenised once for all jobs."""
    input:
        text=expand("<study>/data/items/{domain}.parquet", domain=STUDY.domain_names),
        tokenizer="<study>/data/tokenizer",
    output:
        expand("<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names),
        contents="<study>/data/shards/contents.parquet",
    log:
        "<study>/logs/data/shards.log",
    benchmark:
        "<study>/benchmarks/data/shards.tsv"
    conda:
        "../../envs/models.yaml"
    params:
        config=STUDY_CONFIG,
        slice=slice_of("data", "shards"),
    shell:
        "python -m mergelaw data shards --config {params.config} > {log} 2>&1"
