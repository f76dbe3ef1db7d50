"""The study as a DAG: text, experts, merges, laws, report. Config: config/README.md."""

from snakemake.utils import min_version

min_version("9.27")


if not workflow.overwrite_configfiles:

    configfile: "config/default.yaml"


include: "workflow/rules/common.smk"


pathvars:
    study=str(PATHS.root),


report: "workflow/report/workflow.rst"


# Seconds of work on small tables: not worth a cluster's queue.
localrules:
    all,
    full,
    design,
    training_logs,
    losses,
    part,
    curves,
    part_curves,
    fits,
    analysis,
    predictions,
    law_file,
    planner,
    figure,
    costs,
    page,


rule all:
    """The report; every chunk is named, so that a missing one is made again."""
    input:
        "<study>/report/report.html",
        named_chunks,


rule full:
    """The full report: every analysis that the study's data allow, and the names of the others."""
    input:
        "<study>/report/full.html",
        "<study>/planning/planner.html",
        rules.all.input,
        variant_losses,
        size_theory,
        theory_page,


include: "workflow/rules/data.smk"
include: "workflow/rules/experts.smk"
include: "workflow/rules/sweep.smk"
include: "workflow/rules/merge.smk"
include: "workflow/rules/laws.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/planning.smk"
include: "workflow/rules/report.smk"
