"""Headers of safetensors files: what is accepted the library accepts; all else is told in words."""

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mergelaw.checkpoints.headers import DTYPE_BITS, MAX_HEADER_BYTES, MERGED_DTYPES, read_header
from mergelaw.errors import CheckpointError

TENSORS = {
    "w": torch.arange(6, dtype=torch.bfloat16).view(2, 3),
    "scalar": torch.tensor(2.5),
    "none": torch.zeros(3, 0, dtype=torch.float64),
    "mask": torch.tensor([True, False, True]),
}


def write(path, header, data=b"", length=None):
    """Write a file of a header (an object, or bytes as they are) and the data after it."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    n = len(raw) if length is None else length
    path.write_bytes(n.to_bytes(8, "little") + raw + data)
    return path


def field(dtype="F32", shape=(2,), offsets=(0, 8)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    with pytest.raises(SafetensorError), safe_open(path, "pt"):
        pass
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def problems(path) -> list[str]:
    headline, *lines = refusal(path).splitlines()
    assert headline == f"is broken or truncated: {len(lines)} problem{'s'[: len(lines) != 1]}"
    return [line.removeprefix("  - ") for line in lines]


def test_entries_are_where_the_library_wrote_them(tmp_path):
    save_file(TENSORS, tmp_path / "f", {"format": "pt", "by": "a test"})
    header = read_header(tmp_path / "f")
    assert header.metadata == {"format": "pt", "by": "a test"}
    assert header.entries.keys() == TENSORS.keys()
    content = (tmp_path / "f").read_bytes()
    for name, tensor in TENSORS.items():
        entry = header.entries[name]
        assert (entry.name, entry.path, entry.shape) == (name, tmp_path / "f", tuple(tensor.shape))
        assert entry.n == tensor.numel()
        assert entry.n_bytes == tensor.numel() * tensor.element_size()
        raw = tensor.flatten().view(torch.uint8) if tensor.numel() else torch.empty(0)
        found = content[entry.start : entry.start + entry.n_bytes]
        assert found == bytes(map(int, raw.tolist()))
    assert {name: e.dtype for name, e in header.entries.items()} == {
        "w": "BF16",
        "scalar": "F32",
        "none": "F64",
        "mask": "BOOL",
    }


@pytest.mark.parametrize("dtype", DTYPE_BITS)
def test_every_type_of_the_format_is_known(tmp_path, dtype):
    n_bytes = DTYPE_BITS[dtype]
    path = write(tmp_path / "f", {"x": field(dtype, (2, 4), (0, n_bytes))}, bytes(n_bytes))
    assert read_header(path).entries["x"].n_bytes == n_bytes
    with safe_open(path, "pt") as file:
        assert file.get_slice("x").get_shape() == [2, 4]


def test_only_numbers_of_two_to_eight_bytes_are_merged():
    assert {DTYPE_BITS[dtype] for dtype in MERGED_DTYPES} == {16, 32, 64}


def test_an_order_of_the_header_that_is_not_that_of_the_data_is_read(tmp_path):
    header = {"b": field(offsets=(8, 16)), "a": field(offsets=(0, 8))}
    entries = read_header(write(tmp_path / "f", header, bytes(16))).entries
    assert entries["b"].start - entries["a"].start == 8


def test_a_file_without_tensors_or_with_empty_metadata_is_read(tmp_path):
    assert read_header(write(tmp_path / "f", {})).entries == {}
    assert read_header(write(tmp_path / "g", {"__metadata__": None})).metadata == {}


@pytest.mark.parametrize("content", [b"", b"1234567"])
def test_a_file_shorter_than_its_length_is_refused(tmp_path, content):
    (tmp_path / "f").write_bytes(content)
    assert refusal(tmp_path / "f") == f"is no safetensors file: it has {len(content)} bytes"


def test_a_length_beyond_the_file_is_refused(tmp_path):
    path = write(tmp_path / "f", {"x": field()}, bytes(8), length=1000)
    size = path.stat().st_size
    assert refusal(path) == (
        f"is truncated or broken: its header should end at byte 1,008, the file ends at {size}"
    )


def test_a_length_beyond_the_format_is_refused(tmp_path):
    path = write(tmp_path / "f", {}, length=MAX_HEADER_BYTES + 1)
    assert "ask for a header of 100,000,001 bytes, the format allows 100,000,000" in refusal(path)


@pytest.mark.parametrize(
    "header", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"x": NaN', b"1" * 9999]
)
def test_a_header_that_is_no_json_is_refused(tmp_path, header):
    assert refusal(write(tmp_path / "f", header)) == "is no safetensors file: its header is no JSON"


@pytest.mark.parametrize("header", [[], 1, None, "x"])
def test_a_header_that_is_no_object_is_refused(tmp_path, header):
    assert refusal(write(tmp_path / "f", header)).endswith("its header is no JSON object")


def test_a_git_lfs_pointer_is_called_so(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    (tmp_path / "f").write_bytes(pointer)
    assert refusal(tmp_path / "f").endswith("not the weights; fetch them by `git lfs pull`")


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    for name, reason in (("nowhere", "No such file or directory"), (".", "Is a directory")):
        with pytest.raises(CheckpointError) as caught:
            read_header(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: cannot be read ({reason})"


def test_missing_data_are_counted_and_named(tmp_path):
    header = {"a": field(), "b": field(offsets=(8, 16)), "c": field(offsets=(16, 24))}
    assert problems(write(tmp_path / "f", header, bytes(13))) == [
        "11 bytes of data are missing at the end, in 2 tensors, 'b' among them; "
        "copy or download it again"
    ]


def test_data_that_belong_to_no_tensor_are_refused(tmp_path):
    assert problems(write(tmp_path / "f", {"x": field()}, bytes(10))) == [
        "2 bytes follow the last tensor's data"
    ]
    assert problems(write(tmp_path / "g", {"x": field(offsets=(4, 12))}, bytes(12))) == [
        "bytes 0 to 4 of the data, before 'x', belong to no tensor"
    ]


@pytest.mark.parametrize(("a", "b"), [((0, 16), (4, 12)), ((0, 16), (12, 20)), ((0, 8), (0, 8))])
def test_an_overlap_is_refused(tmp_path, a, b):
    header = {
        name: field(shape=((stop - start) // 4,), offsets=(start, stop))
        for name, (start, stop) in (("a", a), ("b", b))
    }
    assert problems(write(tmp_path / "f", header, bytes(max(a[1], b[1])))) == [
        f"tensor 'b': begins at byte {b[0]} of the data, inside 'a'"
    ]


def test_a_name_given_twice_is_refused(tmp_path):
    entry = json.dumps(field())
    path = write(tmp_path / "f", f'{{"x": {entry}, "x": {entry}}}'.encode(), bytes(8))
    with pytest.raises(CheckpointError, match="name 'x' is given twice"):
        read_header(path)


def test_a_key_that_may_change_the_meaning_is_refused(tmp_path):
    path = write(tmp_path / "f", {"x": field() | {"packed": True}}, bytes(8))
    with pytest.raises(CheckpointError, match="tensor 'x': must have dtype, shape and data_off"):
        read_header(path)


def test_every_problem_is_told_at_once(tmp_path):
    header = {
        "__metadata__": {"step": 3},
        "a": {"dtype": "F32"},
        "b": field("Q4"),
        "c": field(shape=(-1,)),
        "d": field(offsets=(0, 8, 16)),
        "e": field("BF16"),
        "f": field("F4", (3,), (0, 1)),
        "g": field(shape=(True,)),
        "h": 7,
        "i": field(["F32"], "2", {}),
    }
    found = problems(write(tmp_path / "f", header, bytes(8)))
    known = ", ".join(DTYPE_BITS)
    assert found == [
        "__metadata__ must map names to strings",
        "tensor 'a': must have dtype, shape and data_offsets, not ['dtype']",
        f"tensor 'b': dtype 'Q4' is unknown; known are {known}",
        "tensor 'c': shape [-1] must be a list of integers, none negative",
        "tensor 'd': data_offsets [0, 8, 16] must be two integers, none negative",
        "tensor 'e': BF16 [2] takes 4 bytes, its data_offsets [0, 8] give 8",
        "tensor 'f': F4 [3] takes 1.5 bytes, its data_offsets [0, 1] give 1",
        "tensor 'g': shape [True] must be a list of integers, none negative",
        "tensor 'h': must have dtype, shape and data_offsets, not 7",
        f"tensor 'i': dtype ['F32'] is unknown; known are {known}",
        "tensor 'i': shape ['2'] must be a list of integers, none negative",
        "tensor 'i': data_offsets [] must be two integers, none negative",
    ]


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "f"
    save_file(TENSORS, path, {"format": "pt"})
    return path.read_bytes()


@given(
    edits=st.lists(
        st.tuples(st.integers(0, 10_000), st.sampled_from(b'"{}[],:0123789 FB')), max_size=3
    ),
    cut=st.integers(0, 40) | st.just(0),
)
@settings(max_examples=300, deadline=None)
def test_what_is_accepted_the_library_accepts_and_reads_alike(tmp_path_factory, sound, edits, cut):
    content = bytearray(sound[: len(sound) - cut])
    for place, byte in edits:
        content[place % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "edited"
    path.write_bytes(content)
    try:
        header = read_header(path)
    except CheckpointError:
        return
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    assert {name: (list(entry.shape), entry.dtype) for name, entry in header.entries.items()} == {
        name: (tensor.get_shape(), tensor.get_dtype()) for name, tensor in slices.items()
    }


def test_headers_stores_and_adapters_are_read_without_torch(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    program = (
        "import sys; from pathlib import Path\n"
        "from mergelaw.checkpoints.lora import LoraAdapter, is_adapter\n"
        "from mergelaw.checkpoints.store import TensorStore\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "print(is_adapter(folder), len(TensorStore.open(folder).shapes), 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert result.stdout.split() == [b"False", b"4", b"False"]
