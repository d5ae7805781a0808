"""Values keep their kind on the way from Arrow to pandas (T7)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from fstore.frames import arrow_to_pandas


def frame_of(select: str, **options: object) -> pd.DataFrame:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return arrow_to_pandas(connection.sql(select).to_arrow_table(), **options)


def test_integers_and_booleans_are_always_nullable() -> None:
    frame = frame_of(
        "SELECT 1::TINYINT AS a, 2::SMALLINT AS b, 3 AS c, 4::BIGINT AS d,"
        " 5::UBIGINT AS e, true AS f"
    )
    assert [kind.name for kind in frame.dtypes] == [
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "UInt64",
        "boolean",
    ]


def test_a_null_leaves_big_integers_exact() -> None:
    frame = frame_of("FROM (VALUES (9007199254740993), (NULL)) AS t(n)")
    assert frame["n"][0] == 9007199254740993
    assert frame["n"][1] is pd.NA


def test_hugeints_are_integers_of_64_bits_where_they_fit() -> None:
    frame = frame_of("SELECT SUM(n) AS total FROM (VALUES (1), (2)) AS t(n)")
    assert frame["total"].dtype.name == "Int64"
    assert frame["total"][0] == 3


def test_hugeints_that_do_not_fit_are_pythons_integers() -> None:
    frame = frame_of("FROM (VALUES (170141183460469231731687303715::HUGEINT), (NULL)) AS t(n)")
    assert frame["n"].tolist() == [170141183460469231731687303715, None]


def test_decimals_of_38_digits_stay_decimals_when_the_hugeints_are_named() -> None:
    frame = frame_of("SELECT 1::DECIMAL(38,0) AS d, 1::HUGEINT AS h", hugeints=["h"])
    assert frame["d"][0] == Decimal(1)
    assert isinstance(frame["d"][0], Decimal)
    assert frame["h"].dtype.name == "Int64"


def test_decimals_lists_structs_and_maps() -> None:
    frame = frame_of(
        "SELECT 1.50::DECIMAL(10,2) AS d, [[1, 2], NULL] AS l, {'a': [1], 'b': 'x'} AS s,"
        " MAP {'k': 1} AS m, [1, 2]::INTEGER[2] AS r, union_value(k := 1) AS u"
    )
    row = frame.iloc[0].to_dict()
    assert row == {
        "d": Decimal("1.50"),
        "l": [[1, 2], None],
        "s": {"a": [1], "b": "x"},
        "m": {"k": 1},
        "r": [1, 2],
        "u": 1,
    }


def test_timestamps_keep_their_unit_and_zone() -> None:
    frame = frame_of(
        "SELECT TIMESTAMP '2013-01-01 00:00:00.123456' AS naive,"
        " TIMESTAMPTZ '2013-01-01 05:00:00+05' AS aware, DATE '2013-01-01' AS day,"
        " TIMESTAMP_NS '2013-01-01 00:00:00.123456789' AS fine"
    )
    assert frame["naive"].dtype == "datetime64[us]"
    assert str(frame["aware"].dtype) == "datetime64[us, UTC]"
    assert frame["aware"][0] == datetime(2013, 1, 1, tzinfo=UTC)
    assert frame["day"][0] == date(2013, 1, 1)
    assert frame["fine"][0].nanosecond == 789


def test_no_warning_and_no_loss_on_far_and_infinite_times() -> None:
    frame = frame_of("SELECT TIMESTAMP 'infinity' AS t, TIMESTAMP '9999-12-31' AS u")
    assert frame["u"][0] == pd.Timestamp("9999-12-31")


@pytest.mark.parametrize("rows", [0, 2])
def test_text_enums_and_all_null_columns(rows: int) -> None:
    frame = frame_of(
        "SELECT 'x' AS t, 'a'::ENUM('a', 'b') AS e, NULL AS n, "
        f"INTERVAL 1 DAY AS i, '\\xAA'::BLOB AS b FROM range({rows})"
    )
    assert len(frame) == rows
    assert frame["e"].dtype == "category"
    assert frame["t"].dtype == "str"


def test_odd_names_and_no_columns() -> None:
    odd = pa.table({"a b": [1], "sélect": [2], "": [3]})
    assert list(arrow_to_pandas(odd).columns) == ["a b", "sélect", ""]
    assert len(arrow_to_pandas(pa.table({"x": [1, 2]}).select([]))) == 2
