"""Configures structlog, and redacts log lines. No log line may hold data of a person.

A log line is an event name plus ids. The code that logs must follow this rule; `redact` is a second safeguard.
"""

from __future__ import annotations

import logging
import re
import sys

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# Ten digits, with the spaces or hyphens that people write in NHS numbers.
_TEN_DIGITS = re.compile(r"(?<![\w.-])\d{3}[ -]?\d{3}[ -]?\d{4}(?![\w-])")
_REDACTED = "[redacted]"


def configure(level: str = "info", log_format: str = "json") -> None:
    """Log to standard error: JSON lines, or `console` text for people. Standard library loggers use the same output."""
    renderer = structlog.dev.ConsoleRenderer() if log_format == "console" else _json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries log at warning and above only, because their lower levels print the data that they process.
    root.setLevel(logging.WARNING)


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=repr).decode()


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace bytes, and all text that looks like an NHS number, by `[redacted]`."""
    return {key: _clean(value) for key, value in event.items()}


def _clean(value: object) -> object:
    if isinstance(value, str):
        return _TEN_DIGITS.sub(_REDACTED, value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _REDACTED
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_clean(item) for item in value]
    return value
