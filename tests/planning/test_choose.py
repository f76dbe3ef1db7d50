"""`mergelaw choose`: rankings against truths that are known, tables of any origin, mistakes."""

import json
import sys
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from mergelaw.cli import _status
from mergelaw.errors import TableError
from mergelaw.laws.ranking import Predicted, rank
from mergelaw.planning.candidates import all_subsets, n_subsets, searched
from mergelaw.planning.choose import choose
from mergelaw.planning.loss_table import read_losses, weights_of

EXPERTS = ("a", "b", "c", "d", "e")
DOMAINS = ("math", "code")
DRAW = np.random.default_rng(0)
LINEAR, PAIRS = DRAW.normal(size=(2, 5)), 0.3 * DRAW.normal(size=(2, 5, 5))


def truth(subset, domain):
    """Return a loss that is quadratic in the shares of the experts."""
    shares = np.array([name in subset for name in EXPERTS]) / len(subset)
    i = DOMAINS.index(domain)
    return float(4 + shares @ LINEAR[i] + shares @ PAIRS[i] @ shares)


def every_subset():
    return [s for k in range(1, 6) for s in combinations(EXPERTS, k)]


def table(subsets, **columns):
    rows = [
        {"subset": "+".join(subset), "domain": domain, "loss": truth(subset, domain)} | columns
        for subset in subsets
        for domain in DOMAINS
    ]
    return pl.DataFrame(rows)


def measured():
    """Return all singles, pairs and the pool, and some triples: they determine a quadratic."""
    return [s for s in every_subset() if len(s) in (1, 2, 5)] + [("a", "b", "c"), ("c", "d", "e")]


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "losses.csv"
    table(measured()).write_csv(path)
    return path


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mergelaw", "choose", *map(str, words)])
        capsys.readouterr()
        status = _status()
        streams = capsys.readouterr()
        return status, streams.out, streams.err

    return run


def best_of(weights, ks=range(1, 6)):
    def loss(subset):
        return sum(w * truth(subset, d) for w, d in zip(weights, DOMAINS, strict=True))

    return min((s for s in every_subset() if len(s) in ks), key=loss)


@pytest.mark.parametrize("weights", [(1, 0), (0, 1), (0.5, 0.5), (0.3, 0.7)])
@pytest.mark.parametrize("k", [None, 3, 4])
def test_the_best_subset_of_a_quadratic_is_found_with_certainty(written, weights, k):
    losses = read_losses(written)
    assert losses.domains == ("code", "math")
    ranking = choose(losses, np.array(weights[::-1], float), k)
    assert ranking.best.subset == "+".join(best_of(weights, [k] if k else range(1, 6)))
    assert ranking.best.p_best > 0.99
    assert ranking.n_tied == 1
    for row in ranking.rows:
        exact = sum(
            w * truth(row.subset.split("+"), d) for w, d in zip(weights, DOMAINS, strict=True)
        )
        assert row.loss_predicted == pytest.approx(exact, abs=1e-4)


def test_measured_subsets_keep_their_losses_and_have_no_error(written):
    ranking = choose(read_losses(written), weights_of(("code", "math")))
    rows = {row.subset: row for row in ranking.rows}
    assert len(rows) == 31
    for subset in measured():
        row = rows["+".join(subset)]
        assert row.measured == pytest.approx(row.loss_predicted)
        assert (row.stderr, row.low) == (0, row.high)
    assert rows["a+d+e"].measured is None
    assert rows["a+d+e"].stderr > 0


def test_a_measurement_with_an_error_lies_between_itself_and_the_surface(tmp_path):
    path = tmp_path / "errors.csv"
    rough = np.random.default_rng(1)
    frame = table(every_subset()).filter(pl.col("domain") == "math")
    noisy = frame["loss"] + pl.Series(0.05 * rough.normal(size=frame.height))
    frame = frame.with_columns(loss=noisy, se=pl.lit(0.05))
    frame.write_csv(path)
    ranking = choose(read_losses(path), np.ones(1))
    exact = np.array([truth(row.subset.split("+"), "math") for row in ranking.rows])
    found = np.array([row.loss_predicted for row in ranking.rows])
    raw = np.array([row.measured for row in ranking.rows])
    assert np.abs(found - exact).mean() < 0.9 * np.abs(raw - exact).mean()
    assert all(row.stderr > 0 for row in ranking.rows)


