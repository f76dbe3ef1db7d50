"""The engine: where weights are held, made ahead and shown, and that no bit hangs on it."""

import itertools

import pytest
import torch

from mergelaw.checkpoints.reading import BlockReader
from mergelaw.costs.memory import HOLDINGS
from mergelaw.design import Subset
from mergelaw.errors import CheckpointError
from mergelaw.merging.in_memory import ExactMerger, RunningMerger
from mergelaw.merging.methods import recipe
from mergelaw.preflight.report import preflight
from mergelaw.sweep import engine as engine_module
from mergelaw.sweep.engine import Engine, arithmetic
from tests.given import EXPERTS, given_study, write_models
from tests.helpers import edit_weights

LABELS = ("average", "task_arithmetic", "ties", "dare", "della_linear")
SUBSETS = [Subset(names) for k in range(4) for names in itertools.combinations(EXPERTS, k)]


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer):
    return write_models(tmp_path_factory.mktemp("models"), tokenizer)


def study_of_all(models, *changes):
    return given_study(models, [{"label": name, "method": name} for name in LABELS], *changes)


def open_engine(study, holding=None):
    size = study.size("own")
    return Engine.open(study, size.base, {name: size.experts[name] for name in EXPERTS}, holding)


def merged_weights(engine, study, label, subsets=SUBSETS):
    """Return the parameters of the model after each merge, by subset."""
    engine.use(recipe(study.method(label), "0/0"))
    return {
        subset.name: torch.cat([p.flatten().clone() for p in engine.model.parameters()])
        for subset in engine.merged(subsets)
    }


def alike(one, other) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


# --- where weights are held ---


@pytest.mark.parametrize("label", LABELS)
def test_no_bit_hangs_on_how_the_pool_is_held(models, label):
    study = study_of_all(models, ("dtype", "bfloat16"))
    found = []
    for holding in HOLDINGS:
        with open_engine(study, holding) as engine:
            assert engine.costs()["holding"] == holding
            found.append(merged_weights(engine, study, label))
    assert len(found[0]) == 8
    assert alike(found[0], found[1])
    assert alike(found[0], found[2])


@pytest.mark.parametrize(
    ("share", "expected"), [(1.1, "float32"), (0.9, "stored"), (0.4, "streamed")]
)
def test_the_fastest_holding_that_fits_is_chosen(tmp_path, tokenizer, monkeypatch, share, expected):
    """A share of what four models take as float32; as bfloat16 they take half of it."""
    study = study_of_all(write_models(tmp_path, tokenizer, torch.bfloat16), ("dtype", "bfloat16"))
    with open_engine(study) as engine:
        float32_bytes = 4 * 4 * engine.live.weights.numel()
    free = int((10**6 + share * float32_bytes) / engine_module.USABLE)
    monkeypatch.setattr(engine_module, "available_bytes", lambda: free)
    monkeypatch.setattr(
        engine_module, "other_bytes", lambda *_, **__: 10**6 + engine_module.FIXED_BYTES
    )
    with open_engine(study) as engine:
        assert engine.holding == expected


@pytest.mark.parametrize("holding", HOLDINGS[:2])
def test_an_entry_that_is_not_finite_is_named_before_anything_is_scored(
    tmp_path, tokenizer, holding
):
    folder = write_models(tmp_path / "models", tokenizer)
    edit_weights(folder / "code", "model.norm.weight", lambda tensor: tensor * float("inf"))
    study = study_of_all(folder)
    match = r"code/model.safetensors: model.norm.weight has a NaN or infinite entry"
    with pytest.raises(CheckpointError, match=match), open_engine(study, holding) as engine:
        engine.use(recipe(study.method("average"), "0/0"))


def test_a_second_recipe_starts_from_the_task_vectors_again(models):
    """psi is applied in place, so that a second recipe must not find the first one's zeros."""
    study = study_of_all(models)
    with open_engine(study, "float32") as engine:
        merged_weights(engine, study, "dare")
        second = merged_weights(engine, study, "ties")
    with open_engine(study, "float32") as engine:
        assert alike(second, merged_weights(engine, study, "ties"))


# --- incremental ---


