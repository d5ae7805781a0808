"""Finds many keys of an image at once, by numpy: one call for all keys at each step of the search.

Most keys lie in one of the first few slots from their own place on, so that looking at those alone
finds nearly all. What is found so is verified; what is not is looked for one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from xxhash import xxh3_64_intdigest

from fstore.online.image import Image

_NEAR = 4  # slots: half a cache line

# Keys to the first record of each, copied, as an array of Layout.dtype, and its number. Where the
# number is -1 the image has none, and the record is another key's.
Gather = Callable[[Sequence[bytes]], tuple[np.ndarray, np.ndarray]]


def gatherer(image: Image) -> Gather | None:
    """Return the function from keys to their first records; None where the image has no record."""
    layout, content, records, find = image.layout, image.content, image.records, image.finder()
    if not len(records):
        return None
    dtype, width, shift = layout.dtype, layout.key.size, np.uint64(image.shift)
    near = min(_NEAR, len(image.slots))
    last = len(image.slots) - near
    size = image.slots.itemsize
    runs = np.ndarray(last + 1, f"V{near * size}", image.slots, strides=size)  # overlapping

    def gather(keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        count = len(keys)
        digests = np.fromiter(map(xxh3_64_intdigest, keys), np.uint64, count)
        homes = np.minimum((digests >> shift).view(np.int64), last)
        halves = runs[homes].view("<u4").reshape(count, near, 2)  # 1 + the record, the tag
        chosen = (halves[:, :, 1] == digests.astype("<u4")[:, None]).argmax(1)
        numbers = halves[np.arange(count), chosen, 0].astype(np.int64) - 1
        # An empty slot stands for no record: the first one does instead, for its key differs.
        found = records.take(numbers, mode="clip").view(dtype)
        wrong = differing(found["key"], keys).nonzero()[0]
        if len(wrong):
            numbers[wrong] = -1
            for place, slot in zip(wrong.tolist(), halves[wrong, 0, 0].tolist(), strict=True):
                if slot and (record := find(keys[place])) >= 0:
                    numbers[place] = image.number_of(record)
                    found[place] = records[numbers[place]].view(dtype)
        return found, numbers

    def differing(found: np.ndarray, keys: Sequence[bytes]) -> np.ndarray:
        if width is None:
            places = zip(found["offset"].tolist(), found["length"].tolist(), keys, strict=True)
            return np.array([content[at : at + length] != key for at, length, key in places], bool)
        if not width:  # of no entity: there is one key
            return np.zeros(len(keys), bool)
        differs: np.ndarray = found != np.frombuffer(b"".join(keys), found.dtype)
        return differs

    return gather
