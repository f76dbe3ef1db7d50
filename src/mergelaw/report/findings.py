"""What the analyses show, in sentences that take every number from the tables."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import CURVES, GAPS, MACRO, RETURNS, SPECIALISTS, SYNERGY, VARIANCE
from mergelaw.report import words
from mergelaw.report.captions.figure import MERGED_TENSORS, TASK_VECTORS
from mergelaw.report.inputs import (
    Tables,
    by_k,
    cosines,
    experts_at,
    n_by_size,
    present,
    rows,
    whole_model,
)


def variance(study: Study, tables: Tables) -> list[str]:
    """Say how the variance over subsets changes with k, and how far the finite-pool law is off."""
    frame = rows(tables[VARIANCE.file], domain=MACRO)
    if frame.is_empty():
        return ["No k has two or more subsets, so there is no variance over subsets."]
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        ks = sorted(part["k"].to_list())
        first, last = ks[0], ks[-1]
        ends = [
            words.span(rows(part, k=k)["variance"].to_list(), words.small) for k in (first, last)
        ]
        text = (
            f"{method}: the variance is {ends[0]} (nats/token)² at k = {first} and {ends[1]} "
            f"at k = {last}, over the sizes"
        )
        ups = []
        for size in present(study.size_names, part, "size"):
            if up := words.rises(by_k(rows(part, size=size), "variance")):
                ups.append(f"at {size} when k reaches {words.joined([str(k) for k in up])}")
        text += f"; it rises {words.joined(ups)}. " if ups else "; it falls at every step of k. "
        ratios = [
            v / f
            for v, f in part.select("variance", "variance_fitted").drop_nulls().rows()
            if v > 0 and f > 0
        ]
        if ratios:
            text += f"Measured over fitted: {words.span(ratios, lambda r: words.number(r, 2))}."
        result.append(text.strip())
    return result


def returns(study: Study, tables: Tables) -> list[str]:
    """Say which k reach 85% and 90% of the improvement, per method."""
    frame = rows(tables[RETURNS.file], domain=MACRO)
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        k85, k90 = (words.span(part[q].to_list(), words.whole) for q in ("k85", "k90"))
        if k85 == words.MISSING:
            result.append(f"{method}: there is no fall from one expert to the pool.")
        else:
            result.append(f"{method}: 85% is reached at k = {k85} and 90% at k = {k90}, all sizes.")
    if result:
        result.append(
            "Under the law the share is (k − 1)(M + offset) / ((k + offset)(M − 1)): "
            "these k follow from the offset and the pool's size M, not from the floor or "
            "the tail."
        )
    return result or ["No curve has both k = 1 and the whole pool."]


def gaps(study: Study, tables: Tables) -> list[str]:
    """Say how far each method is from the reference at the ends of the curve."""
    frame = rows(tables[GAPS.file], domain=MACRO).drop_nulls("gap_percent").filter(pl.col("k") > 0)
    frame = frame.filter(pl.col("method") != pl.col("reference"))
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        ends = []
        ks = sorted(part["k"].to_list())
        for k in dict.fromkeys((ks[0], ks[-1])):
            shares = [gap / 100 for gap in rows(part, k=k)["gap_percent"].to_list()]
            ends.append(f"{words.span(shares, _signed)} at k = {k}")
        result.append(
            f"{method} against {part['reference'][0]}: {words.joined(ends)}, over the "
            "sizes (negative is better)."
        )
    return result or ["The study has one method."]


def _signed(share: float) -> str:
    return words.percent(share, 2, signed=True)


def synergy(study: Study, tables: Tables) -> list[str]:
    """Name, at the largest size, the gains at home and the largest help and harm elsewhere."""
    method = study.reference_label
    frame = rows(tables[SYNERGY.file], method=method).drop_nulls("gain")
    frame = frame.filter(pl.col("receiver") != MACRO)
    if frame.is_empty():
        return ["No two measured subsets differ by one expert."]
    size = present(study.size_names, frame, "size")[-1]
    home = {expert.name: expert.domain for expert in study.experts}
    cells = [
        (gain, donor, receiver)
        for gain, donor, receiver in rows(frame, size=size)
        .select("gain", "donor", "receiver")
        .iter_rows()
    ]
    own = [gain for gain, donor, receiver in cells if home.get(donor) == receiver]
    cross = sorted(cell for cell in cells if home.get(cell[1]) != cell[2])
    result = []
    if own:
        result.append(
            f"At {size}, {method}: an expert that joins lowers its own domain's loss by "
            f"{words.span(own)} nats/token."
        )
    if cross:
        (low, *worst), (high, *best) = cross[0], cross[-1]
        helps = sum(gain > 0 for gain, _, _ in cross)
        result.append(
            f"At {size}, of {len(cross)} pairs of an expert and a domain that is not its "
            f"own, {helps} help and {sum(g < 0 for g, _, _ in cross)} hurt; from "
            f"{' on '.join(worst)} ({words.number(low)}) to {' on '.join(best)} "
            f"({words.number(high)} nats/token)."
        )
    return result


def domains(study: Study, tables: Tables) -> list[str]:
    """Name the easiest and hardest domain of the pool's merge, and where loss rises with k."""
    method, pool = study.reference_label, len(study.experts)
    curves = rows(tables[CURVES.file], method=method).filter(pl.col("k") > 0)
    sizes, result = list(n_by_size(curves)), []
    names = present(study.domain_names, curves, "domain")
    ends = sorted(
        (loss, name)
        for name in names
        for loss in rows(curves, size=sizes[-1], domain=name, k=pool)["loss"].to_list()
    )
    if len(ends) > 1:
        result.append(
            f"At {sizes[-1]}, {method}, the whole pool's loss is lowest on {ends[0][1]} "
            f"({words.number(ends[0][0])}) and highest on {ends[-1][1]} "
            f"({words.number(ends[-1][0])} nats/token)."
        )
    bad = []
    for name in names:
        up = [
            size
            for size in sizes
            if words.rises(by_k(rows(curves, size=size, domain=name), "loss"))
        ]
        bad += [f"{name} ({', '.join(up)})"] if up else []
    result.append(
        f"The loss rises at some step of k on {words.joined(bad)}."
        if bad
        else "On every domain and size the loss falls at every step of k."
    )
    return result


