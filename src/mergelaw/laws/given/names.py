"""The columns that `mergelaw fit` reads, and names that are probably meant for them."""

from collections.abc import Collection

NUMBERS = ("k", "loss", "n_params", "n_params_billions", "sd", "n_subsets", "se", "subset_se")
TEXTS = ("method", "domain", "size", "subset", "mask_seed")
KNOWN = (*NUMBERS, *TEXTS)
NEEDED = ("k", "loss")

LIKELY = {
    "k": "n_experts num_experts experts n_models num_models n_merged num_merged k_experts",
    "loss": "ce l ce_loss cross_entropy nll mean_loss eval_loss val_loss test_loss macro_loss",
    "n_params": "n params num_params nparams parameters n_parameters model_size "
    "n_params_total n_params_nonembedding",
    "n_params_billions": "n_billions params_billions params_b n_params_b n_b",
    "method": "merge_method methods algorithm",
    "domain": "domains task dataset benchmark problem class",
    "size": "model base_model sizes",
    "sd": "std stdev std_dev sigma standard_deviation",
    "n_subsets": "num_subsets subsets n_samples num_samples",
    "se": "stderr sem std_err std_error standard_error loss_stderr",
    "subset": "expert_names members merged_experts subset_name",
    "mask_seed": "seed dare_seed",
}
"""Other names of each column, in lower case with underscores."""

SHARE_RIGHT = "1 - accuracy is an error rate, which may fall as the law does"

LOSS_BY_HAND = {
    "perplexity": "the natural logarithm of the perplexity",
    "ppl": "ln(ppl)",
    "accuracy": SHARE_RIGHT,
    "acc": SHARE_RIGHT,
    "score": "the law is of losses: take what the score lacks to its best value",
}


def probable(name: str) -> str | None:
    """Return the column that a name is probably meant for, None where it says nothing."""
    plain = "_".join(name.replace("-", " ").replace(".", " ").replace("_", " ").lower().split())
    if plain in KNOWN:
        return plain
    return next((known for known, others in LIKELY.items() if plain in others.split()), None)


def lacking(names: Collection[str]) -> list[str]:
    """Return what to say of columns that a fit needs and the table lacks."""
    problems = []
    for wanted in NEEDED:
        if wanted in names:
            continue
        meant = [name for name in names if name not in KNOWN and probable(name) == wanted]
        line = f"there is no column {wanted!r}"
        if meant:
            line += f"; {' or '.join(map(repr, meant))} probably is it: rename it to {wanted!r}"
        elif wanted == "loss":
            line += "".join(
                f"; make it from {name!r}: {how}"
                for name in names
                for word, how in LOSS_BY_HAND.items()
                if name.lower() == word
            )
        problems.append(line)
    if problems:
        problems.append(
            f"the first line has the names {', '.join(map(repr, names))}; a table has one row for "
            "each point"
        )
    return problems


def unread(names: Collection[str]) -> list[str]:
    """Return a warning for each column that is not read and may have been meant to be."""
    return [
        f"the column {name!r} is not read; if it is the {meant!r} of this table, rename it"
        for name in names
        if name not in KNOWN and (meant := probable(name)) is not None and meant not in names
    ]
