"""Many keys are read by column and one by itself: both must see the same, whatever a key has."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from xxhash import xxh3_64_intdigest

from fstore.definitions import Column
from fstore.jobs import materialize as jobs
from fstore.jobs import push as push_jobs
from fstore.online.chosen import Cells
from fstore.online.gather import gatherer
from fstore.online.image import Image, image_in_memory
from fstore.online.lookup import _MANY
from fstore.online.records import ALWAYS, Layout, Rows
from tests.harness import View, on_demand
from tests.online import DAY, NOW, Online

FEATURES = {
    "whole": "BIGINT",
    "tiny": "UTINYINT",
    "huge": "HUGEINT",
    "real": "FLOAT",
    "number": "DOUBLE",
    "yes": "BOOLEAN",
    "text": "VARCHAR",
    "mood": "ENUM('good', 'bad')",
    "price": "DECIMAL(10,2)",
    "day": "DATE",
    "zoned": "TIMESTAMPTZ",
    "seconds": "TIMESTAMP_S",
    "ns": "TIMESTAMP_NS",
    "raw": "BLOB",
    "list": "INTEGER[]",
    "tree": "STRUCT(a INTEGER, b VARCHAR)",
}
VALUES: dict[str, Sequence[Any]] = {
    "whole": (0, 2**62, -5),
    "tiny": (0, 255),
    "huge": (0, 2**100),
    "real": (0.5, float("nan")),
    "number": (1e308, -0.0, float("inf")),
    "yes": (True, False),
    "text": ("", "é", "long" * 50),
    "mood": ("good", "bad"),
    "price": (Decimal("1.50"), Decimal("-99999999.99")),
    "day": ("2024-01-02", "infinity"),
    "zoned": ("2024-01-02 03:00:00+01", "-infinity"),
    "seconds": ("2024-01-02 03:04:05",),
    "ns": ("2024-01-02 03:04:05.123456",),
    "raw": (b"\x00\xff", b""),
    "list": ([1, None], []),
    "tree": ({"a": 1, "b": None},),
}
CLOCKS = {"t": "TIMESTAMP", "c": "TIMESTAMP"}
NAIVE = NOW.replace(tzinfo=None)
META = {"event_timestamp": "t", "created_timestamp": "c"}
# The key columns of a view, and what else its meta says.
SHAPES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "whole": ({"k": "BIGINT"}, {"ttl": "5 days"}),
    "text": ({"k": "VARCHAR"}, {}),
    "huge": ({"k": "HUGEINT"}, {"ttl": "2 days"}),
    "pair": ({"a": "INTEGER", "b": "DATE"}, {}),
    "texts": ({"a": "VARCHAR", "b": "SMALLINT"}, {"ttl": "5 days"}),
    "none": ({}, {}),
}
KEYS = 90  # known ones, numbers from 0 on; 20 more are unknown
SIZES = (1, 2, _MANY - 1, _MANY, _MANY + 1, 40, 120)


def key_of(columns: dict[str, str], number: int | None) -> dict[str, Any]:
    """The columns of a key; None is a key with a NULL in it."""
    values = {"BIGINT": number, "VARCHAR": f"key {number}", "HUGEINT": f"{number}"}
    values |= {"INTEGER": number, "SMALLINT": (number or 0) % 7}
    values["DATE"] = NAIVE.date() + timedelta(days=(number or 0) % 3)
    key = {name: values[kind] for name, kind in columns.items()}
    return key if number is not None else key | dict.fromkeys(list(key)[-1:])


def features_of(draw: random.Random, missing: float) -> dict[str, Any]:
    return {
        name: None if draw.random() < missing else draw.choice(values)
        for name, values in VALUES.items()
    }


def row_of(draw: random.Random, key: dict[str, Any], day: float) -> dict[str, Any]:
    """A row of an event so many days from now; it is known before, or a little later."""
    event = NAIVE + day * DAY
    created = event - 30 * DAY if draw.random() < 0.7 else event + draw.choice((0, 1, 2)) * DAY
    return {**key, "t": event, "c": created, **features_of(draw, draw.choice((0, 0.1, 0.5)))}


def as_built(row: dict[str, Any]) -> dict[str, Any]:
    """The row as text that DuckDB can cast, where Python's own would be no such text."""
    texts = {
        "list": {"[1, None]": "[1, NULL]"},
        "tree": {"{'a': 1, 'b': None}": "{'a': 1, 'b': NULL}"},
        "raw": {repr(b"\x00\xff"): "\\x00\\xFF", repr(b""): ""},
    }
    return row | {name: known.get(repr(row[name]), row[name]) for name, known in texts.items()}


