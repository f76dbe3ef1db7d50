"""States of a training: whole or not there, no pickle, refused in words."""

import collections

import pytest
import torch

from mergelaw.errors import TrainingError
from mergelaw.experts import state

HELD = {
    "trained": {
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.arange(6.0).view(2, 3)}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.95), "fused": True, "params": [0, 1]}],
        },
        "flat": [torch.ones(4, dtype=torch.bfloat16), None],
    },
    "random": {"cpu": torch.get_rng_state(), "gpu": None},
}


def same(one, other):
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    else:
        assert one == other


def kept(tmp_path, step=7, n_processes=1, identity=None):
    part = tmp_path / f".state-{step}.part"
    state.make_anew(part)
    for process in range(n_processes):
        state.write_process(part, process, HELD)
    folder = state.state_folder(tmp_path, step)
    facts = {"identity": identity or {"items": "1"}, "n_processes": n_processes}
    state.finish(part, folder, facts)
    return folder


def test_a_state_is_read_as_it_was_written(tmp_path):
    folder = kept(tmp_path)
    same(state.read_process(folder, 0), HELD)
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}
    assert not any(b"\x80\x04" in path.read_bytes()[:64] for path in folder.iterdir()), "no pickle"


def test_what_is_no_data_is_not_kept(tmp_path):
    with pytest.raises(TypeError, match="deque cannot be kept"):
        state.write_process(tmp_path, 0, {"x": collections.deque()})


def test_the_newest_whole_state_counts_and_older_ones_go(tmp_path):
    assert state.last_state(tmp_path) is None
    kept(tmp_path, 7)
    state.make_anew(tmp_path / ".state-9.part")
    assert state.last_state(tmp_path) == 7, "one that was being written is none"
    kept(tmp_path, 12)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["state-12"]


def test_a_state_of_other_processes_or_another_training_is_refused(tmp_path):
    kept(tmp_path, n_processes=2, identity={"items": "1", "settings": "a"})
    state.check_identity(tmp_path, 7, {"items": "1", "settings": "a"}, 2)
    with pytest.raises(TrainingError, match="7 steps of 2 processes, and these are 4"):
        state.check_identity(tmp_path, 7, {"items": "1", "settings": "a"}, 4)
    with pytest.raises(
        TrainingError, match="another training: items was 1 and is 2; settings was a and is b"
    ):
        state.check_identity(tmp_path, 7, {"items": "2", "settings": "b"}, 2)


def test_a_torn_file_is_refused_in_words(tmp_path):
    folder = kept(tmp_path)
    path = folder / "0.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(TrainingError, match=r"0.safetensors: cannot be read .* to begin anew"):
        state.read_process(folder, 0)


def test_random_numbers_go_on(tmp_path):
    before = state.random_state()
    drawn = torch.rand(3)
    state.set_random_state(before)
    assert torch.equal(torch.rand(3), drawn)
