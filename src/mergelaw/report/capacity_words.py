"""What training settings of the experts do to L(M), floor and tail: sentences and one table."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.capacity import CAPACITY, CAPACITY_FITS
from mergelaw.laws.training_settings import same_but_longer
from mergelaw.report import words
from mergelaw.report.grids import SYMBOLS, Grid, parameter_words
from mergelaw.report.inputs import Tables, present, rows

REFERENCE = "reference"

ONCE = (
    "Each setting was trained once: what another seed of training would change is in no error "
    "here. More steps are a longer schedule of the learning rate as well, not more tokens alone."
)

Row = Mapping[str, Any]


def capacity(study: Study, tables: Tables) -> list[str]:
    """Say how L(M), floor and tail move with the length of training, and with what else changes."""
    frame = rows(tables[CAPACITY.file], domain=MACRO)
    names = quantity_names(study)
    result = []
    for base in present(study.ladder, frame, "base_size"):
        alone = pl.col("size").is_in(same_but_longer(study, base))
        for method in present(study.method_labels, frame, "method"):
            part = rows(frame, base_size=base, method=method)
            result += _length(f"{base}, {method}", part.filter(alone), names)
            for setting in part.filter(~alone)["setting"].unique(maintain_order=True):
                mine = rows(part, setting=setting)
                result += _other(f"{base}, {method}", mine, rows(part, setting=None), names)
    return [*result, *_beyond_errors(frame, names), *_not_identified(frame), *_law(tables), ONCE]


def quantity_names(study: Study) -> dict[str, str]:
    """Return what is told of each setting, in words by its name in the table."""
    return {"loss_pool": f"L({len(study.experts)})", "floor": "the floor", "tail": "the tail"}


def _length(label: str, part: pl.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Follow each quantity from the shortest to the longest training, where it is identified."""
    found = []
    for quantity, name in names.items():
        known = _identified(rows(part, quantity=quantity)).sort("training_tokens")
        if known.height > 1:
            found.append(f"{name} {_moves(*known.select('steps', 'value'))}")
    lengths = part.sort("training_tokens")
    if not found or lengths["size"].n_unique() < 2:
        return []
    steps, tokens = lengths["steps"].to_list(), lengths["training_tokens"].to_list()
    return [
        f"{label}, from {steps[0]:g} to {steps[-1]:g} steps ({words.count(tokens[0])} to "
        f"{words.count(tokens[-1])} training tokens of an expert): {words.joined(found)} "
        "(macro loss, nats/token)."
    ]


def _identified(frame: pl.DataFrame) -> pl.DataFrame:
    """Return measured values, and those of fits that the data identify."""
    return frame.filter(pl.col("identified").fill_null(value=True))


def _moves(steps: Iterable[float], values: Iterable[float]) -> str:
    """Say where a quantity goes, and where it turns."""
    at = dict(zip(steps, values, strict=True))
    (first, *_, last), down = (
        at.values(),
        [after < before for before, after in pairwise(at.values())],
    )
    if len(set(down)) == 1:
        way = "falls" if down[0] else "rises"
        return f"{way} from {words.number(first)} to {words.number(last)}"
    least, most = (end(at, key=at.__getitem__) for end in (min, max))
    word, turn = ("least", least) if at[least] < min(first, last) else ("largest", most)
    return (
        f"does not go one way: {words.number(first)} at first, {word} {words.number(at[turn])} at "
        f"{turn:g} steps, {words.number(last)} at last"
    )


def _other(
    label: str, part: pl.DataFrame, reference: pl.DataFrame, names: Mapping[str, str]
) -> list[str]:
    """Compare a setting that changes more than the length with the reference."""
    changes = [
        f"{name} {change_words(row)}"
        for quantity, name in names.items()
        for row in _identified(rows(part, quantity=quantity)).drop_nulls("change").to_dicts()
    ]
    if not changes:
        return []
    what = setting_words(part.row(0, named=True), reference.row(0, named=True))
    return [
        f"{label}, {what}, against the reference: {words.joined(changes)} (± for new text / for "
        "new experts)."
    ]


def setting_words(row: Row, reference: Row) -> str:
    """Name a setting and what it changes."""
    parts = []
    if row["steps"] != reference["steps"] or row["setting"] is None:
        parts.append(f"{row['steps']:g} steps")
    if row["lora_rank"] != reference["lora_rank"]:
        parts.append(f"LoRA of rank {row['lora_rank']}")
    if row["learning_rate"] != reference["learning_rate"]:
        parts.append(f"rate {row['learning_rate']:g}")
    name = row["setting"] or REFERENCE
    return f"{name} ({', '.join(parts)})" if parts else name


