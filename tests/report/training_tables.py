"""Tables of trainings and of the multitask baseline, with round numbers."""

import itertools

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO, training
from mergelaw.report.captions.figure import TRAINING
from mergelaw.tables import TRAINING_LOG

STEPS = 4
TOKENS = 100
"""Training tokens of a step of one expert."""

LAW = {
    "floor_limit": 0.5,
    "size_scale": 0.1,
    "size_exponent": 0.25,
    "data_scale": 0.05,
    "data_exponent": 0.125,
}
SCORES = {"base": 0.0, "specialist": 1.0, "multitask": 0.75}
"""Shares of the specialists' gain; those of merges rise by 0.125 from 0.25, method by method."""


def build(study: Study) -> dict[str, pl.DataFrame]:
    """Every table of trainings by file name."""
    made = (
        (training.TRAINING_CURVES, _curves(study)),
        (training.POST_TRAINING, _post_training(study)),
        (training.POST_TRAINING_FITS, _fits(study)),
        (training.MULTITASK, _multitask(study)),
    )
    return {table.file: table.frame(rows) for table, rows in made} | {TRAINING: logs(study)}


def logs(study: Study) -> pl.DataFrame:
    """The logs: `STEPS` steps of an expert, as many for each of them in the baseline."""
    names, n = study.expert_names, len(study.expert_names)
    lengths = dict.fromkeys(names, STEPS) | {"multitask": STEPS * n}
    rows = [
        (size, expert, step, 3.0 - step / last, 0.001, 1.0, 40, TOKENS, 0.5, TOKENS / 0.5, 10**8)
        for size, (expert, last) in itertools.product(study.size_names, lengths.items())
        for step in range(1, last + 1)
    ]
    return pl.DataFrame(rows, schema=dict(TRAINING_LOG), orient="row")


def _curves(study: Study) -> list[dict]:
    names = (*study.expert_names, None, "multitask")
    return [
        {
            "size": size,
            "expert": expert,
            "stretch": step,
            "share": step / STEPS,
            "training_tokens": float(TOKENS * step),
            "loss": 3.25 - 0.5 * step + 0.125 * place - 0.0625 * rank,
            "learning_rate": 0.002 / step,
        }
        for (rank, size), (place, expert) in itertools.product(
            enumerate(study.size_names), enumerate(names)
        )
        for step in range(1, STEPS + 1)
    ]


def _post_training(study: Study) -> list[dict]:
    """Losses 3, 2, 1.5 and 1.25 at 0, 100, 200 and 400 tokens, lower by the size's rank / 8."""
    curves = [*((expert.domain, expert.name) for expert in study.experts), (MACRO, None)]
    rows = []
    for (rank, size), (domain, expert) in itertools.product(enumerate(study.size_names), curves):
        losses = [3.0, *(loss - rank / 8 for loss in (2.0, 1.5, 1.25))]
        for point, (loss, tokens) in enumerate(zip(losses, (0, 100, 200, 400), strict=True)):
            before = losses[point - 1] - loss if point else None
            rows.append(
                {
                    "size": size,
                    "n_params_billions": 25e-6 * 2**rank,
                    "domain": domain,
                    "expert": expert,
                    "point": point,
                    "step": tokens // TOKENS if expert else None,
                    "training_tokens": float(tokens),
                    "training_flops": 6 * 25e3 * 2**rank * tokens,
                    "loss": loss,
                    "token_se": 0.0625,
                    "fall": before,
                    "fall_se": 0.03125 if point else None,
                    "fall_total": 3.0 - loss if point else None,
                    "fall_total_se": 0.03125 if point else None,
                }
            )
    return rows


def _fits(study: Study) -> list[dict]:
    curves = [*((expert.domain, expert.name) for expert in study.experts), (MACRO, None)]
    return [
        {
            "domain": domain,
            "expert": expert,
            "parameter": name,
            "value": value,
            "stderr": value / 8,
            "at_bound": False,
            "r2": 0.9875,
            "n_points": 6,
            "identified": False,
            "note": "fewer than 5 sizes; points of one training share its schedule",
        }
        for domain, expert in curves
        for name, value in LAW.items()
    ]


def _multitask(study: Study) -> list[dict]:
    """The base has 3 and every specialist 1 nat; the last domain has no score."""
    merges = {("merge", m): 0.25 + 0.125 * i for i, m in enumerate(study.method_labels)}
    models = {(kind, None): score for kind, score in SCORES.items()} | merges
    rows = []
    for size, domain in itertools.product(study.size_names, (*study.domain_names, MACRO)):
        defined = domain != study.domain_names[-1]
        for (kind, method), score in models.items():
            rows.append(
                {
                    "size": size,
                    "domain": domain,
                    "kind": kind,
                    "method": method,
                    "experts": "+".join(study.expert_names),
                    "loss": 3 - 2 * score,
                    "token_se": 0.0625,
                    "difference": 2 * (0.75 - score),
                    "difference_se": 0.125,
                    "score": score if defined else None,
                    "score_se": 0.03125 if defined else None,
                    "note": None if defined else "the specialist is no better than the base",
                }
            )
    return rows
