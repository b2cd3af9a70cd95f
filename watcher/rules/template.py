"""Texts of messages: Jinja2 in its sandbox, compiled when a pack is read and rendered when an alert changes.

Only two things are decided here. A template that cannot work is found when the pack is read (it is rendered once with
invented values), so that a misspelt name is a config error and not a blank page. And a template that fails all the same
never costs a page: the text falls back to plain words and the failure is counted by the caller.

Values of labels come from end users' channel names; they are data here, never template source, and the targets escape
them (invariant 7). Jinja2's sandbox keeps a template from Python's insides but not from filling memory or running for
ever (`"x" | center(10**9)`, loops in loops, a text doubled forty times), and both threaten the daemon and `check` alike
(invariant 8). So only a small part of the language is read: values, sums, conditions, some filters, and loops over the
few lists that an alert has. Nothing in that part grows beyond the template times those lists. A limit on time or output
was considered: the one needs a thread that cannot be stopped, the other comes too late for one large text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from watcher.clock import rfc3339
from watcher.errors import clip
from watcher.model import Labels
from watcher.rules.ground import Shown, Tally

MAX_TEXT = 2_000  # characters of one rendered text
MAX_SOURCE = 10_000  # characters of one template
_UNKNOWN = "unknown"

RESERVED = frozenset(
    {"value", "threshold", "normal", "burn", "peak", "users", "labels", "starts_at", "parts"}
    | {"breached", "counted", "names"}
)
"""Names that a template finds beside the labels: no label may take them."""


def percent(value: float | None) -> str:
    """`8.3%`; what is too small to show is `<0.1%`."""
    if value is None:
        return _UNKNOWN
    share = value * 100.0
    return "<0.1%" if 0 < share < 0.05 else f"{share:.1f}".removesuffix(".0") + "%"


def duration(seconds: float | None) -> str:
    """`350ms`, `42s`, `2m`, `1h30m`."""
    if seconds is None:
        return _UNKNOWN
    if 0 < abs(seconds) < 1:
        return f"{seconds * 1000:.0f}ms"
    left = round(abs(seconds))
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if seconds < 0 else "") + ("".join(parts[:2]) or "0s")


def number(value: float | None) -> str:
    """`1,234`, `42`, `0.317`."""
    if value is None:
        return _UNKNOWN
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        for operand in (left, right):
            if not isinstance(operand, int | float) or abs(operand) > 1e15:
                raise TemplateError(f"{operator} is for numbers")
        if operator == "**":
            raise TemplateError("** is not offered")
        return super().call_binop(context, operator, left, right)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = _Sandbox(undefined=StrictUndefined, autoescape=False)
    environment.filters.update(percent=percent, duration=duration, number=number)
    return environment


def context(
    *,
    labels: Labels,
    value: float | None,
    threshold: float | None,
    peak: float | None,
    users: float | None,
    starts_at: int,
    parts: Sequence[Shown] = (),
    tally: Tally | None = None,
    normal: float | None = None,
    burn: float | None = None,
) -> dict[str, object]:
    """What a template may name. `product` and `channel` are empty where the alert has none, `breached` and `counted`
    unknown but for a share, `normal` and `burn` unknown but for a baseline and an objective."""
    return {
        "product": "",
        "channel": "",
        **labels,
        "labels": dict(labels),
        "value": value,
        "threshold": threshold,
        "normal": normal,
        "burn": burn,
        "peak": peak,
        "users": users,
        "starts_at": rfc3339(starts_at),
        "parts": [
            {"signal": p.measures, "value": p.value, "threshold": p.threshold, "normal": p.normal} for p in parts
        ],
        "breached": None if tally is None else tally.breached,
        "counted": None if tally is None else tally.counted,
        "names": [] if tally is None else list(tally.names),
    }


_LISTS = frozenset({"parts", "names"})
_FILTERS = frozenset(
    {"percent", "duration", "number", "abs", "capitalize", "d", "default", "e", "escape", "first", "float", "int"}
    | {"join", "last", "length", "lower", "round", "title", "trim", "upper"}
)
_OFFERED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Filter,
    nodes.Test,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Pos,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Pow,  # refused with its own words
    nodes.Concat,
    nodes.For,
    nodes.List,
    nodes.Tuple,
    nodes.Keyword,
)


def _not_offered(source: nodes.Node, depth: int = 0) -> str | None:
    """The first part of a template that is outside of what is offered."""
    for node in source.iter_child_nodes():
        if not isinstance(node, _OFFERED):
            return f"{type(node).__name__.lower()} is not offered in texts"
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            return f"filter {node.name} is not offered in texts"
        inner = depth
        if isinstance(node, nodes.For):
            inner += 1
            if inner > 1 or not (isinstance(node.iter, nodes.Name) and node.iter.name in _LISTS):
                return f"loops go over {' or '.join(sorted(_LISTS))} only, and not inside each other"
        if (found := _not_offered(node, inner)) is not None:
            return found
    return None


def complaint(text: str, label_names: Mapping[str, str]) -> str | None:
    """What is wrong with a template of a rule with these labels; None where it works."""
    sample = context(
        labels={"account": "a", "provider": "p", "project": "p", "product": "p", "channel": "c", **label_names},
        value=0.5,
        threshold=0.25,
        peak=0.75,
        users=3.0,
        starts_at=0,
        parts=[Shown("video_freeze_ratio", 0.5, 0.25)],
        tally=Tally(1, 2, ("c",)),
        normal=0.125,
        burn=15.0,
    )
    if len(text) > MAX_SOURCE:
        return f"it is longer than {MAX_SOURCE} characters"
    try:
        environment = _environment()
        if (beyond := _not_offered(environment.parse(text))) is not None:
            return clip(beyond)
        environment.from_string(text).render(sample)
    except TemplateSyntaxError as error:
        return clip(f"line {error.lineno} of the template: {error.message}")
    except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        return clip(str(error))
    return None


class Texts:
    """The compiled texts of one rule."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        environment = _environment()
        self._templates = {name: environment.from_string(text) for name, text in templates.items()}

    def render(self, values: Mapping[str, object], fallback: str) -> tuple[dict[str, str], int]:
        """Every text by name, and how many could not be rendered: those read `fallback`."""
        rendered: dict[str, str] = {}
        failed = 0
        for name, template in self._templates.items():
            try:
                rendered[name] = template.render(values)[:MAX_TEXT]
            except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError):
                rendered[name] = fallback
                failed += 1
        return rendered, failed
