"""Memory: bytes of the ways of holding a pool, the choice, and what a process may still use."""

import os
import subprocess
import sys

import pytest

from mergelaw.costs.memory import (
    FIXED_BYTES,
    GRANT,
    HOLDINGS,
    available_bytes,
    choose_holding,
    holding_bytes,
    other_bytes,
    tell_grant,
)

GB = 10**9


def test_bytes_of_a_pool_of_nine_at_half_a_billion_parameters():
    held = {kind: holding_bytes(kind, 500_000_000, 9, 2) for kind in HOLDINGS}
    assert held == {"float32": 20 * GB, "stored": 10 * GB, "streamed": 0}


def test_bytes_beside_the_pool():
    assert other_bytes(GB, 2) == 2 * GB + FIXED_BYTES
    assert other_bytes(GB, 4, incremental=True, working_bytes=7) == 8 * GB + FIXED_BYTES + 7


@pytest.mark.parametrize(
    ("available", "kind"),
    [
        (21 * GB, "float32"),
        (21 * GB - 1, "stored"),
        (11 * GB, "stored"),
        (11 * GB - 1, "streamed"),
        (0, "streamed"),
    ],
)
def test_the_fastest_way_that_fits_to_the_byte(available, kind):
    chosen = choose_holding(500_000_000, 9, 2, other_bytes=GB, available_bytes=available)
    assert chosen == kind


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


MEMINFO = {"proc/meminfo": "MemTotal:  9000000 kB\nMemAvailable:   8000000 kB\n"}
V2 = {
    "proc/self/cgroup": "0::/job/step\n",
    "sys/fs/cgroup/job/memory.max": "6000000000\n",
    "sys/fs/cgroup/job/memory.current": "5000000000\n",
    "sys/fs/cgroup/job/memory.stat": "anon 1\nactive_file 300000000\ninactive_file 700000000\n",
    "sys/fs/cgroup/job/step/memory.max": "max\n",
    "sys/fs/cgroup/job/step/memory.current": "100\n",
}
V1 = {
    "proc/self/cgroup": "12:cpu,cpuacct:/\n4:memory:/docker/abc\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000000\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000000000\n",
    "sys/fs/cgroup/memory/memory.stat": "inactive_file 5\ntotal_inactive_file 500000000\n",
}


def test_the_system_s_own_figure(tmp_path):
    write(tmp_path, MEMINFO)
    assert available_bytes(tmp_path, {}) == 8_000_000 * 1024


def test_a_limit_of_a_cgroup_above_counts_and_page_cache_is_free(tmp_path):
    write(tmp_path, MEMINFO | V2)
    assert available_bytes(tmp_path, {}) == 2_000_000_000


def test_a_limit_of_version_1_found_at_the_mount_in_a_container(tmp_path):
    write(tmp_path, MEMINFO | V1)
    assert available_bytes(tmp_path, {}) == 2_500_000_000


def test_slurm_s_grant_less_what_the_process_has(tmp_path):
    write(tmp_path, MEMINFO | {"proc/self/status": "Name:\tx\nVmRSS:\t  1024 kB\n"})
    assert available_bytes(tmp_path, {"SLURM_MEM_PER_NODE": "100"}) == 99 * 2**20
    assert available_bytes(tmp_path, {"SLURM_MEM_PER_NODE": "0"}) == 8_000_000 * 1024


def test_a_grant_is_told_to_processes_that_see_the_job_s_number_alone(tmp_path):
    write(tmp_path, MEMINFO)
    batch = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "100"}
    tell_grant(batch)
    step = {GRANT: batch[GRANT], "SLURM_JOB_ID": "7"}
    assert available_bytes(tmp_path, step) == 100 * 2**20


def test_another_job_s_grant_counts_for_nothing_and_is_written_over(tmp_path):
    write(tmp_path, MEMINFO)
    head = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "100"}
    tell_grant(head)
    own = 8_000_000 * 1024
    assert available_bytes(tmp_path, {GRANT: head[GRANT], "SLURM_JOB_ID": "8"}) == own
    assert available_bytes(tmp_path, {GRANT: head[GRANT]}) == own
    job = {GRANT: head[GRANT], "SLURM_JOB_ID": "8", "SLURM_MEM_PER_NODE": "200"}
    tell_grant(job)
    del job["SLURM_MEM_PER_NODE"]
    assert available_bytes(tmp_path, job) == 200 * 2**20


@pytest.mark.parametrize("environ", [{}, {"SLURM_JOB_ID": "7"}, {"SLURM_MEM_PER_NODE": "100"}])
def test_outside_of_a_job_with_a_grant_nothing_is_told(environ):
    before = dict(environ)
    tell_grant(environ)
    assert environ == before


@pytest.mark.parametrize("told", ["", ":", "7", "7:", "7:x", "7:0", ":100", "x:100"])
def test_what_is_no_grant_is_no_limit(tmp_path, told):
    write(tmp_path, MEMINFO)
    assert available_bytes(tmp_path, {GRANT: told, "SLURM_JOB_ID": "7"}) == 8_000_000 * 1024


def test_a_real_process_of_a_step_finds_its_job_s_grant():
    environ = {**os.environ, GRANT: "7:200", "SLURM_JOB_ID": "7"}
    environ.pop("SLURM_MEM_PER_NODE", None)
    program = "from mergelaw.costs.memory import available_bytes; print(available_bytes())"
    found = [
        int(subprocess.check_output([sys.executable, "-c", program], env=environ | more))
        for more in ({}, {"SLURM_JOB_ID": "8"})
    ]
    assert found[0] < 200 * 2**20 < found[1]


def test_more_used_than_allowed_leaves_nothing(tmp_path):
    write(tmp_path, MEMINFO | V2 | {"sys/fs/cgroup/job/memory.current": "9000000000"})
    assert available_bytes(tmp_path, {}) == 0


def test_without_any_file_it_is_the_physical_memory(tmp_path):
    assert available_bytes(tmp_path, {}) >= available_bytes() > 0
