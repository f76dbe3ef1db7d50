"""What the scale axis says, in sentences that take every number from the tables."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.scales import BEST_SCALES, SCALE_CURVES, SCALE_FITS
from mergelaw.report import words
from mergelaw.report.inputs import Tables, present, rows


def scale_curves(study: Study, tables: Tables) -> list[str]:
    """Give the surface's errors where it was fitted and where it was not, and what is known."""
    frame = rows(tables[SCALE_CURVES.file], domain=MACRO).drop_nulls("relative_error")
    if frame.is_empty():
        return ["No surface could be fitted to the macro loss."]
    places = (
        ("at the fitted scales", pl.col("fitted")),
        ("at other scales above 0", ~pl.col("fitted") & (pl.col("scale") > 0)),
        ("at scale 0, the base", pl.col("scale") == 0),
    )
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        misses = [
            f"{words.percent(words.largest_error(found))} {where}"
            for where, chosen in places
            if (found := part.filter(chosen)["relative_error"].to_list())
        ]
        result.append(
            f"{method}: the surface misses the macro loss by up to {words.joined(misses)}."
        )
    return result + _identified(tables)


def _identified(tables: Tables) -> list[str]:
    """Count the surfaces that tell a best scale, and give their offsets."""
    each = tables[SCALE_FITS.file].unique(["size", "method", "domain"], maintain_order=True)
    if each.is_empty():
        return []
    known = each.filter("identified")
    text = (
        f"The best scale is identified by {words.share_of(known.height, each.height, 'surface')} "
        "of a domain or macro"
    )
    macro = rows(known, domain=MACRO)["offset"].drop_nulls().to_list()
    text += f"; by it the macro loss at the best scale falls as 1/(k + b), b = {words.span(macro)}"
    return [f"{text if macro else text.split(';')[0]}."]


def best_scales(study: Study, tables: Tables) -> list[str]:
    """Give each method's best scales at the first and last k, and count extrapolations."""
    frame = tables[BEST_SCALES.file].drop_nulls("scale")
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        ks = sorted(set(part["k"].to_list()))
        ends = [
            f"{words.span(rows(part, k=k)['scale'].to_list())} at k = {k}"
            for k in dict.fromkeys((ks[0], ks[-1]))
        ]
        outside = part.filter(~pl.col("inside")).height
        text = f"{method}: the best scale is {words.joined(ends)} over the sizes"
        if outside:
            text += (
                f"; {words.share_of(outside, part.height, 'best scale')} lie outside the "
                "fitted scales, where the surface is a guess"
            )
        result.append(f"{text}.")
    return result or ["No best scale is identified."]


def scale_gains(study: Study, tables: Tables) -> list[str]:
    """Set measured gains beside predicted ones, and count those that lose."""
    frame = tables[BEST_SCALES.file].drop_nulls(["gain", "gain_predicted"])
    result = []
    for method in present(study.method_labels, frame, "method"):
        part = rows(frame, method=method)
        lost = part.filter(pl.col("gain") < 0).height
        gains, predicted = (
            words.span(part[name].to_list(), words.small) for name in ("gain", "gain_predicted")
        )
        text = (
            f"{method}: real merges at the best scale gain {gains} nats/token over scale "
            f"{words.span(part['reference_scale'].to_list(), lambda c: f'{c:g}')}; predicted "
            f"{predicted}"
        )
        if lost:
            text += f"; at {_cases(lost, part.height)} the loss is higher"
        result.append(f"{text}.")
    return result or ["No real merge was made at a best scale."]


def _cases(part: int, whole: int) -> str:
    return f"{part} of {whole} pairs of a size and a k"
