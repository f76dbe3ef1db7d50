"""Which edit of a config makes which results again: nothing less, and nothing more."""

import itertools
import json
import os
import subprocess
import sys

import pytest

from mergelaw import provenance as module
from mergelaw.design import chunks
from mergelaw.provenance import STAGE_VERSION, digest, fingerprint, provenance
from tests.helpers import ARCHITECTURE, STUDY, study_dict, study_of

DATA = {"items", "tokenizer", "pretraining"}
MERGE = {"cell", "cell_losses", "task_vectors"}
LAWS = {"curves", "fits", "analysis", "figure", "page"}


def fingerprints(study) -> dict[str, str]:
    """Return the fingerprint of every job of a study, by a name such as `chunk/small/ties/0`."""
    jobs = {
        job: {}
        for job in (
            "design",
            "tokenizer",
            "pretraining",
            "shards",
            "losses",
            "curves",
            "fits",
        )
    }
    jobs |= {f"items/{d}": {"domain": d} for d in study.domain_names}
    jobs |= {"figure/loss_by_k": {"figure": "loss_by_k"}, "page": {"page": "report"}}
    jobs |= {"analysis": {"analysis": "rivals"}}
    for size in study.size_names:
        jobs[f"base/{size}"] = {"size": size}
        jobs |= {f"expert/{size}/{e}": {"size": size, "expert": e} for e in study.expert_names}
        jobs |= {
            f"chunk/{size}/{method}/{chunk.index}": {
                "size": size,
                "method": method,
                "chunk": chunk.index,
            }
            for method in study.method_labels
            for chunk in chunks(study, size)
        }
        jobs[f"task_vectors/{size}"] = {"size": size}
        for method, job in itertools.product(study.method_labels, ("cell", "cell_losses")):
            place = {"size": size, "method": method, "subset": "algebra+code"}
            jobs[f"{job}/{size}/{method}"] = place
    return {
        name: fingerprint(study, "sweep", name.split("/")[0], **targets)
        for name, targets in jobs.items()
    }


def changed(*edits) -> set[str]:
    """Return the jobs of the tiny study that edits make again, new jobs left out."""
    before, after = fingerprints(study_of()), fingerprints(study_of(*edits))
    return {name for name in before if after.get(name) != before[name]}


def kinds(names) -> set[str]:
    return {name.split("/")[0] for name in names}


CASES = {
    "batch_tokens": (("evaluation.batch_tokens", 64), set()),
    "rotary base of one size": (("sizes.0.architecture.rope_theta", 5e3), {"base/small", "page"}),
    "steps of base training": (
        ("training.base.steps", 4),
        {"pretraining", "base/small", "base/large", "page"},
    ),
    "rate of expert training": (
        ("training.expert.learning_rate", 0.02),
        {f"expert/{s}/{e}" for s in ("small", "large") for e in ("algebra", "biology", "code")}
        | {"page"},
    ),
    "tokens of evaluation": (
        ("evaluation.tokens_per_domain", 100),
        {"shards", "page"},
    ),
    "resamples of the laws": (("laws.resamples", 300), LAWS | {"figure/loss_by_k"} - {"figure"}),
    "density of TIES": (
        ("methods.2.parameters.density", 0.5),
        {f"chunk/{s}/ties/{c}" for s in ("small", "large") for c in (0, 1)}
        | {f"{job}/{s}/ties" for s in ("small", "large") for job in ("cell", "cell_losses")}
        | {"task_vectors/small", "task_vectors/large"}
        | LAWS
        | {"figure/loss_by_k"},
    ),
    "mask seeds": (
        ("mask_seeds", [0, 1]),
        {f"chunk/{s}/dare/{c}" for s in ("small", "large") for c in (0, 1)} | {"page"},
    ),
    "a source's items": (("domains.1.source.items", 70), {"items/biology", "page"}),
    "block of a domain": (("domains.1.block", "science"), {"analysis", "page"}),
    "vocabulary": (("tokenizer.vocab_size", 320), {"tokenizer", "page"}),
}


@pytest.mark.parametrize(("edit", "jobs"), CASES.values(), ids=CASES)
def test_an_edit_makes_exactly_these_jobs_again(edit, jobs):
    assert changed(edit) == jobs - {"figure"}