def test_other_items_are_in_the_errors_of_measured_subsets_too(tmp_path):
    draw, n_items = np.random.default_rng(2), 30
    levels = 1 + 0.2 * draw.normal(size=n_items)
    rows = [
        {
            "subset": "+".join(subset),
            "domain": domain,
            "nll_sum": float(nll.sum()),
            "n_tokens": 10 * n_items,
            "item_nll_sum": nll.tolist(),
            "item_n_tokens": [10] * n_items,
        }
        for subset in measured()
        for domain in DOMAINS
        for nll in [10 * truth(subset, domain) * levels]
    ]
    path = tmp_path / "losses.parquet"
    pl.DataFrame(rows).write_parquet(path)
    ranking = choose(read_losses(path), np.array([1.0, 0.0]))
    assert ranking.text == "other"
    share = np.std(levels, ddof=1) / n_items**0.5
    for row in ranking.rows[:5]:
        assert row.stderr == pytest.approx(row.loss_predicted * share, rel=0.1)
    assert ranking.best.p_best > 0.95  # the level is shared, so that the order is as sure as ever


def test_p_best_and_regret_of_draws_written_down_by_hand():
    draws = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0], [1.0, 1.5, 9.0], [1.0, 1.005, 9.0]])
    nan = np.full(3, np.nan)
    predicted = Predicted(
        ["a", "b", "a+b"], np.array([1, 1, 2]), draws.mean(axis=0), np.ones(3), nan, draws, 10
    )
    ranking = rank(predicted, "macro", "this", 0.01, 3)
    first, second, last = ranking.rows
    assert (first.subset, second.subset, last.subset) == ("a", "b", "a+b")
    assert (first.p_best, second.p_best, last.p_best) == (0.75, 0.25, 0)
    assert (first.p_within, second.p_within) == (0.75, 0.5)
    assert (first.regret, second.regret) == (0.25, pytest.approx((1 + 0 + 0.5 + 0.005) / 4))
    assert (second.tied, last.tied) == (True, False)
    assert ranking.random_regret == pytest.approx(draws.mean() - 1)


def test_pools_too_large_for_every_subset_are_searched_and_it_is_said():
    weights = np.random.default_rng(0).normal(size=24)

    def predict(members):
        return members @ weights

    found = searched(24, [6], predict)
    assert (found.sum(axis=1) == 6).all()
    assert len(found) < n_subsets(24, [6])
    assert predict(found).min() == pytest.approx(np.sort(weights)[:6].sum())
    assert len(all_subsets(9, range(1, 10))) == 511


def test_a_search_is_told_in_the_notes(tmp_path, call):
    pool = [f"e{i:02d}" for i in range(20)]
    draw = np.random.default_rng(5)
    chosen = [[name] for name in pool] + [draw.permutation(pool)[:4].tolist() for _ in range(25)]
    effects = dict(zip(pool, draw.normal(size=20), strict=True))
    rows = [
        {"subset": "+".join(s), "loss": 5 + float(np.mean([effects[n] for n in s]))} for s in chosen
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "large.csv")
    status, out, _ = call(tmp_path / "large.csv", "--max-k", 10)
    assert status == 0
    assert "subsets were looked at, by a greedy search" in out
    assert sorted(effects, key=effects.get)[0] in out.splitlines()[3]


