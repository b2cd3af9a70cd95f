"""structlog set-up: JSON to stderr, one event per change of state, nothing that could hold a secret.

Loggers of libraries that print requests are cut off here, because Apprise and urllib3 print URLs with tokens at debug
level and httpx prints query strings (App IDs) at info level.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

_SILENCED = ("apprise", "urllib3", "requests", "httpx", "httpcore", "uvicorn", "uvicorn.access", "uvicorn.error")


def configure(*, stream: TextIO | None = None, level: str = "info", pretty: bool = False) -> None:
    """Send every event to `stream` (stderr unless told); `pretty` prints for a terminal instead of JSON."""
    for name in _SILENCED:
        library = logging.getLogger(name)
        library.handlers = [logging.NullHandler()]
        library.propagate = False
        library.setLevel(logging.CRITICAL + 1)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=False) if pretty else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose events carry `part=name` (structlog keeps the word `logger` to itself)."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger
