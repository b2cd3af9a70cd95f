"""Records as text: JSON bodies of the frozen values of `model`, and back.

msgspec, because it reads a body straight into the dataclass, checks its types while it does, and writes floats so that
they come back bit for bit. A body that does not read (edited by hand, or of a damaged file) is a `StoreError`, never
half a record. Text that has no UTF-8 form (half of a surrogate pair, which vendors' JSON can smuggle in) is replaced by
"?": it must not keep a page from being recorded. JSON has no infinity and no NaN: those become null.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from watcher.errors import StoreError

T = TypeVar("T")


def to_text(value: object) -> str:
    """The JSON of a record."""
    try:
        raw = msgspec.json.encode(value)
    except UnicodeEncodeError:
        raw = msgspec.json.encode(_sayable(msgspec.to_builtins(value)))
    return raw.decode()


def from_text(text: str, kind: type[T]) -> T:
    """The record of a JSON body. Raises `StoreError`."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise StoreError(f"a record of the state cannot be read ({error}): restore the state from a backup") from error


def _sayable(value: Any) -> Any:  # JSON of any shape
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_sayable(key): _sayable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_sayable(inner) for inner in value]
    return value
