"""Secrets as a masked type: a `Secret` prints as `***`, cannot be pickled or dumped, and says where it comes from.

It is resolved once, at start, by `resolve`; `check`, `plan` and `backtest` never resolve, so that they run anywhere
(design, section 8). A literal in the file is accepted, and named in a warning.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NoReturn

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

Kind = Literal["literal", "env", "file", "credential"]

_MAX_BYTES = 64 * 1024


class SecretMissing(ValueError):  # noqa: N818 - reads so where it is caught
    """The environment variable or file is not there. The text says what to do and holds no secret."""


class Secret:
    """A value that must not be shown."""

    __slots__ = ("_value", "kind", "name")

    def __init__(self, kind: Kind, name: str) -> None:
        self.kind: Kind = kind
        self.name = "" if kind == "literal" else name  # where it comes from: safe to show
        self._value: str | None = name if kind == "literal" else None

    @classmethod
    def of(cls, value: str) -> Secret:
        """A secret whose value is known already."""
        return cls("literal", value)

    def resolve(self) -> None:
        """Read the value. Raises `SecretMissing`."""
        if self._value is None:
            self._value = self._read()

    def reveal(self) -> str:
        """The value itself, resolving it where that has not happened. Raises `SecretMissing`."""
        self.resolve()
        assert self._value is not None
        return self._value

    def _read(self) -> str:
        if self.kind == "env":
            value = os.environ.get(self.name)
            if not value:
                raise SecretMissing(f"environment variable {self.name} is not set: export it before starting")
            return value
        path = Path(self.name)
        if self.kind == "credential":
            folder = os.environ.get("CREDENTIALS_DIRECTORY")
            if not folder:
                raise SecretMissing(f"no systemd credentials here: add LoadCredential={self.name}:… to the unit")
            path = Path(folder) / self.name
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise SecretMissing(f"cannot read {path}: {error.strerror or error}") from None
        if len(raw) > _MAX_BYTES:
            raise SecretMissing(f"{path} is larger than {_MAX_BYTES} bytes: it does not look like a secret")
        try:
            value = raw.decode().strip()
        except UnicodeDecodeError:
            raise SecretMissing(f"{path} is not UTF-8 text") from None
        if not value:
            raise SecretMissing(f"{path} is empty: write the secret into it")
        return value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self.kind, self.name, self._value) == (other.kind, other.name, other._value)

    def __hash__(self) -> int:
        return hash((self.kind, self.name))

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not serialised")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        def accept(value: object) -> Secret:
            if isinstance(value, Secret):
                return value
            if isinstance(value, str) and value:
                return cls.of(value)
            raise ValueError("should be text, or !env NAME, !file PATH, !credential NAME")

        return core_schema.no_info_plain_validator_function(
            accept, serialization=core_schema.plain_serializer_function_ser_schema(repr)
        )
