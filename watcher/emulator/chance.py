"""Chance without a state: every number is a hash of what it is about.

So any window can be computed alone, in any order, in constant time, and the same seed gives the same bytes. A seeded
generator was considered: it would have to be wound forward to each window, or its history kept.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from watcher.model import Floats, Ints

_GOLDEN = 0x9E3779B97F4A7C15


@lru_cache(maxsize=4096)  # a request asks for the keys of its metric and channels dozens of times
def key_of(seed: int, *parts: str) -> int:
    """64 bits naming one stream of numbers. Parts may hold any text; their borders count."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (str(seed), *parts):
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return int.from_bytes(digest.digest(), "big")


def draws(keys: npt.ArrayLike, index: Ints) -> Floats:
    """Numbers in [0, 1), one for each pair of key and index; the two shapes broadcast.

    The finaliser of SplitMix64 over key + index x golden ratio: well mixed, and a handful of array operations.
    """
    x = np.asarray(keys, dtype=np.uint64) + index.astype(np.uint64) * np.uint64(_GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    unit: Floats = (x >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return unit