def as_pushed(row: dict[str, Any]) -> dict[str, Any]:
    """The row without infinities, which only a source can have."""
    ends = ("infinity", "-infinity")
    return {name: None if value in ends else value for name, value in row.items()}


def days_of(draw: random.Random) -> Sequence[float]:
    """When the events of a key are: most keys have one of the past alone."""
    if draw.random() < 0.75:
        return (draw.choice((-1.25, -0.5)),)
    return draw.sample((-9.5, -4, -1.25, -0.5, 0.75, 2, 4.5), draw.choice((1, 2, 4)))


def history(online: Online, shape: str, draw: random.Random) -> None:
    """Publish rows of the past and of the future, then push and delete."""
    columns, meta = SHAPES[shape]
    numbers = range(KEYS) if columns else [0]
    rows = [
        as_built(row_of(draw, key_of(columns, number), day))
        for number in numbers
        for day in days_of(draw)
    ]
    entities = {"thing": list(columns)} if columns else {}
    kinds = columns | CLOCKS | FEATURES
    online.change([View("stats", kinds, rows, meta=META | {"entities": entities} | meta)])
    online.materialize()
    for number in draw.sample(range(KEYS + 5), 12) if columns else [0]:
        row = row_of(draw, key_of(columns, number), draw.choice((-9, -1, -0.1, 1)))
        online.push([as_pushed(row)])
    if columns:
        for number in draw.sample(range(KEYS + 5), 5):
            delete(online, [key_of(columns, number)])


def delete(online: Online, rows: list[dict[str, Any]]) -> None:
    store = jobs.online_store(online.project)
    push_jobs.delete(online.project, store, "stats", rows, now=online.now)


def requests(columns: dict[str, str], draw: random.Random) -> Iterator[list[dict[str, Any]]]:
    """Keys of each size: mostly known ones, mostly others or those alone, some that are NULL."""
    ranges = (*[(0, KEYS)] * 4, (0, KEYS + 20), (KEYS - 10, KEYS + 20), (KEYS + 5, KEYS + 20))
    for size in SIZES:
        for first, last in ranges:
            drawn: list[int | None] = [draw.randrange(first, last) for _ in range(size)]
            if draw.random() < 0.5:
                drawn[draw.randrange(size)] = None
            yield [key_of(columns, number) for number in drawn]


def one_by_one(online: Online, features: Sequence[str], rows: Sequence[Any]) -> dict[str, Any]:
    answers = [online.get(features, [row]).to_dict(include_metadata=True) for row in rows]
    return {name: [answer[name][0] for answer in answers] for name in answers[0]}


def shown(table: pa.Table) -> str:
    """Every cell; without the text of an ENUM, of which each table has a dictionary of its own."""
    names = [name for name in table.column_names if name != "mood"]
    text: str = table.select(names).to_string(preview_cols=len(names))
    return text


