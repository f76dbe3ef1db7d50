"""`mergelaw forecast --from-merge` on real checkpoints, as it is called."""

import json
import shutil
import sys

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.torch import load_file, save_file

from mergelaw.cli import _status
from mergelaw.config import Study
from mergelaw.config.theory import Theory
from mergelaw.errors import DataError, TableError
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.paths import StudyPaths
from mergelaw.tables import LOSSES, read_table
from mergelaw.theory.measure import write_derivatives
from mergelaw.theory.stage import write_predictions
from mergelaw.theory.weights import write_weights
from tests.helpers import run_sweep, study_dict

NAMES = ("algebra", "biology", "code")


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs the forecast and returns its exit code, output and errors."""

    def run(*words):
        argv = ["mergelaw", "forecast", "--from-merge", *map(str, words)]
        monkeypatch.setattr(sys, "argv", argv)
        capsys.readouterr()
        status = _status()
        streams = capsys.readouterr()
        return status, streams.out, streams.err

    return run


@pytest.fixture(scope="module")
def near(trained, tmp_path_factory):
    """The tiny study with experts a third as far from the base: its own make the loss no parabola.

    Averages, task arithmetic and DARE of the small size are swept.
    """
    study, paths = trained
    folder = tmp_path_factory.mktemp("near")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(study_dict()))
    near = StudyPaths(folder / "results" / study.name)
    shutil.copytree(paths.root, near.root)
    base = load_file(near.trained("small", "base") / "model.safetensors")
    for name in NAMES:
        file = near.trained("small", name) / "model.safetensors"
        found = load_file(file)
        moved = {key: base[key] + (found[key] - base[key]) / 3 for key in found}
        save_file(moved, file, {"format": "pt"})
    run_sweep(study, near, ["small"], ["average", "ta", "dare"])
    return study, near, folder


@pytest.fixture(scope="module")
def merge(near):
    """The options that name the pool and its text."""
    study, paths, _ = near
    words = ["--base", paths.trained("small", "base")]
    words += [f"--expert={paths.trained('small', name)}" for name in NAMES]
    return words + [f"--shard={paths.shard(name)}" for name in study.domain_names]


@pytest.fixture(scope="module")
def measured(near):
    """Losses of all merges by domain, and of macro."""
    study, paths, _ = near
    rows = [read_table(p, LOSSES) for p in (paths.root / "sweep/small").rglob("*.parquet")]
    return subset_losses(prepare(pl.concat(rows), study))


def facts(call, *words):
    status, out, err = call(*words, "--json")
    assert status == 0, err
    return json.loads(out)


def points(found, **names):
    rows = pl.DataFrame(found["points"], infer_schema_length=None)
    return rows.filter(**names)


def means(measured, method):
    found = measured.filter(pl.col("k") > 0, method=method)
    return found.group_by("domain", "k").agg(pl.col("loss").mean())


def test_the_forecast_is_the_curve_that_a_sweep_measures(call, merge, measured):
    found = facts(call, *merge, "--batch-tokens", 4096)
    both = points(found).join(means(measured, "average"), on=("domain", "k"))
    assert both.height == 12  # 3 domains and macro, k = 1 to 3
    errors = (both["loss_predicted"] / both["loss"] - 1).abs()
    assert errors.max() < 0.01
    whole = both.filter(k=3)
    np.testing.assert_allclose(whole["loss_predicted"], whole["loss"], rtol=1e-6)
    assert (both["low"] <= both["high"]).all()
    flat = (whole["high"] - whole["low"]).max()
    assert flat < 1e-9  # on this text the merge is measured
    assert (both["low_text"] < both["low"] + 1e-9).all()


def test_it_predicts_much_better_than_a_flat_curve(call, merge, measured):
    """Without curvature the curve would be its end at every k: the tail has to be in it."""
    found = facts(call, *merge)
    one = points(found, k=1, domain="macro")["loss_predicted"][0]
    end = points(found, k=3, domain="macro")["loss_predicted"][0]
    truth = means(measured, "average").filter(k=1, domain="macro")["loss"][0]
    assert abs(one - truth) < 0.2 * abs(end - truth)


def test_task_arithmetic_is_predicted_at_its_scale(call, merge, measured):
    found = facts(call, *merge, "--method", "task_arithmetic:scale=0.8")
    both = points(found).join(means(measured, "ta"), on=("domain", "k"))
    assert found["scale"] == 0.8
    assert (both["loss_predicted"] / both["loss"] - 1).abs().max() < 0.01


def test_dare_is_told_for_these_masks_and_for_their_mean(call, merge, measured):
    found = facts(call, *merge, "--method", "dare:drop_rate=0.3")
    these = points(found, masks="these").join(means(measured, "dare"), on=("domain", "k"))
    assert (these["loss_predicted"] / these["loss"] - 1).abs().max() < 0.01
    whole = these.filter(k=3)
    np.testing.assert_allclose(whole["loss_predicted"], whole["loss"], rtol=1e-6)  # same masks
    mean = points(found, masks="mean")
    assert mean.height == these.height
    for name in ("low", "low_text", "stderr_text"):
        assert mean[name].null_count() == 0, "by differences without masks"
    plain = points(facts(call, *merge))
    assert (mean["loss_predicted"] != plain["loss_predicted"]).all()


@pytest.mark.parametrize("route", ["gauss_newton", "differences", "pairs"])
def test_every_route_tells_about_the_same_curve(call, merge, route):
    told = points(facts(call, *merge, "--route", route), domain="macro")["loss_predicted"]
    wanted = points(facts(call, *merge), domain="macro")["loss_predicted"]
    fall = wanted[0] - wanted[-1]
    assert (told - wanted).abs().max() < 0.35 * abs(fall) + 1e-4


def test_a_study_names_its_merge(call, near, merge, monkeypatch):
    monkeypatch.chdir(near[2])
    found = facts(call, "--config", "tiny.yaml", "--size", "small", "--method", "average")
    plain = facts(call, *merge)
    assert found["experts"] == list(NAMES)
    for one, other in zip(found["points"], plain["points"], strict=True):
        assert one["loss_predicted"] == pytest.approx(other["loss_predicted"], rel=1e-5)


def test_subsets_are_ranked_as_choose_ranks_them(call, merge, measured):
    found = facts(call, *merge, "--top", 4)
    ranking = found["ranking"]
    assert len(ranking["subsets"]) == 4
    assert ranking["n_subsets"] == 7
    assert ranking["text"] == "this", "one fold a domain: nothing of other text"
    assert any("take the route gauss_newton" in note for note in ranking["notes"])
    assert points(found)["stderr_text"].null_count() == 0, "of the curve differences tell"
    many = facts(call, *merge, "--top", 4, "--route", "gauss_newton")["ranking"]
    assert many["text"] == "other"
    truth = measured.filter(pl.col("k") > 0, method="average", domain="macro")
    losses = dict(truth.select("subset", "loss").rows())
    for row in ranking["subsets"]:
        assert row["loss_predicted"] == pytest.approx(losses[row["subset"]], rel=0.01)
    keys = set(ranking["subsets"][0])
    assert {"p_best", "p_within", "regret", "stderr", "low", "high", "measured"} <= keys


def test_the_words_name_what_was_done_and_what_it_cost(call, merge):
    status, out, _ = call(*merge, "--top", 2)
    assert status == 0
    for words in (
        "average: predicted from one merge, of all 3 experts at scale 1",
        "curvature by Hessian-vector products; third order by differences of losses",
        "by convention a gradient is 3, a Hessian-vector product 4",
        "1 gradient, 3 products",
        "the floor is an extrapolation",
        "taken: transformers' plain attention (eager)",
        "7 subsets by predicted macro loss, the first 2:",
        "none of these subsets was scored",
    ):
        assert words in out
    assert out.count("sd over subsets") == 1, "the curve of macro alone; of domains one line each"
    assert "\n  macro\n" in out
    lines = [line.split()[0] for line in out.splitlines() if " +- " in line]
    assert lines[:4] == ["macro", *NAMES]
    assert out.count("k85") == 1


def test_notes_that_all_experts_share_are_one_line(call, merge):
    _, _, err = call(*merge, "--route", "differences")
    assert err.count("does not say what it was made from") == 1
    assert "each of algebra, biology, code does not say" in err


def test_the_table_is_written_in_the_form_that_its_name_says(call, merge, tmp_path):
    for name in ("a.parquet", "a.csv", "a.json"):
        status, _, err = call(*merge, "--route", "differences", "--out", tmp_path / name)
        assert status == 0, err
    rows, text = pl.read_parquet(tmp_path / "a.parquet"), pl.read_csv(tmp_path / "a.csv")
    assert rows.columns == text.columns
    assert rows.height == text.height == 12
    assert len(json.loads((tmp_path / "a.json").read_text())["points"]) == 12


# --- refusals ---


def refused(call, *words):
    status, _, err = call(*words)
    assert status == 1
    assert "Traceback" not in err
    return err


def test_ties_is_refused_with_its_number(call, merge):
    err = refused(call, *merge, "--method", "ties:density=0.6")
    assert "ties is not predicted: what an expert adds depends on the signs" in err
    number = float(err.split("At k = 1, 2 they lie ")[1].split()[0])
    assert 0.25 < number < 2


def test_wrong_options_are_told_all_at_once(call, merge, tmp_path):
    err = refused(
        call, "--points", "1=2,2=1.9", "--pool", 9, "--base", "b", "--expert", "only",
        "--size", "small", "--precision", -1, "--top", 0, "--out", tmp_path / "a.txt",
        "--method", "averge",
    )  # fmt: skip
    for words in (
        "--points, --pool: for a forecast from measured points",
        "--shard: missing; or give a study with --config",
        "--expert: 1 is given",
        "--size small: goes with --config",
        "--precision -1: must be a finite number above 0",
        "--top 0: must be at least 1",
        "a.txt: must end in .parquet, .csv, .json",
        "averge",
    ):
        assert words in err


def test_all_inputs_that_are_missing_are_told_at_once(call, merge, tmp_path):
    gone = [tmp_path / name for name in ("base", "one", "two", "a.safetensors", "b.safetensors")]
    words = ["--base", gone[0], "--expert", gone[1], "--expert", gone[2]]
    err = refused(call, *words, "--shard", gone[3], "--shard", gone[4], "--top", 0)
    for path in gone:
        assert str(path) in err
    assert "--top 0: must be at least 1" in err
    err = refused(call, *merge[:-1], "--shard", gone[3], "--method", "sce")
    assert str(gone[3]) in err
    assert "--method sce" in err, "before any model is opened"


def test_a_study_that_has_made_nothing_names_all_that_is_missing(tmp_path):
    study = dictionary_study()
    study = study.model_copy(update={"theory": Theory()})
    paths = StudyPaths(tmp_path)
    for write in (write_derivatives, write_weights):
        with pytest.raises(DataError) as error:
            write(study, paths, "large")
        text = str(error.value)
        for name in (*NAMES, "base"):
            assert f"{paths.trained('large', name)}: is missing; make it (mergelaw experts" in text
        for domain in study.domain_names:
            assert f"{paths.shard(domain)}: is missing; make it (mergelaw data shards" in text
    with pytest.raises(TableError) as error:
        write_predictions(study, paths)
    for path in (paths.losses, paths.derivatives("small"), paths.updates("large")):
        assert f"{path}: is missing; make it (mergelaw" in str(error.value)


def dictionary_study():
    """The tiny study as its config says, with nothing made."""
    return Study.model_validate(study_dict())


def test_options_of_a_study_are_checked(call, near, monkeypatch):
    monkeypatch.chdir(near[2])
    err = refused(call, "--config", "tiny.yaml", "--size", "huge", "--base", "b")
    assert "--size huge: the study has no such; one of small, large" in err
    assert "--method: missing; one of average, ta, ties, dare" in err
    assert "leave out --base" in err


def test_merge_options_need_from_merge(monkeypatch, capsys):
    argv = ["mergelaw", "forecast", "--points", "1=2,2=1.9,4=1.8", "--pool", "9", "--top", "3"]
    monkeypatch.setattr(sys, "argv", argv)
    assert _status() == 1
    assert "--top: goes with --from-merge" in capsys.readouterr().err


def test_single_subsets_need_a_route_that_tells_them(call, merge):
    err = refused(call, *merge, "--route", "differences", "--top", 3)
    assert "single subsets need the route hvp, gauss_newton or pairs" in err


def test_weights_by_expert_have_no_curve(call, merge):
    err = refused(call, *merge, "--method", "task_arithmetic:normalize=false,scale=0.3")
    assert "normalize is false" in err


def test_text_of_another_tokenizer_is_refused(call, merge, near, tmp_path):
    _, paths, _ = near
    words = []
    for name in ("base", *NAMES):
        other = tmp_path / name
        shutil.copytree(paths.trained("small", name), other)
        _exchange_two_tokens(other / "tokenizer.json")
        words += ["--base" if name == "base" else "--expert", other]
    err = refused(call, *words, *merge[-3:])
    assert "has another vocabulary than the tokenizer that the text was prepared with" in err


def _exchange_two_tokens(file):
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[40:42]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(tokenizer))


def test_too_little_text_for_the_precision_says_how_much_would_do(call, merge):
    status, out, err = call(*merge, "--precision", 0.0001)
    assert status == 1
    assert "average: predicted from one merge" in out  # what is known is told
    assert "scored tokens; about" in err
    half, n_tokens, needed = (
        float(word.replace(",", ""))
        for word in (
            err.split("+- ")[1].split()[0],
            err.split("from ")[1].split()[0],
            err.split("about ")[1].split()[0],
        )
    )
    assert needed == pytest.approx(n_tokens * (half / 0.0001) ** 2, rel=0.02)
    status, _, _ = call(*merge, "--precision", 5)
    assert status == 0
