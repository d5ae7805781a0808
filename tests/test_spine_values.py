"""Values in a table given as spine that can be no key or request field: refused, with the row."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import fstore
from fstore.online.keys import KeyType, NotAKeyError
from tests.harness import View, make_project, on_demand

META = {"entities": {"user": "k"}, "event_timestamp": "t"}
T = datetime(2024, 1, 2)
UUID = "abcdef12-3456-7890-abcd-ef1234567890"
KEYS = {
    "DATE": "2024-01-01",
    "TIMESTAMP": "2024-01-01 02:00:00",
    "TIMESTAMP_S": "2024-01-01 02:00:00",
    "TIMESTAMP_MS": "2024-01-01 02:00:00",
    "TIMESTAMP_NS": "2024-01-01 02:00:00",
    "TIMESTAMP WITH TIME ZONE": "2024-01-01 02:00:00+00",
    "UUID": UUID,
    "TIME": "10:00:00",
    "BIGINT": "7",
    "HUGEINT": "7",
    "DOUBLE": "7",
}
FORMS = (
    *("2024-01-01", "2024-1-1", "20240101", "2024-W01-1", "2024/01/01", " 2024-01-01", "epoch"),
    *("2024-01-01 05:00", "2024-01-01T05:00", "2024-01-01T05", "2024-01-01x05:00", "2024-02-30"),
    *(
        "2024-01-01T00:00:00",
        "2024-01-01 00:00",
        "2024-01-01 00:00:00.000",
        "infinity",
        "0000-01-01",
    ),
    *("2024-01-01 02:00:00.1", "2024-01-01 02:00:00.1239", "2024-01-01 02:00:00.123456000"),
    *("2024-01-01 02:00:00.1234567", "2024-01-01 02:00:00,5", "2024-01-01 24:00:00"),
    *("2024-01-01T02:00:00+02:00", "2024-01-01T02:00:00Z", "2024-01-01T02:00:00+0230"),
    *("2024-01-01T02:00:00-11", "2024-01-01T02:00+02:00:30", "2024-01-01T02:00:00 +02:00"),
    *(
        "2024-01-01T02:00:00+25:00",
        "0001-01-01T00:00:00+05:00",
        "2024-01-01T02:00:00.",
        "٢٠٢٤-01-01",
    ),
    *(UUID, UUID.upper(), UUID.replace("-", ""), f"urn:uuid:{UUID}", f"{{{UUID}}}", f" {UUID}"),
    *("abcd-ef123456-7890-abcd-ef1234567890", "x", ""),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> fstore.FeatureStore:
    views = [
        View(
            kind.split()[-1].lower(),
            {"k": kind, "t": "TIMESTAMP", "x": "BIGINT"},
            [(value, "2024-01-01 00:00:00", 10)],
            META,
        )
        for kind, value in KEYS.items()
    ]
    fields = {"n": "integer", "d": "decimal(4, 2)", "f": "float", "h": "hugeint"}
    sql = "select n as n2, d as d2, f as f2, h as h2 from inputs"
    od = on_demand("od", sql, inputs=["bigint:x"], request=fields)
    return fstore.FeatureStore(make_project(tmp_path_factory.mktemp("values") / "p", [*views, od]))


def table(values: Any) -> pa.Table:
    return pa.table({"k": values, "event_timestamp": [T] * len(values)})


def refused(store: fstore.FeatureStore, kind: str, values: Any) -> str:
    spine = values if hasattr(values, "columns") else table(values)
    with pytest.raises(fstore.SpineError) as caught:
        store.get_historical_features(spine, [f"{kind.split()[-1].lower()}:x"])
    return str(caught.value)


def found(store: fstore.FeatureStore, kind: str, values: Any) -> list[Any]:
    spine = values if hasattr(values, "columns") else table(values)
    job = store.get_historical_features(spine, [f"{kind.split()[-1].lower()}:x"])
    return job.to_arrow().column("x").to_pylist()


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@pytest.mark.parametrize(
    "kind", [kind for kind, value in KEYS.items() if value != "7" and kind != "TIME"]
)
def test_text_that_passes_is_the_key_that_it_is_online(
    store: fstore.FeatureStore, duck: duckdb.DuckDBPyConnection, kind: str
) -> None:
    passing = []
    for text in FORMS:
        online: Any
        try:
            online = KeyType(kind).read(text)
        except NotAKeyError:
            online = None
        cast = f"TRY_CAST(? AS {kind})"
        if kind == "TIMESTAMP_NS":  # Python's own client has no nanoseconds
            cast = f"epoch_ns({cast})"
            online = None if online is None else pd.Timestamp(online).value
        row = duck.execute(f"SELECT {cast}", [text]).fetchone()
        assert row is not None
        engine = str(row[0]) if isinstance(row[0], uuid.UUID) else row[0]
        try:
            found(store, kind, [text])
        except fstore.SpineError:
            continue
        passing.append(text)
        assert engine == online, text
    assert len(passing) >= 3
    assert KEYS["UUID"] in passing or "2024-01-01" in passing


def test_the_sentence_about_text(store: fstore.FeatureStore) -> None:
    for kind, text, form in (
        ("DATE", "20240101", "2024-01-31"),
        ("DATE", "2024-01-01 05:00", "2024-01-31"),
        (
            "TIMESTAMP",
            "2024-01-01T02:00:00+02:00",
            "2024-01-31 12:00:00, in UTC and without an offset",
        ),
        (
            "TIMESTAMP_S",
            "2024-01-01 02:00:00.5",
            "2024-01-31 12:00:00, in UTC and without an offset",
        ),
        ("TIMESTAMP WITH TIME ZONE", "2024-W01-1", "2024-01-31 12:00:00+00:00"),
        ("UUID", f"urn:uuid:{UUID}", "123e4567-e89b-12d3-a456-426614174000"),
    ):
        name = kind.split()[-1].lower()
        assert refused(store, kind, [None, KEYS[kind], text, text]) == (
            f"entity_df column k has the value '{text}', which is no {kind}, the type of join key "
            f"k of {name} (models/{name}.sql). It is in row 2, counted from 0: write it as {form}."
        )
    texts = pa.array([None, "x"])
    for values in (
        *(texts.cast(kind) for kind in (pa.string(), pa.large_string(), pa.string_view())),
        texts.dictionary_encode(),
        pd.DataFrame({"k": [None, "x"], "t": T}),
        pd.DataFrame({"k": pd.Categorical([None, "x"]), "t": T}),
        pl.DataFrame({"k": [None, "x"], "t": T}),
        pl.DataFrame({"k": [None, "x"], "t": T}, schema_overrides={"k": pl.Categorical}),
    ):
        said = refused(store, "DATE", values)
        assert said.startswith("entity_df column k has the value 'x', which is no DATE")
        assert "It is in row 1" in said


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Asia/Kolkata"])
def test_instants_are_days_at_midnight_in_utc_alone(
    store: fstore.FeatureStore, unit: str, zone: str | None
) -> None:
    kind = pa.timestamp(unit, zone)
    days = pa.array([datetime(2024, 1, 1), None, datetime(1969, 12, 31)], kind)
    assert found(store, "DATE", days) == [10, None, None]
    for at in (datetime(2024, 1, 1, 0, 0, 1), datetime(1969, 12, 31, 23, 59, 59)):
        said = refused(store, "DATE", pa.array([None, at], kind))
        assert ", which is no DATE" in said
        assert "give the day alone, in UTC" in said


def test_text_finds_its_key(store: fstore.FeatureStore) -> None:
    assert found(store, "DATE", ["2024-01-01", "2024-01-01T00:00:00", None]) == [10, 10, None]
    assert found(store, "TIMESTAMP", ["2024-01-01T02:00", "2024-01-01 02:00:00.000"]) == [10, 10]
    zoned = ["2024-01-01T04:00:00+02:00", "2024-01-01 02:00:00Z", "2024-01-01 02:00"]
    assert found(store, "TIMESTAMP WITH TIME ZONE", zoned) == [10, 10, 10]
    assert found(store, "UUID", [UUID.upper(), UUID.replace("-", "")]) == [10, 10]


@pytest.mark.parametrize("kind", ["BIGINT", "HUGEINT"])
def test_numbers_that_are_no_integer(store: fstore.FeatureStore, kind: str) -> None:
    whole = f"which is no {kind}, the type of join key k of {kind.lower()} "
    row = "It is in row 1, counted from 0: give whole numbers."
    for value, shown in (
        (2.5, "2.5"),
        (float("inf"), "inf"),
        (Decimal("2.5"), "2.5"),
    ):
        said = refused(store, kind, pd.DataFrame({"k": [type(value)(7), value], "t": [T, T]}))
        assert said.startswith(f"entity_df column k has the value {shown}, {whole}")
        assert said.endswith(row)
    for frame in (
        pd.DataFrame({"k": [7, 2**53 + 1, None], "t": [T] * 3}),
        pl.DataFrame({"k": [7.0, 2.0**53, None], "t": [T] * 3}),
    ):
        assert refused(store, kind, frame) == (
            "entity_df column k has the value 9007199254740992.0, which as a float stands for more "
            f"than one whole number, and so for no {kind}, the type of join key k of "
            f"{kind.lower()} (models/{kind.lower()}.sql). It is in row 1, counted from 0: give the "
            "column as integers, in pandas of the dtype Int64."
        )
    assert "stands for more" in refused(store, kind, pa.array([7.0, 2**24], pa.float32()))
    small = pa.array([7.0, 2**24 - 1, None], pa.float32())
    assert found(store, kind, small) == [10, None, None]
    exact = pd.DataFrame({"k": pd.array([7, 2**53 + 1, None], "Int64"), "t": [T] * 3})
    assert found(store, kind, exact) == [10, None, None]
    assert found(store, kind, [7.0, 2.0**53 - 1, float("nan")]) == [10, None, None]
    assert found(store, kind, [Decimal("7.0"), Decimal(8), None]) == [10, None, None]
    assert found(store, "DOUBLE", [7.0, 2.0**53, float("inf")]) == [10, None, None]


def test_integers_beyond_64_bits(store: fstore.FeatureStore) -> None:
    frame = pd.DataFrame({"k": [7, 10**30, None], "t": [T] * 3})
    assert found(store, "HUGEINT", frame) == [10, None, None]
    assert found(store, "BIGINT", frame) == [10, None, None]
    polars = pl.DataFrame({"k": [10**30, 7, None], "t": [T] * 3})
    assert found(store, "BIGINT", polars) == [None, 10, None]
    for longer in (
        pd.DataFrame({"k": [10**38], "t": [T]}),
        pl.DataFrame({"k": [10**38], "t": [T]}),
    ):
        with pytest.raises(fstore.SpineError) as caught:
            store.get_historical_features(longer, ["bigint:x"])
        assert str(caught.value) == (
            "entity_df column k cannot be read: it holds an integer of more than 38 digits."
        )


@pytest.mark.parametrize(
    ("name", "values", "kind", "shown", "remedy"),
    [
        ("n", [1, 2**31], "INTEGER", str(2**31), "give one in its range"),
        ("n", [1, 10**30], "INTEGER", str(10**30), "give one in its range"),
        ("n", [1.0, 1e300], "INTEGER", "1e+300", "give one in its range"),
        ("n", [1.0, float("inf")], "INTEGER", "inf", "give whole numbers"),
        ("n", [1.0, 1.5], "INTEGER", "1.5", "give whole numbers"),
        ("n", [Decimal(1), Decimal("1.5")], "INTEGER", "1.5", "give whole numbers"),
        ("d", [1.0, 100.0], "DECIMAL(4,2)", "100.0", "give one in its range"),
        ("f", [1.0, 1e300], "FLOAT", "1e+300", "give one in its range"),
        ("h", [1.0, 1e300], "HUGEINT", "1e+300", "give one in its range"),
    ],
)
def test_request_fields_beyond_their_types(
    store: fstore.FeatureStore, name: str, values: list[Any], kind: str, shown: str, remedy: str
) -> None:
    frame = pd.DataFrame({"k": [7, 7], "t": [T, T], "n": 1, "d": 1.0, "f": 1.0, "h": 1})
    with pytest.raises(fstore.SpineError) as caught:
        store.get_historical_features(frame.assign(**{name: values}), ["od:*"])
    assert str(caught.value) == (
        f"entity_df column {name} has the value {shown}, which is no {kind}, the type of the "
        f"request field {name} of od (models/od.yml). It is in row 1, counted from 0: {remedy}."
    )
    fitting = frame.assign(n=[float("nan"), 2.0], f=[float("inf"), float("nan")])
    assert store.get_historical_features(fitting, ["od:*"]).to_arrow().num_rows == 2


def test_times_of_day_of_every_library(store: fstore.FeatureStore) -> None:
    for library in (pd, pl):
        frame = library.DataFrame({"k": [time(10), time(11)], "t": [T] * 2})
        assert found(store, "TIME", frame) == [10, None]