@pytest.mark.parametrize("shape", SHAPES)
def test_many_keys_are_seen_as_each_by_itself(
    shape: str, tmp_path: Path, store_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(shape)
    by_column: list[int] = []
    read = Cells.columns
    monkeypatch.setattr(Cells, "columns", lambda *given: by_column.append(1) or read(*given))
    online = Online(tmp_path, [])
    history(online, shape, draw)
    for rows in requests(SHAPES[shape][0], draw):
        online.now = NOW + draw.choice((0, 0, 0, 1, 3, 6)) * DAY
        some = [f"stats:{name}" for name in draw.sample(list(FEATURES), draw.randint(1, 6))]
        asked = draw.choice((["stats:*"], ["stats:whole", "stats:number", "stats:yes"], some))
        together = online.get(asked, rows)
        # As text: NaN is not equal to itself.
        assert repr(together.to_dict(True)) == repr(one_by_one(online, asked, rows))
        alone = shown(online.get(asked, rows[:1]).to_arrow(True))
        assert alone == shown(together.to_arrow(True).slice(0, 1))
        plain = together.to_dict()
        assert repr(plain) == repr({name: together.to_dict(True)[name] for name in plain})
    assert store_kind != "duckdb" or not SHAPES[shape][0] or len(by_column) >= 5


@pytest.mark.usefixtures("store_kind")
def test_rows_of_a_snapshot_end_one_by_one(tmp_path: Path) -> None:
    dbt = {"dbt_valid_from": "TIMESTAMP", "dbt_valid_to": "TIMESTAMP"}
    dbt |= {"dbt_scd_id": "VARCHAR", "dbt_updated_at": "TIMESTAMP"}
    rows = [
        [key, key * 10, NAIVE - DAY, NAIVE + key * DAY if key % 3 else None, str(key), NAIVE - DAY]
        for key in range(-5, 60)
    ]
    columns = {"k": "BIGINT", "x": "INTEGER", **dbt}
    meta = {"entities": {"thing": "k"}}
    online = Online(tmp_path, [View("stats", columns, rows, meta=meta, snapshot=True)])
    online.materialize()
    asked = [{"k": key} for key in range(-5, 60)]
    for days in (0, 1, 7, 50):
        online.now = NOW + days * DAY
        found = online.get(["stats:x"], asked).to_dict(True)
        assert found == one_by_one(online, ["stats:x"], asked)
        assert found["x"] == [
            None if key % 3 and key <= days else key * 10 for key in range(-5, 60)
        ]


@pytest.mark.usefixtures("store_kind")
def test_windows_and_features_on_demand_beside_columns(tmp_path: Path) -> None:
    events = [
        {"k": key, "i": hour, "t": NAIVE - hour * DAY / 24, "x": None if hour == 5 else key + hour}
        for key in range(50)
        for hour in range(1, 2 + key % 9)
    ]
    meta = {
        "entities": {"thing": "k"},
        "event_timestamp": "t",
        "event_key": "i",
        "aggregations": [
            {"column": "x", "functions": ["sum", "count", "max"], "windows": ["3 hours", "1 day"]}
        ],
    }
    stats = View("stats", {"k": "BIGINT", "i": "BIGINT", "t": "TIMESTAMP", "x": "INTEGER"}, events,
                 meta=meta)  # fmt: skip
    computed = on_demand(
        "computed",
        "select x * 2 as twice, stats__event_timestamp as seen from inputs",
        inputs=["stats:x"],
    )
    online = Online(tmp_path, [stats, computed])
    online.materialize()
    online.push([{"k": 7, "i": 99, "t": NAIVE - DAY / 48, "x": 1000}])
    asked = ["stats:x_sum_3h", "computed:*", "stats:x", "stats:x_count_1d", "stats:x_max_1d"]
    for size in SIZES:
        rows = [{"k": key % 57 if key % 11 else None} for key in range(size)]
        together = online.get(asked, rows).to_dict(True)
        assert together == one_by_one(online, asked, rows)


def image_of(keys: Sequence[bytes], size: int | None = 8) -> Image:
    layout = Layout(("BIGINT",) if size else ("VARCHAR",), (Column("x", "BIGINT"),))
    count = len(keys)
    times = np.zeros(count, np.int64)
    rows = Rows(
        keys, times, times, times + ALWAYS, times.astype(np.uint32), [pa.array(range(count))]
    )
    return image_in_memory(layout, [rows], count)


def crowded(count: int, bits: int) -> list[bytes]:
    """Keys that all have their place in the first of 2**bits slots."""
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        key = number.to_bytes(8, "little")
        if xxh3_64_intdigest(key) >> (64 - bits) == 0:
            found.append(key)
        number += 1
    return found


@pytest.mark.parametrize(
    "keys",
    [
        *([number.to_bytes(8, "little") for number in range(count)] for count in (1, 2, 3, 9, 500)),
        crowded(30, 6),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [8, None])
def test_what_is_gathered_is_what_is_found(keys: list[bytes], size: int | None) -> None:
    image = image_of(keys, size)
    gather, find = gatherer(image), image.finder()
    assert gather is not None
    asked = [*keys, *(number.to_bytes(8, "little") for number in range(10_000, 10_100))]
    records, numbers = gather(asked)
    for place, key in enumerate(asked):
        at, number = find(key), int(numbers[place])
        assert at == (image.offset_of(number) if number >= 0 else -1)
        if number >= 0:
            record = records[place : place + 1].tobytes()
            assert record == image.content[at : at + image.layout.size]


def test_an_image_without_rows_gathers_nothing() -> None:
    assert gatherer(image_of([])) is None
