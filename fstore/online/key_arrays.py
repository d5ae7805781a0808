"""The keys of many rows at once: an array where each is one whole number, else one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import ne
from typing import Any, overload

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from fstore.online.arrays import array_of
from fstore.online.key_bytes import WHOLE_NUMBERS, KeyCodec
from fstore.online.values import to_python

# xxh3's for eight bytes: two words of its secret in one, and its multiplier.
_SECRET, _MULTIPLIER = np.uint64(0xC73AB174C5ECD5A2), np.uint64(0x9FB21C651E98DF25)


class NumberKeys(Sequence[bytes]):
    """The keys of rows whose only join key is a whole number, as :class:`KeyCodec` has them."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = np.ascontiguousarray(numbers, "<i8")

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.numbers.view("V8").tolist())

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> NumberKeys: ...
    def __getitem__(self, place: int | slice) -> bytes | NumberKeys:
        if isinstance(place, slice):
            return NumberKeys(self.numbers[place])
        found: bytes = self.numbers[place].tobytes()
        return found


def keys_of(codec: KeyCodec, columns: Sequence[pa.Array], count: int) -> Sequence[bytes]:
    """Return the keys of ``count`` rows, given the columns of their join keys."""
    if len(codec.types) == 1 and codec.types[0] in WHOLE_NUMBERS and not columns[0].null_count:
        return NumberKeys(array_of(columns[0]))
    values = [
        to_python(pa.chunked_array([column]), kind)
        for column, kind in zip(columns, codec.types, strict=True)
    ]
    return [b"" if key is None else key for key in codec.encode_columns(values, count)]


def begins(keys: Sequence[bytes], last: bytes | None = None) -> np.ndarray:
    """Return at which rows another key begins; ``last`` is that of the row before the first."""
    if not isinstance(keys, NumberKeys):
        return np.fromiter(map(ne, keys, [last, *keys[:-1]]), bool, len(keys))
    found = np.ones(len(keys), bool)
    found[1:] = keys.numbers[1:] != keys.numbers[:-1]
    if len(keys):
        found[0] = keys[0] != last
    return found


def digests(keys: Sequence[bytes]) -> np.ndarray:
    """Return the xxh3 of each key."""
    if not isinstance(keys, NumberKeys):
        return np.fromiter(map(xxh3_64_intdigest, keys), np.uint64, len(keys))
    word = keys.numbers.view("<u8")
    word = _turned(word, 32) ^ _SECRET
    word ^= _turned(word, 49) ^ _turned(word, 24)
    word *= _MULTIPLIER
    word ^= (word >> np.uint64(35)) + np.uint64(8)
    word *= _MULTIPLIER
    return word ^ (word >> np.uint64(28))


def _turned(word: np.ndarray, bits: int) -> np.ndarray:
    found: np.ndarray = (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))
    return found


def together(keys: Sequence[bytes]) -> Any:
    """Return the bytes of all keys, one behind the other."""
    return keys.numbers if isinstance(keys, NumberKeys) else b"".join(keys)