def test_type_and_arithmetic_change_every_merge():
    for edit in (("dtype", "bfloat16"), ("accumulate", "sequential_bfloat16")):
        assert kinds(changed(edit)) == {"chunk", "page"} | MERGE
        assert len(changed(edit)) == 2 * 4 * (2 + 2) + 2 + 1


VARIED = (("scales", {"k": [1, 3]}), ("orders", {"orders": 2}))
ANALYSES = ("scale_fits", "order", "rivals")
SCALES, VARIANTS = {"scales", "best_scales"}, {"scales", "best_scales", "orders"}
TIES_AT_05 = ("methods.2.parameters.density", 0.5)

VARIANT_CASES = {
    "nothing that they read": (("sizes.0.design", [{"kind": "exhaustive", "k": [2]}]), set()),
    "a checked scale": (("scales.checked", [2.0]), {"scales", "scale_fits"}),
    "a fitted scale": (("scales.fitted", [0.8, 1.0, 1.4]), {"scales", "scale_fits"}),
    "subsets of the scales": (("scales.subsets_per_k", 2), {*SCALES, "scale_fits"}),
    "orders": (("orders.orders", 3), {"orders", "order"}),
    "k of the orders": (("orders.k", [3]), {"orders", "order"}),
    "density of TIES": (TIES_AT_05, {*VARIANTS, *ANALYSES}),
    "scale of TIES": (("methods.2.parameters.scale", 0.5), {"orders", *ANALYSES}),
    "first mask seed": (("mask_seeds", [3]), VARIANTS),
    "more mask seeds": (("mask_seeds", [0, 3]), set()),
    "type": (("dtype", "bfloat16"), VARIANTS),
    "sums": (("accumulate", "sequential_bfloat16"), SCALES),
    "running sums": (("sweep", {"incremental": True}), set()),
}


def variants(study) -> dict[str, str]:
    """Return the fingerprints of merges beside the design, and of analyses of them."""
    jobs = {job: fingerprint(study, "sweep", job, size="small") for job in VARIANTS}
    return jobs | {n: fingerprint(study, "laws", "analysis", analysis=n) for n in ANALYSES}


@pytest.mark.parametrize(("edit", "jobs"), VARIANT_CASES.values(), ids=VARIANT_CASES)
def test_an_edit_makes_exactly_these_merges_beside_the_design_again(edit, jobs):
    before, after = variants(study_of(*VARIED)), variants(study_of(*VARIED, edit))
    assert {name for name in before if before[name] != after[name]} == jobs


THEORY = ("derivatives", "weights", "predictions")
OBJECTIVES = [{"label": "macro"}, {"label": "worst", "target": "worst"}]
EVERY = set(THEORY)

THEORY_CASES = {
    "an objective": (("theory.objectives", OBJECTIVES), {"weights"}),
    "tokens of calibration": (("theory.calibration_tokens", 99), {"weights"}),
    "held-out tokens": (("theory.heldout_tokens", 99), {"weights"}),
    "routes": (("theory.routes", ["pairs"]), {"derivatives", "predictions"}),
    "random masks": (("theory.mask_probes", 9), {"derivatives"}),
    "step": (("theory.step", 0.2), {"derivatives", "weights"}),
    "density of TIES": (TIES_AT_05, {"derivatives", "predictions"}),
    "mask seeds": (("mask_seeds", [3]), {"derivatives"}),
    "type": (("dtype", "bfloat16"), {"derivatives", "weights"}),
    "scales": (("scales", {}), {"predictions"}),
    "resamples of the laws": (("laws.resamples", 300), {"predictions"}),
    "seed": (("seed", 1), EVERY),
    "batches": (("evaluation.batch_tokens", 99), set()),
    "subsets of another size": (("sizes.1.design", [{"kind": "exhaustive", "k": [2]}]), set()),
    "tokens of evaluation": (("evaluation.tokens_per_domain", 99), set()),  # their file tells
}


def of_theory(study) -> dict[str, str]:
    """Return the fingerprints of the theory stage's jobs."""
    size = {"size": "small"}
    targets = {"derivatives": size, "weights": size, "predictions": {}}
    return {job: fingerprint(study, "theory", job, **targets[job]) for job in THEORY}


