"""The values that windows aggregate: as numbers in arrays where they can be, else as bytes.

Numbers are added as integers or doubles, decimals as integers of their last digit. What can be
ordered by an integer is: of a double the bits, turned so that they order as DuckDB orders doubles,
of an ENUM the position of the text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fstore.compile.types import INTEGERS, WIDE, decimal_of
from fstore.online.arrays import array_of, missing
from fstore.online.cells import codec_of
from fstore.online.enums import members_of
from fstore.online.values import EXACT, HUGE

_WHOLE = np.int64(2**63 - 1)
_NAN = float("nan")
_LONG, _DOUBLE = struct.Struct("<q"), struct.Struct("<d")


@dataclass(frozen=True)
class ValueKind:
    """How values of one type are kept. ``dtype`` is None where they are bytes in a heap."""

    type: str  # as DuckDB writes it
    dtype: np.dtype[Any] | None
    number: str | None  # integer, float or decimal; None where it cannot be added in arrays
    is_ordered: bool  # whether :meth:`as_ordered` has an integer for it
    scale: int
    decode: Callable[[Any], Any]  # from a number or bytes to the Python value
    encode: Callable[[pa.Array], Any]  # to an array of dtype, 0 under a NULL; or to bytes
    number_of: Callable[[bytes], int] = int  # of the text that a row holds; only with a dtype

    def from_texts(self, texts: Sequence[bytes]) -> np.ndarray:
        """Return what rows hold as text, empty under a NULL, as an array of dtype."""
        assert self.dtype is not None, "what is kept as bytes stays text"
        return np.array([self.number_of(text) for text in texts], self.dtype)

    def as_sums(self, cells: np.ndarray) -> np.ndarray:
        """Return cells as what is added: int64, or doubles."""
        return cells.astype("<f8" if self.number == "float" else "<i8")

    def as_ordered(self, cells: np.ndarray) -> np.ndarray:
        """Return cells as int64 of the same order; NaN is the greatest, -0.0 is 0.0."""
        if cells.dtype.kind != "f":
            return cells.astype("<i8")
        doubles = cells.astype("<f8") + 0.0
        bits = doubles.view("<i8")
        turned = np.where(bits < 0, bits ^ _WHOLE, bits)
        return np.where(np.isnan(doubles), _WHOLE, turned)

    def as_suffixes(self, ordered: np.ndarray) -> np.ndarray:
        """Return what :meth:`as_ordered` gave as doubles again, or as it is."""
        if self.number != "float":
            return ordered
        return np.where(ordered < 0, ordered ^ _WHOLE, ordered).view("<f8")

    def from_ordered(self, value: int) -> Any:
        """Return the Python value of an integer that :meth:`as_ordered` gave."""
        if self.number != "float":
            return self.decode(value)
        if value == 2**63 - 1:
            return _NAN
        bits = value if value >= 0 else value ^ (2**63 - 1)
        found: float = _DOUBLE.unpack(_LONG.pack(bits))[0]
        return found

    def from_sum(self, value: Any) -> Any:
        """Return the Python value of a sum of what :meth:`as_sums` gave."""
        return EXACT.scaleb(value, -self.scale) if self.number == "decimal" else value

    @cached_property
    def bounds_of_sums(self) -> tuple[int, int] | None:
        """What the sums that their type holds lie between; None of doubles, which hold all."""
        if self.number == "float":
            return None
        decimal = decimal_of(self.type)
        if decimal is None:
            return -(2**63) - 1, 2**63
        beyond: int = 10 ** (38 - decimal[1])
        return -beyond, beyond

    def as_double(self, value: Any) -> float:
        """Return a sum of what :meth:`as_sums` gave as a double."""
        return float(value) / 10**self.scale if self.scale else float(value)


@lru_cache(maxsize=1024)
def kind_of(kind: str) -> ValueKind:
    """Return how values of a DuckDB type are kept."""
    codec = codec_of(kind)
    decimal = decimal_of(kind)
    if decimal and decimal[0] <= 18:
        scale = decimal[1]
        unscaled, of_text = partial(_unscaled, scale), partial(_unscaled_text, scale)
        decode = partial(_scaled, scale)
        return ValueKind(kind, np.dtype("<i8"), "decimal", True, scale, decode, unscaled, of_text)
    if members := members_of(kind):
        places = {member.encode(): place for place, member in enumerate(members)}
        positions = partial(_positions, pa.array(members, pa.string()))
        return ValueKind(
            kind,
            np.dtype("<u4"),
            None,
            True,
            0,
            members.__getitem__,
            positions,
            lambda text: places.get(text, 0),
        )
    if codec.code is None:
        as_is: Callable[[Any], Any] = codec.decode or bytes
        return ValueKind(kind, None, None, False, 0, as_is, partial(_bytes, codec.encode))
    dtype = np.dtype(f"<{codec.code}") if codec.code != "?" else np.dtype("?")
    number = None
    if kind in ("FLOAT", "DOUBLE"):
        number = "float"
    elif kind in INTEGERS - WIDE or kind == "BOOLEAN":
        number = "integer"
    decode_number = bool if kind == "BOOLEAN" else codec.decode or _same
    is_ordered = kind not in HUGE and kind != "UBIGINT"
    encode = partial(_numbers, codec.encode, dtype)
    return ValueKind(kind, dtype, number, is_ordered, 0, decode_number, encode)


def _same(value: Any) -> Any:
    return value


def _scaled(scale: int, value: int) -> Decimal:
    return EXACT.scaleb(value, -scale)


def _numbers(
    encode: Callable[[pa.Array], pa.Array], dtype: np.dtype[Any], cells: pa.Array
) -> np.ndarray:
    return array_of(encode(cells)).astype(dtype)


def _unscaled(scale: int, cells: pa.Array) -> np.ndarray:
    """Return decimals as the integers of their last digit."""
    wide = cells.cast(pa.decimal128(38, scale))
    words = np.frombuffer(wide.buffers()[1], "<i8")[2 * wide.offset :][: 2 * len(wide) : 2].copy()
    if wide.null_count:
        words[missing(wide)] = 0
    return words


def _unscaled_text(scale: int, text: bytes) -> int:
    return int(EXACT.scaleb(Decimal(text.decode() or 0), scale))


def _positions(members: pa.Array, cells: pa.Array) -> np.ndarray:
    """Return where in its ENUM each text is."""
    return array_of(pc.index_in(cells.cast(members.type), members)).astype("<u4")


def _bytes(encode: Callable[[pa.Array], pa.Array], cells: pa.Array) -> list[bytes]:
    encoded = encode(cells)
    return [cell or b"" for cell in encoded.cast(pa.large_binary()).to_pylist()]
