"""cost.json: facts, wall and CPU time and memory of a block that succeeded."""

import json
import time

import pytest

from mergelaw.costs import cost_report


def test_a_block_s_cost(tmp_path):
    path = tmp_path / "a" / "cost.json"
    with cost_report(path, stage="experts", n_tokens=12) as cost:
        time.sleep(0.2)
        cost["last_loss"] = 1.5
        block = bytearray(200 * 2**20)
        block[:: 2**12] = b"x" * (len(block) // 2**12)
    report = json.loads(path.read_text())
    assert (report["stage"], report["n_tokens"], report["last_loss"]) == ("experts", 12, 1.5)
    assert 0.2 <= report["wall_seconds"] < 10
    assert report["cpu_seconds"] < report["wall_seconds"]  # sleeping costs no CPU time
    assert 200 * 2**20 < report["peak_memory_bytes"] < 64 * 2**30


def test_cpu_time_is_counted(tmp_path):
    with cost_report(tmp_path / "cost.json"):
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
    assert json.loads((tmp_path / "cost.json").read_text())["cpu_seconds"] >= 0.1


def test_a_failed_block_leaves_no_report(tmp_path):
    with pytest.raises(RuntimeError), cost_report(tmp_path / "cost.json", stage="x"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
