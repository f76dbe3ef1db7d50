"""Tables on disk: schema, keys and numbers are checked; equal tables are equal bytes."""

import polars as pl
import pytest

from mergelaw.errors import TableError
from mergelaw.tables import LOSSES, LOSSES_KEY, read_provenance, read_table, write_table

SCHEMA = {"name": pl.String, "k": pl.Int8, "loss": pl.Float64, "items": pl.List(pl.Float64)}
KEY = ("name", "k")
ORIGIN = {"study": "tiny", "versions": '{"torch": "2"}'}


def rows(**columns) -> pl.DataFrame:
    values = {"name": ["a", "b"], "k": [1, 2], "loss": [0.1, 0.2], "items": [[0.1], [0.1, 0.2]]}
    return pl.DataFrame(values | columns, schema=SCHEMA)


def refusal(path, frame, key=KEY) -> str:
    """Return the message of a refused table, which leaves no file."""
    with pytest.raises(TableError) as caught:
        write_table(path, frame, SCHEMA, key, ORIGIN)
    assert list(path.parent.iterdir()) == []
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.parquet"


def test_round_trip_with_columns_in_the_schema_s_order(path):
    write_table(path, rows().select(list(reversed(SCHEMA))), SCHEMA, KEY, ORIGIN)
    back = read_table(path, SCHEMA)
    assert back.columns == list(SCHEMA)
    assert back.equals(rows())
    assert read_provenance(path) == ORIGIN


def test_equal_tables_are_equal_bytes(path, tmp_path):
    write_table(path, rows(), SCHEMA, KEY, ORIGIN)
    write_table(tmp_path / "again", rows(), SCHEMA, KEY, ORIGIN)
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_all_wrong_columns_are_named_at_once(path):
    frame = rows().drop("loss").with_columns(pl.col("k").cast(pl.Int64), colour=pl.lit("red"))
    message = refusal(path, frame)
    assert "3 problems" in message
    assert "lacks column 'loss'" in message
    assert "has an unknown column 'colour'" in message
    assert "column 'k' is Int64, not Int8" in message
    assert str(path) in message


def test_a_key_that_occurs_twice_is_named(path):
    message = refusal(path, rows(name=["a", "a"], k=[1, 1]))
    assert "2 rows for name=a, k=1" in message
    write_table(path, rows(name=["a", "a"]), SCHEMA, KEY, ORIGIN)  # one part alone may repeat


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("column", "make"),
    [
        ("loss", lambda bad: [0.1, bad]),
        ("items", lambda bad: [[0.1], [0.2, bad]]),
    ],
)
def test_a_number_that_is_not_finite_is_refused(path, column, make, bad):
    assert f"column '{column}' has a NaN or infinite number" in refusal(
        path, rows(**{column: make(bad)})
    )


def test_both_a_doubled_key_and_a_nan_are_told(path):
    message = refusal(path, rows(name=["a", "a"], k=[1, 1], loss=[0.1, float("nan")]))
    assert "2 problems" in message


def test_losses_are_keyed_by_order_and_mask_seed():
    frame = pl.DataFrame(
        [
            {
                "size": "s",
                "method": "m",
                "order": order,
                "mask_seed": seed,
                "accumulate": "float32",
                "domain": "d",
            }
            for order in ("a+b", "b+a")
            for seed in (0, 1)
        ]
    )
    assert frame.select(LOSSES_KEY).is_unique().all()
    assert set(LOSSES_KEY) <= set(LOSSES)


def test_reading_refuses_in_words(path):
    with pytest.raises(TableError, match="is missing"):
        read_table(path, SCHEMA)
    write_table(path, rows(), SCHEMA, KEY, ORIGIN)
    whole = path.read_bytes()
    for broken in (b"", b"not parquet", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(TableError, match="is not a readable parquet file"):
            read_table(path, SCHEMA)


def test_reading_refuses_another_table(path):
    write_table(path, rows(), SCHEMA, KEY, ORIGIN)
    with pytest.raises(TableError, match="lacks column 'size'"):
        read_table(path, LOSSES)
