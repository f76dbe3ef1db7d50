"""The study of this run, and look-ups that rules share."""

import re
from pathlib import Path

from snakemake.exceptions import ResourceValidationError

from mergelaw.cells import cell
from mergelaw.config import parse_study
from mergelaw.costs.memory import tell_grant
from mergelaw.costs.needs import RESOURCES, Needs
from mergelaw.design import BASE, MULTITASK, chunks
from mergelaw.errors import MergeLawError
from mergelaw.files import write_json
from mergelaw.hub import is_hub_name
from mergelaw.laws.registry import ANALYSES, analysis_paths
from mergelaw.parts import parts
from mergelaw.paths import StudyPaths, checkpoint_inputs
from mergelaw.provenance import fingerprint
from mergelaw.report.registry import (
    FIGURES,
    PAGES,
    figures_of,
    table_paths,
    tables_of,
)

# The profile names its machine among the default resources, so that cluster jobs are told, too.
MACHINE = (workflow.resource_settings.default_resources or {}).get("machine")

try:
    STUDY = parse_study(config)
    PATHS = StudyPaths.of(STUDY)
    NEEDS = Needs.of_file(STUDY, PATHS, MACHINE and MACHINE.raw, workflow.basedir)
except MergeLawError as error:
    raise WorkflowError(str(error))

STUDY_CONFIG = PATHS.config

# Here a Slurm job knows its memory; in the step that runs its command Snakemake hides it.
tell_grant()


onstart:
    # The config with all overrides, for the jobs. It is no job's output: what an edit reruns is
    # told by `slice_of`, job by job.
    write_json(STUDY_CONFIG, config)
    # A job that no node can run is told before any other has run, not when its turn comes.
    for job in workflow.dag.needrun_jobs() if NEEDS else ():
        job.resources


def any_of(names):
    """A pattern of just these names."""
    return "|".join(map(re.escape, names))


# Jobs in conda environments find mergelaw in this checkout, and all the cache of their own node.
EXPORTS = f'export PYTHONPATH="{workflow.basedir}/src"; ' + (
    NEEDS.node.exports() if NEEDS else ""
)
shell.prefix(EXPORTS.replace("{", "{{").replace("}", "}}"))


wildcard_constraints:
    domain=any_of(STUDY.domain_names),
    size=any_of(STUDY.size_names),
    method=any_of(STUDY.method_labels),
    expert=any_of(STUDY.expert_names),
    chunk="[0-9]+",
    subset=r"[^/]+(?<!\.parquet)(?<!\.json)",
    figure=any_of(FIGURES),
    analysis=any_of(ANALYSES),
    page=any_of(PAGES),
    part=any_of(parts(STUDY)),


def slice_of(stage, job):
    """A parameter: the digest of the config that decides the job, so that edits rerun just it."""
    return lambda wildcards: fingerprint(STUDY, stage, job, **dict(wildcards.items()))


def need(rule, resource):
    """A resource: what the study needs of the profile's machine."""

    def asked(wildcards, attempt):
        try:
            return NEEDS.of(rule, dict(wildcards.items()), attempt)[resource]
        except MergeLawError as error:  # Snakemake prints a traceback of any other
            raise ResourceValidationError(str(error))

    return asked


def needs(rule):
    """Resources of a rule's jobs; none where no machine is named."""
    return {resource: need(rule, resource) for resource in RESOURCES if NEEDS}


def threads_of(rule, alone=1):
    """Processor cores of a rule's jobs; `alone` where no machine is named."""
    return need(rule, "threads") if NEEDS else alone


def source_files(wildcards):
    """Local files and folders that a domain's text is read from."""
    source = STUDY.domain(wildcards.domain).source
    if source.kind == "datasets":
        return [source.path] if Path(source.path).exists() else []
    return [Path(STUDY.data_folder) / name for name in getattr(source, "files", ())]


def tokenizer_source(wildcards):
    """The given tokenizer's folder (a hub name has none), or the text that one is trained on."""
    given = STUDY.tokenizer.path
    if given is None:
        return [PATHS.items(domain) for domain in STUDY.domain_names]
    return [] if is_hub_name(given) else [Path(given).expanduser()]


def template_file(wildcards):
    """The tokenizer's chat template, where that is a file."""
    given = STUDY.tokenizer.template or ""
    return [Path(given).expanduser()] if given.endswith(".jinja") else []


def base_of(wildcards):
    """Folder of the size's base; none for a hub name, which the job looks up itself."""
    return checkpoint_inputs(STUDY, PATHS, wildcards.size, [BASE])