def test_words_and_json_and_files_agree(written, call, tmp_path):
    status, out, err = call(written, "--target", "math", "--k", 3, "--top", 4)
    assert (status, err) == (0, "")
    best = "+".join(best_of((1, 0), [3]))
    assert out.splitlines()[3].split()[1] == best
    assert f"{best} is told from every other subset" in out
    status, out, _ = call(written, "--target", "math", "--k", 3, "--top", 4, "--json")
    facts = json.loads(out)
    assert (facts["n_subsets"], facts["n_measured"], len(facts["subsets"])) == (10, 18, 4)
    assert facts["subsets"][0]["subset"] == best
    for suffix, read in {"csv": pl.read_csv, "parquet": pl.read_parquet}.items():
        path = tmp_path / f"out.{suffix}"
        assert call(written, "--target", "math", "--k", 3, "--out", path)[0] == 0
        assert read(path)["subset"].to_list()[:4] == [row["subset"] for row in facts["subsets"]]
    assert call(written, "--out", tmp_path / "out.json")[0] == 0
    assert len(json.loads((tmp_path / "out.json").read_text())["subsets"]) == 31


def test_the_same_call_prints_the_same(written, call):
    assert call(written) == call(written)


def test_mistakes_of_options_are_told_all_at_once(written, call):
    status, _, err = call(written, "--mixture", "math=0.5,codes=0.6")
    assert status == 1
    assert "--mixture codes: is no domain; the domains are code, math" in err
    assert "the weights add up to 1.1; they must add up to 1" in err
    status, _, err = call(written, "--k", 9, "--max-k", 0)
    assert status == 1
    assert "--k 9: must be from 1 to 5" in err
    assert "--max-k 0: must be from 1 to 5" in err
    assert "give one of them" in err
    assert "must be macro or a domain" in call(written, "--target", "a")[2]
    assert "WEIGHT a number" in call(written, "--mixture", "math=much")[2]
    assert "must end in .parquet" in call(written, "--out", "x.txt")[2]
    assert "give a table of losses or --config" in call()[2]
    assert "the table has no column 'size'" in call(written, "--size", "w32")[2]


def test_rows_that_cannot_be_used_are_named_by_line(tmp_path, call):
    path = tmp_path / "bad.csv"
    path.write_text(
        "subset,domain,loss\na,math,2.0\nb,math,-1\na+b,math,nan\na+a,math,2\nb,code,1.5\n"
    )
    status, _, err = call(path)
    assert status == 1
    assert "loss = -1: must be a finite number above 0, in nats per token (line 3)" in err
    assert "loss = nan" in err
    assert "subset 'a+a' (line 5): names an expert twice" in err


def test_subsets_without_a_domain_and_repeats_are_named(tmp_path, call):
    path = tmp_path / "bad.csv"
    path.write_text("subset,domain,loss\na,math,2.0\nb,math,1\na,code,2\na,math,2.5\nbase,math,9\n")
    status, _, err = call(path)
    assert status == 1
    assert "subset a on math stands 2 times (line 2, line 5)" in err
    assert "subset b has no loss on domain 'code'" in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("subset,loss\na+b,1.0\n", "there is nothing to compare"),
        ("subset,score\na,1.0\n", "there is no column 'loss'"),
        ("", "the file is empty"),
        ("subset,loss\na,1\n,2\nb,3\n", "subset (line 3): is empty; the base"),
        ("subset,loss\na,1\nb,2\n", "2 measured merges: a surface needs at least 3"),
    ],
)
def test_tables_that_say_too_little(tmp_path, call, text, words):
    path = tmp_path / "little.csv"
    path.write_text(text)
    status, _, err = call(path)
    assert status == 1
    assert words in err
    assert "Traceback" not in err


def test_of_one_k_alone_no_other_is_ranked(tmp_path, call):
    path = tmp_path / "pairs.csv"
    table([s for s in every_subset() if len(s) == 2][:8]).write_csv(path)
    status, out, _ = call(path)
    assert status == 0
    assert out.startswith("8 measured merges of 5 experts\n10 subsets")
    assert "merges of k = 2 alone are measured" in out
    status, _, err = call(path, "--k", 3)
    assert status == 1
    assert "use --k 2, or measure merges of two more k" in err


