"""Ranges of entries: the same numbers by any mode, thread and cut; a file that ends is named."""

import os
import resource
import warnings
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergelaw.checkpoints.headers import DTYPE_BITS, read_header
from mergelaw.checkpoints.reading import TORCH_DTYPE, BlockReader, read_tensor
from mergelaw.errors import CheckpointError

MODES = ["pread", "mmap"]


def buffer(n_bytes: int = 4096) -> torch.Tensor:
    return torch.full((n_bytes,), 255, dtype=torch.uint8)


def unaligned(path, tensor):
    """Write one tensor behind a header of odd length, as writers other than the library may."""
    save_file({"x": tensor}, path)
    raw = path.read_bytes()
    n = int.from_bytes(raw[:8], "little")
    path.write_bytes((n + 1).to_bytes(8, "little") + raw[8 : 8 + n] + b" " + raw[8 + n :])
    return read_header(path).entries["x"]


def test_the_types_of_whole_bytes_are_those_of_torch():
    sizes = {name: 8 * dtype.itemsize for name, dtype in TORCH_DTYPE.items()}
    assert sizes == {name: bits for name, bits in DTYPE_BITS.items() if bits >= 8}


@pytest.mark.parametrize("mode", MODES)
def test_a_range_comes_back_in_its_stored_type(tmp_path, mode):
    tensors = {name: torch.arange(24).to(d).view(4, 6) for name, d in TORCH_DTYPE.items()}
    del tensors["F8_E8M0"]  # it has no 0
    save_file(tensors, tmp_path / "f")
    entries = read_header(tmp_path / "f").entries
    with BlockReader(mode) as reader:
        for name, tensor in tensors.items():
            found = reader.read(entries[name], 5, 17, buffer())
            assert found.dtype == tensor.dtype
            expected = tensor.flatten()[5:17]
            assert torch.equal(found.view(torch.uint8), expected.view(torch.uint8))


@pytest.mark.parametrize("mode", MODES)
def test_data_that_begin_anywhere_are_read(tmp_path, mode):
    tensor = torch.randn(100, dtype=torch.float64)
    entry = unaligned(tmp_path / "f", tensor)
    assert entry.start % 8
    with BlockReader(mode) as reader:
        assert torch.equal(reader.read(entry, 3, 90, buffer()), tensor[3:90])


@pytest.mark.parametrize("mode", MODES)
def test_no_entries_and_a_scalar_are_read(tmp_path, mode):
    save_file({"none": torch.zeros(0, 4), "scalar": torch.tensor(3.0)}, tmp_path / "f")
    entries = read_header(tmp_path / "f").entries
    with BlockReader(mode) as reader:
        assert reader.read(entries["none"], 0, 0, buffer()).shape == (0,)
        assert reader.read(entries["scalar"], 1, 1, buffer()).shape == (0,)
        assert reader.read(entries["scalar"], 0, 1, buffer()).tolist() == [3.0]


def test_pread_gives_a_view_of_the_buffer_and_writes_nothing_else(tmp_path):
    save_file({"x": torch.zeros(64)}, tmp_path / "f")
    own = buffer()
    with BlockReader() as reader:
        found = reader.read(read_header(tmp_path / "f").entries["x"], 2, 10, own)
    assert found.data_ptr() == own.data_ptr()
    assert not own[:32].any()
    assert (own[32:] == 255).all()