@pytest.mark.parametrize("label", ["average", "task_arithmetic", "dare", "della_linear"])
def test_incremental_merges_differ_in_the_last_bits_only(models, label):
    study = study_of_all(models)
    with open_engine(study, "float32") as engine:
        exact = merged_weights(engine, study, label)
    study = study_of_all(models, ("sweep", {"incremental": True}))
    with open_engine(study, "float32") as engine:
        running = merged_weights(engine, study, label)
    assert "incremental" in arithmetic(study, recipe(study.method(label), ""))
    for name, weights in exact.items():
        torch.testing.assert_close(running[name], weights, rtol=0, atol=2e-7)
    assert not alike(running, exact), "they are sums in another order"


def test_only_experts_that_change_are_read(models, monkeypatch):
    study = study_of_all(models, ("sweep", {"incremental": True}))
    with open_engine(study, "float32") as engine:
        engine.use(recipe(study.method("average"), "0/0"))
        assert isinstance(engine._merger, RunningMerger)
        read = []
        pool = engine._merger._exact.pool
        original = type(pool).read
        monkeypatch.setattr(
            type(pool),
            "read",
            lambda self, place, names: read.append(list(names)) or original(self, place, names),
        )
        for names in (("algebra", "biology", "code"), ("algebra", "code"), ("biology", "code")):
            read.clear()
            engine.merge(names)
            expected = {
                ("algebra", "biology", "code"): ["algebra", "biology", "code"],
                ("algebra", "code"): ["biology"],
                ("biology", "code"): ["biology", "code"],  # two change: as many as it has
            }[names]
            assert all(names_read == expected for names_read in read)


def test_methods_that_are_no_mean_are_summed_anew(models):
    study = study_of_all(models, ("sweep", {"incremental": True}))
    with open_engine(study, "float32") as engine:
        engine.use(recipe(study.method("ties"), "0/0"))
        assert isinstance(engine._merger, ExactMerger)
    assert arithmetic(study, recipe(study.method("ties"), "")) == {}


def test_merges_that_went_before_are_made_again(models):
    study = study_of_all(models, ("sweep", {"incremental": True}))
    with open_engine(study, "float32") as engine:
        whole = merged_weights(engine, study, "average")
        engine.use(recipe(study.method("average"), "0/0"), SUBSETS[:5])
        rest = {
            subset.name: torch.cat([p.flatten().clone() for p in engine.model.parameters()])
            for subset in engine.merged(SUBSETS[5:])
        }
    assert alike(rest, {name: whole[name] for name in rest})


# --- devices ---


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_merges_made_ahead_and_shown_are_the_same(models, dtype):
    """A device map places the model as on a GPU: its weights are copies, made one merge ahead."""
    study = study_of_all(models, ("dtype", dtype))
    size = study.size("own")
    checked = preflight(size.base, {name: size.experts[name] for name in EXPERTS})
    with open_engine(study) as engine, BlockReader() as reader:
        staged = Engine(study, checked, reader, device_map={"": "cpu"})
        assert staged.live.staged
        assert not engine.live.staged
        for label in ("average", "ties"):
            assert alike(merged_weights(staged, study, label), merged_weights(engine, study, label))
        first = next(staged.live.model.parameters())
        assert first.data_ptr() != staged.live.weights.data_ptr()


def test_an_error_in_a_merge_made_ahead_is_raised(models):
    study = study_of_all(models)
    size = study.size("own")
    checked = preflight(size.base, {name: size.experts[name] for name in EXPERTS})
    with BlockReader() as reader:
        staged = Engine(study, checked, reader, device_map={"": "cpu"})
        staged.use(recipe(study.method("average"), "0/0"))
        merges = staged.merged([SUBSETS[1], Subset(("nobody",)), SUBSETS[2]])
        assert next(merges).name == "algebra"
        with pytest.raises(KeyError):
            next(merges)


@pytest.mark.parametrize("label", LABELS)
def test_no_bit_hangs_on_the_number_of_threads(models, label):
    study, n_threads = study_of_all(models, ("dtype", "bfloat16")), torch.get_num_threads()
    found = []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            with open_engine(study, "stored") as engine:
                found.append(merged_weights(engine, study, label))
    finally:
        torch.set_num_threads(n_threads)
    assert alike(*found)