def change_words(row: Row | None) -> str:
    """Return a change with its errors for new text and for new experts."""
    if row is None or row["change"] is None or row["identified"] is False:
        return words.MISSING
    errors = [words.number(row[f"change_{target}_se"]) for target in ("text", "experts")]
    sign = "+" if row["change"] > 0 else ""
    return f"{sign}{words.number(row['change'])} ± {' / '.join(errors)}"


def _beyond_errors(frame: pl.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Count the changes against the reference that exceed two of their standard errors."""
    result = []
    for quantity, name in names.items():
        part = _identified(rows(frame, quantity=quantity)).drop_nulls("change")
        counts = []
        for target in ("text", "experts"):
            known = part.drop_nulls(f"change_{target}_se")
            large = known.filter(pl.col("change").abs() > 2 * pl.col(f"change_{target}_se"))
            if known.height:
                share = words.share_of(large.height, known.height, "change")
                counts.append(f"{share} exceed two standard errors for new {target}")
        if counts:
            result.append(f"Of {name} against the reference's, {words.joined(counts)}.")
    return result


def _not_identified(frame: pl.DataFrame) -> list[str]:
    """Name the settings whose floor and tail the data do not tell."""
    lost = rows(frame, quantity="floor").filter(~pl.col("identified"))
    names = [f"{size} ({method})" for size, method in lost.select("size", "method").iter_rows()]
    if not names:
        return []
    return [f"Floor and tail are not identified, and left out here, of {words.joined(names)}."]


def _law(tables: Tables) -> list[str]:
    """Give the law over training tokens where it is identified, else say why it is not."""
    frame = tables[CAPACITY_FITS.file]
    if frame.is_empty():
        return [
            "No law over training tokens was fitted: it needs three settings that differ in their "
            "length alone, training.expert among them, and three k."
        ]
    result = []
    for (base, method), fit in frame.partition_by(
        "base_size", "method", as_dict=True, maintain_order=True
    ).items():
        first = fit.row(0, named=True)
        lead = (
            f"{base}, {method}: the law L* + B C^−β + A₀ C^−γ / (k + b) over training tokens C "
            f"(millions) of {words.plural(first['n_settings'], 'setting')}"
        )
        miss = f"largest error of its own points {words.percent(first['largest_error'])}"
        if first["identified"]:
            values = {row["parameter"]: parameter_words(row) for row in fit.to_dicts()}
            told = [f"{symbol} = {values[name]}" for name, symbol in SYMBOLS.items()]
            result.append(f"{lead} has {words.joined(told)}; {miss}.")
        else:
            result.append(f"{lead} is not identified: {first['note']}; {miss}.")
    return result


def grid(study: Study, tables: Tables) -> Grid:
    """Tabulate every setting of every base and method: losses, law, and changes."""
    frame, names = rows(tables[CAPACITY.file], domain=MACRO), quantity_names(study)
    body = []
    for base in present(study.ladder, frame, "base_size"):
        for method in present(study.method_labels, frame, "method"):
            part = rows(frame, base_size=base, method=method).sort("training_tokens")
            reference = rows(part, setting=None).row(0, named=True)
            for size in part["size"].unique(maintain_order=True):
                cells = _cells(rows(part, size=size), reference, names)
                body.append([f"{base}, {method}", *cells])
    levels = [name.removeprefix("the ") for name in names.values()]
    return Grid(
        "Macro loss in nats/token. Tokens: of an expert's training; norm: of the mean of all task "
        "vectors, from one base; at home: single experts on their own domains. ± beside L(1) and "
        "L(M) is their token standard error, beside floor and tail that of the fit (* not "
        "identified). Changes are against the reference, ± standard errors for new text / for new "
        "experts, the same draw under both settings.",
        (
            "base, method",
            "setting",
            "tokens",
            "norm",
            "at home",
            "L(1)",
            *levels,
            *(f"change of {level}" for level in levels),
        ),
        body,
        2,
    )


def _cells(part: pl.DataFrame, reference: Row, names: Mapping[str, str]) -> list[str]:
    """Return the cells of one setting."""
    mine, first = {row["quantity"]: row for row in part.to_dicts()}, part.row(0, named=True)
    return [
        setting_words(first, reference),
        words.count(first["training_tokens"]),
        words.number(first["mean_vector_norm"]),
        *(_value(mine.get(name)) for name in ("loss_own", "loss_1", *names)),
        *(change_words(mine.get(name)) for name in names),
    ]


def _value(row: Row | None) -> str:
    if row is None:
        return words.MISSING
    star = "" if row["identified"] in (None, True) else "*"
    return words.with_error(row["value"], row["stderr"]) + star
