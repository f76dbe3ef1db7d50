"""Experts along their training: falls with paired errors, the law, the trainings' own losses."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.post_training import post_training, post_training_fits
from mergelaw.laws.analyses.training_curves import MOST_STRETCHES, training_curves
from mergelaw.laws.uncertainty import generator
from mergelaw.tables import SNAPSHOTS, TRAINING_LOG

N_TOKENS = np.array([10, 30, 20])
ITEMS = np.array([0.3, -0.1, 0.2])
"""By how much items are harder than the mean."""
TOKENS = (0, 1000, 2000, 4000, 8000, 16000)


def law(n, d, shift=0.0):
    """Loss of N and D billions; the base has no D, and a loss of its own."""
    return 0.5 + 0.02 * n**-0.3 + 0.01 * d**-0.4 + shift if d else 5.0 + shift


def snapshots_of(study, tokens=TOKENS, shift=(0.0, 0.4)):
    """Rows that follow the law exactly; the items' deviations shrink as the loss falls."""
    rows = []
    for s, size in enumerate(study.size_names):
        for e, expert in enumerate(study.experts):
            for step, trained_on in enumerate(tokens):
                n = (10_000 * 3**s + 1000) / 1e9
                deviation = ITEMS - ITEMS @ N_TOKENS / N_TOKENS.sum()
                nll = (law(n, trained_on / 1e9, shift[e]) + deviation / (step + 1)) * N_TOKENS
                rows.append(
                    {
                        "size": size, "n_params_total": 10_000 * 3**s + 1000,
                        "n_params_nonembedding": 10_000 * 3**s, "expert": expert.name,
                        "domain": expert.domain, "step": 10 * step,
                        "training_tokens": trained_on, "training_flops": 6.0 * n * trained_on,
                        "nll_sum": nll.sum(), "n_tokens": int(N_TOKENS.sum()),
                        "item_nll_sum": nll.tolist(), "item_n_tokens": N_TOKENS.tolist(),
                    }
                )  # fmt: skip
    return pl.DataFrame(rows, schema=dict(SNAPSHOTS))


def redrawn(study, domain, nll):
    """Deviation of a loss under the draws of a domain's items, stretched as curves stretch them."""
    draw, n = generator(study.seed, "items", domain), len(N_TOKENS)
    times = draw.multinomial(n, [1 / n] * n, size=study.laws.resamples)
    drawn = (times @ nll) / (times @ N_TOKENS) - nll.sum() / N_TOKENS.sum()
    return np.sqrt(n / (n - 1)) * drawn


def test_falls_are_of_the_same_items(make_study):
    study = make_study(2, 2, ("s0",))
    table = post_training(snapshots_of(study), study)
    curve = table.filter(expert="e1")
    assert curve["point"].to_list() == [0, 1, 2, 3, 4, 5]
    assert curve["step"].to_list() == [0, 10, 20, 30, 40, 50]
    losses = curve["loss"].to_numpy()
    np.testing.assert_allclose(curve["fall"].to_numpy()[1:], -np.diff(losses), rtol=1e-9)
    np.testing.assert_allclose(curve["fall_total"].to_numpy()[1:], losses[0] - losses[1:])
    assert curve.row(0, named=True)["fall"] is None
    raw = snapshots_of(study).filter(expert="e1").sort("step")["item_nll_sum"].to_list()
    draws = [redrawn(study, "d1", np.array(nll)) for nll in raw]
    np.testing.assert_allclose(curve["token_se"], [np.std(d, ddof=1) for d in draws])
    errors = [np.std(a - b, ddof=1) for a, b in pairwise(draws)]
    np.testing.assert_allclose(curve["fall_se"].to_numpy()[1:], errors)
    total = [np.std(draws[0] - d, ddof=1) for d in draws[1:]]
    np.testing.assert_allclose(curve["fall_total_se"].to_numpy()[1:], total)


def test_macro_is_the_mean_over_experts(make_study):
    study = make_study(2, 2, ("s0", "s1"), n_params="nonembedding")
    raw = snapshots_of(study)
    table = post_training(raw, study)
    macro = table.filter(domain="macro", size="s1")
    experts = table.filter(pl.col("domain") != "macro", size="s1")
    means = experts.group_by("point", maintain_order=True).agg(pl.col("loss").mean())
    np.testing.assert_allclose(macro["loss"], means["loss"])
    assert macro["step"].null_count() == macro["expert"].null_count() == 6
    assert set(macro["n_params_billions"]) == {3e-5}
    assert macro["training_tokens"].to_list() == list(TOKENS)
    nll = raw.filter(size="s1", step=20)["item_nll_sum"].to_list()
    draws = [redrawn(study, d, np.array(x)) for d, x in zip(("d0", "d1"), nll, strict=True)]
    assert macro["token_se"][2] == pytest.approx(np.std(np.mean(draws, axis=0), ddof=1))


def test_no_mean_over_trainings_with_other_numbers_of_points(make_study):
    study = make_study(2, 2, ("s0",))
    uneven = snapshots_of(study).filter(~((pl.col("expert") == "e0") & (pl.col("step") == 10)))
    assert set(post_training(uneven, study)["domain"]) == {"d0", "d1"}


