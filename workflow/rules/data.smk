"""Data: the resolved config, the subset list, text, tokenizer, prepared shards."""


localrules:
    study,


rule study:
    """The config of this run with all overrides; every job reads it, none reruns for it alone."""
    output:
        "<study>/study.json",
    log:
        "<study>/logs/study.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        config=json.dumps(config, sort_keys=True),
    shell:
        "printf '%s\\n' {params.config:q} > {output} 2> {log}"


rule design:
    """Which subsets are merged, in which chunk."""
    input:
        study=ancient("<study>/study.json"),
    output:
        "<study>/design/subsets.parquet",
    log:
        "<study>/logs/design.log",
    benchmark:
        "<study>/benchmarks/design.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        slice=slice_of("design", "design"),
    shell:
        "python -m mergelaw design --config {input.study} > {log} 2>&1"


rule items:
    """Items of a domain, split by their text."""
    input:
        study=ancient("<study>/study.json"),
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
        slice=slice_of("data", "items"),
    shell:
        "python -m mergelaw data items --config {input.study} --domain {wildcards.domain} > {log} 2>&1"


rule tokenizer:
    """The study's tokenizer: trained on text that no evaluation sees, or copied."""
    input:
        study=ancient("<study>/study.json"),
        text=expand("<study>/data/items/{domain}.parquet", domain=STUDY.domain_names),
    output:
        directory("<study>/data/tokenizer"),
    log:
        "<study>/logs/data/tokenizer.log",
    benchmark:
        "<study>/benchmarks/data/tokenizer.tsv"
    conda:
        "../../envs/models.yaml"
    params:
        slice=slice_of("data", "tokenizer"),
    shell:
        "python -m mergelaw data tokenizer --config {input.study} > {log} 2>&1"


rule pretraining:
    """Tokens that ladder bases are pre-trained on."""
    input:
        study=ancient("<study>/study.json"),
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
        slice=slice_of("data", "pretraining"),
    shell:
        "python -m mergelaw data pretraining --config {input.study} > {log} 2>&1"


rule shards:
    """Evaluation text of all domains, tokenised once for all jobs."""
    input:
        study=ancient("<study>/study.json"),
        text=expand("<study>/data/items/{domain}.parquet", domain=STUDY.domain_names),
        tokenizer="<study>/data/tokenizer",
    output:
        expand("<study>/data/shards/{domain}.safetensors", domain=STUDY.domain_names),
    log:
        "<study>/logs/data/shards.log",
    benchmark:
        "<study>/benchmarks/data/shards.tsv"
    conda:
        "../../envs/models.yaml"
    params:
        slice=slice_of("data", "shards"),
    shell:
        "python -m mergelaw data shards --config {input.study} > {log} 2>&1"
