"""The index image of a key-value file: what reads go through, shared between processes.

    header    magic, format, whose layout, where things are
    records   every row of the view, in order of key and E (fstore.online.records)
    heap      what the records refer to
    slots     a hash table from key to record: 8 bytes a slot, about two slots a key

A slot is 0, or the low half of a key's hash and 1 + the number of its first record. Slots lie in
the order of the keys' hashes, from the place on that the hash's upper bits say: a search walks from
there to the first empty slot. The file is mapped into memory and never written again, so processes
share one copy of it, a fork included.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from zlib import crc32

import numpy as np
from xxhash import xxh3_64_intdigest

from fstore.disk import put
from fstore.online.key_arrays import begins, digests
from fstore.online.records import REFERENCE, Layout, Rows

_MAGIC, _FORMAT = b"fstoreix", 1
# magic, format, check of the layout, bits of the hash, offset of the slots, length
_HEADER = struct.Struct("<8sIIIQQ")
_START = 64  # where the records begin
_TAG = 2**32 - 1


class NotAnImageError(ValueError):
    """The bytes are no image of this layout, or not a whole one."""


@dataclass(frozen=True)
class Image:
    """An image in memory. Any thread may read it, also after a fork."""

    layout: Layout
    content: Any  # a map of the file, or bytes
    slots_at: int
    shift: int

    @classmethod
    def open(cls, path: Path, layout: Layout) -> Image:
        """Map the image; NotAnImageError or OSError where that cannot be."""
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < _START:
                raise NotAnImageError(f"{path} is too short")
            content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        return cls.of(content, layout)

    @classmethod
    def of(cls, content: Any, layout: Layout) -> Image:
        magic, version, check, bits, slots_at, length = _HEADER.unpack_from(content)
        if magic != _MAGIC or version != _FORMAT or length != len(content):
            raise NotAnImageError("not a whole image of this format")
        if check != _check(layout):
            raise NotAnImageError("an image of other columns")
        return cls(layout, content, slots_at, 64 - bits)

    @cached_property
    def slots(self) -> memoryview:
        return memoryview(self.content)[self.slots_at :].cast("Q")

    @cached_property
    def records(self) -> np.ndarray:
        """The records, each as bytes. What lies behind the last one is no record."""
        size = self.layout.size
        count = (self.slots_at - _START) // size
        return np.frombuffer(self.content, f"V{size}", count, _START)

    def offset_of(self, number: int) -> int:
        """Return where the record of a number, from 0 on, begins."""
        return _START + number * self.layout.size

    def number_of(self, offset: int) -> int:
        """Return the number of the record that begins there."""
        return (offset - _START) // self.layout.size

    def finder(self) -> Callable[[bytes | None], int]:
        """Return the function from a key to its first record's offset; -1 where it has none."""
        slots, content, shift = self.slots, self.content, self.shift
        size, key_at, width = self.layout.size, self.layout.key_at, self.layout.key.size
        start, reference = _START - size, REFERENCE.unpack_from

        def find(key: bytes | None) -> int:
            if key is None:
                return -1
            digest = xxh3_64_intdigest(key)
            tag, place = digest & _TAG, digest >> shift
            while slot := slots[place]:
                if slot >> 32 == tag:
                    record = start + (slot & _TAG) * size
                    at = record + key_at
                    if width is not None:
                        if content[at : at + width] == key:
                            return record
                    else:
                        offset, length = reference(content, at)
                        if content[offset : offset + length] == key:
                            return record
                place += 1
            return -1

        return find

    def rank_seen(self, record: int, instant: int) -> tuple[int, int] | None:
        """Return (E, A) of the row to see at an instant, of the key whose first record this is."""
        return self.layout.rank_seen(self.content, instant, record)


def _check(layout: Layout) -> int:
    return crc32(repr(layout).encode())


def write_image(path: Path, layout: Layout, batches: Iterable[Rows], rows: int) -> int:
    """Write the image of ``rows`` rows, the rows of a key in order of E; return how many keys."""
    with path.open("w+b") as file:
        keys = _write(file.fileno(), layout, batches, rows)
        os.fsync(file.fileno())
    return keys


def image_in_memory(layout: Layout, batches: Iterable[Rows], rows: int) -> Image:
    """Return the same image without a file, for a folder that has none and cannot be written."""
    with TemporaryFile() as file:
        _write(file.fileno(), layout, batches, rows)
        return Image.of(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), layout)


def _write(descriptor: int, layout: Layout, batches: Iterable[Rows], rows: int) -> int:
    hashes, firsts = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    done, key = 0, None
    heap_end = _START + rows * layout.size
    for batch in batches:
        block = layout.pack(batch, heap_end)
        put(descriptor, block.records, _START + done * layout.size)
        put(descriptor, block.heap, heap_end)
        heap_end += len(block.heap)
        starts = begins(batch.keys, key)
        hashes.append(digests(batch.keys)[starts])
        firsts.append(np.flatnonzero(starts).astype(np.uint64) + np.uint64(done))
        done += len(batch.keys)
        key = batch.keys[-1] if batch.keys else key
    if done != rows:
        raise ValueError(f"{rows} rows were announced, and {done} came")
    first, hashed = np.concatenate(firsts), np.concatenate(hashes)
    _count_followers(descriptor, layout, first, rows)
    bits = max(1, (2 * len(first) - 1).bit_length()) if len(first) else 1
    slots = _slots(hashed, first, bits)
    slots_at = -(-heap_end // 8) * 8
    put(descriptor, slots.tobytes(), slots_at)
    length = slots_at + slots.nbytes
    header = (_MAGIC, _FORMAT, _check(layout), bits, slots_at, length)
    put(descriptor, _HEADER.pack(*header), 0)
    return len(first)


def _count_followers(descriptor: int, layout: Layout, firsts: np.ndarray, rows: int) -> None:
    runs = np.diff(np.append(firsts, np.uint64(rows)))
    at = layout.followers_at + _START
    for first, run in zip(firsts[runs > 1].tolist(), runs[runs > 1].tolist(), strict=True):
        for place in range(run - 1):
            record = at + (first + place) * layout.size
            put(descriptor, (run - 1 - place).to_bytes(4, "little"), record)


def _slots(hashes: np.ndarray, firsts: np.ndarray, bits: int) -> np.ndarray:
    """Return the table. In order of hash, each key is as near behind its own place as it can be."""
    order = np.argsort(hashes)
    hashes, firsts = hashes[order], firsts[order]
    homes = (hashes >> np.uint64(64 - bits)).astype(np.int64)
    crowd = np.arange(len(homes))
    places = np.maximum.accumulate(homes - crowd) + crowd if len(homes) else homes
    end = max(int(places[-1]) + 1 if len(places) else 0, 1 << bits)
    slots = np.zeros(end + 1, np.uint64)  # an empty one at the end stops every search
    slots[places] = ((hashes & np.uint64(_TAG)) << np.uint64(32)) | (firsts + np.uint64(1))
    return slots