def test_too_few_merges_for_pairs_are_told(tmp_path, call):
    path = tmp_path / "singles.csv"
    table([s for s in every_subset() if len(s) in (1, 5)]).write_csv(path)
    status, out, _ = call(path, "--target", "math")
    assert status == 0
    assert "do not carry terms of pairs" in out


def test_sizes_and_methods_must_be_named(tmp_path):
    path = tmp_path / "two.parquet"
    both = [table(measured(), size=size, method="ties") for size in ("w1", "w2")]
    pl.concat(both).write_parquet(path)
    with pytest.raises(TableError, match="--size: the table has w1, w2; name one of them"):
        read_losses(path)
    losses = read_losses(path, size="w2")
    assert (losses.size, losses.method, len(losses.members)) == ("w2", "ties", len(measured()))


def test_numbers_as_names_of_sizes_and_items_without_a_list(tmp_path):
    path = tmp_path / "odd.parquet"
    frame = table(measured(), size=7).with_columns(
        item_nll_sum=pl.lit(None, pl.List(pl.Float64)),
        item_n_tokens=pl.lit(None, pl.List(pl.Int32)),
    )
    frame.write_parquet(path)
    losses = read_losses(path, size="7")
    assert (losses.size, losses.items) == ("7", {})


def test_a_studys_table_is_read_through_its_config(trained, monkeypatch, call, tmp_path):
    from mergelaw.paths import StudyPaths
    from tests.helpers import study_dict

    study, _ = trained
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps(study_dict()))
    path = StudyPaths.of(study).losses
    path.parent.mkdir(parents=True)
    names = study.expert_names
    rows = [
        {"subset": "+".join(s), "domain": d, "loss": 2.0 + 0.1 * len(s) + 0.01 * len(d)}
        for k in (1, 2, 3)
        for s in combinations(names, k)
        for d in study.domain_names
    ]
    pl.DataFrame(rows).with_columns(size=pl.lit("small"), method=pl.lit("average")).write_parquet(
        path
    )
    status, out, err = call("--config", "study.json")
    assert (status, err) == (0, "")
    assert "7 measured merges of 3 experts (small, average)" in out


def itemised(path, n_items, subsets=None):
    """Write a table whose domains have some items each."""
    draw, rows = np.random.default_rng(2), []
    levels = {domain: 1 + 0.2 * draw.normal(size=n) for domain, n in n_items.items()}
    for subset in subsets or measured():
        for domain, n in n_items.items():
            nll = 10 * truth(subset, domain) * levels[domain] / levels[domain].mean()
            rows.append(
                {
                    "subset": "+".join(subset),
                    "domain": domain,
                    "loss": float(nll.sum() / (10 * n)),
                    "item_nll_sum": nll.tolist(),
                    "item_n_tokens": [10] * n,
                }
            )
    pl.DataFrame(rows).write_parquet(path)


def test_one_item_tells_nothing_of_other_text(tmp_path, call):
    path = tmp_path / "losses.parquet"
    itemised(path, {"code": 30, "math": 1})
    status, out, _ = call(path, "--target", "math")
    assert status == 0
    assert "on the text that was measured (1 item)" in out
    assert "note: one item of math: nothing is known of other text of that kind" in out
    assert "as measured" in out
    assert "no losses on items" not in out
    ranking = choose(read_losses(path), weights_of(("code", "math")))
    assert ranking.text == "other"
    assert all(row.stderr > 0 for row in ranking.rows)  # of code's thirty items


def test_few_items_make_wide_intervals_and_a_note(tmp_path, call):
    path = tmp_path / "losses.parquet"
    itemised(path, {"code": 3, "math": 30})
    ranking = choose(read_losses(path), np.array([1.0, 0.0]))
    row = next(row for row in ranking.rows if row.measured is not None)
    assert (row.high - row.low) / (2 * row.stderr) == pytest.approx(4.303, abs=0.001)  # t, 2
    assert "items of the text: 3 of code; from fewer than 10" in call(path, "--target", "code")[1]
    assert "fewer than 10" not in call(path, "--target", "math")[1]