def test_the_law_behind_the_points_is_found(make_study):
    study = make_study(2, 2, ("s0", "s1", "s2", "s3", "s4"))
    points = post_training(snapshots_of(study), study)
    fits = post_training_fits(points, study)
    assert set(fits.select("domain", "expert").rows()) == {
        ("d0", "e0"), ("d1", "e1"), ("macro", None)}  # fmt: skip
    expected = {"size_scale": 0.02, "size_exponent": 0.3, "data_scale": 0.01, "data_exponent": 0.4}
    for domain, floor in (("d0", 0.5), ("d1", 0.9), ("macro", 0.7)):
        values = dict(fits.filter(domain=domain).select("parameter", "value").iter_rows())
        assert values == pytest.approx(expected | {"floor_limit": floor}, rel=2e-3)
    assert set(fits["n_points"]) == {25}  # the base is none
    assert fits["identified"].all()
    assert all("share its learning-rate schedule" in note for note in fits["note"])


def test_a_law_of_few_sizes_or_tokens_is_not_identified(make_study):
    study = make_study(2, 2, ("s0", "s1", "s2"))
    points = post_training(snapshots_of(study, TOKENS[:4]), study)
    fits = post_training_fits(points, study)
    assert not fits["identified"].any()
    assert "fewer than 5 sizes" in fits["note"][0]
    assert "fewer than 5 numbers of training tokens" in fits["note"][0]
    few = points.filter(pl.col("point") < 3)
    with pytest.raises(NotMadeError, match="needs 3 numbers of training tokens and there are 2"):
        post_training_fits(few, study)
    with pytest.raises(NotMadeError, match="needs 3 sizes and there are 2"):
        post_training_fits(points.filter(pl.col("size") != "s0"), study)


def test_sizes_under_settings_are_shown_and_not_fitted(make_study):
    study = make_study(2, 2, ("s0", "s1", "s2"))
    sizes = (*study.sizes, study.size("s2").under("half"))
    study = study.model_copy(update={"sizes": sizes})
    points = post_training(snapshots_of(study), study)
    assert "s2@half" in points["size"].to_list()
    plain = points.filter(pl.col("size") != "s2@half")
    assert post_training_fits(points, study).equals(post_training_fits(plain, study))


def test_given_experts_have_no_training(make_study):
    study = make_study(2, 2, ("s0",))
    with pytest.raises(NotMadeError, match="all experts are given"):
        post_training(snapshots_of(study).clear(), study)
    with pytest.raises(NotMadeError, match="no training"):
        training_curves(pl.DataFrame(schema=dict(TRAINING_LOG)), study)


def log_of(size, expert, losses, n_scored=None):
    steps = range(1, len(losses) + 1)
    rows = [
        (size, expert, step, loss, 0.001 * step, 1.0, scored, 2 * scored, 0.5, 4.0, 10)
        for step, loss, scored in zip(steps, losses, n_scored or [10] * len(losses), strict=True)
    ]
    return pl.DataFrame(rows, schema=dict(TRAINING_LOG), orient="row")


def test_a_stretch_is_weighed_by_its_tokens(make_study):
    study = make_study(2, 2, ("s0",))
    logs = pl.concat(
        [
            log_of("s0", "e0", [4.0, 2.0, 3.0, 1.0, 1.0], [10, 30, 10, 10, 20]),
            log_of("s0", "e1", [5.0, 3.0]),
            log_of("s0", "base", [9.0]),
        ]
    )
    curves = training_curves(logs, study)
    first = curves.filter(expert="e0")
    assert first["stretch"].to_list() == [1, 2]  # as many as the shorter training has steps
    assert first["loss"].to_list() == pytest.approx([(4 * 10 + 2 * 30 + 3 * 10) / 50, 1.0])
    assert first["share"].to_list() == pytest.approx([0.6, 1.0])
    assert first["training_tokens"].to_list() == [100, 160]
    assert first["learning_rate"].to_list() == pytest.approx([0.002, 0.0045])
    mean = curves.filter(pl.col("expert").is_null())
    assert mean["loss"].to_list() == pytest.approx([(2.6 + 5) / 2, (1 + 3) / 2])
    assert set(curves["expert"]) == {"e0", "e1", None}


def test_long_trainings_are_cut_and_the_baseline_on_its_own(make_study):
    study = make_study(2, 2, ("s0",))
    falling = np.linspace(5, 1, 3 * MOST_STRETCHES).tolist()
    logs = [log_of("s0", "e0", falling), log_of("s0", "e1", falling)]
    curves = training_curves(pl.concat([*logs, log_of("s0", "multitask", falling[:7])]), study)
    cut = curves.filter(expert="e1")
    assert cut.height == MOST_STRETCHES
    np.testing.assert_allclose(cut["loss"], np.reshape(falling, (-1, 3)).mean(axis=1))
    both = curves.filter(expert="multitask")
    assert both["loss"].to_list() == pytest.approx(falling[:7])