@pytest.mark.parametrize(("edit", "jobs"), THEORY_CASES.values(), ids=THEORY_CASES)
def test_an_edit_makes_exactly_these_of_theory_again(edit, jobs):
    before, after = (of_theory(study_of(("theory", {}), *e)) for e in ((), (edit,)))
    assert {name for name in before if before[name] != after[name]} == jobs


def test_theory_may_be_absent():
    assert set(of_theory(study_of()).values()) == {digest([STAGE_VERSION["theory"], {}])}


def test_merges_beside_the_design_may_be_absent():
    assert {variants(study_of())[job] for job in VARIANTS} == {digest([STAGE_VERSION["sweep"], {}])}


def test_a_seed_changes_all_that_is_drawn():
    again = changed(("seed", 1))
    assert DATA | {"base", "expert"} | LAWS <= kinds(again)
    assert {name for name in again if name.startswith("chunk")} == {
        f"chunk/{size}/dare/{c}" for size in ("small", "large") for c in (0, 1)
    }  # the others draw nothing: they follow their inputs, the new checkpoints
    assert {name for name in again if name.startswith("cell/")} == {
        "cell/small/dare",
        "cell/large/dare",
    }


def test_a_cell_follows_its_own_mask_seed():
    def digests(*seeds):
        study = study_of(("mask_seeds", list(seeds)))
        return [
            fingerprint(study, "merge", "cell", size="small", method=method, subset=name)
            for method, name in (("dare", f"code~mask{seeds[1]}"), ("dare", "code"), ("ta", "code"))
        ]

    before, more, other = digests(0, 7), digests(0, 7, 9), digests(0, 8)
    assert more == before
    assert other[0] != before[0]
    assert other[1:] == before[1:]
    assert digests(7, 0)[:2] == before[1::-1], "named otherwise, the merge is the same"


def test_a_reason_for_lineage_makes_no_merge_again():
    lineage = {"check": "report", "reason": "renamed"}
    assert kinds(changed(("lineage", lineage))) == {"page"}


def test_a_new_method_changes_no_old_chunk():
    method = {"label": "ta2", "method": "task_arithmetic"}
    assert kinds(changed(("methods.4", method))) == {"task_vectors", "losses", *LAWS}


def test_a_new_part_of_the_design_changes_no_old_chunk():
    growing = study_of(("design", [{"kind": "exhaustive", "k": [1]}]))
    grown = study_of(
        ("design", [{"kind": "exhaustive", "k": [1]}, {"kind": "exhaustive", "k": [3]}])
    )
    before, after = fingerprints(growing), fingerprints(grown)
    assert kinds(n for n in before if after[n] != before[n]) == {"design", "losses", "page"}


def test_a_new_domain_changes_every_chunk_but_no_old_items():
    domain = {"name": "physics", "source": {"kind": "procedural", "generator": "physics"}}
    again = kinds(changed(("domains.3", domain)))
    data = {"tokenizer", "pretraining", "shards"}
    assert again == data | {"chunk", "cell_losses", "losses", *LAWS}


def test_a_new_size_changes_nothing_of_the_old_ones():
    size = {"name": "huge", "architecture": ARCHITECTURE | {"layers": 8}}
    assert kinds(changed(("sizes.2", size))) == {"design", "losses", "figure", "page"}


def test_a_new_trained_expert_appends_and_leaves_full_chunks():
    expert = {"name": "more", "domain": "code"}
    again = kinds(
        changed(("experts.3", expert))
        - {
            f"chunk/{s}/{m}/1"
            for s in ("small", "large")
            for m in ("average", "ta", "ties", "dare")
        }
    )  # the last chunk was not full (5 + 3 subsets) and is filled
    assert again == {"design", "task_vectors", "losses", *LAWS}


def test_a_new_given_expert_leaves_full_chunks():
    given = [
        (
            "sizes",
            [
                STUDY["sizes"][0]
                | {
                    "architecture": None,
                    "base": "/base",
                    "experts": {e["name"]: f"/{e['name']}" for e in STUDY["experts"]},
                }
            ],
        ),
        ("tokenizer", {"path": "/base"}),
        ("experts", [{"name": e["name"]} for e in STUDY["experts"]]),
    ]
    raw = study_dict(*given)
    grown = study_dict(*given, ("sizes.0.experts.more", "/more"), ("experts.3", {"name": "more"}))
    from mergelaw.config import parse_study

    before, after = fingerprints(parse_study(raw)), fingerprints(parse_study(grown))
    assert after["chunk/small/ta/0"] == before["chunk/small/ta/0"]


