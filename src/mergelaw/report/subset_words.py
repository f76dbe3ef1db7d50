"""What single subsets say of spread, order, blocks and designs, in sentences from the tables."""

from collections.abc import Mapping

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.subsets import DESIGNS, DISPERSION, MIXING, ORDER, VARIANCE_FITS
from mergelaw.report import words
from mergelaw.report.inputs import Tables, present, rows

FORMS: Mapping[str, str] = {
    "finite_pool": "finite pool",
    "finite_pool_curved": "curved finite pool",
    "finite_pool_offset": "finite pool with offset",
    "finite_pool_seed": "finite pool with seed",
    "inverse_k": "1/k",
    "offset_k": "1/(k + b)",
    "joint": "the paper's, of N and k",
}
"""Forms of the variance in words; all of the finite pool but the one with a seed are 0 at M."""

PLAIN_FORM = "finite_pool"
"""The form that AICc is compared with: theory's, with one parameter."""

DESIGN_NAMES: Mapping[str, str] = {
    "uniform": "uniform",
    "max_min_hamming": "Algorithm 1",
    "cyclic": "cyclic shifts",
    "two_design": "every pair equally often",
}


def form_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row per form, size and method, with `against_plain`: AICc less `PLAIN_FORM`'s.

    It is null for the form over N and k, which is fitted to other points.
    """
    key = ["size", "method"]
    each = frame.unique(["form", *key], maintain_order=True)
    plain = rows(each, form=PLAIN_FORM).select(*key, plain="aicc")
    joined = each.join(plain, on=key, how="left", maintain_order="left")
    return joined.with_columns(against_plain=pl.col("aicc") - pl.col("plain"))


def variance_forms(study: Study, tables: Tables) -> list[str]:
    """Say which form has the lowest AICc, how good the plain one is, and what each gives at M."""
    frame = form_rows(rows(tables[VARIANCE_FITS.file], domain=MACRO))
    known = frame.drop_nulls("against_plain")
    if known.is_empty():
        return ["No form could be fitted to the variance of the macro loss."]
    least = pl.col("aicc") == pl.col("aicc").min().over("size", "method")
    best, n_curves = known.filter(least), known.select("size", "method").n_unique()
    found = [
        f"{FORMS[form]} ({words.share_of(rows(best, form=form).height, n_curves, 'curve')})"
        for form in present(FORMS, best, "form")
    ]
    fits = [
        f"{FORMS[form]} {words.span(rows(known, form=form)['r2'].to_list(), _four)}"
        for form in present(FORMS, known, "form")
    ]
    return [
        f"The lowest AICc for the variance of the macro loss: {words.joined(found)}.",
        f"R², over methods and sizes: {words.joined(fits)}.",
        *_at_pool(frame),
    ]


def _at_pool(frame: pl.DataFrame) -> list[str]:
    wrong = [
        f"{FORMS[form]} {words.span(part['at_pool'].to_list(), words.small)}"
        for form in present(FORMS, frame, "form")
        if (part := rows(frame, form=form).filter(pl.col("at_pool") > 0)).height
    ]
    if not wrong:
        return []
    return [
        "The whole pool is one subset, whose variance is 0. Forms that give another value there, "
        f"in (nats/token)²: {words.joined(wrong)}."
    ]


def _four(value: float) -> str:
    return words.number(value, 4)


def dispersion(study: Study, tables: Tables) -> list[str]:
    """Give the fall of the standard deviation, and how often the paper's offset is at a bound."""
    frame = rows(tables[DISPERSION.file], domain=MACRO).drop_nulls("sd")
    if frame.is_empty():
        return ["No k has two subsets."]
    ks = sorted(set(frame["k"].to_list()))
    ends = [
        f"{words.span(rows(frame, k=k)['sd'].to_list(), _four)} at k = {k}"
        for k in dict.fromkeys((ks[0], ks[-1]))
    ]
    result = [
        f"The standard deviation of the macro loss over subsets is {words.joined(ends)} "
        "(nats/token, methods and sizes). It is no effect of order: the merge of a subset is the "
        "same in any order but for rounding."
    ]
    curves = tables[DISPERSION.file].unique(["size", "method", "domain"], maintain_order=True)
    curves = curves.drop_nulls("offset")
    bound = curves.filter("at_bound")
    if bound.height:
        result.append(
            f"The offset of the paper's form ends at a bound of its range, b = "
            f"{words.span(bound['offset'].to_list(), words.small)}, on "
            f"{words.share_of(bound.height, curves.height, 'curve')} (domains and macro): no "
            "estimate of it."
        )
    return result