def home_items(wildcards):
    """Items of the expert's home domain."""
    return PATHS.items(STUDY.expert(wildcards.expert).domain)


def trained_experts(wildcards):
    """Folders of the experts that are trained at a size."""
    given = STUDY.size(wildcards.size).experts
    names = [name for name in STUDY.expert_names if name not in given]
    return checkpoint_inputs(STUDY, PATHS, wildcards.size, names)


def multitask_items(wildcards):
    """Items of the domains that the multitask baseline is trained on."""
    domains = (STUDY.expert(name).domain for name in STUDY.multitask_experts)
    return [PATHS.items(domain) for domain in dict.fromkeys(domains)]


def multitask_of(wildcards):
    """Folder of a size's multitask baseline, where the study has one there."""
    trained = STUDY.multitask and wildcards.size in STUDY.ladder
    return [PATHS.trained(wildcards.size, MULTITASK)] if trained else []


def experts_of(wildcards):
    """Folders of the experts that occur in a chunk."""
    chunk = chunks(STUDY, wildcards.size)[int(wildcards.chunk)]
    return checkpoint_inputs(STUDY, PATHS, wildcards.size, chunk.experts)


def experts_of_cell(wildcards):
    """Folders of the experts that a cell merges."""
    merge = cell(STUDY, wildcards.size, wildcards.method, wildcards.subset)
    return checkpoint_inputs(STUDY, PATHS, wildcards.size, merge.subset.experts)


def pool_of(wildcards):
    """Folders of all experts."""
    return checkpoint_inputs(STUDY, PATHS, wildcards.size, STUDY.expert_names)


def all_chunks(wildcards):
    """Tables of every chunk of the study."""
    return [
        PATHS.chunk(size, method, chunk.index)
        for size in STUDY.size_names
        for method in STUDY.method_labels
        for chunk in chunks(STUDY, size)
    ]


def named_chunks(wildcards):
    """The same, so that a missing one is made again; in a batch of `losses`, which has its own, none."""
    return [] if workflow.dag_settings.batch else all_chunks(wildcards)


def part_chunks(wildcards):
    """Tables of the chunks of one size, or of one method at one size."""
    size, _, method = wildcards.part.partition("/")
    return [
        PATHS.chunk(size, label, chunk.index)
        for label in STUDY.method_labels
        if method in ("", label)
        for chunk in chunks(STUDY, size)
    ]


def figure_tables(wildcards):
    """Tables that a figure draws."""
    return table_paths(STUDY, PATHS, *FIGURES[wildcards.figure].tables)


def figure_caption(wildcards):
    """How to read a figure."""
    return FIGURES[wildcards.figure].caption


def variant_losses(wildcards):
    """Losses of merges at several scales and in several orders, as far as the study has them."""
    return [
        path
        for name in ("best_scales", "order")
        for path in analysis_paths(STUDY, PATHS, name)
    ]


def scale_tables(wildcards):
    """Fits and curves over the scale, where the study has them."""
    names = ("scale_fits", "scale_curves") if STUDY.scales else ()
    return [PATHS.law_table(name) for name in names]


def size_theory(wildcards):
    """Derivatives and best weights of each size, where the study asks for them."""
    sizes = STUDY.size_names if STUDY.theory else ()
    return [
        place(size) for size in sizes for place in (PATHS.derivatives, PATHS.weights)
    ]


def theory_page(wildcards):
    """The page of what the derivatives predict, where the study asks for it."""
    return [PATHS.page("theory")] if STUDY.theory else []


def costly(wildcards):
    """Outputs of the jobs that use models: their costs are summed once they are done."""
    multitask = STUDY.ladder if STUDY.multitask else ()
    return [
        PATHS.losses,
        *(PATHS.task_vectors(size) for size in STUDY.size_names),
        *(PATHS.training_logs(size) for size in STUDY.size_names),
        *(PATHS.snapshot_losses(size) for size in STUDY.size_names),
        *(PATHS.multitask_losses(size) for size in multitask),
        *variant_losses(wildcards),
        *size_theory(wildcards),
    ]


def analysis_tables(wildcards):
    """Tables that an analysis reads."""
    return analysis_paths(STUDY, PATHS, wildcards.analysis)


def multitask_table(wildcards):
    """The comparison with multitask training, where the study makes it."""
    return [PATHS.law_table("multitask")] if STUDY.multitask else []


def page_tables(wildcards):
    """Tables of a page."""
    return table_paths(STUDY, PATHS, *tables_of(wildcards.page))


def page_figures(wildcards):
    """Figures of a page."""
    return [PATHS.figures / f"{name}.svg" for name in figures_of(wildcards.page)]
