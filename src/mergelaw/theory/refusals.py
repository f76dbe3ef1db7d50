"""What is not predicted from one merge, and why, in words with the number."""

from collections.abc import Iterator, Sequence
from math import comb

from mergelaw.theory.cases import Case
from mergelaw.theory.curve_prediction import Curve
from mergelaw.theory.linear import why_no_curve
from mergelaw.theory.study_facts import StudyFacts


def nonlinear_words(method: str, residuals: Sequence[tuple[int, float]]) -> str:
    """Return why merges by a method that elects signs are not predicted, with how far they are.

    Parameters
    ----------
    method : str
        Its label.
    residuals : sequence of (int, float)
        k and its residual, of one size or several: see `mergelaw.laws.schemas.theory.UPDATES`.
    """
    least, most = (f"{end(value for _, value in residuals):.2f}" for end in (min, max))
    told = least if least == most else f"{least} to {most}"
    ks = _ranges(sorted({k for k, _ in residuals}))
    return (
        f"{method} is not predicted: what an expert adds depends on the signs that all elect, so "
        f"that its merges are no weighted mean of updates, one of each expert. At k = {ks} they "
        f"lie {told} of their distance from the whole pool's merge away from the mean of the "
        "updates that it is made of"
    )


def refusals(facts: StudyFacts) -> list[str]:
    """Return what is not predicted of a study, or not as asked, each with its size and method."""
    return [*_elected(facts), *_without_curve(facts), *_cases(facts)]


def _elected(facts: StudyFacts) -> Iterator[str]:
    parts = facts.updates.partition_by("method", as_dict=True, maintain_order=True)
    for (method,), part in parts.items():
        yield f"all sizes: {nonlinear_words(str(method), part.select('k', 'residual').rows())}"


def _without_curve(facts: StudyFacts) -> Iterator[str]:
    """Yield the other methods that are not predicted, each with its reason."""
    elected = set(facts.updates["method"].to_list())
    for entry in facts.study.methods:
        reason = why_no_curve(entry, facts.study.expert_names)
        if reason is not None and entry.label not in elected:
            yield f"all sizes, {entry.label}: no derivatives, no curve: {reason}"


def _cases(facts: StudyFacts) -> Iterator[str]:
    for case in facts.cases:
        where = f"{case.one.size}, {case.one.method}, {case.one.route}"
        told = (*_notes(case), *_few_subsets(case, facts))
        yield from (f"{where}: {note}" for note in told)
        if case.one.masks is not None and facts.unmasked(case) is None:
            yield (
                f"{where}: the mean over masks is not predicted: no method of the study merges "
                "these task vectors unmasked at the same scale, where it would be expanded"
            )


def _few_subsets(case: Case, facts: StudyFacts) -> Iterator[str]:
    """Yield that losses at other scales are of other subsets than the predicted ones."""
    label, n = facts.scale_label(case.one.method), len(case.one.curve.experts)
    points = facts.scale_points.get((case.one.size, label), {})
    merged = {k: row["n_subsets"] for (k, c), of in points.items() if c > 0 for row in of.values()}
    few = [k for k, count in merged.items() if count < comb(n, k)]
    if case.subsets is None and few:
        yield (
            "at other scales the mean of all subsets is predicted, not of the few that were merged "
            f"(k = {_ranges(sorted(few))}): the route tells no single subsets"
        )


def _notes(case: Case) -> Iterator[str]:
    """Yield what the derivatives of one route do not carry."""
    curve = Curve.of(case.one.curve)
    bent = [d for d, r in zip(case.domains, curve.radial, strict=True) if not r > 0]
    if bent:
        yield f"curvature along the scale is not above 0 on {', '.join(bent)}: no best scale there"
    rising = [d for d, t in zip(case.domains, curve.trace, strict=True) if not t > 0]
    if rising:
        yield (
            f"the curve does not fall with k on {', '.join(rising)}: mean curvature along the "
            "task vectors is not above 0"
        )
    negative = 0 if case.subsets is None else case.subsets.n_negative
    if negative:
        yield f"{negative} directions of the weights have negative curvature of the macro loss"
    if curve.third is None:
        yield "no interval on this text: third derivatives were not measured"


def _ranges(ks: list[int]) -> str:
    """Return numbers in words: `1 to 8`, or `1, 2, 5`."""
    if len(ks) > 2 and ks == list(range(ks[0], ks[-1] + 1)):
        return f"{ks[0]} to {ks[-1]}"
    return ", ".join(map(str, ks))