def specialists(study: Study, tables: Tables) -> list[str]:
    """Compare single experts on their own and on the other domains, at the largest size."""
    method = study.reference_label
    frame = rows(tables[SPECIALISTS.file], method=method)
    if frame.is_empty():
        return ["No single experts were measured."]
    size = present(study.size_names, frame, "size")[-1]
    part = rows(frame, size=size).drop_nulls("is_own")
    losses = [part.filter(pl.col("is_own") == flag)["loss"].to_list() for flag in (True, False)]
    own, cross = (words.mean_size(values) if values else None for values in losses)
    result = [
        f"At {size} a single expert's mean loss is {words.number(own)} on its own domain and "
        f"{words.number(cross)} on the others."
    ]
    at_home = part.filter("is_own").select("expert", "domain", "loss")
    beaten = []
    for expert, domain, loss in at_home.iter_rows():
        best = rows(frame, size=size, domain=domain).sort("loss").row(0, named=True)
        if best["loss"] < loss:
            beaten.append(f"{best['expert']} beats {expert} on {domain}")
    result.append(
        f"Not every expert is the best on its own domain: {words.joined(beaten)}."
        if beaten
        else "Every expert is the best of the pool on its own domain."
    )
    return result


def task_vectors(study: Study, tables: Tables) -> list[str]:
    """Give the norms of each size, and name the two experts most alike and the two least."""
    vectors, result = whole_model(tables[TASK_VECTORS]), []
    for size in present(study.size_names, vectors, "size"):
        experts = experts_at(vectors, size)
        text = f"{size}: norm {words.span(experts['norm'].to_list())}"
        pairs = sorted(
            (cosine, f"{one} and {other}")
            for (one, other), cosine in cosines(experts).items()
            if cosine is not None and one < other
        )
        ends = sorted({*pairs[:1], *pairs[-1:]})
        if ends:
            found = " to ".join(f"{words.number(cosine)} ({pair})" for cosine, pair in ends)
            text += f"; cosine of two experts {found}"
        result.append(f"{text}.")
    return result or ["No task vectors were measured."]


def merged_task_vectors(study: Study, tables: Tables) -> list[str]:
    """Say for each method what it keeps of the pool's task vectors, over the sizes."""
    vectors, merged = (whole_model(tables[file]) for file in (TASK_VECTORS, MERGED_TENSORS))
    result = []
    for method in study.method_labels:
        of_experts, of_pool = rows(vectors, method=method), rows(merged, method=method)
        if of_pool.is_empty():
            result.append(f"{method}: the whole pool was not merged.")
            continue
        kept = words.span(of_experts["density"].to_list(), words.percent)
        agreement = words.span(of_pool["sign_agreement"].to_list(), words.percent)
        norm, cosine = (
            words.span(of_pool[column].to_list())
            for column in ("norm_over_mean", "cosine_with_mean")
        )
        lost = words.span(of_pool["rounding_loss"].to_list(), _two_digits)
        result.append(
            f"{method}, over the sizes: {kept} of the entries are kept and the sign agreement is "
            f"{agreement}; the merged norm is {norm} times the plain mean's, the cosine with it "
            f"{cosine}; rounding changes {lost} of the merged norm."
        )
    return result


def _two_digits(share: float) -> str:
    return words.percent(share, 2)