def test_the_stage_version_changes_its_fingerprints(monkeypatch):
    study = study_of()
    before = fingerprint(study, "laws", "curves")
    other = fingerprint(study, "sweep", "losses")
    monkeypatch.setitem(module.STAGE_VERSION, "laws", STAGE_VERSION["laws"] + 1)
    assert fingerprint(study, "laws", "curves") != before
    assert fingerprint(study, "sweep", "losses") == other


def test_provenance_tells_study_seed_stage_and_versions():
    study = study_of(("seed", 3))
    origin = provenance(study, "sweep", "chunk", size="small", method="ties", chunk=1)
    assert (origin["study"], origin["seed"], origin["stage"]) == ("tiny", "3", "sweep")
    assert origin["slice"] == fingerprint(
        study, "sweep", "chunk", size="small", method="ties", chunk="1"
    )
    assert {"mergelaw", "torch", "polars"} <= json.loads(origin["versions"]).keys()
    assert provenance(study, "sweep", "chunk", size="small", method="ties", chunk=1) == origin


def test_a_digest_is_of_the_value_and_the_same_in_every_process():
    assert (
        digest({"a": 1, "b": [1, 2]})
        == digest({"b": [1, 2], "a": 1})
        != digest({"a": 1, "b": [2, 1]})
    )
    program = "from mergelaw.provenance import digest; print(digest({'a': 1, 'b': [1, 2]}))"
    for seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        assert result.stdout.strip() == digest({"a": 1, "b": [1, 2]})


def test_an_edit_of_a_training_setting_trains_its_experts_alone():
    """And compares the settings anew; what is fitted to losses follows from these."""

    def slices(steps: int) -> dict[str, str]:
        half, lora = {"name": "half", "steps": steps}, {"name": "lora", "lora": {"rank": 2}}
        study = study_of(("training.settings", [half, lora]))
        trained = {
            size: fingerprint(study, "experts", "expert", size=size, expert="code")
            for size in study.size_names
        }
        analyses = {
            name: fingerprint(study, "laws", "analysis", analysis=name)
            for name in ("capacity", "capacity_fits", "gains")
        }
        return trained | analyses | {"base": fingerprint(study, "experts", "base", size="small")}

    before, after = slices(2), slices(1)
    assert {name for name in before if before[name] != after[name]} == {
        *("small@half", "large@half"),
        *("capacity", "capacity_fits"),
    }
    assert len({before[size] for size in ("small", "small@half", "small@lora")}) == 3


def test_an_edit_of_the_baseline_or_of_snapshots_leaves_other_trainings_alone():
    def slices(*edits) -> dict[str, str]:
        study = study_of(("multitask", {}), *edits)
        jobs = {
            job: fingerprint(study, "experts", job, size="small")
            for job in ("multitask", "multitask_losses", "snapshot_losses", "training_logs")
        }
        jobs["expert"] = fingerprint(study, "experts", "expert", size="small", expert="code")
        names = ("multitask", "post_training", "training_curves")
        analyses = {n: fingerprint(study, "laws", "analysis", analysis=n) for n in names}
        return jobs | {f"analysis {name}": mark for name, mark in analyses.items()}

    def changes(edit) -> set[str]:
        before, after = slices(), slices(edit)
        return {name for name in before if before[name] != after[name]}

    assert changes(("multitask.experts", ["code", "algebra"])) == {
        *("multitask", "multitask_losses", "training_logs", "analysis multitask"),
    }
    kept = changes(("training.expert.snapshots", [0.5]))
    assert kept == {"expert", "snapshot_losses", "training_logs"}


def test_how_subsets_were_chosen_decides_the_errors_of_their_means():
    """A part that only repeats subsets adds no merge, and leaves the mean of k without an error."""
    whole = {"kind": "exhaustive", "k": [1]}
    parts = [{"kind": "uniform", "k": [2], "subsets_per_k": 2}, whole]
    repeated = [*parts, {"kind": "uniform", "k": [2], "subsets_per_k": 1}]
    one, two = (study_of(("design", value)) for value in (parts, repeated))
    assert fingerprint(one, "sweep", "losses") == fingerprint(two, "sweep", "losses")
    assert fingerprint(one, "laws", "curves") != fingerprint(two, "laws", "curves")