def test_no_interval_goes_below_zero():
    draws, nan = np.array([[1.0, 2.0]]), np.full(2, np.nan)
    wide = Predicted(["a", "b"], np.ones(2, int), draws[0], np.full(2, 9.0), nan, draws, 9)
    assert [row.low for row in rank(wide, "macro", "this", 0.01, 2).rows] == [0, 0]


def test_draws_by_which_a_random_subset_is_better_are_told(written):
    from mergelaw.planning.choose_words import ranking_text

    draws, nan = np.array([[1.0, 0.0], [1.0, 0.5]]), np.full(2, np.nan)
    predicted = Predicted(
        ["a", "b"], np.ones(2, int), np.array([1.0, 1.1]), np.ones(2), nan, draws, 9
    )
    ranking = rank(predicted, "macro", "other", 0.01, 2)
    assert not ranking.tells
    assert "do not tell which to take" in ranking_text(ranking, read_losses(written), 2)


def test_equal_losses_are_not_told_apart(tmp_path, call):
    path = tmp_path / "equal.csv"
    rows = [{"subset": "+".join(s), "loss": 2.0} for s in every_subset()]
    pl.DataFrame(rows).write_csv(path)
    _, out, _ = call(path)
    assert "31 subsets cannot be told from the first" in out
    assert "is told from every other" not in out


def test_blocks_of_subsets_are_predicted_as_all_at_once(written, monkeypatch):
    losses = read_losses(written)
    whole = choose(losses, np.array([0.3, 0.7]))
    monkeypatch.setattr("mergelaw.planning.choose.BLOCK", 7)
    parts = choose(losses, np.array([0.3, 0.7]))
    for row, other in zip(whole.rows, parts.rows, strict=True):
        assert (row.subset, row.loss_predicted) == (
            other.subset,
            pytest.approx(other.loss_predicted),
        )
        assert row.stderr == pytest.approx(other.stderr, rel=1e-3)
        assert row.p_best == pytest.approx(other.p_best, abs=0.05)


def test_few_draws_are_told(written, monkeypatch, call):
    assert "draws" not in call(written)[1]
    monkeypatch.setattr("mergelaw.planning.choose.N_DRAWS", (200, 300))
    assert (
        "P and regret are from 300 draws: probabilities go in steps of 0.0033" in call(written)[1]
    )


def test_faults_of_table_and_options_are_told_together(tmp_path, call):
    path = tmp_path / "two.parquet"
    pl.concat([table(measured(), size=size) for size in ("w2", "w3")]).write_parquet(path)
    words = ("--k", 9, "--target", "law", "--size", "w1", "--within", -1, "--top", 0)
    status, _, err = call(path, *words, "--out", "x.txt")
    assert status == 1
    for part in (
        "--size w1: the table has w2, w3",
        "--k 9: must be from 1 to 5",
        "--target law: must be macro or a domain: code, math",
        "--within -1: must be 0 or a positive number",
        "--top 0: must be at least 1",
        "--out x.txt: must end in",
    ):
        assert part in err
    bad = tmp_path / "bad.csv"
    bad.write_text("subset,domain,loss\na,math,inf\nb,math,1\n")
    _, _, err = call(bad, "--mixture", "math=0.5,b=x", "--target", "law")
    assert "loss = inf: must be a finite number above 0" in err
    assert "--mixture b=x: must be DOMAIN=WEIGHT" in err
    assert "--target law: must be macro or a domain: math" in err


def test_what_is_missing_is_told_as_it_is(tmp_path, call, monkeypatch):
    from tests.helpers import study_dict

    assert "nope.parquet: is missing" in call(tmp_path / "nope.parquet")[2]
    path = tmp_path / "bad.csv"
    path.write_text("subset,los\na,1\n")
    _, _, err = call(path)
    assert "bad.csv: there is no column 'loss'; the table has 'subset', 'los'" in err
    assert "'place'" not in err
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps(study_dict()))
    _, _, err = call("--config", "study.json")
    assert "is missing; make it first: snakemake --cores all --configfile study.json" in err