SOURCES = {
    "order": "over orders of summation in bfloat16",
    "mask_seed": "over mask seeds",
    "subset": "between subsets",
}


def order(study: Study, tables: Tables) -> list[str]:
    """Give the standard deviation by source for each k, and the shares of the variance."""
    frame = rows(tables[ORDER.file], domain=MACRO)
    result = []
    for k in sorted(set(frame["k"].to_list())):
        parts = [
            f"{words.span(found['sd'].to_list(), words.small)} {label}"
            for source, label in SOURCES.items()
            if (found := rows(frame, k=k, source=source)).height
        ]
        result.append(
            f"k = {k}: the standard deviation of the macro loss is {words.joined(parts)} "
            "(nats/token, methods and sizes)."
        )
    shares = [
        f"{label} at most {words.percent(max(known), 4 if source == 'order' else 1)}"
        for source, label in SOURCES.items()
        if source != "subset"
        and (known := rows(frame, source=source)["share"].drop_nulls().to_list())
    ]
    if shares:
        result.append(f"Share of the summed variance: {words.joined(shares)}.")
    return result or ["No order or mask seed was tried."]


def mixing(study: Study, tables: Tables) -> list[str]:
    """Compare, for each k, the fewest with the most blocks over all methods and sizes."""
    frame = rows(tables[MIXING.file], domain=MACRO).drop_nulls("against_k")
    result = []
    for k in sorted(set(frame["k"].to_list())):
        part = rows(frame, k=k)
        counts = sorted(set(part["n_blocks"].to_list()))
        if len(counts) < 2:
            continue
        ends = [rows(part, n_blocks=count) for count in (counts[0], counts[-1])]
        both = ends[0].join(ends[1], on=["size", "method"], suffix="_most")
        better = both.filter(pl.col("loss_most") < pl.col("loss")).height
        spans = [
            _against(end, count) for end, count in zip(ends, (counts[0], counts[-1]), strict=True)
        ]
        result.append(
            f"k = {k}, against the mean (nats/token): {words.joined(spans)}; the loss is lower "
            f"with {counts[-1]} in {words.share_of(better, both.height, 'case')} of a method and a "
            "size."
        )
    return result or ["At no k do subsets differ in their number of blocks."]


def _against(part: pl.DataFrame, count: int) -> str:
    subsets = words.span(part["n_subsets"].to_list(), words.whole)
    noun = "subset" if subsets == "1" else "subsets"
    spread = words.span(part["against_k"].to_list())
    return f"{words.plural(count, 'block')} {spread} ({subsets} {noun})"


def designs(study: Study, tables: Tables) -> list[str]:
    """Compare designs by how many times smaller their variance is than a uniform sample's."""
    frame = tables[DESIGNS.file]
    result = []
    for name in present(DESIGN_NAMES, frame, "design"):
        part = rows(frame, design=name)
        errors = part.filter(pl.col("relative_rmse") > 0)["relative_rmse"].to_list()
        ratio = part["variance_ratio"].drop_nulls().to_list()
        if not errors or name == "uniform":
            continue
        text = f"{DESIGN_NAMES[name]}: error {words.span(errors, _three_percent)}"
        if ratio:
            text += (
                f"; a uniform sample of as many subsets has {words.span(ratio, _times)} times its "
                "variance"
            )
        result.append(f"{text} (k, methods and sizes).")
    return result or ["No design but the uniform one was drawn."]


def _times(ratio: float) -> str:
    return words.number(ratio, 1) if ratio < 10 else words.whole(ratio)


def _three_percent(share: float) -> str:
    return words.percent(share, 3)
