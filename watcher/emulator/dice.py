"""Chance for one thing at a time: the same mixing as `emulator.chance`, in plain integers.

`chance.draws` is made for columns; a page of GraphQL rows is two or three rows of thousands of streams, where numpy
costs ten times the hash itself.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFF_FFFF_FFFF_FFFF


def bits(key: int, index: int = 0) -> int:
    """64 well-mixed bits: SplitMix64's finaliser over key + index x golden ratio."""
    x = (key + index * _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def unit(key: int, index: int = 0) -> float:
    """One number in [0, 1); equals that of `chance.draws`."""
    return (bits(key, index) >> 11) * 2.0**-53


def uuid(key: int) -> str:
    """A version 4 UUID that belongs to `key`."""
    high, low = bits(key, 1), bits(key, 2)
    return (
        f"{high >> 32:08x}-{high >> 16 & 0xFFFF:04x}-4{high & 0xFFF:03x}"
        f"-{low >> 48 & 0x3FFF | 0x8000:04x}-{low & 0xFFFF_FFFF_FFFF:012x}"
    )


def stamp(at: float) -> str:
    """`2020-07-09T09:14:57.530Z`: always with milliseconds (dossier, 2.2)."""
    seconds, millis = divmod(round(at * 1000), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{millis:03d}Z"


def millis(at: float) -> float:
    """To the millisecond, as the APIs print it."""
    return math.floor(at * 1000 + 0.5) / 1000
