"""YAML as users mean it, with the place of everything: what every file of the program is read through.

PyYAML alone keeps the last of duplicate keys silently, reads `on:` as true and `12:30` as 750, and forgets lines. Here
duplicate keys are refused, only what YAML 1.2's core schema calls a number, a bool or null is one, anchors are refused
(a page of text could otherwise become gigabytes), and each value's line and column are kept, so that every problem
reads `file:line:column: what, and what to do`. Shapes are pydantic models; their errors are mapped here, all at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from watcher.errors import ConfigError, Problem
from watcher.secret import Secret

MAX_BYTES = 1_000_000
_MAX_DEPTH = 40

Loc = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """Base of every shape that is read from a file: frozen, strict, unknown keys refused.

    What reads a shape is built when it first reads one: a start does not wait for vendors that are not configured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data of one file and the place of each part of it."""

    file: str
    data: Any  # before validation: whatever the user wrote
    keys: Mapping[Loc, tuple[int, int]] = field(repr=False)  # where a mapping's key stands
    values: Mapping[Loc, tuple[int, int]] = field(repr=False)

    def problem(self, loc: Loc, what: str, remedy: str = "", *, at_key: bool = False) -> Problem:
        """A problem at the nearest place that the file has for `loc`."""
        for end in range(len(loc), -1, -1):
            for places in (self.keys, self.values) if at_key else (self.values, self.keys):
                if (place := places.get(loc[:end])) is not None:
                    return Problem(self.file, place[0], place[1], what, remedy)
        return Problem(self.file, 1, 1, what, remedy)

    def parse(self, shape: type[M], loc: Loc = ()) -> M:
        """The part at `loc` as a `shape`. Raises `ConfigError` with every problem of it."""
        part: Any = self.data
        for step in loc:
            part = part[step]
        if not isinstance(part, Mapping):
            what = "is empty" if part is None else f"is {_kind(part)}"
            raise ConfigError([self.problem(loc, f"{_name(loc) or 'the file'} {what}", "write a mapping of keys")])
        try:
            return shape.model_validate(part)
        except ValidationError as error:
            found = [dict(e) for e in error.errors()]
            raise ConfigError([self._of_pydantic(loc, e, shape) for e in found if not _follows(e, found)]) from None

    def _of_pydantic(self, base: Loc, error: Mapping[str, Any], shape: type[BaseModel]) -> Problem:
        inner = tuple(error["loc"])
        loc = base + self._existing(base, inner)
        kind, context = str(error["type"]), error.get("ctx", {})
        key = _name(inner)
        if kind == "missing":
            return self.problem(base + inner[:-1], f"{key} is missing", f"add `{inner[-1]}:`", at_key=True)
        if kind == "extra_forbidden":
            near = difflib.get_close_matches(str(inner[-1]), _known(shape), n=1)
            remedy = f"did you mean `{near[0]}`?" if near else "remove it"
            return self.problem(loc, f"unknown key {key}", remedy, at_key=True)
        if kind in _WANTED:
            wanted, remedy = _WANTED[kind]
            return self.problem(loc, f"{key} is {_kind(error.get('input'))}, not {wanted}", remedy)
        if kind in ("literal_error", "enum"):
            return self.problem(loc, f"{key} has an unknown value", f"use {context.get('expected')}")
        if kind == "value_error":
            what, _, remedy = str(context.get("error", "")).partition("; ")
            return self.problem(loc, f"{key} {what}" if key else what, remedy)
        message = str(error["msg"])
        return self.problem(loc, f"{key}: {message[0].lower()}{message[1:]}", "mend the value")

    def _existing(self, base: Loc, inner: Loc) -> Loc:
        """`inner` without the steps that pydantic adds for unions and validators."""
        kept: Loc = ()
        for step in inner:
            if base + kept + (step,) in self.values:
                kept += (step,)
        return kept


_WANTED = {  # pydantic's word for a wrong type -> what was wanted, and what to do
    "string_type": ("text", "put it in quotes"),
    "tuple_type": ("a list", "write it like [one, other]"),
    "dict_type": ("a mapping", "write keys below it"),
    "mapping_type": ("a mapping", "write keys below it"),
    "model_type": ("a mapping", "write keys below it"),
    "int_type": ("a whole number", "write it without quotes"),
    "bool_type": ("true or false", "write one of the two"),
}


def _follows(error: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> bool:
    """A list that counts as too short only because its items are wrong: saying so would mislead."""
    loc = error["loc"]
    return error["type"] == "too_short" and any(
        len(o["loc"]) > len(loc) and o["loc"][: len(loc)] == loc for o in others
    )


def _known(shape: type[BaseModel]) -> list[str]:
    """Every key of a shape and the shapes inside it: candidates for "did you mean"."""
    seen: set[type[BaseModel]] = set()
    names: list[str] = []
    todo: list[Any] = [shape]
    while todo:
        kind = todo.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind not in seen:
                seen.add(kind)
                for name, info in kind.model_fields.items():
                    names.append(info.alias or name)
                    todo.append(info.annotation)
        else:
            todo.extend(getattr(kind, "__args__", ()))
    return names


def _name(loc: Loc) -> str:
    """`accounts[0].projects[2].app_id`"""
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in loc).lstrip(".")


def _kind(value: object) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Secret():
            return "a secret"
    return type(value).__name__


# ── loading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def load(path: Path | str) -> Document:
    """Read one file. Raises `ConfigError` with everything that is wrong with it as YAML."""
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(name, 0, 0, f"cannot be read ({error.strerror or error})", "name a file")]) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError([Problem(name, 0, 0, f"is larger than {MAX_BYTES} bytes", "split it")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(name, 0, 0, f"is not UTF-8 (byte {error.start})", "save it as UTF-8")]) from None
    return loads(text, name)


def loads(text: str, name: str = "<text>") -> Document:
    """Read YAML from a string; `name` stands for the file in problems."""
    try:
        root = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        what = error.problem or error.context or "is not YAML"
        raise ConfigError([Problem(name, line, column, what, "mend the YAML")]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Problem(name, 0, 0, f"is not YAML ({error})", "mend it")]) from None
    except RecursionError:
        raise ConfigError([Problem(name, 0, 0, "is nested too deeply", "flatten it")]) from None
    reader = _Reader(name)
    data = reader.read(root, ()) if root is not None else None
    if reader.problems:
        raise ConfigError(reader.problems)
    return Document(name, data, reader.keys, reader.values)


class _NoAliases(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(None, None, "anchors and aliases are not read", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node


def _compose(text: str) -> yaml.Node | None:
    loader = _NoAliases(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


_NULL = re.compile(r"(~|null|Null|NULL|)\Z")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?\Z")
_SECRETS = {"!env": "env", "!file": "file", "!credential": "credential"}


class _Reader:
    """Turns nodes into plain data, noting places and problems."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.keys: dict[Loc, tuple[int, int]] = {}
        self.values: dict[Loc, tuple[int, int]] = {}

    def read(self, node: yaml.Node, loc: Loc) -> Any:
        self.values[loc] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if len(loc) > _MAX_DEPTH:
            return self._problem(node, "is nested too deeply", "flatten it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.read(child, (*loc, i)) for i, child in enumerate(node.value))  # frozen, as all config
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, "a key must be text", "write `name: value`")
                continue
            key = str(key_node.value)
            if key in data:
                self._problem(key_node, f"duplicate key {key}", "keep one of them")
                continue
            self.keys[(*loc, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            data[key] = self.read(value_node, (*loc, key))
        return data

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text, tag = str(node.value), str(node.tag)
        if any("\ud800" <= character <= "\udfff" for character in text):
            return self._problem(node, "holds half a character (a lone surrogate)", "write the whole character")
        if tag in _SECRETS:
            if not text:
                return self._problem(node, f"{tag} names nothing", f"write {tag} NAME")
            return Secret(_SECRETS[tag], text)  # type: ignore[arg-type]
        if tag.startswith("!"):
            return self._problem(node, f"unknown tag {tag}", "use !env, !file or !credential")
        if node.style in ("'", '"', "|", ">") or tag == "tag:yaml.org,2002:str":
            return text
        if _NULL.match(text):
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INT.match(text) and len(text) <= 18:
            return int(text)
        if _FLOAT.match(text) and not re.match(r"[-+]?0[0-9]", text) and len(text) <= 40:
            return float(text)
        return text

    def _problem(self, node: yaml.Node, what: str, remedy: str) -> None:
        mark = node.start_mark
        self.problems.append(Problem(self.name, mark.line + 1, mark.column + 1, what, remedy))


# ── literals shared by every file ────────────────────────────────────────────────────────────────────────────────────

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?\Z")
_UNITS = (86_400, 3_600, 60, 1)


def duration(value: object) -> int:
    """`90s`, `2m`, `1h30m`, `7d` in whole seconds. A bare number is refused: its unit would be a guess."""
    if isinstance(value, str) and value and (match := _DURATION.match(value)):
        seconds = sum(int(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
        if seconds <= 366 * 86_400:
            return seconds
    if isinstance(value, int) and not isinstance(value, bool) and value == 0:
        return 0
    raise ValueError("is not a duration; write it like 90s, 2m, 1h30m or 7d")


def quantity(value: object) -> float:
    """`5%` as 0.05, `400ms` as 0.4, or a plain number."""
    number: float | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    elif isinstance(value, str):
        for suffix, divisor in (("%", 100.0), ("ms", 1000.0), ("s", 1.0), ("", 1.0)):
            if value.endswith(suffix) and _FLOAT.match(value.removesuffix(suffix).strip()):
                number = float(value.removesuffix(suffix)) / divisor
                break
    if number is None or not abs(number) < 1e15:
        raise ValueError("is not a number; write it like 5%, 0.05, 20 or 400ms")
    return number


Duration = Annotated[int, BeforeValidator(duration)]
"""Whole seconds, written like 90s, 2m, 1h30m."""

Quantity = Annotated[float, BeforeValidator(quantity)]
"""A number in base units; percent and milliseconds are converted."""