@pytest.fixture
def warn_always():
    """Let torch warn every time, not once a process."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("warn_always")
def test_a_mapped_range_is_no_copy_and_warns_of_nothing(tmp_path):
    save_file({"x": torch.arange(64.0)}, tmp_path / "f")
    own = buffer()
    with warnings.catch_warnings(), BlockReader("mmap") as reader:
        warnings.simplefilter("error")
        found = reader.read(read_header(tmp_path / "f").entries["x"], 2, 10, own)
    assert found.tolist() == list(range(2, 10))  # and it outlives the reader
    assert (own == 255).all()


@pytest.mark.parametrize("mode", MODES)
def test_threads_share_a_reader(tmp_path, mode):
    tensors = {f"t{i}": torch.randn(1000, 7) for i in range(4)}
    for name, tensor in tensors.items():
        save_file({name: tensor}, tmp_path / name)
    entries = {name: read_header(tmp_path / name).entries[name] for name in tensors}

    def agrees(seed: int) -> bool:
        draw, own = Random(seed), buffer(28_000)
        for _ in range(50):
            name = draw.choice(sorted(tensors))
            start, stop = sorted(draw.choices(range(7001), k=2))
            found = reader.read(entries[name], start, stop, own)
            if not torch.equal(found, tensors[name].flatten()[start:stop]):
                return False
        return True

    with BlockReader(mode) as reader, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(agrees, range(16)))


def test_reads_that_come_short_are_completed(tmp_path, monkeypatch):
    tensor = torch.randn(1000)
    save_file({"x": tensor}, tmp_path / "f")
    whole = os.preadv

    def short(descriptor, views, offset):  # as a file system may, or a signal
        return whole(descriptor, [views[0][:7]], offset)

    monkeypatch.setattr(os, "preadv", short)
    assert torch.equal(read_tensor(read_header(tmp_path / "f").entries["x"]), tensor)


@pytest.mark.parametrize("mode", MODES)
def test_a_file_that_was_cut_after_its_header_was_read_is_named(tmp_path, mode):
    save_file({"a": torch.zeros(100), "b": torch.zeros(100)}, tmp_path / "f")
    entries = read_header(tmp_path / "f").entries
    os.truncate(tmp_path / "f", entries["b"].start + 300)
    with BlockReader(mode) as reader:
        reader.read(entries["b"], 0, 75, buffer())
        with pytest.raises(CheckpointError) as caught:
            reader.read(entries["b"], 70, 80, buffer())
    assert str(caught.value) == (
        f"{tmp_path / 'f'}: truncated while reading: the file ends within b, or before it"
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_file_that_has_gone_is_named(tmp_path, mode):
    save_file({"x": torch.zeros(4)}, tmp_path / "f")
    entry = read_header(tmp_path / "f").entries["x"]
    (tmp_path / "f").unlink()
    with BlockReader(mode) as reader, pytest.raises(CheckpointError) as caught:
        reader.read(entry, 0, 4, buffer())
    assert str(caught.value) == (f"{tmp_path / 'f'}: x cannot be read (No such file or directory)")


@pytest.mark.parametrize("mode", MODES)
def test_files_are_opened_once_and_closed(tmp_path, mode):
    save_file({"x": torch.zeros(4)}, tmp_path / "f")
    entry = read_header(tmp_path / "f").entries["x"]
    before = len(os.listdir("/proc/self/fd"))
    with BlockReader(mode) as reader:
        for _ in range(5):
            reader.read(entry, 0, 4, buffer())
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_low_limit_on_open_files_is_raised(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(os.listdir("/proc/self/fd"))
    entries = []
    for i in range(40):
        save_file({"x": torch.tensor(float(i))}, tmp_path / str(i))
        entries.append(read_header(tmp_path / str(i)).entries["x"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 20, hard))
    try:
        with BlockReader() as reader:
            found = [float(reader.read(entry, 0, 1, buffer())) for entry in entries]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == list(range(40))


def test_a_whole_tensor_has_its_shape(tmp_path):
    tensors = {"x": torch.randn(3, 5).half(), "s": torch.tensor(7), "none": torch.zeros(2, 0)}
    save_file(tensors, tmp_path / "f")
    entries = read_header(tmp_path / "f").entries
    loaded = load_file(tmp_path / "f")
    for name in tensors:
        found = read_tensor(entries[name])
        assert found.dtype == loaded[name].dtype
        assert found.shape == loaded[name].shape
        assert torch.equal(found, loaded[name])


def test_packed_numbers_are_refused(tmp_path):
    raw = b'{"x":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}'
    (tmp_path / "f").write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(2))
    with pytest.raises(CheckpointError, match="x is of F4"):
        read_tensor(read_header(tmp_path / "f").entries["x"])
