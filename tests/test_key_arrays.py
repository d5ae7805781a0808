"""Keys as an array are the keys one by one, whatever is asked of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from fstore.online.key_arrays import NumberKeys, begins, digests, keys_of, together
from fstore.online.key_bytes import WHOLE_NUMBERS, KeyCodec

NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2), max_size=20)


@given(NUMBERS, st.none() | st.binary(min_size=8, max_size=8))
def test_an_array_is_as_the_list(numbers: list[int], last: bytes | None) -> None:
    keys = NumberKeys(np.array(numbers, "<i8"))
    one_by_one = KeyCodec(("BIGINT",)).encode_columns([numbers], len(numbers))
    assert list(keys) == one_by_one
    assert [keys[place] for place in range(len(keys))] == one_by_one
    assert list(keys[1:]) == one_by_one[1:]
    assert digests(keys).tolist() == [xxh3_64_intdigest(key) for key in keys]
    assert digests(list(keys)).tolist() == digests(keys).tolist()
    for before in (last, keys[0] if numbers else None):
        assert begins(keys, before).tolist() == begins(list(keys), before).tolist()
    assert bytes(together(keys)) == together(list(keys))


@pytest.mark.parametrize("kind", sorted(WHOLE_NUMBERS))
def test_a_whole_number_of_any_width(kind: str) -> None:
    arrow = {"TINYINT": pa.int8(), "UTINYINT": pa.uint8(), "BIGINT": pa.int64()}.get(kind)
    column = pa.array([7, 7, 1], arrow or pa.int32())
    keys = keys_of(KeyCodec((kind,)), [column], 3)
    assert isinstance(keys, NumberKeys)
    assert list(keys) == [key.to_bytes(8, "little") for key in (7, 7, 1)]


def test_other_keys_come_one_by_one() -> None:
    text, number = pa.array(["a", "b"]), pa.array([1, 2])
    assert keys_of(KeyCodec(("VARCHAR",)), [text], 2) == [b"a", b"b"]
    assert keys_of(KeyCodec(("BIGINT", "BIGINT")), [number, number], 2)[0] == bytes(
        [1, *[0] * 7] * 2
    )
    assert keys_of(KeyCodec(("DOUBLE",)), [pa.array([1.0, float("nan")])], 2)[1] == b""
    assert keys_of(KeyCodec(("BIGINT",)), [pa.array([None, 5])], 2)[0] == b""
    assert keys_of(KeyCodec(()), [], 2) == [b"", b""]
